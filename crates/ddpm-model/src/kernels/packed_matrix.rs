//! The left operand of a product, laid out as the register tile reads it.

use super::product::TileShape;

/// A matrix in tiles of consecutive rows; inside a tile, the entries of one column lie side by side.
///
/// The last tile is filled up with zero rows.
pub(super) struct PackedMatrix {
    rows: usize,
    depth: usize,
    entries: Vec<f32>,
}

impl PackedMatrix {
    /// Packs the row-major matrix `entries` of `rows` x `depth`.
    pub(super) fn new(rows: usize, depth: usize, entries: &[f32]) -> Self {
        let mut packed = vec![0.0; packed_len(rows, depth)];
        pack(rows, depth, &mut packed, |row, column| {
            entries[row * depth + column]
        });
        Self {
            rows,
            depth,
            entries: packed,
        }
    }

    pub(super) fn view(&self) -> PackedView<'_> {
        PackedView {
            rows: self.rows,
            depth: self.depth,
            entries: &self.entries,
        }
    }
}

/// A packed matrix in borrowed memory.
#[derive(Clone, Copy)]
pub(super) struct PackedView<'a> {
    rows: usize,
    depth: usize,
    entries: &'a [f32],
}

impl<'a> PackedView<'a> {
    /// Packs `rows` x `depth` entries into `memory` of [`packed_len`] floats.
    pub(super) fn pack_into(
        memory: &'a mut [f32],
        rows: usize,
        depth: usize,
        entry: impl Fn(usize, usize) -> f32,
    ) -> Self {
        pack(rows, depth, memory, entry);
        Self {
            rows,
            depth,
            entries: memory,
        }
    }

    /// Rows without the filling.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Tile by tile, `depth` x [`TileShape::rows`] floats each.
    pub(super) fn entries(&self) -> &'a [f32] {
        self.entries
    }
}

/// Floats of a packed matrix.
pub(super) fn packed_len(rows: usize, depth: usize) -> usize {
    rows.next_multiple_of(TileShape::detect().rows) * depth
}

fn pack(rows: usize, depth: usize, packed: &mut [f32], entry: impl Fn(usize, usize) -> f32) {
    let height = TileShape::detect().rows;
    for (index, tile) in packed.chunks_exact_mut(height * depth).enumerate() {
        for (column, entries) in tile.chunks_exact_mut(height).enumerate() {
            for (i, slot) in entries.iter_mut().enumerate() {
                let row = index * height + i;
                *slot = if row < rows { entry(row, column) } else { 0.0 };
            }
        }
    }
}
