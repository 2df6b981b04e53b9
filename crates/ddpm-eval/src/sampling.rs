//! Sampling along any path.
//!
//! `x_{t_K} ~ N(0, I)`, then one step of the sampler per edge down to clean data, whose last step shows the mean. Every
//! number an image is made of comes from the noise streams of its index: `x_{t_K}` from one that knows no timestep, the
//! noise of the step that leaves `t` from one of `t`. Image `i` of a seed is therefore the same whichever others are sampled
//! beside it, in whatever batches; under another path or sampler it starts from the same noise, and meets the same
//! noise at the timesteps that both paths share.

use ddpm_core::{
    Bands, Denoiser, LinearStep, MeanCorrection, MeanKind, MultistepState, MultistepStep,
    NoiseDomain, NoiseKey, NoiseSchedule, Sampler, StepCoefficients, StepVariance, Transition,
    ancestral_step, clipped_noise_limit, standard_normal,
};
use ddpm_schedule::{Kernel, Schedule};
use ndarray::{ArrayD, ArrayViewD, Axis};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::network::{
    batch_labels, batch_of, batch_size, batched, check_bands, check_path, check_schedule,
    corrected_estimate, predict, read_v,
};
use crate::progress::Progress;
use crate::room::{zeros, zeros_of};

/// What to sample.
#[derive(Clone, Debug)]
pub struct SamplingPlan {
    /// The path, the sampler that takes its steps and, for ancestral sampling, their kernels; that of the last step, onto the data,
    /// plays no part.
    pub schedule: Schedule,
    /// Noise of a step of DDIM in [0, 1]: 0 is deterministic, 1 is ancestral with variance fixed-small. No other sampler has it.
    pub eta: f64,
    /// Clips the noise of the second-to-last step, the last that is added, to so many of an image's 256 levels on average
    /// ([`clipped_noise_limit`]).
    pub clip_last_noise: Option<f64>,
    /// Indices of the images, below `2^56`.
    pub images: Vec<usize>,
    /// Seed of every noise stream.
    pub seed: u64,
    /// A class label per image, for a class-conditional network.
    pub labels: Option<Vec<usize>>,
    /// Whether estimates of x0 are clamped to [-1, 1].
    pub clip_denoised: bool,
    /// Images per network call; 0 for what the network likes. Changes no result.
    pub batch: usize,
}

impl SamplingPlan {
    /// So many samples of seed 0 along the schedule: images 0, 1, .., clipped estimates, the network's favourite batch.
    pub fn new(schedule: Schedule, count: usize) -> Self {
        Self {
            schedule,
            eta: 0.0,
            clip_last_noise: None,
            images: (0..count).collect(),
            seed: 0,
            labels: None,
            clip_denoised: true,
            batch: 0,
        }
    }

    /// Finds out before any evaluation whether the plan can be run with this network.
    ///
    /// # Errors
    /// When the schedule, its variances or bands, eta, the images or the labels do not fit the network.
    pub fn check(&self, denoiser: &dyn Denoiser) -> Result<()> {
        check(denoiser, self)?;
        steps(denoiser.noise_schedule(), self)?;
        Ok(())
    }
}

/// Samples the images of a plan, `[images, ..]`. Nearly all values lie in [-1, 1], all of them if estimates are clipped.
///
/// # Errors
/// As [`sample_in_batches`].
pub fn sample(
    denoiser: &dyn Denoiser,
    plan: &SamplingPlan,
    progress: &dyn Progress,
) -> Result<ArrayD<f32>> {
    let mut all = zeros_of("images", &batched(plan.images.len(), &denoiser.shape()))?;
    sample_in_batches(denoiser, plan, progress, &mut |at, samples| {
        let end = at + samples.len_of(Axis(0));
        all.slice_axis_mut(Axis(0), (at..end).into())
            .assign(&samples);
        Ok(())
    })?;
    Ok(all)
}

/// Samples the images of a plan in order, a batch at a time: `keep(at, samples)` gets the samples `[B, ..]` of
/// `plan.images[at..at + B]` as soon as they are done, so that an interrupted run loses no more than the batch in work.
///
/// # Errors
/// As [`SamplingPlan::check`]; when the network fails; when `progress` asks to stop; what `keep` returns.
pub fn sample_in_batches(
    denoiser: &dyn Denoiser,
    plan: &SamplingPlan,
    progress: &dyn Progress,
    keep: &mut dyn FnMut(usize, ArrayViewD<'_, f32>) -> Result<()>,
) -> Result<()> {
    let labels = check(denoiser, plan)?;
    let run = Run {
        denoiser,
        shape: denoiser.shape(),
        steps: steps(denoiser.noise_schedule(), plan)?,
        plan,
    };
    progress.start((plan.images.len() * plan.schedule.path.steps()) as u64);
    let size = batch_size(plan.batch, denoiser);
    // One after the other: the network spreads a batch over the threads itself.
    for (i, batch) in plan.images.chunks(size).enumerate() {
        let at = i * size;
        let labels = labels.map(|labels| &labels[at..at + batch.len()]);
        let samples = run.batch(batch, labels, progress)?;
        let samples = batch_of(batch.len(), &run.shape, samples.into_iter())?;
        keep(at, samples.view())?;
    }
    progress.finish();
    Ok(())
}

/// The labels to feed.
fn check<'a>(denoiser: &dyn Denoiser, plan: &'a SamplingPlan) -> Result<Option<&'a [usize]>> {
    check_path(denoiser, &plan.schedule.path)?;
    if plan.schedule.sampler == Sampler::Ddpm {
        check_schedule(denoiser, &plan.schedule)?;
    } else if plan.schedule.mean() == MeanKind::Calibrated || !plan.schedule.fitted.is_empty() {
        plan.schedule.check(denoiser.train_steps())?;
        check_bands(denoiser, &plan.schedule)?;
    }
    if plan.images.is_empty() {
        return Err(Error::request("images", "expected at least one image"));
    }
    if plan.images.iter().any(|&image| image as u64 >= 1 << 56) {
        return Err(Error::request(
            "images",
            "expected image indices below 2^56",
        ));
    }
    if let Some(levels) = plan.clip_last_noise
        && !(levels >= 0.0 && levels.is_finite())
    {
        return Err(Error::request(
            "clip of the last noise",
            format!("expected a number of levels of at least 0, found {levels}"),
        ));
    }
    batch_labels(denoiser, plan.labels.as_deref(), plan.images.len())
}

/// One step of the path, with everything that is the same for all images.
struct Step<'a> {
    transition: Transition,
    kind: Kind<'a>,
    correction: Option<(&'a Bands, &'a MeanCorrection)>,
}

enum Kind<'a> {
    /// The kernel, and the largest sigma.
    Ancestral(&'a Kernel, Option<f64>),
    Linear(LinearStep),
    Fitted(&'a StepCoefficients, Option<&'a Bands>),
    Multistep(MultistepStep),
}

/// What is known of an image between its steps.
#[derive(Default)]
struct Known {
    /// What is remembered of the nodes before, the nearest first.
    history: Vec<Vec<f64>>,
    multistep: MultistepState,
}

impl Step<'_> {
    /// Whether noise is added.
    fn is_noisy(&self) -> bool {
        match &self.kind {
            Kind::Ancestral(..) => self.transition.s > 0,
            Kind::Linear(step) => step.noise > 0.0,
            Kind::Fitted(..) | Kind::Multistep(_) => false,
        }
    }
}

/// The steps from the noisiest node down.
fn steps<'a>(schedule: &NoiseSchedule, plan: &'a SamplingPlan) -> Result<Vec<Step<'a>>> {
    let Schedule { path, sampler, .. } = &plan.schedule;
    let nodes = path.nodes();
    // In ascending t, as the edges.
    let multistep = sampler.multistep(schedule, path);
    let mut multistep = multistep.map(|steps| steps.into_iter().rev());
    let mut steps = Vec::with_capacity(path.steps());
    for (k, (t, s)) in path.edges().enumerate() {
        let transition = schedule.transition(t, s);
        let correction = plan.schedule.correction(k);
        // The second-to-last step is the one onto the first node.
        let limit = plan.clip_last_noise.filter(|_| k == 1);
        let limit = limit.map(clipped_noise_limit);
        let linear = |step: LinearStep| {
            Kind::Linear(step.with_noise_at_most(limit.unwrap_or(f64::INFINITY)))
        };
        let before = nodes.get(k + 2).copied();
        let fitted = plan.schedule.fitted.get(k);
        let kind = match (sampler, multistep.as_mut().and_then(Iterator::next)) {
            _ if let Some(step) = fitted => Kind::Fitted(step, plan.schedule.bands.as_deref()),
            (_, Some(step)) => Kind::Multistep(step),
            (Sampler::Ddpm, None) => Kind::Ancestral(&plan.schedule.kernels[k], limit),
            (Sampler::Ddim, None) => linear(LinearStep::ddim(schedule, t, s, plan.eta)?),
            (_, None) => linear(LinearStep::dpm_solver_2m(schedule, before, t, s)),
        };
        steps.push(Step {
            transition,
            kind,
            correction,
        });
    }
    steps.reverse();
    Ok(steps)
}

struct Run<'a> {
    denoiser: &'a dyn Denoiser,
    /// Of one image.
    shape: Vec<usize>,
    steps: Vec<Step<'a>>,
    plan: &'a SamplingPlan,
}

impl Run<'_> {
    /// The images of one batch, one after the other.
    fn batch(
        &self,
        indices: &[usize],
        labels: Option<&[usize]>,
        progress: &dyn Progress,
    ) -> Result<Vec<f64>> {
        let dims = self.shape.iter().product();
        let mut x = starts(self.plan.seed, indices, dims)?;
        let mut known: Vec<Known> = Vec::new();
        known.resize_with(indices.len(), Known::default);
        let mut input = zeros_of("batch", &batched(indices.len(), &self.shape))?;
        for step in &self.steps {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            for (fed, &x) in input.iter_mut().zip(&x) {
                *fed = x as f32;
            }
            let timesteps = vec![step.transition.t; indices.len()];
            let prediction = predict(self.denoiser, input.view(), &timesteps, labels, |b| {
                format!("sample {}", indices[b])
            })?;
            let mean = prediction.mean.as_standard_layout();
            let outputs = mean.as_slice().unwrap_or_default();
            let images = x
                .par_chunks_mut(dims)
                .zip(&mut known)
                .zip(outputs.par_chunks(dims));
            images
                .enumerate()
                .try_for_each(|(b, ((x_t, known), output))| {
                    let raw = prediction.variance.as_ref();
                    let raw = raw.map(|raw| raw.index_axis(Axis(0), b));
                    self.step(step, indices[b], output, raw, known, x_t)
                })?;
            progress.advance(indices.len() as u64);
        }
        Ok(x)
    }

    /// Takes one image from t to s; `output` and `raw` are what the network predicts for it.
    fn step(
        &self,
        step: &Step<'_>,
        image: usize,
        output: &[f32],
        raw: Option<ArrayViewD<'_, f32>>,
        known: &mut Known,
        x_t: &mut [f64],
    ) -> Result<()> {
        let dims = x_t.len();
        let transition = &step.transition;
        let mut xhat0 = vec![0.0f64; dims];
        corrected_estimate(
            self.denoiser,
            transition.t,
            x_t,
            output,
            step.correction,
            self.plan.clip_denoised,
            &mut xhat0,
        )?;
        let mut noise = vec![0.0f32; dims];
        if step.is_noisy() {
            let key = NoiseKey {
                seed: self.plan.seed,
                domain: NoiseDomain::Sampling,
                stream: image as u64,
                step: transition.t as u32,
            };
            standard_normal(key, &mut noise);
        }
        let mut x_s = vec![0.0f64; dims];
        match &step.kind {
            Kind::Ancestral(kernel, limit) => {
                let v = raw.map(|raw| {
                    let mut v = vec![0.0f64; dims];
                    read_v(raw.iter(), &mut v);
                    v
                });
                // The mean alone is used at the end; any variance will do.
                let variance = if transition.s == 0 {
                    StepVariance::LogVariance(0.0)
                } else {
                    kernel.variance(v.as_deref(), self.plan.schedule.bands.as_deref())
                };
                ancestral_step(transition, variance, *limit, x_t, &xhat0, &noise, &mut x_s);
            }
            Kind::Linear(linear) => {
                let history: Vec<&[f64]> = known.history.iter().map(Vec::as_slice).collect();
                linear.apply(x_t, &xhat0, &history, &noise, &mut x_s);
            }
            Kind::Fitted(step, bands) => {
                let history: Vec<&[f64]> = known.history.iter().map(Vec::as_slice).collect();
                step.apply(*bands, x_t, &xhat0, &history, &mut x_s);
            }
            Kind::Multistep(multistep) => {
                known.multistep.step(multistep, &xhat0, x_t);
                return Ok(());
            }
        }
        let sampler = self.plan.schedule.sampler;
        if sampler.looks_back() > 0 {
            let schedule = self.denoiser.noise_schedule();
            let found = remembered(sampler, schedule, transition.t, x_t, xhat0);
            known.history.insert(0, found);
            known.history.truncate(sampler.looks_back());
        }
        x_t.copy_from_slice(&x_s);
        Ok(())
    }
}

/// The pure noise that these images of a seed start from, one after the other.
///
/// # Errors
/// [`Error::Request`] where memory does not hold them.
pub(crate) fn starts(seed: u64, images: &[usize], dims: usize) -> Result<Vec<f64>> {
    let mut noise = zeros::<f32>("image size", &[dims])?;
    let mut x = zeros("batch", &[images.len(), dims])?;
    for (&image, x) in images.iter().zip(x.chunks_exact_mut(dims.max(1))) {
        let key = NoiseKey {
            seed,
            domain: NoiseDomain::Prior,
            stream: image as u64,
            step: 0,
        };
        standard_normal(key, &mut noise);
        for (x, &z) in x.iter_mut().zip(&noise) {
            *x = f64::from(z);
        }
    }
    Ok(x)
}

/// What a sampler remembers of node `t` for the steps after.
pub(crate) fn remembered(
    sampler: Sampler,
    schedule: &NoiseSchedule,
    t: usize,
    x_t: &[f64],
    mut estimate: Vec<f64>,
) -> Vec<f64> {
    let [of_state, of_estimate] = sampler.remembered(schedule, t);
    if of_state != 0.0 {
        for (estimate, x) in estimate.iter_mut().zip(x_t) {
            *estimate = of_state * x + of_estimate * *estimate;
        }
    }
    estimate
}
