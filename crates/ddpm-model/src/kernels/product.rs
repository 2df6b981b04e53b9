//! The register-tiled product of a packed matrix and a panel of columns.

use pulp::{Arch, Simd, WithSimd};

use super::packed_matrix::PackedView;

/// Vectors side by side in a register tile.
pub(super) const VECTORS: usize = 2;

/// Rows of a register tile with 32 vector registers: 26 accumulators, two lines of the panel and one broadcast weight
/// fit, and the usual 64, 128, 256 channels fill five, ten, twenty tiles almost exactly.
const MANY_ROWS: usize = 13;
/// The same with 16 vector registers.
const FEW_ROWS: usize = 6;

/// Sizes of the product on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileShape {
    /// Rows of a register tile.
    pub(super) rows: usize,
    /// Columns of a panel.
    pub(super) columns: usize,
}

impl TileShape {
    /// Those of the instruction set that [`Arch::new`] finds.
    pub(super) fn detect() -> Self {
        Arch::new().dispatch(Detect)
    }
}

struct Detect;

impl WithSimd for Detect {
    type Output = TileShape;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> TileShape {
        TileShape {
            rows: if has_many_registers::<S>() {
                MANY_ROWS
            } else {
                FEW_ROWS
            },
            columns: panel_width::<S>(),
        }
    }
}

/// Columns of a panel.
pub(super) const fn panel_width<S: Simd>() -> usize {
    S::F32_LANES * VECTORS
}

const fn has_many_registers<S: Simd>() -> bool {
    S::REGISTER_COUNT >= 32
}

/// What becomes of the rows of a product.
pub(super) trait RowSink {
    /// Takes the values of one row in all columns of the panel.
    fn store<S: Simd>(&mut self, simd: S, row: usize, values: [S::f32s; VECTORS]);
}

/// Multiplies `a` by `panel` (`a.depth()` lines of [`panel_width`] floats) and hands every row to `sink`.
///
/// Each entry is one chain of fused multiply-adds in the order of the columns of `a`.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    simd: S,
    a: PackedView<'_>,
    panel: &[f32],
    sink: &mut impl RowSink,
) {
    if has_many_registers::<S>() {
        multiply_tiles::<S, MANY_ROWS>(simd, a, panel, sink);
    } else {
        multiply_tiles::<S, FEW_ROWS>(simd, a, panel, sink);
    }
}

#[inline(always)]
fn multiply_tiles<S: Simd, const ROWS: usize>(
    simd: S,
    a: PackedView<'_>,
    panel: &[f32],
    sink: &mut impl RowSink,
) {
    let (lines, _) = S::as_simd_f32s(panel).0.as_chunks::<VECTORS>();
    for (index, weights) in a.entries().chunks_exact(ROWS * a.depth()).enumerate() {
        let (weights, _) = weights.as_chunks::<ROWS>();
        let tile = multiply_tile(simd, weights, lines);
        let first = index * ROWS;
        for (i, values) in tile.into_iter().enumerate() {
            if first + i < a.rows() {
                sink.store(simd, first + i, values);
            }
        }
    }
}

#[inline(always)]
fn multiply_tile<S: Simd, const ROWS: usize>(
    simd: S,
    weights: &[[f32; ROWS]],
    lines: &[[S::f32s; VECTORS]],
) -> [[S::f32s; VECTORS]; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (weights, line) in weights.iter().zip(lines) {
        for i in 0..ROWS {
            let weight = simd.splat_f32s(weights[i]);
            for v in 0..VECTORS {
                sums[i][v] = simd.mul_add_f32s(weight, line[v], sums[i][v]);
            }
        }
    }
    sums
}

/// Writes the first `out.len()` floats of a row, at most [`panel_width`].
#[inline(always)]
pub(super) fn write_row<S: Simd>(simd: S, out: &mut [f32], values: [S::f32s; VECTORS]) {
    let (whole, rest) = S::as_mut_simd_f32s(out);
    for (slot, value) in whole.iter_mut().zip(values) {
        *slot = value;
    }
    if let Some(&value) = values.get(whole.len()) {
        simd.partial_store_f32s(rest, value);
    }
}

/// Reads up to [`panel_width`] floats, zeros behind them.
#[inline(always)]
pub(super) fn read_row<S: Simd>(simd: S, row: &[f32]) -> [S::f32s; VECTORS] {
    let (whole, rest) = S::as_simd_f32s(row);
    let mut values = [simd.splat_f32s(0.0); VECTORS];
    for (value, &vector) in values.iter_mut().zip(whole) {
        *value = vector;
    }
    if let Some(value) = values.get_mut(whole.len()) {
        *value = simd.partial_load_f32s(rest);
    }
    values
}
