//! The numbers that products multiply; sums are f32 for all of them.

use bytemuck::Pod;
use half::bf16;
use pulp::Simd;

use super::isa::{self, CHANNEL_MULTIPLE, Isa};
use super::product::{self, Panel, Rows};
use super::product_bf16;

/// A number that products multiply.
pub(super) trait Element: Pod + Send + Sync {
    /// Lines of a panel that are interleaved.
    const GROUP: usize;

    fn round(value: f32) -> Self;

    /// Rounds as [`Element::round`] does.
    fn round_all(values: &[f32], out: &mut [Self]);

    /// `values` as they are, if they need no rounding.
    fn unrounded(values: &[f32]) -> Option<&[Self]>;

    /// Rounds a vector into `out[at..]`.
    fn store<S: Simd>(out: &mut [Self], at: usize, vector: S::f32s);

    /// `out` of `rows.count` x `panel.width` becomes the product, or has it added if `accumulate`.
    fn multiply<S: Simd>(
        simd: S,
        isa: Isa,
        rows: Rows<'_, Self>,
        panel: Panel<'_, Self>,
        out: &mut [f32],
        accumulate: bool,
    );
}

impl Element for f32 {
    const GROUP: usize = 1;

    fn round(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn round_all(values: &[f32], out: &mut [Self]) {
        out.copy_from_slice(values);
    }

    fn unrounded(values: &[f32]) -> Option<&[Self]> {
        Some(values)
    }

    #[inline(always)]
    fn store<S: Simd>(out: &mut [Self], at: usize, vector: S::f32s) {
        isa::store::<S>(out, at, vector);
    }

    #[inline(always)]
    fn multiply<S: Simd>(
        simd: S,
        _: Isa,
        rows: Rows<'_, Self>,
        panel: Panel<'_, Self>,
        out: &mut [f32],
        accumulate: bool,
    ) {
        product::multiply(simd, rows, panel, out, accumulate);
    }
}

impl Element for bf16 {
    const GROUP: usize = 2;

    fn round(value: f32) -> Self {
        bf16::from_f32(value)
    }

    /// To the nearest, ties to even; in a form that becomes vector code. A NaN stays one.
    #[inline(always)]
    fn round_all(values: &[f32], out: &mut [Self]) {
        for (slot, value) in out.iter_mut().zip(values) {
            let bits = value.to_bits();
            let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
            let quiet = (bits >> 16) | 0x40;
            *slot = bf16::from_bits(if value.is_nan() { quiet } else { rounded } as u16);
        }
    }

    fn unrounded(_: &[f32]) -> Option<&[Self]> {
        None
    }

    #[inline(always)]
    fn store<S: Simd>(out: &mut [Self], at: usize, vector: S::f32s) {
        let mut values = [0f32; CHANNEL_MULTIPLE];
        isa::store::<S>(&mut values, 0, vector);
        Self::round_all(&values[..S::F32_LANES], &mut out[at..at + S::F32_LANES]);
    }

    #[inline(always)]
    fn multiply<S: Simd>(
        simd: S,
        isa: Isa,
        rows: Rows<'_, Self>,
        panel: Panel<'_, Self>,
        out: &mut [f32],
        accumulate: bool,
    ) {
        product_bf16::multiply(simd, isa, rows, panel, out, accumulate);
    }
}
