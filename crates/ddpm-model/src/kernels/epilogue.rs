//! What a convolution does to its sums on their way out.

use pulp::Simd;

use super::vector::{load, store};

/// Added to every pixel of the result, and what follows.
#[derive(Clone, Copy)]
pub(super) struct Epilogue<'a> {
    /// One per channel, padded.
    pub(super) bias: &'a [f32],
    /// One per image and channel, padded.
    pub(super) shift: Option<&'a [f32]>,
    /// One per pixel and channel, as the result.
    pub(super) addend: Option<&'a [f32]>,
    /// Whether negative sums become zero at the end.
    pub(super) relu: bool,
}

impl Epilogue<'_> {
    /// Adds to `sum`, and rectifies it if so asked, what belongs to channels `channel..` of pixel `pixel` (counted over the whole batch) of `image`.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(
        &self,
        simd: S,
        sum: S::f32s,
        image: usize,
        pixel: usize,
        channel: usize,
    ) -> S::f32s {
        let stride = self.bias.len();
        let mut sum = simd.add_f32s(sum, load::<S>(self.bias, channel));
        if let Some(shift) = self.shift {
            sum = simd.add_f32s(sum, load::<S>(shift, image * stride + channel));
        }
        if let Some(addend) = self.addend {
            sum = simd.add_f32s(sum, load::<S>(addend, pixel * stride + channel));
        }
        if self.relu {
            sum = simd.max_f32s(sum, simd.splat_f32s(0.0));
        }
        sum
    }

    /// Writes a row of `sums` to `channel..` of `pixel`, which is `out`.
    #[inline(always)]
    pub(super) fn write_row<S: Simd>(
        &self,
        simd: S,
        sums: &[f32],
        image: usize,
        pixel: usize,
        channel: usize,
        out: &mut [f32],
    ) {
        for at in (0..sums.len()).step_by(S::F32_LANES) {
            let sum = self.apply(simd, load::<S>(sums, at), image, pixel, channel + at);
            store::<S>(out, channel + at, sum);
        }
    }
}
