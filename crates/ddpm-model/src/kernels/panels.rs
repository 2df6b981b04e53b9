//! The right operand of a product, laid out as the kernels read it.
//!
//! Columns are cut into panels of a few vectors, as equal in width as they can be, and a panel holds its lines one after
//! the other, so that a product reads memory in one direction. Winograd's weights are several matrices (blocks) of one
//! shape; the same panel of all of them lies together:
//!
//! ```text
//!            columns  0 .. w      w .. 2w
//!           ┌───────────────┬───────────────┐
//! block 0   │ line 0  ──▶   │               │   memory: panel 0 [ block 0 [ line 0, line 1, .. ], block 1 [ .. ], .. ],
//!           │ line 1  ──▶   │    panel 1    │           panel 1 [ block 0 .. ]
//!           ├───────────────┤               │
//! block 1   │ line 0  ──▶   │               │   bf16: lines 2i and 2i + 1 are interleaved column by column, because
//!           └───────────────┴───────────────┘         the processor multiplies and adds them in pairs
//! ```
//!
//! Lines and columns are padded with zeros to a multiple of [`CHANNEL_MULTIPLE`](super::vector::CHANNEL_MULTIPLE).

use bytemuck::{cast_slice, cast_slice_mut};

use super::buffer::AlignedFloats;
use super::element::Element;
use super::isa::Isa;
use super::vector::{CHANNEL_MULTIPLE, padded};

/// Matrices of one shape, packed.
pub(super) struct Panels<E> {
    blocks: usize,
    depth: usize,
    columns: usize,
    /// First column of every panel, and the end.
    firsts: Vec<usize>,
    entries: AlignedFloats,
    element: std::marker::PhantomData<E>,
}

/// Some columns of one block.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a, E> {
    /// `depth` x `width`.
    pub(super) entries: &'a [E],
    pub(super) width: usize,
}

impl<E: Element> Panels<E> {
    /// Packs `blocks` matrices of `depth` x `columns`; `line(block, k, values)` writes line `k` of `block`.
    pub(super) fn new(
        isa: Isa,
        blocks: usize,
        depth: usize,
        columns: usize,
        mut line: impl FnMut(usize, usize, &mut [f32]),
    ) -> Self {
        let mut panels = Self::zeros(isa, blocks, depth, columns);
        let mut values = vec![0.0; columns];
        for block in 0..blocks {
            for k in 0..depth {
                line(block, k, &mut values);
                panels.set_line(block, k, &values);
            }
        }
        panels
    }

    fn zeros(isa: Isa, blocks: usize, depth: usize, columns: usize) -> Self {
        let (depth, columns) = (padded(depth), padded(columns));
        let units = columns / CHANNEL_MULTIPLE;
        let count = columns.div_ceil(isa.panel_columns());
        let firsts = (0..=count)
            .map(|panel| (panel * units).div_ceil(count.max(1)) * CHANNEL_MULTIPLE)
            .collect();
        let len = blocks * depth * columns * size_of::<E>() / size_of::<f32>();
        Self {
            blocks,
            depth,
            columns,
            firsts,
            entries: AlignedFloats::zeros(len),
            element: std::marker::PhantomData,
        }
    }

    fn set_line(&mut self, block: usize, k: usize, values: &[f32]) {
        let (blocks, depth) = (self.blocks, self.depth);
        let entries: &mut [E] = cast_slice_mut(self.entries.as_mut_slice());
        for range in self.firsts.windows(2) {
            let (first, width) = (range[0], range[1] - range[0]);
            let begin = first * blocks * depth + block * depth * width;
            let pair = begin + k / E::GROUP * E::GROUP * width + k % E::GROUP;
            for (i, &value) in values.iter().skip(first).take(width).enumerate() {
                entries[pair + i * E::GROUP] = E::round(value);
            }
        }
    }

    /// Lines with padding.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Columns with padding.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Number of panels.
    pub(super) fn count(&self) -> usize {
        self.firsts.len() - 1
    }

    /// First column and width of a panel.
    #[inline(always)]
    pub(super) fn range(&self, panel: usize) -> (usize, usize) {
        let first = self.firsts[panel];
        (first, self.firsts[panel + 1] - first)
    }

    /// Widest panel.
    pub(super) fn widest(&self) -> usize {
        let widths = self.firsts.windows(2).map(|range| range[1] - range[0]);
        widths.max().unwrap_or(0)
    }

    /// A panel of a block.
    #[inline(always)]
    pub(super) fn panel(&self, panel: usize, block: usize) -> Panel<'_, E> {
        let (first, width) = self.range(panel);
        let len = self.depth * width;
        let begin = first * self.blocks * self.depth + block * len;
        let entries: &[E] = cast_slice(self.entries.as_slice());
        Panel {
            entries: &entries[begin..begin + len],
            width,
        }
    }
}
