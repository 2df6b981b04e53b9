//! Self-attention of every position to every position, one panel of positions at a time.
//!
//! For a panel of queries, the scores of all keys form a matrix with one column per query, which is exactly the panel
//! that the product with the values needs: scores never leave the cache, and the softmax runs down the columns, so that
//! it needs no sums across a vector.

use pulp::{Arch, Simd, WithSimd};

use super::exp::exp;
use super::packed_matrix::{PackedView, packed_len};
use super::product::{RowSink, TileShape, VECTORS, multiply, panel_width, write_row};
use super::scratch::with_scratch;

/// Where the rows of queries, keys and values of a head are among the channels of `qkv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadLayout {
    /// Head by head, each with its queries, keys and values.
    HeadFirst,
    /// All queries, all keys, all values, each head by head.
    KindFirst,
}

/// Attends in every head: `qkv` of shape `[3 channels, positions]`, `out` of shape `[channels, positions]`.
pub(super) fn attend(
    qkv: &[f32],
    positions: usize,
    heads: usize,
    layout: HeadLayout,
    out: &mut [f32],
) {
    let block = out.len() / heads;
    if block == 0 {
        return;
    }
    for (head, out) in out.chunks_exact_mut(block).enumerate() {
        let part = |kind: usize| {
            let index = match layout {
                HeadLayout::HeadFirst => 3 * head + kind,
                HeadLayout::KindFirst => kind * heads + head,
            };
            &qkv[index * block..(index + 1) * block]
        };
        attend_head(part(0), part(1), part(2), positions, out);
    }
}

/// One head; every slice is `[channels per head, positions]`.
fn attend_head(queries: &[f32], keys: &[f32], values: &[f32], positions: usize, out: &mut [f32]) {
    let channels = out.len() / positions;
    let width = TileShape::detect().columns;
    let lengths = [
        packed_len(positions, channels),
        packed_len(channels, positions),
        channels * width,
        positions * width,
        width,
    ];
    with_scratch(lengths.iter().sum(), |scratch| {
        let (packed_keys, rest) = scratch.split_at_mut(lengths[0]);
        let (packed_values, rest) = rest.split_at_mut(lengths[1]);
        let (panel, rest) = rest.split_at_mut(lengths[2]);
        let (scores, factors) = rest.split_at_mut(lengths[3]);
        let head = Head {
            queries,
            keys: PackedView::pack_into(packed_keys, positions, channels, |row, column| {
                keys[column * positions + row]
            }),
            values: PackedView::pack_into(packed_values, channels, positions, |row, column| {
                values[row * positions + column]
            }),
            positions,
            panel,
            scores,
            factors,
            out,
        };
        Arch::new().dispatch(head);
    });
}

struct Head<'a> {
    /// `[channels per head, positions]`
    queries: &'a [f32],
    /// `positions` x channels per head
    keys: PackedView<'a>,
    /// Channels per head x `positions`
    values: PackedView<'a>,
    positions: usize,
    /// The queries of one panel.
    panel: &'a mut [f32],
    /// One line per key, one column per query of the panel.
    scores: &'a mut [f32],
    /// One per query of the panel.
    factors: &'a mut [f32],
    out: &'a mut [f32],
}

impl WithSimd for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let positions = self.positions;
        let width = panel_width::<S>();
        let scale = 1.0 / (self.values.rows() as f32).sqrt();
        for first in (0..positions).step_by(width) {
            let len = width.min(positions - first);
            let rows = self.queries.chunks_exact(positions);
            for (line, row) in self.panel.chunks_exact_mut(width).zip(rows) {
                for (slot, &query) in line.iter_mut().zip(&row[first..first + len]) {
                    *slot = query * scale;
                }
                line[len..].fill(0.0);
            }
            let mut lines = Lines {
                lines: &mut *self.scores,
            };
            multiply(simd, self.keys, self.panel, &mut lines);
            softmax_columns(self.scores, self.factors);
            let mut sink = Weighted {
                out: &mut *self.out,
                factors: self.factors,
                positions,
                first,
                len,
            };
            multiply(simd, self.values, self.scores, &mut sink);
        }
    }
}

/// Replaces scores by their exponentials over the largest of their column; `factors` receives what each column must be
/// multiplied by to add up to one.
#[inline(always)]
fn softmax_columns(scores: &mut [f32], factors: &mut [f32]) {
    let width = factors.len();
    factors.fill(f32::NEG_INFINITY);
    for line in scores.chunks_exact(width) {
        for (largest, &score) in factors.iter_mut().zip(line) {
            // Not `f32::max`, which would hide a NaN.
            *largest = if score > *largest { score } else { *largest };
        }
    }
    let largest = factors;
    for line in scores.chunks_exact_mut(width) {
        for (score, largest) in line.iter_mut().zip(largest.iter()) {
            *score = exp(*score - largest);
        }
    }
    let sums = largest;
    sums.fill(0.0);
    for line in scores.chunks_exact(width) {
        for (sum, &weight) in sums.iter_mut().zip(line) {
            *sum += weight;
        }
    }
    for sum in sums {
        *sum = 1.0 / *sum;
    }
}

/// Rows of a product as the lines of the next one's panel.
struct Lines<'a> {
    lines: &'a mut [f32],
}

impl RowSink for Lines<'_> {
    #[inline(always)]
    fn store<S: Simd>(&mut self, simd: S, row: usize, values: [S::f32s; VECTORS]) {
        let width = panel_width::<S>();
        write_row(
            simd,
            &mut self.lines[row * width..(row + 1) * width],
            values,
        );
    }
}

/// Some columns of every row of the output, each column times its factor.
struct Weighted<'a> {
    out: &'a mut [f32],
    factors: &'a [f32],
    positions: usize,
    first: usize,
    len: usize,
}

impl RowSink for Weighted<'_> {
    #[inline(always)]
    fn store<S: Simd>(&mut self, simd: S, row: usize, mut values: [S::f32s; VECTORS]) {
        let (factors, _) = S::as_simd_f32s(self.factors);
        for (value, &factor) in values.iter_mut().zip(factors) {
            *value = simd.mul_f32s(*value, factor);
        }
        let begin = row * self.positions + self.first;
        write_row(simd, &mut self.out[begin..begin + self.len], values);
    }
}
