//! The edges into one block of nodes, transposed so that vectors run over t.

use std::ops::Range;

use rayon::prelude::*;

use super::aligned::AlignedBuffer;
use crate::cost_table::CostTable;

/// Nodes per block.
pub(super) const BLOCK: usize = 128;

/// Sources per pass of the packing.
const PASS: usize = 32;

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
    /// An empty panel for blocks of up to `block` nodes, a multiple of `width`, of a table with `train_steps`.
    pub(super) fn new(train_steps: usize, block: usize, width: usize) -> Self {
        Self {
            width,
            sources: 0,
            costs: AlignedBuffer::with_capacity(block * (train_steps + 1)),
        }
    }

    /// Replaces the edges by those into `nodes`, which need not be a multiple of `width`.
    pub(super) fn pack(&mut self, table: &CostTable, nodes: Range<usize>) {
        let width = self.width;
        self.sources = nodes.end;
        let tile_len = self.sources * width;
        self.costs.set_len(nodes.len().div_ceil(width) * tile_len);
        let tiles = self.costs.as_mut_slice().par_chunks_mut(tile_len);
        tiles.enumerate().for_each(|(tile, lines)| {
            // Some lines at a time, so that they stay in the cache while the lanes are filled one after the other.
            for (pass, lines) in lines.chunks_mut(PASS * width).enumerate() {
                for lane in 0..width {
                    let t = nodes.start + tile * width + lane;
                    let row = if t < nodes.end { table.row(t) } else { &[] };
                    let row = row.get(pass * PASS..).unwrap_or(&[]);
                    let costs = row.iter().copied().chain(std::iter::repeat(f64::INFINITY));
                    for (line, cost) in lines.chunks_exact_mut(width).zip(costs) {
                        line[lane] = cost;
                    }
                }
            }
        });
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
