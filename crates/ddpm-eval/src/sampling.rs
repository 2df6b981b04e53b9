//! Ancestral sampling along any path.
//!
//! `x_{t_K} ~ N(0, I)`, then one [`ddpm_core::ancestral_step`] per edge down to clean data. Every number an image is
//! made of comes from the noise streams of its index, so that image `i` of a seed is the same whichever others are
//! sampled beside it, in whatever batches.

use ddpm_core::{
    Denoiser, NoiseDomain, NoiseKey, NoiseSchedule, Path, Transition, ancestral_step, predict_x0,
    standard_normal,
};
use ndarray::{Array4, ArrayView3, Axis};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::network::{batch_size, check_labels, check_schedule, predict, read_v};
use crate::path_variance::{PathVariance, StepChoice};
use crate::progress::Progress;

/// What to sample.
#[derive(Clone, Debug)]
pub struct SamplingPlan {
    /// The path; its length is the number of network evaluations per image.
    pub path: Path,
    /// Variance of the steps; that of the last one, to clean data, plays no part, for its mean is the sample.
    pub variance: PathVariance,
    /// Index of the first image.
    pub first: usize,
    /// Number of images.
    pub count: usize,
    /// Seed of every noise stream.
    pub seed: u64,
    /// A class label per image, for a class-conditional network.
    pub labels: Option<Vec<usize>>,
    /// Whether estimates of x0 are clamped to [-1, 1].
    pub clip_denoised: bool,
    /// Images per network call; 0 for what the network likes. Changes no result.
    pub batch: usize,
}

/// Samples images `first..first + count`, `[count, C, H, W]`. Nearly all values lie in [-1, 1], all of them if estimates are
/// clipped.
///
/// # Errors
/// When the schedule, the labels or the variances do not fit the network and the path; when the network fails; when
/// `progress` asks to stop.
pub fn sample(
    denoiser: &dyn Denoiser,
    schedule: &NoiseSchedule,
    plan: &SamplingPlan,
    progress: &dyn Progress,
) -> Result<Array4<f32>> {
    let labels = check(denoiser, schedule, plan)?;
    let [c, h, w] = denoiser.image_shape();
    let steps: Vec<(Transition, StepChoice)> = plan
        .path
        .edges()
        .enumerate()
        .map(|(k, (t, s))| {
            let transition = schedule.transition(t, s);
            let choice = match s {
                // The mean alone is used; any variance will do.
                0 => StepChoice::LogVariance(0.0),
                _ => plan.variance.interior(k, &transition),
            };
            (transition, choice)
        })
        .collect();
    let sampler = Sampler {
        denoiser,
        schedule,
        steps,
        labels,
        plan,
    };
    progress.start((plan.count * plan.path.steps()) as u64);
    let indices: Vec<usize> = (plan.first..plan.first + plan.count).collect();
    // One after the other: the network spreads a batch over the threads itself.
    let batches: Vec<Vec<f64>> = indices
        .chunks(batch_size(plan.batch, denoiser))
        .map(|batch| sampler.run(batch, progress))
        .collect::<Result<_>>()?;
    progress.finish();
    let pixels = batches.into_iter().flatten().map(|x| x as f32).collect();
    Array4::from_shape_vec((plan.count, c, h, w), pixels)
        .map_err(|e| Error::request("count", e.to_string()))
}

/// The labels to feed.
fn check<'a>(
    denoiser: &dyn Denoiser,
    schedule: &NoiseSchedule,
    plan: &'a SamplingPlan,
) -> Result<Option<&'a [usize]>> {
    check_schedule(denoiser, schedule)?;
    let train_steps = schedule.train_steps();
    if plan.path.end() > train_steps {
        return Err(Error::request(
            "path",
            format!(
                "expected timesteps up to {train_steps}, found {}",
                plan.path.end()
            ),
        ));
    }
    if plan.count == 0 {
        return Err(Error::request("count", "expected at least one image"));
    }
    if (plan.first as u64)
        .checked_add(plan.count as u64)
        .is_none_or(|end| end > 1 << 56)
    {
        return Err(Error::request("first", "expected image indices below 2^56"));
    }
    plan.variance
        .check(&plan.path, denoiser.learns_variance())?;
    let Some(classes) = denoiser.num_classes() else {
        return Ok(None);
    };
    match plan.labels.as_deref() {
        None => Err(Error::request(
            "labels",
            format!("expected one per image: the model is conditional on {classes} classes"),
        )),
        Some(labels) if labels.len() != plan.count => Err(Error::request(
            "labels",
            format!(
                "expected {} (one per image), found {}",
                plan.count,
                labels.len()
            ),
        )),
        Some(labels) => check_labels(labels, classes).map(|()| Some(labels)),
    }
}

struct Sampler<'a> {
    denoiser: &'a dyn Denoiser,
    schedule: &'a NoiseSchedule,
    /// In ascending t.
    steps: Vec<(Transition, StepChoice)>,
    labels: Option<&'a [usize]>,
    plan: &'a SamplingPlan,
}

impl Sampler<'_> {
    /// The images of one batch, one after the other.
    fn run(&self, indices: &[usize], progress: &dyn Progress) -> Result<Vec<f64>> {
        let [c, h, w] = self.denoiser.image_shape();
        let dims = c * h * w;
        let mut x = Vec::with_capacity(indices.len() * dims);
        let mut noise = vec![0.0f32; dims];
        for &image in indices {
            self.noise(NoiseDomain::Prior, image, 0, &mut noise);
            x.extend(noise.iter().map(|&z| f64::from(z)));
        }
        let labels: Option<Vec<usize>> = self
            .labels
            .map(|l| indices.iter().map(|&i| l[i - self.plan.first]).collect());
        let mut input = Array4::zeros((indices.len(), c, h, w));
        for (transition, choice) in self.steps.iter().rev() {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            for (fed, &x) in input.iter_mut().zip(&x) {
                *fed = x as f32;
            }
            let timesteps = vec![transition.t; indices.len()];
            let prediction = predict(
                self.denoiser,
                input.view(),
                &timesteps,
                labels.as_deref(),
                |b| format!("sample {}", indices[b]),
            )?;
            let mean = prediction.mean.as_standard_layout();
            let outputs = mean.as_slice().unwrap_or_default();
            let images = x.par_chunks_mut(dims).zip(outputs.par_chunks(dims));
            images.enumerate().try_for_each(|(b, (x_t, output))| {
                let raw = prediction.variance.as_ref();
                let raw = raw.map(|raw| raw.index_axis(Axis(0), b));
                self.step(transition, choice, indices[b], output, raw, x_t)
            })?;
            progress.advance(indices.len() as u64);
        }
        Ok(x)
    }

    /// Takes one image from t to s; `output` and `raw` are what the network predicts for it.
    fn step(
        &self,
        transition: &Transition,
        choice: &StepChoice,
        image: usize,
        output: &[f32],
        raw: Option<ArrayView3<'_, f32>>,
        x_t: &mut [f64],
    ) -> Result<()> {
        let dims = x_t.len();
        let mut xhat0 = vec![0.0f64; dims];
        predict_x0(
            self.denoiser.parameterization(),
            self.schedule,
            transition.t,
            x_t,
            output,
            self.plan.clip_denoised,
            &mut xhat0,
        )?;
        let mut noise = vec![0.0f32; dims];
        if transition.s > 0 {
            self.noise(NoiseDomain::Sampling, image, transition.t, &mut noise);
        }
        let v = raw.map(|raw| {
            let mut v = vec![0.0f64; dims];
            read_v(raw.iter(), &mut v);
            v
        });
        let mut x_s = vec![0.0f64; dims];
        let choice = choice.with_v(v.as_deref());
        ancestral_step(transition, choice, None, x_t, &xhat0, &noise, &mut x_s);
        x_t.copy_from_slice(&x_s);
        Ok(())
    }

    fn noise(&self, domain: NoiseDomain, image: usize, t: usize, dst: &mut [f32]) {
        let key = NoiseKey {
            seed: self.plan.seed,
            domain,
            stream: image as u64,
            step: t as u32,
        };
        standard_normal(key, dst);
    }
}
