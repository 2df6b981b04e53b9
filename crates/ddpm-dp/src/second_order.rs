//! Exact optimal paths where the cost of a step depends on the step before it.
//!
//! A two-step solver (DPM-Solver++(2M), Adams-Bashforth) uses what it computed at the node before the current one, so
//! that its error lives on triples: the step t -> s costs c(p, t, s) when it follows the step p -> t. The first step of
//! a path has no step before it and costs c(none, t, s). Over nodes 0..=N, with the step to be taken from t when p came
//! before and k steps are left,
//!
//! ```text
//! W[1][p][t] = c(p, t, 0)
//! W[k][p][t] = min over 0 < s < t of c(p, t, s) + W[k-1][t][s]
//! C[k][end]  = min over 0 < s < end of c(none, end, s) + W[k-1][end][s],   C[1][end] = c(none, end, 0)
//! ```
//!
//! all k together: every cost is asked for once, N^3/6 of them, and N^4/24 additions follow for all budgets. Ties go to
//! the smallest node. The best choices are stored (two bytes each), so that paths need no comparison of sums.
//!
//! ```
//! use ddpm_dp::second_order::{TripleCost, solve};
//!
//! /// Long steps cost their square, and a step should not be much longer than the one before.
//! struct Smooth;
//! impl TripleCost for Smooth {
//!     fn cost(&self, previous: Option<usize>, t: usize, s: usize) -> f64 {
//!         let step = (t - s) as f64;
//!         let growth = previous.map_or(0.0, |p| (step - (p - t) as f64).max(0.0));
//!         step * step + growth
//!     }
//! }
//!
//! let solution = solve(8, None, &Smooth)?;
//! assert_eq!(solution.path(4, 8), Some(vec![0, 2, 4, 6, 8]));
//! assert_eq!(solution.cost(4, 8), 16.0);
//! # Ok::<(), ddpm_dp::Error>(())
//! ```

use rayon::prelude::*;

use crate::cost_table::CostTable;
use crate::error::{Error, Result, checked_size};

/// The largest N: the costs to go of all budgets take 5 N^3 / 3 bytes (1.8 GB at this N, 26 MB at N = 250).
pub const MAX_NODES: usize = 1024;

/// What a step costs, given the step before it.
pub trait TripleCost: Sync {
    /// The cost of the step from node `t` down to `s` < `t` that follows the step from `previous` > `t`, or that
    /// begins a path where `previous` is `None`; `+inf` where there is no such step.
    ///
    /// Called once per triple, in parallel and in no particular order.
    fn cost(&self, previous: Option<usize>, t: usize, s: usize) -> f64;
}

impl<F: Fn(Option<usize>, usize, usize) -> f64 + Sync> TripleCost for F {
    fn cost(&self, previous: Option<usize>, t: usize, s: usize) -> f64 {
        self(previous, t, s)
    }
}

/// The smallest cost of every budget at every end, and the paths that attain it.
#[derive(Clone, Debug)]
pub struct Solution {
    /// Entry end - 1, for a path that begins at node `end`.
    begun: Vec<Remaining>,
    /// Entry p - 1, t - 1: for a path that came to node t from p, 1 <= t < p <= N.
    after: Vec<Vec<Remaining>>,
    max_steps: usize,
}

/// Finds the cheapest path 0 = t_0 < t_1 < ... < t_K = end of every budget K = 1..=`max_steps` at every end in
/// 1..=`last_node`; `None` for all budgets.
///
/// The result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Nodes`] unless `last_node` is in 1..=[`MAX_NODES`]; [`Error::MaxSteps`] unless `max_steps` is in
/// 1..=`last_node`; [`Error::TripleCost`] for a cost that is NaN, -inf or too large: the same one
/// whatever the number of threads. A budget that is impossible is no error: its cost is `+inf`.
pub fn solve(
    last_node: usize,
    max_steps: Option<usize>,
    cost: &impl TripleCost,
) -> Result<Solution> {
    let max_steps = checked_size(last_node, max_steps, MAX_NODES)?;
    // `after[t - 1]` holds the states (t, s), s < t: all that a state (p, t) looks up, and it is complete before p > t.
    let mut after: Vec<Vec<Remaining>> = Vec::with_capacity(last_node);
    let state = |previous: Option<usize>, t: usize, after: &[Vec<Remaining>]| {
        let row = row_of(cost, previous, t)?;
        let next = after.get(t - 1).map_or(&[][..], Vec::as_slice);
        Ok(Remaining::best(&row, next, max_steps))
    };
    let mut begun = Vec::with_capacity(last_node);
    for p in 1..=last_node {
        let states: Vec<Result<Remaining>> = (1..p)
            .into_par_iter()
            .map(|t| state(Some(p), t, &after))
            .collect();
        // The first error in their order, whichever was met first.
        after.push(states.into_iter().collect::<Result<_>>()?);
        begun.push(state(None, p, &after)?);
    }
    Ok(Solution {
        begun,
        after,
        max_steps,
    })
}

/// c(previous, t, s) for s = 0..t.
fn row_of(cost: &impl TripleCost, previous: Option<usize>, t: usize) -> Result<Vec<f64>> {
    (0..t)
        .map(|s| {
            // The sum turns -0 into +0, so that equal minima have equal bits.
            let found = cost.cost(previous, t, s) + 0.0;
            if found.abs() <= CostTable::MAX_COST || found == f64::INFINITY {
                Ok(found)
            } else {
                Err(Error::TripleCost {
                    previous,
                    t,
                    s,
                    found,
                })
            }
        })
        .collect()
}

impl Solution {
    /// N, the last node.
    pub fn last_node(&self) -> usize {
        self.begun.len()
    }

    /// The largest budget that was solved for.
    pub fn max_steps(&self) -> usize {
        self.max_steps
    }

    /// The smallest cost of any path of `k` steps that begins at node `end` and goes down to 0.
    ///
    /// `+inf` if there is none, for k = 0, for k > [`Self::max_steps`] and for an `end` outside 1..=N.
    pub fn cost(&self, k: usize, end: usize) -> f64 {
        let state = end.checked_sub(1).and_then(|i| self.begun.get(i));
        state.map_or(f64::INFINITY, |state| state.cost(k))
    }

    /// The path that attains [`Solution::cost`]`(k, end)`: k+1 nodes, `[0, t_1, .., end]`; `None` if the cost is `+inf`.
    ///
    /// Among optimal paths the node after `end` is the smallest possible, then the one after it, and so on.
    pub fn path(&self, k: usize, end: usize) -> Option<Vec<usize>> {
        if !self.cost(k, end).is_finite() {
            return None;
        }
        let mut nodes = vec![0; k + 1];
        let (mut t, mut state) = (end, &self.begun[end - 1]);
        for left in (1..=k).rev() {
            nodes[left] = t;
            if left > 1 {
                let s = state.next(left);
                state = &self.after[t - 1][s - 1];
                t = s;
            }
        }
        Some(nodes)
    }
}

/// The cost of the path through `nodes` (ascending, the first is 0), summed from the clean end as [`solve`] does, so
/// that it equals [`Solution::cost`] bit for bit on an optimal path; `+inf` if the nodes are not a path.
pub fn path_cost(cost: &impl TripleCost, nodes: &[usize]) -> f64 {
    let increasing = nodes.windows(2).all(|pair| pair[0] < pair[1]);
    if nodes.len() < 2 || nodes[0] != 0 || !increasing {
        return f64::INFINITY;
    }
    (1..nodes.len()).fold(0.0, |sum, k| {
        cost.cost(nodes.get(k + 1).copied(), nodes[k], nodes[k - 1]) + sum
    })
}

/// The best ways from node t down to 0, given the step before, for every number of steps left.
#[derive(Clone, Debug)]
struct Remaining {
    /// Entry k - 1: the smallest cost with k steps left; k = 1..=min(t, max_steps).
    costs: Vec<f64>,
    /// Entry k - 2: the node that the first of k steps goes to; 0 where the cost is infinite.
    next: Vec<u16>,
}

impl Remaining {
    /// `row[s]` is the cost of the step from t to s, s = 0..t, and `states[s - 1]` what remains after it.
    fn best(row: &[f64], states: &[Self], max_steps: usize) -> Self {
        let most = row.len().min(max_steps);
        let mut costs = vec![f64::INFINITY; most];
        let mut next = vec![0; most - 1];
        costs[0] = row[0];
        for (s, (&step, state)) in row
            .iter()
            .zip(std::iter::once(None).chain(states.iter().map(Some)))
            .enumerate()
        {
            let Some(state) = state else { continue };
            // s ascends and the comparison is strict: ties go to the smallest node.
            let totals = costs[1..].iter_mut().zip(&mut next).zip(&state.costs);
            for ((best, next), &rest) in totals {
                let total = step + rest;
                if total < *best {
                    *best = total;
                    *next = s as u16;
                }
            }
        }
        Self { costs, next }
    }

    /// The smallest cost with k steps left.
    fn cost(&self, k: usize) -> f64 {
        let entry = k.checked_sub(1).and_then(|i| self.costs.get(i));
        entry.copied().unwrap_or(f64::INFINITY)
    }

    /// The node that the first of k >= 2 steps goes to.
    fn next(&self, k: usize) -> usize {
        usize::from(self.next[k - 2])
    }
}
