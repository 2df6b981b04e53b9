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
//! Lines and columns are padded with zeros to a multiple of [`CHANNEL_MULTIPLE`](super::isa::CHANNEL_MULTIPLE).

use bytemuck::{cast_slice, cast_slice_mut};

use super::element::{Element, Panel};
use super::isa::{CHANNEL_MULTIPLE, Isa, padded};
use super::tasks::{AlignedFloats, for_pieces};

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

impl<E: Element> Panels<E> {
    /// Packs `blocks` matrices of `lines` x `columns`; `entry(block, line, column)` is one of their numbers.
    pub(super) fn new(
        isa: Isa,
        blocks: usize,
        lines: usize,
        columns: usize,
        entry: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let depth = padded(lines);
        let units = padded(columns) / CHANNEL_MULTIPLE;
        let count = padded(columns).div_ceil(isa.panel_columns());
        let firsts: Vec<usize> = (0..=count)
            .map(|panel| (panel * units).div_ceil(count.max(1)) * CHANNEL_MULTIPLE)
            .collect();
        let floats = blocks * depth * padded(columns) * size_of::<E>() / size_of::<f32>();
        let mut entries = AlignedFloats::zeros(floats);
        let range = |panel: usize| (firsts[panel], firsts[panel + 1] - firsts[panel]);
        let lengths = (0..count * blocks).map(|piece| depth * range(piece / blocks).1);
        for_pieces(
            cast_slice_mut(entries.as_mut_slice()),
            lengths,
            |piece, out| {
                let (first, width) = range(piece / blocks);
                let used = width.min(columns.saturating_sub(first));
                for line in 0..lines {
                    let begin = line / E::GROUP * E::GROUP * width + line % E::GROUP;
                    for column in 0..used {
                        let value = entry(piece % blocks, line, first + column);
                        out[begin + column * E::GROUP] = E::round(value);
                    }
                }
            },
        );
        Self {
            blocks,
            depth,
            columns: padded(columns),
            firsts,
            entries,
            element: std::marker::PhantomData,
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
