//! Group normalisation, modulation and SiLU: one pass for the statistics, one for everything else.

use std::sync::Arc;

use pulp::{Simd, WithSimd};

use super::exp::silu;
use super::isa::Isa;
use super::maps::{Maps, Shape, Vectors};
use super::tasks::{Pool, for_pieces};
use crate::{Error, Result};

/// Pixels whose statistics are taken in f32 before they are joined in f64. Fixed, so that sums do not depend on how work
/// is split.
const PIXELS: usize = 64;

/// Group normalisation with its weights.
pub(crate) struct PackedGroupNorm {
    isa: Isa,
    weight: Vec<f32>,
    bias: Vec<f32>,
    groups: usize,
    epsilon: f64,
}

impl PackedGroupNorm {
    /// `weight` and `bias` of one entry per channel, their number a multiple of `groups`.
    pub(crate) fn new(
        isa: Isa,
        weight: Vec<f32>,
        bias: Vec<f32>,
        groups: usize,
        epsilon: f64,
    ) -> Self {
        Self {
            isa,
            weight,
            bias,
            groups,
            epsilon,
        }
    }

    /// The norm of every image of `x`; with `scale_shift` (scales of all channels, then shifts, per image)
    /// norm(x) (1 + scale) + shift; followed by SiLU if asked for.
    pub(crate) fn forward(
        &self,
        pool: &Arc<Pool>,
        x: &Maps,
        scale_shift: Option<&Vectors>,
        then_silu: bool,
    ) -> Result<Maps> {
        let shape = x.shape();
        if shape.channels != self.weight.len() {
            return Err(Error::Input(format!(
                "group norm: {} channels, expected {}",
                shape.channels,
                self.weight.len()
            )));
        }
        let _timer =
            super::timing::start(|| format!("group norm {}x{}", shape.pixels(), shape.channels));
        let coefficients = self.coefficients(x.values(), shape, scale_shift)?;
        let stride = shape.stride();
        Maps::new(pool, shape, |out| {
            let per_task = PIXELS * stride;
            let image = shape.pixels() * stride;
            let per_image = shape.pixels().div_ceil(PIXELS);
            let lengths = (0..shape.batch * per_image)
                .map(|task| per_task.min(image - task % per_image * per_task));
            for_pieces(out, lengths, |task, out| {
                let begin = task / per_image * image + task % per_image * per_task;
                self.isa.run(Apply {
                    x: &x.values()[begin..begin + out.len()],
                    coefficients: &coefficients[task / per_image * 2 * stride..][..2 * stride],
                    then_silu,
                    out,
                });
            });
        })
    }

    /// For every image, the factor of every channel, then the offset.
    fn coefficients(
        &self,
        x: &[f32],
        shape: Shape,
        scale_shift: Option<&Vectors>,
    ) -> Result<Vec<f32>> {
        let (stride, pixels) = (shape.stride(), shape.pixels());
        let per_image = pixels.div_ceil(PIXELS);
        let mut moments = vec![0.0; shape.batch * per_image * 2 * stride];
        let lengths = std::iter::repeat_n(2 * stride, shape.batch * per_image);
        for_pieces(&mut moments, lengths, |task, out| {
            let begin = task / per_image * pixels + task % per_image * PIXELS;
            let count = PIXELS.min(pixels - task % per_image * PIXELS);
            self.isa.run(Moments {
                x: &x[begin * stride..(begin + count) * stride],
                out,
            });
        });
        let channels = self.weight.len();
        let mut modulation = scale_shift
            .map(|vectors| vectors.rows(shape.batch, 2 * channels))
            .transpose()?;
        let mut coefficients = vec![0.0; shape.batch * 2 * stride];
        let images = moments.chunks_exact((per_image * 2 * stride).max(1));
        for (moments, out) in images.zip(coefficients.chunks_exact_mut((2 * stride).max(1))) {
            let modulation = modulation.as_mut().and_then(Iterator::next);
            self.join(moments, pixels, modulation, out);
        }
        Ok(coefficients)
    }

    /// From the moments of blocks of pixels to factors and offsets, in f64.
    fn join(
        &self,
        moments: &[f32],
        pixels: usize,
        modulation: Option<&[f32]>,
        coefficients: &mut [f32],
    ) {
        let channels = self.weight.len();
        let per_group = channels / self.groups;
        let stride = coefficients.len() / 2;
        let blocks = || {
            moments
                .chunks_exact(2 * stride)
                .enumerate()
                .map(|(block, moments)| {
                    let count = PIXELS.min(pixels - block * PIXELS) as f64;
                    (count, moments.split_at(stride))
                })
        };
        for group in 0..self.groups {
            let range = group * per_group..(group + 1) * per_group;
            let total = (pixels * per_group) as f64;
            let mut mean = 0.0;
            for (count, (means, _)) in blocks() {
                mean += count
                    * means[range.clone()]
                        .iter()
                        .map(|&m| f64::from(m))
                        .sum::<f64>();
            }
            mean /= total;
            let mut variance = 0.0;
            for (count, (means, squares)) in blocks() {
                for channel in range.clone() {
                    let shift = f64::from(means[channel]) - mean;
                    variance += f64::from(squares[channel]) + count * shift * shift;
                }
            }
            variance /= total;
            let inverse = 1.0 / (variance + self.epsilon).sqrt();
            for channel in range {
                let mut factor = inverse * f64::from(self.weight[channel]);
                let mut offset = f64::from(self.bias[channel]);
                if let Some(modulation) = modulation {
                    let scale = 1.0 + f64::from(modulation[channel]);
                    factor *= scale;
                    offset = offset * scale + f64::from(modulation[channels + channel]);
                }
                coefficients[channel] = factor as f32;
                coefficients[stride + channel] = (offset - mean * factor) as f32;
            }
        }
    }
}

/// Per channel, the mean over some pixels, then the sum of squared differences from it.
struct Moments<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (means, squares) = self.out.split_at_mut(self.out.len() / 2);
        let stride = means.len();
        let share = 1.0 / (self.x.len() / stride) as f32;
        means.fill(0.0);
        for pixel in self.x.chunks_exact(stride) {
            for (mean, x) in means.iter_mut().zip(pixel) {
                *mean += x;
            }
        }
        for mean in means.iter_mut() {
            *mean *= share;
        }
        squares.fill(0.0);
        for pixel in self.x.chunks_exact(stride) {
            for ((square, x), mean) in squares.iter_mut().zip(pixel).zip(means.iter()) {
                *square += (x - mean) * (x - mean);
            }
        }
    }
}

/// x factor + offset, then maybe SiLU.
struct Apply<'a> {
    x: &'a [f32],
    /// Factors, then offsets.
    coefficients: &'a [f32],
    then_silu: bool,
    out: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (factors, offsets) = self.coefficients.split_at(self.coefficients.len() / 2);
        let stride = factors.len();
        let pixels = self.x.chunks_exact(stride);
        for (x, out) in pixels.zip(self.out.chunks_exact_mut(stride)) {
            let channels = x.iter().zip(factors.iter().zip(offsets));
            let channels = out.iter_mut().zip(channels);
            if self.then_silu {
                channels.for_each(|(out, (x, (f, o)))| *out = silu(x * f + o));
            } else {
                channels.for_each(|(out, (x, (f, o)))| *out = x * f + o);
            }
        }
    }
}
