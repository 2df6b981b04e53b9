//! The numbers that products multiply; sums are f32 for all of them.

use bytemuck::Pod;
use pulp::Simd;

use super::isa::Isa;
use super::product::{Panel, Rows};

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
