//! From images and timesteps to the network's estimates of those images: diffuse, predict, return to x0.
//!
//! Profiling and direct evaluation both start here and part ways right after: what they make of an estimate is
//! computed by different code. An estimate depends on the seed, the split, the image's index in its data set and the timestep,
//! never on the batch, the thread or the other images.

use ddpm_core::{
    Denoiser, NoiseDomain, NoiseKey, NoiseSchedule, diffuse, predict_x0, standard_normal,
};
use ndarray::Array4;
use rayon::prelude::*;

use crate::Progress;
use crate::data::{ImageSet, Split};
use crate::error::{Error, Result};
use crate::network::{check_schedule, labels_for, predict, read_v};

/// The noise that takes an image to a timestep.
#[derive(Clone, Copy, Debug)]
pub enum Noise<'a> {
    /// Counter-based: a pure function of the seed, the split, the image's index in the data set and the timestep.
    Seed {
        /// The user's seed.
        seed: u64,
        /// The split that the images are of. Image `i` of train and image `i` of test meet different noise, so that what is
        /// chosen on one owes nothing to the noise of the other.
        split: Split,
    },
    /// Given, `[images, C, H, W]` in the order of the images evaluated; the same at every timestep.
    Given(&'a Array4<f32>),
}

/// One network evaluation to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Position among the images evaluated.
    pub(crate) row: usize,
    /// Index in the data set.
    pub(crate) image: usize,
    /// Timestep, in 1..=T.
    pub(crate) t: usize,
    /// The caller's index of the edge or the evaluated timestep that this point is for.
    pub(crate) term: usize,
}

/// What the network made of one point.
pub(crate) struct Estimate<'a> {
    /// The image.
    pub(crate) x0: &'a [f64],
    /// Its estimate, clipped if the run clips.
    pub(crate) xhat0: &'a [f64],
    /// `v` of each pixel, if the network learns its variance.
    pub(crate) v: Option<&'a [f64]>,
}

/// A network, images and noise that fit each other.
pub(crate) struct ForwardProcess<'a> {
    denoiser: &'a dyn Denoiser,
    schedule: &'a NoiseSchedule,
    data: &'a ImageSet,
    labels: Option<&'a [usize]>,
    noise: Noise<'a>,
    clip_denoised: bool,
    batch: usize,
}

impl<'a> ForwardProcess<'a> {
    /// Checks that everything fits.
    pub(crate) fn new(
        denoiser: &'a dyn Denoiser,
        schedule: &'a NoiseSchedule,
        data: &'a ImageSet,
        noise: Noise<'a>,
        clip_denoised: bool,
        batch: usize,
    ) -> Result<Self> {
        check_schedule(denoiser, schedule)?;
        crate::data::check_shape(data, denoiser.image_shape())?;
        Ok(Self {
            denoiser,
            schedule,
            data,
            labels: labels_for(denoiser, data)?,
            noise,
            clip_denoised,
            batch: crate::network::batch_size(batch, denoiser),
        })
    }

    /// Evaluates every point and returns `f` of each estimate, in the order of the points.
    ///
    /// Batches run in parallel and mix timesteps freely.
    pub(crate) fn map<R: Send>(
        &self,
        points: &[Point],
        progress: &dyn Progress,
        f: impl Fn(&Point, Estimate<'_>) -> R + Sync,
    ) -> Result<Vec<R>> {
        let batches: Vec<Vec<R>> = points
            .par_chunks(self.batch)
            // One batch is long enough to be worth a steal of its own.
            .with_max_len(1)
            .map(|batch| {
                if progress.interrupted() {
                    return Err(Error::Interrupted);
                }
                let done = self.evaluate(batch, &f)?;
                progress.advance(batch.len() as u64);
                Ok(done)
            })
            .collect::<Result<_>>()?;
        Ok(batches.into_iter().flatten().collect())
    }

    fn evaluate<R>(
        &self,
        batch: &[Point],
        f: impl Fn(&Point, Estimate<'_>) -> R,
    ) -> Result<Vec<R>> {
        let dims = self.data.dims();
        let [c, h, w] = self.data.shape();
        let mut x0 = vec![0.0f32; batch.len() * dims];
        let mut x_t = vec![0.0f64; batch.len() * dims];
        let mut noise = vec![0.0f32; dims];
        for ((point, x0), x_t) in batch
            .iter()
            .zip(x0.chunks_mut(dims))
            .zip(x_t.chunks_mut(dims))
        {
            self.data.read_image(point.image, x0);
            self.fill_noise(point, &mut noise);
            diffuse(self.schedule, point.t, x0, &noise, x_t);
        }
        let timesteps: Vec<usize> = batch.iter().map(|p| p.t).collect();
        let labels: Option<Vec<usize>> = self
            .labels
            .map(|l| batch.iter().map(|p| l[p.image]).collect());
        let input = Array4::from_shape_fn((batch.len(), c, h, w), |(b, c, y, x)| {
            x_t[b * dims + (c * h + y) * w + x] as f32
        });
        let prediction = predict(
            self.denoiser,
            input.view(),
            &timesteps,
            labels.as_deref(),
            |b| format!("image {}", batch[b].image),
        )?;

        let mut image = vec![0.0f64; dims];
        let mut xhat0 = vec![0.0f64; dims];
        let mut v = vec![0.0f64; dims];
        let mean = prediction.mean.as_standard_layout();
        let outputs = mean.as_slice().unwrap_or_default();
        let mut done = Vec::with_capacity(batch.len());
        for (b, point) in batch.iter().enumerate() {
            let range = b * dims..(b + 1) * dims;
            predict_x0(
                self.denoiser.parameterization(),
                self.schedule,
                point.t,
                &x_t[range.clone()],
                &outputs[range.clone()],
                self.clip_denoised,
                &mut xhat0,
            )?;
            for (wide, &x) in image.iter_mut().zip(&x0[range]) {
                *wide = f64::from(x);
            }
            let v = prediction.variance.as_ref().map(|raw| {
                read_v(raw.index_axis(ndarray::Axis(0), b).iter(), &mut v);
                &v[..]
            });
            done.push(f(
                point,
                Estimate {
                    x0: &image,
                    xhat0: &xhat0,
                    v,
                },
            ));
        }
        Ok(done)
    }

    fn fill_noise(&self, point: &Point, dst: &mut [f32]) {
        match self.noise {
            Noise::Seed { seed, split } => standard_normal(
                NoiseKey {
                    seed,
                    domain: match split {
                        Split::Train => NoiseDomain::Forward,
                        Split::Test => NoiseDomain::ForwardTest,
                    },
                    stream: point.image as u64,
                    step: point.t as u32,
                },
                dst,
            ),
            Noise::Given(noise) => {
                let row = noise.index_axis(ndarray::Axis(0), point.row);
                for (dst, &z) in dst.iter_mut().zip(row) {
                    *dst = z;
                }
            }
        }
    }
}

/// Mean square of an image per dimension, what its prior term needs.
pub(crate) fn mean_square(image: &[f32]) -> f64 {
    image
        .iter()
        .map(|&x| f64::from(x) * f64::from(x))
        .sum::<f64>()
        / image.len() as f64
}
