//! The numbers that products multiply, and their operands; sums are f32 for all of them.

use bytemuck::Pod;
use pulp::Simd;

use super::isa::Isa;

/// Rows of the left operand.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, E> {
    pub(super) entries: &'a [E],
    /// From one row to the next.
    pub(super) stride: usize,
    pub(super) count: usize,
}

/// Some columns of the right operand, as [`Panels`](super::panels::Panels) packs them.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a, E> {
    /// `depth` x `width`.
    pub(super) entries: &'a [E],
    pub(super) width: usize,
}

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
