//! The cost of every edge (t, s), s < t, as a packed lower triangle, and the optional merged start.

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::error::{Error, MAX_COST, Result};

/// Nodes per chunk, whose minima let a search skip most chunks; chunk c holds the nodes c * CHUNK .. (c+1) * CHUNK.
pub(crate) const CHUNK: usize = 64;

/// The smallest value of each chunk of a row that begins at the first node of a chunk.
pub(crate) fn minima_of_chunks(row: &[f64]) -> Vec<f64> {
    let smallest = |chunk: &[f64]| chunk.iter().copied().fold(f64::INFINITY, f64::min);
    row.chunks(CHUNK).map(smallest).collect()
}

/// The best two-step costs 0 -> t1 -> t, for costs whose first edge depends on the second node.
///
/// A solver that is given a start takes C\[2\]\[t\] = `cost[t]` instead of the minimum over s of C\[1\]\[s\] + L(t, s);
/// everything from the third step on is the ordinary recurrence. (In the ELBO of a respaced chain the decoder's
/// variance is that of the second step; merging the first two edges keeps the optimum exact.)
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Entry t = 0..=T: the smallest cost of any path 0 -> t1 -> t; `+inf` where there is none (t = 0 and t = 1).
    pub cost: Vec<f64>,
    /// Entry t = 0..=T: the t1 that attains it, in 1..t; ignored where the cost is `+inf`.
    pub first: Vec<usize>,
}

/// The costs L(t, s) of all edges s < t over the nodes 0..=T, in any additive unit.
///
/// Node 0 is clean data and every path begins there: 0 = t_0 < t_1 < ... < t_K <= T. The cost of a path is the sum
/// of its edges, L(t_1, 0) + ... + L(t_K, t_{K-1}). `+inf` means that there is no such edge. Memory: 4 T (T+1) bytes
/// (64 MB at T = 4000).
#[derive(Clone, Debug, PartialEq)]
pub struct CostTable {
    train_steps: usize,
    /// Row t (of length t) begins at t (t-1) / 2.
    packed: Vec<f64>,
    /// Entry t - 1: the minima over the chunks of row t.
    chunk_minima: Vec<Vec<f64>>,
    start: Option<Start>,
}

impl CostTable {
    /// The largest T a table can have.
    pub const MAX_TRAIN_STEPS: usize = 1 << 16;

    /// The largest magnitude of a finite cost; sums along any path then stay finite.
    pub const MAX_COST: f64 = MAX_COST;

    /// Builds the table edge by edge: `cost(t, s)` for every 0 <= s < t <= `train_steps`, rows in parallel.
    ///
    /// # Errors
    /// [`Error::TrainSteps`]; [`Error::EdgeCost`] for the first (t, s) in row order that is NaN, -inf or too large.
    pub fn from_fn(train_steps: usize, cost: impl Fn(usize, usize) -> f64 + Sync) -> Result<Self> {
        Self::from_rows(train_steps, |t, row| {
            for (s, entry) in row.iter_mut().enumerate() {
                *entry = cost(t, s);
            }
        })
    }

    /// Builds the table row by row: `fill(t, row)` writes L(t, s) into `row[s]`, s = 0..t, for every t in
    /// 1..=`train_steps`, in parallel and in no particular order. Entries left alone are 0.
    ///
    /// # Errors
    /// As [`CostTable::from_fn`].
    pub fn from_rows(train_steps: usize, fill: impl Fn(usize, &mut [f64]) + Sync) -> Result<Self> {
        if !(1..=Self::MAX_TRAIN_STEPS).contains(&train_steps) {
            return Err(Error::TrainSteps {
                found: train_steps,
                max: Self::MAX_TRAIN_STEPS,
            });
        }
        let mut packed = vec![0.0; row_offset(train_steps + 1)];
        let mut rest = packed.as_mut_slice();
        let mut rows = Vec::with_capacity(train_steps);
        for t in 1..=train_steps {
            let (row, tail) = rest.split_at_mut(t);
            rows.push((t, row));
            rest = tail;
        }
        let minima: Vec<Result<Vec<f64>>> = rows
            .into_par_iter()
            .map(|(t, row)| {
                fill(t, row);
                match admit(row) {
                    Some((s, found)) => Err(Error::EdgeCost { t, s, found }),
                    None => Ok(minima_of_chunks(row)),
                }
            })
            .collect();
        // The first error in row order, whichever was met first.
        let chunk_minima = minima.into_iter().collect::<Result<_>>()?;
        Ok(Self {
            train_steps,
            packed,
            chunk_minima,
            start: None,
        })
    }

    /// Takes the lower triangle of a (T+1)x(T+1) array whose row is t and whose column is s; entries with s >= t are
    /// ignored, whatever they hold.
    ///
    /// # Errors
    /// [`Error::NotSquare`], and as [`CostTable::from_fn`].
    pub fn from_square(costs: ArrayView2<'_, f64>) -> Result<Self> {
        let (rows, columns) = costs.dim();
        if rows != columns || rows == 0 {
            return Err(Error::NotSquare { rows, columns });
        }
        Self::from_fn(rows - 1, |t, s| costs[[t, s]])
    }

    /// Adds the merged first two edges.
    ///
    /// # Errors
    /// [`Error::StartLength`] unless both vectors have T+1 entries; [`Error::StartCost`] for NaN, -inf or a cost that
    /// is too large; [`Error::StartFirst`] where a cost is finite and `first` is not in 1..t.
    pub fn with_start(mut self, mut start: Start) -> Result<Self> {
        let expected = self.train_steps + 1;
        for (field, found) in [("cost", start.cost.len()), ("first", start.first.len())] {
            if found != expected {
                return Err(Error::StartLength {
                    field,
                    expected,
                    found,
                });
            }
        }
        if let Some((t, found)) = admit(&mut start.cost) {
            return Err(Error::StartCost { t, found });
        }
        for (t, (&cost, &found)) in start.cost.iter().zip(&start.first).enumerate() {
            if cost.is_finite() && !(1..t).contains(&found) {
                return Err(Error::StartFirst { t, found });
            }
        }
        self.start = Some(start);
        Ok(self)
    }

    /// T, the last node.
    pub fn train_steps(&self) -> usize {
        self.train_steps
    }

    /// L(t, s) for s = 0..t: `t` entries, none for a t outside 1..=T.
    pub fn row(&self, t: usize) -> &[f64] {
        if t <= self.train_steps {
            &self.packed[row_offset(t)..row_offset(t) + t]
        } else {
            &[]
        }
    }

    /// The smallest L(t, s) over each chunk of sources s, for t in 1..=T.
    pub(crate) fn chunk_minima(&self, t: usize) -> &[f64] {
        &self.chunk_minima[t - 1]
    }

    /// L(t, s); `+inf`, that is no edge, unless s < t <= T.
    pub fn edge(&self, t: usize, s: usize) -> f64 {
        self.row(t).get(s).copied().unwrap_or(f64::INFINITY)
    }

    /// The merged first two edges, if any.
    pub fn start(&self) -> Option<&Start> {
        self.start.as_ref()
    }

    /// The cost of the path through `nodes`, which begin with 0; summed from the clean end, as the recurrence does,
    /// so that it equals [`crate::Solution::cost`] bit for bit on an optimal path.
    ///
    /// `+inf` if the nodes are not a path of this table: not beginning with 0, not strictly increasing, beyond T,
    /// using a missing edge, or, with a [`Start`] and at least two steps, beginning otherwise than with `start.first`
    /// (the table knows the best two-step start only).
    pub fn path_cost(&self, nodes: &[usize]) -> f64 {
        let (begin, rest) = match (&self.start, nodes) {
            (Some(start), [0, first, second, rest @ ..]) => {
                if start.first.get(*second) != Some(first) {
                    return f64::INFINITY;
                }
                ((*second, start.cost[*second]), rest)
            }
            (_, [0, rest @ ..]) => ((0, 0.0), rest),
            _ => return f64::INFINITY,
        };
        rest.iter()
            .fold(begin, |(s, cost), &t| (t, cost + self.edge(t, s)))
            .1
    }
}

/// Where row t begins in the packed triangle.
fn row_offset(t: usize) -> usize {
    t * t.saturating_sub(1) / 2
}

/// Returns the first cost that a table cannot hold, and turns -0 into +0 in the others: without negative zeros equal
/// minima have equal bits, whatever the order in which they were compared.
fn admit(costs: &mut [f64]) -> Option<(usize, f64)> {
    let mut fine = true;
    for cost in costs.iter_mut() {
        *cost += 0.0;
        fine &= cost.abs() <= CostTable::MAX_COST || *cost == f64::INFINITY;
    }
    if fine {
        return None;
    }
    let refused = |c: &f64| !(c.abs() <= CostTable::MAX_COST || *c == f64::INFINITY);
    let at = costs.iter().position(refused)?;
    Some((at, costs[at]))
}
