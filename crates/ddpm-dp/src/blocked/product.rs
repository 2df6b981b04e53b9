//! The min-plus product of one group of budgets with some tiles of an edge panel.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::kernel::{FEW_VECTORS, MANY_VECTORS, ROWS, has_many_registers, min_plus};
use super::panel::{BLOCK, EdgePanel};

/// Sources per pass: the lines of a tile (256 bytes each with AVX-512) then stay in the first-level cache while all
/// the budgets of the group go over them.
const PASS: usize = 128;

/// Takes the candidates C\[j\]\[s\] + L(t, s) into the minima of a group of budgets j.
pub(super) struct Product<'a, Before> {
    /// The edges into the block.
    pub(super) panel: &'a EdgePanel,
    /// The tiles of the panel to work on.
    pub(super) tiles: Range<usize>,
    /// The sources s, none of them before the first budget of the group.
    pub(super) sources: Range<usize>,
    /// C\[j\]\[s\] for one j and a range of s.
    pub(super) before: Before,
    /// The first budget j of the group.
    pub(super) first: usize,
    /// Row j - `first` at (j - `first`) * BLOCK: the minima over the s seen so far, for the t of the block. A multiple
    /// of ROWS of them.
    pub(super) minima: &'a mut [f64],
}

impl<'c, Before: Fn(usize, Range<usize>) -> &'c [f64]> WithSimd for Product<'_, Before> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if has_many_registers::<S>() {
            self.run::<S, MANY_VECTORS>(simd);
        } else {
            self.run::<S, FEW_VECTORS>(simd);
        }
    }
}

impl<'c, Before: Fn(usize, Range<usize>) -> &'c [f64]> Product<'_, Before> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(self, simd: S) {
        let width = self.panel.width();
        debug_assert_eq!(width, VECTORS * S::F64_LANES);
        for begin in self.sources.clone().step_by(PASS) {
            let end = self.sources.end.min(begin + PASS);
            for tile in self.tiles.clone() {
                for (i, rows) in self.minima.chunks_exact_mut(ROWS * BLOCK).enumerate() {
                    // C[j][s] = +inf for s < j.
                    let j = self.first + i * ROWS;
                    let sources = begin.max(j)..end;
                    if sources.is_empty() {
                        break;
                    }
                    let edges = S::as_simd_f64s(self.panel.lines(tile, sources.clone())).0;
                    let before: [&[f64]; ROWS] =
                        std::array::from_fn(|i| (self.before)(j + i, sources.clone()));
                    let columns = tile * width..(tile + 1) * width;
                    let mut minima = [[simd.splat_f64s(0.0); VECTORS]; ROWS];
                    for (minima, row) in minima.iter_mut().zip(rows.chunks_exact(BLOCK)) {
                        minima.copy_from_slice(S::as_simd_f64s(&row[columns.clone()]).0);
                    }
                    min_plus(simd, edges.as_chunks().0, before, &mut minima);
                    for (minima, row) in minima.iter().zip(rows.chunks_exact_mut(BLOCK)) {
                        S::as_mut_simd_f64s(&mut row[columns.clone()])
                            .0
                            .copy_from_slice(minima);
                    }
                }
            }
        }
    }
}
