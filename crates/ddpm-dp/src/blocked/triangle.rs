//! The part of the recurrence that stays inside one tile of nodes: a chain over the budgets.

use pulp::{Simd, WithSimd};

use super::kernel::{FEW_VECTORS, MANY_VECTORS, has_many_registers};
use super::panel::BLOCK;

/// Finishes one tile: C\[k\]\[t\] = min(minima so far, min over the s of the tile of C\[k-1\]\[s\] + L(t, s)), k = 1, 2, ..
pub(super) struct Triangle<'a> {
    /// The edges from the nodes of the tile to the nodes of the tile, one line per source; `+inf` where s >= t.
    pub(super) edges: &'a [f64],
    /// The first column of the tile within the block.
    pub(super) column: usize,
    /// Row k-1 at (k-1) * BLOCK: the minima over the sources before the tile.
    pub(super) minima: &'a [f64],
    /// Row k at k * BLOCK: C\[k\], rows 0..=K; row 0 is given.
    pub(super) finished: &'a mut [f64],
    /// C\[2\] over the tile, if it is given instead of computed.
    pub(super) second: Option<&'a [f64]>,
    /// The last budget that can end in the tile.
    pub(super) last: usize,
}

impl WithSimd for Triangle<'_> {
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

impl Triangle<'_> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(self, simd: S) {
        let width = VECTORS * S::F64_LANES;
        let columns = self.column..self.column + width;
        let lines: &[[S::f64s; VECTORS]] = S::as_simd_f64s(self.edges).0.as_chunks().0;
        let rows = self.minima.chunks_exact(BLOCK);
        for (k, minima) in (1..=self.last).zip(rows) {
            let (before, at) = self.finished.split_at_mut(k * BLOCK);
            let before = &before[(k - 1) * BLOCK..][columns.clone()];
            let at = &mut at[columns.clone()];
            if let (2, Some(second)) = (k, self.second) {
                at[..second.len()].copy_from_slice(second);
                continue;
            }
            let mut smallest = [simd.splat_f64s(0.0); VECTORS];
            smallest.copy_from_slice(S::as_simd_f64s(&minima[columns.clone()]).0);
            for (line, &cost) in lines.iter().zip(before) {
                let cost = simd.splat_f64s(cost);
                for v in 0..VECTORS {
                    smallest[v] = simd.min_f64s(smallest[v], simd.add_f64s(line[v], cost));
                }
            }
            S::as_mut_simd_f64s(at).0.copy_from_slice(&smallest);
        }
    }
}
