//! A small run of the closed-form Gaussian denoiser: the very numbers that a profile is measured from, kept for direct evaluation.

use ddpm_core::{
    Bands, DecoderKind, Denoiser, GaussianDenoiser, ModelId, NetworkId, NoiseDomain, NoiseKey,
    NoiseSchedule, Objective, Parameterization, StepVariance, VarianceKind, diffuse, edge_nll,
    predict_x0, respaced_decoder_log_variance, standard_normal,
};
use ddpm_profile::{Block, CostModel, Curves, ElboProfile, ProfileLayout, Reconstruction, Result};
use ddpm_schedule::{Kernel, Provenance, Schedule, Scoring};
use ndarray::Array3;

/// What the network made of one image at one timestep.
pub(crate) struct Point {
    pub(crate) x_t: Vec<f64>,
    pub(crate) xhat0: Vec<f64>,
    pub(crate) v: Option<Vec<f64>>,
}

/// Images, and the network's reconstructions of them at the evaluated timesteps.
pub(crate) struct Run {
    pub(crate) schedule: NoiseSchedule,
    pub(crate) model: GaussianDenoiser,
    pub(crate) timesteps: Vec<usize>,
    pub(crate) clip: bool,
    pub(crate) images: Vec<Vec<f64>>,
    /// `points[image][timestep index]`.
    pub(crate) points: Vec<Vec<Point>>,
}

/// v of pixel i of n.
pub(crate) type Fraction = fn(usize, usize) -> f64;

/// How a run is made.
pub(crate) struct Setup {
    pub(crate) schedule: NoiseSchedule,
    pub(crate) shape: [usize; 3],
    /// If the network learns its variance.
    pub(crate) v: Option<Fraction>,
    pub(crate) timesteps: Vec<usize>,
    pub(crate) clip: bool,
    pub(crate) images: usize,
    /// Which images: the first one's number.
    pub(crate) first_image: usize,
    /// Round the images to 8-bit pixels in [-1, 1]; otherwise they are exact draws from the model's data.
    pub(crate) eight_bit: bool,
    pub(crate) seed: u64,
}

/// A spread of v over -0.3..=1.3 without pattern.
pub(crate) fn spread(i: usize, n: usize) -> f64 {
    -0.3 + 1.6 * ((i * 7919) % n) as f64 / (n - 1) as f64
}

pub(crate) fn uniform(shape: [usize; 3], f: impl Fn(usize, usize) -> f64) -> Array3<f64> {
    let n = shape.iter().product();
    Array3::from_shape_vec(shape, (0..n).map(|i| f(i, n)).collect()).expect("the shape fits")
}

impl Setup {
    pub(crate) fn run(self) -> Run {
        let mu = uniform(self.shape, |i, n| 0.9 * (i as f64 / n as f64 * 9.0).sin());
        let variance = uniform(self.shape, |i, n| {
            10f64.powf(-3.5 + 3.0 * ((i * 31) % n) as f64 / n as f64)
        });
        let mut model = GaussianDenoiser::new(
            self.schedule.clone(),
            mu,
            variance,
            Parameterization::Epsilon,
        )
        .expect("valid");
        if let Some(v) = self.v {
            model = model.with_v(uniform(self.shape, v)).expect("same shape");
        }
        let mut run = Run {
            schedule: self.schedule,
            model,
            timesteps: self.timesteps,
            clip: self.clip,
            images: Vec::new(),
            points: Vec::new(),
        };
        for image in self.first_image..self.first_image + self.images {
            // 8-bit pixels, some of them at the edges.
            let x0 = run.model.sample(self.seed, image as u64);
            let pixel = |x: &f32| {
                if self.eight_bit {
                    ((x + 1.0) * 127.5).round().clamp(0.0, 255.0) / 127.5 - 1.0
                } else {
                    *x
                }
            };
            let x0: Vec<f32> = x0.iter().map(pixel).collect();
            run.points.push(
                run.timesteps
                    .iter()
                    .map(|&t| run.predict(self.seed, image, t, &x0))
                    .collect(),
            );
            run.images.push(x0.iter().map(|&x| f64::from(x)).collect());
        }
        run
    }
}

impl Run {
    fn predict(&self, seed: u64, image: usize, t: usize, x0: &[f32]) -> Point {
        let key = NoiseKey {
            seed,
            domain: NoiseDomain::Forward,
            stream: image as u64,
            step: t as u32,
        };
        let mut noise = vec![0.0; x0.len()];
        standard_normal(key, &mut noise);
        let mut x_t = vec![0.0; x0.len()];
        diffuse(&self.schedule, t, x0, &noise, &mut x_t);
        let input: Vec<f32> = x_t.iter().map(|&x| x as f32).collect();
        let shape = [vec![1], self.model.shape()].concat();
        let input = ndarray::ArrayViewD::from_shape(shape, &input).expect("fits");
        let output = self.model.predict(input, &[t], None).expect("valid");
        let mut xhat0 = vec![0.0; x0.len()];
        let mean = output.mean.as_slice().expect("contiguous");
        predict_x0(
            Parameterization::Epsilon,
            &self.schedule,
            t,
            &x_t,
            mean,
            self.clip,
            &mut xhat0,
        )
        .expect("valid");
        Point {
            x_t,
            xhat0,
            v: output
                .variance
                .map(|raw| raw.iter().map(|&r| (f64::from(r) + 1.0) / 2.0).collect()),
        }
    }

    pub(crate) fn layout(&self, nodes: usize) -> ProfileLayout {
        let learned = self.points[0][0].v.is_some();
        ProfileLayout::new(&self.schedule, self.timesteps.clone(), learned, nodes).expect("valid")
    }

    /// The profile of these images in blocks of `per_block`.
    pub(crate) fn profile(&self, nodes: usize, per_block: usize) -> ElboProfile {
        self.profile_of(self.layout(nodes), per_block)
    }

    /// The same in these bands.
    pub(crate) fn profile_in(&self, bands: Bands, nodes: usize, per_block: usize) -> ElboProfile {
        self.profile_of(self.layout(nodes).with_bands(bands), per_block)
    }

    fn profile_of(&self, layout: ProfileLayout, per_block: usize) -> ElboProfile {
        let blocks = self
            .images
            .chunks(per_block)
            .zip(self.points.chunks(per_block))
            .enumerate();
        let blocks = blocks
            .map(|(id, (images, points))| {
                let mut block = Block::new(&layout, id as u64);
                for (x0, points) in images.iter().zip(points) {
                    block.add_image(x0.iter().map(|x| x * x).sum::<f64>() / x0.len() as f64);
                    for (i, p) in points.iter().enumerate() {
                        let reconstruction = Reconstruction {
                            x0,
                            x_t: Some(&p.x_t),
                            xhat0: &p.xhat0,
                            v: p.v.as_deref(),
                        };
                        let statistics = layout.measure(i, &reconstruction).expect("valid");
                        block.add(i, &statistics).expect("fits");
                    }
                }
                block
            })
            .collect();
        let provenance = self.provenance(per_block);
        ElboProfile::new(provenance, self.schedule.clone(), layout, blocks).expect("valid")
    }

    pub(crate) fn provenance(&self, per_block: usize) -> Provenance {
        let steps = self.schedule.train_steps();
        provenance(
            steps,
            self.model.shape(),
            self.clip,
            self.images.len(),
            per_block,
        )
    }

    /// The term of an edge evaluated pixel by pixel, mean over images, nats per dimension. `log_variance`: `None` for learned;
    /// `decoder` is log btilde of the second step (learned decoder) at s = 0.
    pub(crate) fn direct(
        &self,
        t: usize,
        s: usize,
        log_variance: Option<f64>,
        decoder: f64,
    ) -> f64 {
        let i = self
            .timesteps
            .iter()
            .position(|&u| u == t)
            .expect("evaluated");
        let edge = self.schedule.transition(t, s);
        let sum: f64 = self
            .images
            .iter()
            .zip(&self.points)
            .map(|(x0, points)| {
                let variance = match (log_variance, &points[i].v) {
                    (Some(log_variance), _) => StepVariance::LogVariance(log_variance),
                    (None, Some(v)) => StepVariance::Learned(v),
                    (None, None) => unreachable!("the run has no learned variance"),
                };
                edge_nll(&edge, decoder, variance, x0, &points[i].xhat0)
            })
            .sum();
        sum / self.images.len() as f64
    }
}

/// The origin of a run of the closed-form denoiser.
pub(crate) fn provenance(
    train_steps: usize,
    image_shape: Vec<usize>,
    clip: bool,
    images: usize,
    per_block: usize,
) -> Provenance {
    let total_images = images as u64;
    let settings = [("note".to_owned(), "test".to_owned())];
    Provenance {
        model: ModelId {
            network: NetworkId::Sha256("c".repeat(64)),
            noise_schedule: None,
            train_steps,
            parameterization: Some(Parameterization::Epsilon),
            rescale_timesteps: false,
            clip_denoised: clip,
            precision: "f32".into(),
            shape: image_shape,
            settings: settings.into(),
        },
        data_sha256: "d".repeat(64),
        data_name: "gaussian".into(),
        split: "train".into(),
        stand_in: true,
        seed: 7,
        total_images,
        images_per_block: per_block as u64,
        total_blocks: total_images.div_ceil(per_block as u64),
        library_version: "0.1.0".into(),
        image_order: "as sampled".into(),
        extra: std::collections::BTreeMap::new(),
    }
}

/// 1..=16, T-1, T, and others evenly over log-SNR clipped at -7: `count` in all.
pub(crate) fn log_snr_timesteps(schedule: &NoiseSchedule, count: usize) -> Vec<usize> {
    let last = schedule.train_steps();
    let mut chosen: std::collections::BTreeSet<usize> = (1..=16).chain([last - 1, last]).collect();
    let (high, low) = (schedule.log_snr(16), schedule.log_snr(last).max(-7.0));
    let rest = count - chosen.len();
    for i in 1..=rest {
        let target = high + (low - high) * i as f64 / rest as f64;
        let t = (17..last).find(|&t| schedule.log_snr(t) <= target && !chosen.contains(&t));
        chosen.extend(t.or_else(|| (17..last).rev().find(|t| !chosen.contains(t))));
    }
    chosen.into_iter().collect()
}

/// Number i of a fixed sequence of standard normal numbers.
pub(crate) fn normal(i: usize) -> f64 {
    let mut block = [0.0; 1];
    let key = NoiseKey {
        seed: 99,
        domain: NoiseDomain::Data,
        stream: i as u64,
        step: 0,
    };
    standard_normal(key, &mut block);
    f64::from(block[0])
}

/// The costs under these conventions, with the numbers that they take from images taken from the curves themselves.
pub(crate) fn cost_model(
    curves: &Curves,
    variance: VarianceKind,
    decoder: DecoderKind,
    objective: Objective,
) -> Result<CostModel<'_>> {
    let scoring = Scoring::new(variance)
        .with_decoder(decoder)
        .with_objective(objective);
    CostModel::new(curves, curves.freeze(&scoring)?)
}

/// The costs under the learned variance and the respaced decoder.
pub(crate) fn learned_respaced(curves: &Curves) -> CostModel<'_> {
    let (variance, decoder) = (VarianceKind::Learned, DecoderKind::Respaced);
    cost_model(curves, variance, decoder, Objective::Elbo)
        .expect("learned columns that are resolved")
}

impl Run {
    /// The term of step `k` of a schedule, from t to s, evaluated number by number as its kernel says, mean over images, nats per
    /// dimension.
    pub(crate) fn direct_of(&self, schedule: &Schedule, k: usize, t: usize, s: usize) -> f64 {
        let evaluated = self.timesteps.iter().position(|&u| u == t);
        let i = evaluated.expect("evaluated");
        let edge = self.schedule.transition(t, s);
        let nodes = schedule.path.nodes();
        let lower_end = match &schedule.kernels[k] {
            Kernel::LearnedFrom { log_variance } => *log_variance,
            _ => respaced_decoder_log_variance(&self.schedule, nodes[1], nodes.get(2).copied()),
        };
        let term = |(x0, points): (&Vec<f64>, &Vec<Point>)| {
            let point = &points[i];
            let mut estimate = point.xhat0.clone();
            if let Some((bands, mean)) = schedule.scored_correction(k) {
                mean.apply(bands, &self.schedule, t, &point.x_t, &mut estimate);
            }
            let bands = schedule.bands.as_deref();
            let variance = schedule.kernels[k].variance(point.v.as_deref(), bands);
            edge_nll(&edge, lower_end, variance, x0, &estimate)
        };
        let sum: f64 = self.images.iter().zip(&self.points).map(term).sum();
        sum / self.images.len() as f64
    }
}
