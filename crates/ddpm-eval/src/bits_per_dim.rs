//! Direct evaluation: the bits per dimension of images along one path, term by term.
//!
//! `-ELBO = prior_KL(t_K) + decoder(t_1) + sum over k >= 2 of L(t_k, t_{k-1})` (Watson et al. 2021, eq. 9), every term
//! computed from the pixels by [`ddpm_core::edge_nll`], or from the coefficients of their errors where a kernel is one of
//! frequencies. Nothing here knows of profiles: this is the route that a
//! schedule found through one is checked against.
//!
//! An image's terms depend on the seed, the split, its index in the data set and the path alone. The noise of an edge `(t, s)`
//! is that of `t`, as in profiling, so that both see the same `x_t`.

use ddpm_core::{
    Bands, DecoderKind, Denoiser, MeanCorrection, NoiseSchedule, StepVariance, Transition,
    edge_nll, gaussian_nll, nats_to_bits, prior_kl, respaced_decoder_log_variance,
};
use ddpm_data::{ImageSet, Split};
use ddpm_schedule::{Kernel, Schedule};

use crate::denoising::{Denoised, ForwardProcess, Noise, Point, mean_square};
use crate::error::{Error, Result};
use crate::network::{batched, check_schedule};
use crate::progress::Progress;

/// What to evaluate.
#[derive(Clone, Debug)]
pub struct BitsPerDimPlan<'a> {
    /// The path with the kernels of its steps.
    pub schedule: Schedule,
    /// Indices of the images in the data set, in the order of the results.
    pub images: Vec<usize>,
    /// The noise.
    pub noise: Noise<'a>,
    /// Whether estimates of x0 are clamped to [-1, 1].
    pub clip_denoised: bool,
    /// Evaluate only the edges that start at these t, each a node of the path.
    pub only: Option<Vec<usize>>,
    /// Images per network call; 0 for what the network likes. Changes no result.
    pub batch: usize,
}

impl BitsPerDimPlan<'_> {
    /// The schedule on these images: noise of seed 0 and the test split, clipped estimates, every term, the network's favourite batch.
    pub fn new(schedule: Schedule, images: Vec<usize>) -> Self {
        Self {
            schedule,
            images,
            noise: Noise::Seed {
                seed: 0,
                split: Split::Test,
            },
            clip_denoised: true,
            only: None,
            batch: 0,
        }
    }
}

/// The term of one edge.
#[derive(Clone, Debug, PartialEq)]
pub struct EdgeTerm {
    /// Where the edge starts.
    pub t: usize,
    /// Where it ends; 0 for the decoder.
    pub s: usize,
    /// Bits per dimension of every image.
    pub bits_per_dim: Vec<f64>,
}

/// Every term of every image, in bits per dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct BitsPerDim {
    /// The edges evaluated, in ascending t.
    pub terms: Vec<EdgeTerm>,
    /// `prior_KL(t_K)` of every image.
    pub prior: Vec<f64>,
    /// The sum of all terms and the prior of every image; `None` if only some edges were evaluated.
    pub total: Option<Vec<f64>>,
}

impl BitsPerDim {
    /// The mean over the images of what was evaluated of them: of the bound itself, if that is every term.
    pub fn mean(&self) -> f64 {
        let terms = self.terms.iter().map(|term| &term.bits_per_dim);
        let all = terms.chain([&self.prior]).flatten();
        all.sum::<f64>() / self.prior.len() as f64
    }
}

/// Evaluates the terms of `plan.schedule.path` on `plan.images`.
///
/// # Errors
/// When the images, the labels, the noise or the variances do not fit the network and the path; when an
/// image cannot be read; when the network fails; when `progress` asks to stop.
pub fn bits_per_dim(
    denoiser: &dyn Denoiser,
    data: &ImageSet,
    plan: &BitsPerDimPlan<'_>,
    progress: &dyn Progress,
) -> Result<BitsPerDim> {
    let process = ForwardProcess::new(denoiser, data, plan.noise, plan.clip_denoised, plan.batch)?;
    check(denoiser, data, plan)?;
    let schedule = denoiser.noise_schedule();
    let edges = edges(schedule, plan);

    let n = plan.images.len();
    // First, so that an image that cannot be read is found before anything is evaluated.
    let mut image = vec![0.0; data.dims()];
    let mut prior = Vec::with_capacity(n);
    for &i in &plan.images {
        data.read_image(i, &mut image)?;
        let nats = prior_kl(schedule, plan.schedule.path.end(), mean_square(&image));
        prior.push(nats_to_bits(nats));
    }
    let points: Vec<Point> = edges
        .iter()
        .enumerate()
        .flat_map(|(term, edge)| {
            let t = edge.transition.t;
            let rows = plan.images.iter().enumerate();
            rows.map(move |(row, &image)| Point {
                row,
                image,
                t,
                term,
            })
        })
        .collect();
    progress.start(points.len() as u64);
    let nats = process.map(&points, progress, |point, denoised| {
        edges[point.term].nats(schedule, &denoised)
    })?;
    progress.finish();

    let terms: Vec<EdgeTerm> = edges
        .iter()
        .zip(nats.chunks(n))
        .map(|(edge, nats)| EdgeTerm {
            t: edge.transition.t,
            s: edge.transition.s,
            bits_per_dim: nats.iter().copied().map(nats_to_bits).collect(),
        })
        .collect();
    let total = plan.only.is_none().then(|| {
        (0..n)
            .map(|i| terms.iter().map(|term| term.bits_per_dim[i]).sum::<f64>() + prior[i])
            .collect()
    });
    Ok(BitsPerDim {
        terms,
        prior,
        total,
    })
}

fn check(denoiser: &dyn Denoiser, data: &ImageSet, plan: &BitsPerDimPlan<'_>) -> Result<()> {
    if plan.images.is_empty() {
        return Err(Error::request("images", "expected at least one image"));
    }
    data.check_indices("images", &plan.images)?;
    check_schedule(denoiser, &plan.schedule)?;
    if let Noise::Given(noise) = plan.noise {
        let expected = batched(plan.images.len(), data.shape());
        if noise.shape() != expected {
            return Err(Error::request(
                "noise",
                format!(
                    "expected shape {expected:?} (like the images), found {:?}",
                    noise.shape()
                ),
            ));
        }
    }
    let nodes = &plan.schedule.path.nodes()[1..];
    match plan.only.iter().flatten().find(|t| !nodes.contains(t)) {
        None => Ok(()),
        Some(t) => Err(Error::request(
            "terms",
            format!(
                "expected timesteps of the path {}, found {t}",
                plan.schedule.path
            ),
        )),
    }
}

/// One edge with all that its term needs beside the estimate.
struct Edge<'a> {
    transition: Transition,
    kernel: &'a Kernel,
    bands: Option<&'a Bands>,
    correction: Option<(&'a Bands, &'a MeanCorrection)>,
    /// The lower end of the learned range of the decoder, a log-variance.
    lower_end: f64,
    /// For a continuous density, what to subtract in nats; `None` for a discretised one.
    log_bin_width: Option<f64>,
}

/// The edges to evaluate, in ascending t.
fn edges<'a>(noise: &NoiseSchedule, plan: &'a BitsPerDimPlan<'_>) -> Vec<Edge<'a>> {
    let schedule = &plan.schedule;
    let nodes = schedule.path.nodes();
    let respaced = respaced_decoder_log_variance(noise, nodes[1], nodes.get(2).copied());
    let wanted = |t: usize| plan.only.as_ref().is_none_or(|only| only.contains(&t));
    let scored = |s: usize| s > 0 || schedule.decoder != DecoderKind::None;
    let continuous = schedule.decoder == DecoderKind::Gaussian;
    let edges = schedule.path.edges().zip(&schedule.kernels).enumerate();
    edges
        .filter(|&(_, ((t, s), _))| wanted(t) && scored(s))
        .map(|(k, ((t, s), kernel))| Edge {
            transition: noise.transition(t, s),
            kernel,
            bands: schedule.bands.as_deref(),
            correction: schedule.scored_correction(k),
            lower_end: match kernel {
                Kernel::LearnedFrom { log_variance } => *log_variance,
                _ => respaced,
            },
            log_bin_width: continuous.then(|| schedule.bin_width.map_or(0.0, f64::ln)),
        })
        .collect()
}

impl Edge<'_> {
    /// The term of one image, in nats per dimension.
    fn nats(&self, schedule: &NoiseSchedule, denoised: &Denoised<'_>) -> f64 {
        let (x0, transition) = (denoised.x0, &self.transition);
        let corrected = self.correction.map(|(bands, mean)| {
            let mut estimate = denoised.xhat0.to_vec();
            mean.apply(bands, schedule, transition.t, denoised.x_t, &mut estimate);
            estimate
        });
        let estimate = corrected.as_deref().unwrap_or(denoised.xhat0);
        let variance = self.kernel.variance(denoised.v, self.bands);
        match (transition.s, self.log_bin_width, variance) {
            (0, Some(log_bin_width), StepVariance::LogVariance(log_variance)) => {
                let squares = x0.iter().zip(estimate).map(|(x, e)| (x - e).powi(2));
                let mse = squares.sum::<f64>() / x0.len() as f64;
                gaussian_nll(mse, log_variance) - log_bin_width
            }
            (0, Some(log_bin_width), StepVariance::Bands(..)) => {
                edge_nll(transition, self.lower_end, variance, x0, estimate) - log_bin_width
            }
            _ => edge_nll(transition, self.lower_end, variance, x0, estimate),
        }
    }
}
