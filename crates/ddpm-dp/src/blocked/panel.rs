//! The edges into one block of nodes, transposed so that vectors run over t.

use std::ops::Range;

use rayon::prelude::*;

use super::aligned::AlignedBuffer;
use crate::cost_table::CostTable;

/// L(t, s) for the t of one block and every s before the block's end.
///
/// The block is cut into tiles of `width` nodes; a tile holds, for s = 0, 1, .., the `width` costs L(t, s) side by
/// side. `+inf` where s >= t or t > T.
pub(super) struct EdgePanel {
    width: usize,
    sources: usize,
    costs: AlignedBuffer,
}

impl EdgePanel {
    /// Packs the edges into `nodes`, which need not be a multiple of `width`.
    pub(super) fn pack(table: &CostTable, nodes: Range<usize>, width: usize) -> Self {
        let sources = nodes.end;
        let tiles = nodes.len().div_ceil(width);
        let mut costs = AlignedBuffer::new(tiles * sources * width, f64::INFINITY);
        costs
            .as_mut_slice()
            .par_chunks_mut(sources * width)
            .zip(nodes.clone().into_par_iter().step_by(width))
            .for_each(|(tile, begin)| {
                for (lane, t) in (begin..nodes.end.min(begin + width)).enumerate() {
                    for (line, &cost) in tile.chunks_exact_mut(width).zip(table.row(t)) {
                        line[lane] = cost;
                    }
                }
            });
        Self {
            width,
            sources,
            costs,
        }
    }

    /// Nodes per tile.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Number of tiles.
    pub(super) fn tiles(&self) -> usize {
        self.costs.as_slice().len() / (self.sources * self.width)
    }

    /// The lines of `tile` for the s in `sources`, `width` costs each.
    pub(super) fn lines(&self, tile: usize, sources: Range<usize>) -> &[f64] {
        let line = |s: usize| (tile * self.sources + s) * self.width;
        &self.costs.as_slice()[line(sources.start)..line(sources.end)]
    }
}
