//! From images and timesteps to the network's estimates of those images: diffuse, predict, return to x0.
//!
//! Profiling and direct evaluation both start here and part ways right after: what they make of an estimate is
//! computed by different code. An estimate depends on the seed, the split, the image's index in its data set and the timestep,
//! never on the batch, the thread or the other images.

use ddpm_core::{Denoiser, NoiseDomain, NoiseKey, diffuse, predict_x0, standard_normal};
use ndarray::ArrayD;
use rayon::prelude::*;

use crate::Progress;
use crate::batch::BatchSize;
use crate::error::{Error, Result};
use crate::network::{batch_of, labels_for, predict, read_v};
use ddpm_data::{ImageSet, Split};

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
    /// Given, `[images, ..]` in the order of the images evaluated; the same at every timestep.
    Given(&'a ArrayD<f32>),
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
pub(crate) struct Denoised<'a> {
    /// The image.
    pub(crate) x0: &'a [f64],
    /// What the network was shown.
    pub(crate) x_t: &'a [f64],
    /// Its estimate, clipped if the run clips.
    pub(crate) xhat0: &'a [f64],
    /// `v` of each pixel, if the network learns its variance.
    pub(crate) v: Option<&'a [f64]>,
}

/// An image and its diffused form.
struct Input {
    x0: Vec<f32>,
    x_t: Vec<f64>,
}

/// A network, images and noise that fit each other.
pub(crate) struct ForwardProcess<'a> {
    denoiser: &'a dyn Denoiser,
    data: &'a ImageSet,
    labels: Option<&'a [usize]>,
    noise: Noise<'a>,
    clip_denoised: bool,
    batch: BatchSize,
}

impl<'a> ForwardProcess<'a> {
    /// Checks that everything fits.
    pub(crate) fn new(
        denoiser: &'a dyn Denoiser,
        data: &'a ImageSet,
        noise: Noise<'a>,
        clip_denoised: bool,
        batch: usize,
    ) -> Result<Self> {
        data.check_shape(&denoiser.shape())?;
        Ok(Self {
            denoiser,
            data,
            labels: labels_for(denoiser, data)?,
            noise,
            clip_denoised,
            batch: BatchSize::new(batch, denoiser),
        })
    }

    /// Evaluates every point and returns `f` of each estimate, in the order of the points.
    ///
    /// Batches mix timesteps freely. They follow one another: a network spreads a batch over the threads itself, and two
    /// levels of tasks would only pile batches up in memory.
    pub(crate) fn map<R: Send>(
        &self,
        points: &[Point],
        progress: &dyn Progress,
        f: impl Fn(&Point, Denoised<'_>) -> R + Sync,
    ) -> Result<Vec<R>> {
        let mut done = Vec::with_capacity(points.len());
        self.each(points, progress, f, |_, batch| {
            done.extend(batch);
            Ok(true)
        })?;
        Ok(done)
    }

    /// As [`ForwardProcess::map`], but hands on what each batch gave, with its points, as soon as it is there; `sink` says whether to
    /// go on.
    ///
    /// What was handed on stays valid when a later batch fails or the work is interrupted.
    pub(crate) fn each<R: Send>(
        &self,
        points: &[Point],
        progress: &dyn Progress,
        f: impl Fn(&Point, Denoised<'_>) -> R + Sync,
        mut sink: impl FnMut(&[Point], Vec<R>) -> Result<bool>,
    ) -> Result<()> {
        let mut rest = points;
        while !rest.is_empty() {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let batch = self
                .batch
                .run(rest.len(), |size| self.evaluate(&rest[..size], &f))?;
            let (done, left) = rest.split_at(batch.len());
            progress.advance(done.len() as u64);
            if !sink(done, batch)? {
                break;
            }
            rest = left;
        }
        Ok(())
    }

    fn evaluate<R: Send>(
        &self,
        batch: &[Point],
        f: &(impl Fn(&Point, Denoised<'_>) -> R + Sync),
    ) -> Result<Vec<R>> {
        let dims = self.data.dims();
        let inputs: Vec<Result<Input>> = batch.par_iter().map(|point| self.input(point)).collect();
        // In their order, so that of several images that cannot be read the same one is named every time.
        let inputs: Vec<Input> = inputs.into_iter().collect::<Result<_>>()?;
        let timesteps: Vec<usize> = batch.iter().map(|p| p.t).collect();
        let labels: Option<Vec<usize>> = self
            .labels
            .map(|l| batch.iter().map(|p| l[p.image]).collect());
        let x_t = inputs.iter().flat_map(|input| input.x_t.iter().copied());
        let x = batch_of(batch.len(), self.data.shape(), x_t)?;
        let prediction = predict(
            self.denoiser,
            x.view(),
            &timesteps,
            labels.as_deref(),
            |b| format!("image {}", batch[b].image),
        )?;
        let mean = prediction.mean.as_standard_layout();
        let outputs = mean.as_slice().unwrap_or_default();
        let inputs = batch.par_iter().zip(&inputs).enumerate();
        inputs
            .map(|(b, (point, input))| {
                let mut xhat0 = vec![0.0f64; dims];
                predict_x0(
                    self.denoiser.parameterization(),
                    self.denoiser.noise_schedule(),
                    point.t,
                    &input.x_t,
                    &outputs[b * dims..(b + 1) * dims],
                    self.clip_denoised,
                    &mut xhat0,
                )?;
                let x0: Vec<f64> = input.x0.iter().map(|&x| f64::from(x)).collect();
                let v = prediction.variance.as_ref().map(|raw| {
                    let mut v = vec![0.0f64; dims];
                    read_v(raw.index_axis(ndarray::Axis(0), b).iter(), &mut v);
                    v
                });
                let denoised = Denoised {
                    x0: &x0,
                    x_t: &input.x_t,
                    xhat0: &xhat0,
                    v: v.as_deref(),
                };
                Ok(f(point, denoised))
            })
            .collect()
    }

    /// The image of a point and what the network gets to see of it.
    fn input(&self, point: &Point) -> Result<Input> {
        let dims = self.data.dims();
        let mut x0 = vec![0.0f32; dims];
        let mut noise = vec![0.0f32; dims];
        let mut x_t = vec![0.0f64; dims];
        self.data.read_image(point.image, &mut x0)?;
        self.fill_noise(point, &mut noise);
        diffuse(
            self.denoiser.noise_schedule(),
            point.t,
            &x0,
            &noise,
            &mut x_t,
        );
        Ok(Input { x0, x_t })
    }

    fn fill_noise(&self, point: &Point, dst: &mut [f32]) {
        match self.noise {
            Noise::Seed { seed, split } => standard_normal(
                NoiseKey {
                    seed,
                    domain: domain_of(split),
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

/// The streams of the noise of a split.
pub(crate) fn domain_of(split: Split) -> NoiseDomain {
    match split {
        Split::Train => NoiseDomain::Forward,
        Split::Test => NoiseDomain::ForwardTest,
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
