//! Self-attention of every position to every position.
//!
//! For some queries of a head, the scores of all keys are rows in a buffer that stays in cache; the softmax runs along
//! the rows, and the rows are the left operand of the product with the values.

use std::sync::Arc;

use pulp::{Simd, WithSimd};

use super::element::{Element, Panel, Rows};
use super::exp::exp;
use super::isa::{CHANNEL_MULTIPLE, Isa, padded};
use super::maps::{Maps, Shape};
use super::tasks::{Pool, for_pieces, with_scratch};
use crate::{Error, Result};

/// Queries whose scores are held at once.
const QUERIES: usize = 48;

/// Where the channels of queries, keys and values of a head are among the channels of `qkv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadLayout {
    /// Head by head, each with its queries, keys and values.
    HeadFirst,
    /// All queries, all keys, all values, each head by head.
    KindFirst,
}

/// Attends in every head of `qkv`, which has three times the channels of the result.
pub(crate) fn attend(
    isa: Isa,
    pool: &Arc<Pool>,
    qkv: &Maps,
    heads: usize,
    layout: HeadLayout,
) -> Result<Maps> {
    let shape = qkv.shape();
    if heads == 0 || !shape.channels.is_multiple_of(3 * heads) {
        return Err(Error::Input(format!(
            "attention: {} channels of qkv for {heads} heads",
            shape.channels
        )));
    }
    let result = Shape {
        channels: shape.channels / 3,
        ..shape
    };
    let positions = shape.pixels();
    let _timer =
        super::timing::start(|| format!("attention {positions}x{} heads {heads}", result.channels));
    // Whole images where there are enough of them: keys and values are packed once per task.
    let threads = rayon::current_num_threads().max(1);
    let parts = threads.div_ceil(shape.batch.max(1)).min(positions.max(1));
    let per_task = positions.div_ceil(parts);
    let tasks = positions.div_ceil(per_task);
    let width = result.stride();
    let lengths = (0..shape.batch * tasks)
        .map(|task| (positions - task % tasks * per_task).min(per_task) * width);
    let (head_width, panel) = (result.channels / heads, isa.panel_columns());
    Maps::new(pool, result, |out| {
        for_pieces(out, lengths, |task, out| {
            let lengths = [
                padded(positions) * head_width,
                padded(positions) * padded(head_width),
                QUERIES * padded(positions),
                QUERIES * panel,
            ]
            .map(|len| len.next_multiple_of(CHANNEL_MULTIPLE));
            let image = positions * shape.stride();
            with_scratch(lengths.iter().sum(), |scratch| {
                let (keys, rest) = scratch.split_at_mut(lengths[0]);
                let (values, rest) = rest.split_at_mut(lengths[1]);
                let (scores, sums) = rest.split_at_mut(lengths[2]);
                isa.run(Task {
                    isa,
                    qkv: &qkv.values()[task / tasks * image..][..image],
                    stride: shape.stride(),
                    heads,
                    head_width,
                    layout,
                    positions,
                    first: task % tasks * per_task,
                    panel,
                    keys,
                    values,
                    scores,
                    sums,
                    out,
                    out_stride: width,
                });
            });
        });
    })
}

struct Task<'a> {
    isa: Isa,
    /// One image, `[positions, stride]`.
    qkv: &'a [f32],
    stride: usize,
    heads: usize,
    head_width: usize,
    layout: HeadLayout,
    positions: usize,
    /// Which position `out` begins with.
    first: usize,
    /// Columns of a panel.
    panel: usize,
    /// Keys of a head, transposed, in panels over positions.
    keys: &'a mut [f32],
    /// Values of a head, in panels over channels.
    values: &'a mut [f32],
    /// `[QUERIES, padded positions]`
    scores: &'a mut [f32],
    /// One panel of a product.
    sums: &'a mut [f32],
    out: &'a mut [f32],
    out_stride: usize,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let queries = self.out.len() / self.out_stride;
        if self.out_stride != self.heads * self.head_width {
            self.out.fill(0.0);
        }
        for head in 0..self.heads {
            let part = |kind: usize| match self.layout {
                HeadLayout::HeadFirst => (3 * head + kind) * self.head_width,
                HeadLayout::KindFirst => (kind * self.heads + head) * self.head_width,
            };
            let (query, key, value) = (part(0), part(1), part(2));
            self.pack_keys(key);
            self.pack_values(value);
            for begin in (0..queries).step_by(QUERIES) {
                let count = QUERIES.min(queries - begin);
                self.score(simd, self.first + begin, count, query);
                let row = padded(self.positions);
                for scores in self.scores[..count * row].chunks_exact_mut(row) {
                    softmax(&mut scores[..self.positions]);
                    scores[self.positions..].fill(0.0);
                }
                self.weigh(simd, begin, count, head * self.head_width);
            }
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn pack_keys(&mut self, channel: usize) {
        let columns = padded(self.positions);
        for first in (0..columns).step_by(self.panel) {
            let width = self.panel.min(columns - first);
            let panel = &mut self.keys[first * self.head_width..][..width * self.head_width];
            // So many positions that their cache lines stay while all channels are read.
            for block in (0..width).step_by(CHANNEL_MULTIPLE) {
                for (c, line) in panel.chunks_exact_mut(width).enumerate() {
                    let line = &mut line[block..block + CHANNEL_MULTIPLE];
                    for (i, slot) in line.iter_mut().enumerate() {
                        let position = first + block + i;
                        *slot = if position < self.positions {
                            self.qkv[position * self.stride + channel + c]
                        } else {
                            0.0
                        };
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pack_values(&mut self, channel: usize) {
        let (columns, lines) = (padded(self.head_width), padded(self.positions));
        for first in (0..columns).step_by(self.panel) {
            let width = self.panel.min(columns - first);
            let used = width.min(self.head_width.saturating_sub(first));
            let panel = &mut self.values[first * lines..][..width * lines];
            for (position, line) in panel.chunks_exact_mut(width).enumerate() {
                if position < self.positions {
                    let begin = position * self.stride + channel + first;
                    line[..used].copy_from_slice(&self.qkv[begin..begin + used]);
                    line[used..].fill(0.0);
                } else {
                    line.fill(0.0);
                }
            }
        }
    }

    /// Scores of all keys for `count` queries from position `first` on.
    #[inline(always)]
    fn score<S: Simd>(&mut self, simd: S, first: usize, count: usize, channel: usize) {
        let scale = 1.0 / (self.head_width as f32).sqrt();
        let row = padded(self.positions);
        let rows = Rows {
            entries: &self.qkv[first * self.stride + channel..],
            stride: self.stride,
            count,
        };
        for begin in (0..row).step_by(self.panel) {
            let width = self.panel.min(row - begin);
            let panel = Panel {
                entries: &self.keys[begin * self.head_width..][..width * self.head_width],
                width,
            };
            let sums = &mut self.sums[..count * width];
            f32::multiply(simd, self.isa, rows, panel, sums, false);
            for (sums, scores) in sums
                .chunks_exact(width)
                .zip(self.scores.chunks_exact_mut(row))
            {
                for (score, sum) in scores[begin..begin + width].iter_mut().zip(sums) {
                    *score = sum * scale;
                }
            }
        }
    }

    /// Means of the values, weighted by the scores, to rows `begin..` of `out`.
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, simd: S, begin: usize, count: usize, channel: usize) {
        let (columns, lines) = (padded(self.head_width), padded(self.positions));
        let rows = Rows {
            entries: &*self.scores,
            stride: lines,
            count,
        };
        for first in (0..columns).step_by(self.panel) {
            let width = self.panel.min(columns - first);
            let used = width.min(self.head_width.saturating_sub(first));
            let panel = Panel {
                entries: &self.values[first * lines..][..width * lines],
                width,
            };
            let sums = &mut self.sums[..count * width];
            f32::multiply(simd, self.isa, rows, panel, sums, false);
            for (i, sums) in sums.chunks_exact(width).enumerate() {
                let out = (begin + i) * self.out_stride + channel + first;
                self.out[out..out + used].copy_from_slice(&sums[..used]);
            }
        }
    }
}

/// Maxima and sums kept side by side; fixed, so that they do not depend on the instruction set.
const LANES: usize = 16;

/// Replaces scores by their exponentials over the sum of all.
#[inline(always)]
fn softmax(scores: &mut [f32]) {
    // Not `f32::max`, which would hide a NaN.
    let larger = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
    let mut largest = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            largest[i] = larger(largest[i], chunk[i]);
        }
    }
    let largest = largest
        .iter()
        .chain(rest)
        .copied()
        .fold(f32::NEG_INFINITY, larger);
    let mut sums = [0f32; LANES];
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] - largest);
            sums[i] += chunk[i];
        }
    }
    let mut sum = sums.iter().sum::<f32>();
    for score in rest {
        *score = exp(*score - largest);
        sum += *score;
    }
    let share = 1.0 / sum;
    for score in scores {
        *score *= share;
    }
}
