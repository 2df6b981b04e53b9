//! Group normalisation, modulation and SiLU in one operation.

use pulp::{Arch, Simd, WithSimd};

use super::exp::silu;

/// Partial sums kept side by side: enough to hide the latency of additions, and fixed, so that sums do not depend on
/// the instruction set.
const LANES: usize = 32;

/// Group normalisation with its weights.
pub(crate) struct PackedGroupNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    groups: usize,
    epsilon: f64,
}

impl PackedGroupNorm {
    /// `weight` and `bias` of one entry per channel, their number a multiple of `groups`.
    pub(crate) fn new(weight: Vec<f32>, bias: Vec<f32>, groups: usize, epsilon: f64) -> Self {
        Self {
            weight,
            bias,
            groups,
            epsilon,
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.weight.len()
    }

    /// Normalises one image `[channels, H, W]` into `out`.
    ///
    /// `scale_shift` holds one scale, then one shift for each channel: norm(x) (1 + scale) + shift. SiLU follows if asked
    /// for.
    pub(super) fn forward(
        &self,
        image: &[f32],
        scale_shift: Option<&[f32]>,
        then_silu: bool,
        out: &mut [f32],
    ) {
        Arch::new().dispatch(Normalisation {
            norm: self,
            image,
            scale_shift: scale_shift.map(|values| values.split_at(self.channels())),
            then_silu,
            out,
        });
    }
}

struct Normalisation<'a> {
    norm: &'a PackedGroupNorm,
    image: &'a [f32],
    scale_shift: Option<(&'a [f32], &'a [f32])>,
    then_silu: bool,
    out: &'a mut [f32],
}

impl WithSimd for Normalisation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let norm = self.norm;
        let pixels = self.image.len() / norm.channels();
        let per_group = norm.channels() / norm.groups;
        if pixels == 0 {
            return;
        }
        let groups = self.image.chunks_exact(per_group * pixels);
        for (group, (image, out)) in groups
            .zip(self.out.chunks_exact_mut(per_group * pixels))
            .enumerate()
        {
            let count = image.len() as f64;
            let mean = sum(image, |x| x) / count;
            let centre = mean as f32;
            let variance = sum(image, |x| (x - centre) * (x - centre)) / count;
            let inverse = 1.0 / (variance + norm.epsilon).sqrt();
            let planes = image.chunks_exact(pixels).zip(out.chunks_exact_mut(pixels));
            for (i, (image, out)) in planes.enumerate() {
                let channel = group * per_group + i;
                let (mut factor, mut offset) = (
                    inverse * f64::from(norm.weight[channel]),
                    f64::from(norm.bias[channel]),
                );
                if let Some((scale, shift)) = self.scale_shift {
                    let scale = 1.0 + f64::from(scale[channel]);
                    factor *= scale;
                    offset = offset * scale + f64::from(shift[channel]);
                }
                let (factor, offset) = (factor as f32, (offset - mean * factor) as f32);
                let pixels = out.iter_mut().zip(image);
                if self.then_silu {
                    pixels.for_each(|(out, x)| *out = silu(x * factor + offset));
                } else {
                    pixels.for_each(|(out, x)| *out = x * factor + offset);
                }
            }
        }
    }
}

/// The sum of `f` over the values, in [`LANES`] partial sums.
#[inline(always)]
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut partial = [0f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            partial[i] += f(chunk[i]);
        }
    }
    let rest: f64 = rest.iter().map(|&x| f64::from(f(x))).sum();
    partial.iter().map(|&p| f64::from(p)).sum::<f64>() + rest
}
