//! C\[k\]\[t\], the smallest cost of any path with k steps that ends at t, for all k and t.

use std::ops::Range;

use rayon::prelude::*;

use crate::cost_table::{CHUNK, minima_of_chunks};

/// Rows that begin at the same node, the first of a chunk. The blocked solver reads `GROUP` rows at a time over one
/// common range of nodes.
pub(crate) const GROUP: usize = CHUNK;

/// The costs of every budget k = 0..=K at every end t = 0..=T, one row per budget.
///
/// A path with k steps cannot end before node k, so that row k is stored from `first(k)` <= k only; the entries from
/// there to k are `+inf`. Row 0 says that a path begins at node 0: it is 0 there and `+inf` elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BudgetCosts {
    train_steps: usize,
    rows: Vec<Vec<f64>>,
}

impl BudgetCosts {
    /// Rows 0..=`max_steps`, `+inf` throughout but for the beginning of row 0.
    pub(crate) fn new(train_steps: usize, max_steps: usize) -> Self {
        let mut rows: Vec<Vec<f64>> = (0..=max_steps)
            .into_par_iter()
            .map(|k| vec![f64::INFINITY; train_steps + 1 - first(k)])
            .collect();
        rows[0][0] = 0.0;
        Self { train_steps, rows }
    }

    pub(crate) fn train_steps(&self) -> usize {
        self.train_steps
    }

    pub(crate) fn max_steps(&self) -> usize {
        self.rows.len() - 1
    }

    /// C\[k\]\[t\]; `+inf` for a budget or an end that does not exist.
    pub(crate) fn get(&self, k: usize, t: usize) -> f64 {
        let row = self.rows.get(k).map_or(&[][..], Vec::as_slice);
        let entry = t.checked_sub(first(k)).and_then(|i| row.get(i));
        entry.copied().unwrap_or(f64::INFINITY)
    }

    /// The smallest C\[k\]\[t\] over each chunk of nodes t, for every k; row k begins with the chunk of `first(k)`.
    pub(crate) fn chunk_minima(&self) -> Vec<Vec<f64>> {
        self.rows
            .par_iter()
            .map(|row| minima_of_chunks(row))
            .collect()
    }

    /// The largest finite |C\[k\]\[t\]| of any budget k >= 1.
    pub(crate) fn largest(&self) -> f64 {
        let of_row = |row: &Vec<f64>| {
            let finite = row.iter().filter(|c| c.is_finite());
            finite.fold(0.0, |largest: f64, c| largest.max(c.abs()))
        };
        self.rows[1..]
            .par_iter()
            .map(of_row)
            .reduce(|| 0.0, f64::max)
    }

    /// C\[k-1\]\[k-1..=T\], and C\[k\]\[k..=T\] to be written, for 1 <= k <= K.
    pub(crate) fn adjacent_rows(&mut self, k: usize) -> (&[f64], &mut [f64]) {
        let (before, from) = self.rows.split_at_mut(k);
        (
            &before[k - 1][k - 1 - first(k - 1)..],
            &mut from[0][k - first(k)..],
        )
    }

    /// C\[k\]\[nodes\], for k <= K and nodes from the first of k's group on.
    pub(crate) fn stored(&self, k: usize, nodes: Range<usize>) -> &[f64] {
        &self.rows[k][nodes.start - first(k)..nodes.end - first(k)]
    }

    /// Copies C\[k\]\[nodes\] for every k >= 1 from row k of `block`, which begins at k * `stride`.
    pub(crate) fn write_block(&mut self, nodes: Range<usize>, block: &[f64], stride: usize) {
        self.rows
            .par_iter_mut()
            .zip(block.par_chunks(stride))
            .enumerate()
            .skip(1)
            .take(nodes.end.saturating_sub(1))
            .for_each(|(k, (row, values))| {
                let begin = nodes.start.max(first(k));
                row[begin - first(k)..nodes.end - first(k)]
                    .copy_from_slice(&values[begin - nodes.start..nodes.len()]);
            });
    }
}

/// The first node that row k stores: the first k of its group.
pub(crate) fn first(k: usize) -> usize {
    k - k % GROUP
}
