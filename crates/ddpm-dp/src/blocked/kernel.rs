//! The register tile of the min-plus product.

use pulp::{Arch, Simd, WithSimd};

/// Budgets per register tile.
pub(super) const ROWS: usize = 4;

/// Vectors of nodes per register tile on instruction sets with 32 vector registers; half as many with 16. The
/// accumulators (ROWS x VECTORS), one line of edges and one broadcast cost must fit.
pub(super) const MANY_VECTORS: usize = 4;
pub(super) const FEW_VECTORS: usize = MANY_VECTORS / 2;

/// Whether the instruction set has room for [`MANY_VECTORS`].
pub(super) fn has_many_registers<S: Simd>() -> bool {
    S::REGISTER_COUNT >= 32
}

/// Nodes per tile: the width of the accumulators in numbers.
pub(super) fn tile_width(arch: Arch) -> usize {
    struct TileWidth;
    impl WithSimd for TileWidth {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F64_LANES
                * if has_many_registers::<S>() {
                    MANY_VECTORS
                } else {
                    FEW_VECTORS
                }
        }
    }
    arch.dispatch(TileWidth)
}

/// `minima[j][t]` = min(`minima[j][t]`, min over s of `before[j][s]` + `edges[s][t]`), j over ROWS budgets, t over the
/// lanes of `VECTORS` vectors, s over the lines of `edges`; `before` has at least as many entries per budget.
#[inline(always)]
pub(super) fn min_plus<S: Simd, const VECTORS: usize>(
    simd: S,
    edges: &[[S::f64s; VECTORS]],
    before: [&[f64]; ROWS],
    minima: &mut [[S::f64s; VECTORS]; ROWS],
) {
    // x + y as y * 1 + x: the product is exact, so that the sum is rounded once, to the same float. Fused operations
    // run on other execution units than additions and minima, which share theirs; the sum alone would halve the
    // speed. The black box keeps the compiler from turning it back into an addition.
    let one = simd.splat_f64s(std::hint::black_box(1.0));
    let before = before.map(|row| &row[..edges.len()]);
    let mut smallest = *minima;
    for (s, line) in edges.iter().enumerate() {
        for j in 0..ROWS {
            let cost = simd.splat_f64s(before[j][s]);
            for v in 0..VECTORS {
                let candidate = simd.mul_add_e_f64s(cost, one, line[v]);
                smallest[j][v] = simd.min_f64s(smallest[j][v], candidate);
            }
        }
    }
    *minima = smallest;
}
