//! Exact optimal paths where the cost of a step depends on the two steps before it.
//!
//! A three-step solver (DPM-Solver++(3M), iPNDM of order 3) uses what it computed at two nodes before the current one, so that its error
//! lives on quadruples: the step t -> s costs c(p, q, t, s) when it follows q -> p -> t. With the step to be taken from t when p and
//! before it q came, and k steps left,
//!
//! ```text
//! W[1][q][p][t] = c(q, p, t, 0)
//! W[k][q][p][t] = min over 0 < s < t of c(q, p, t, s) + W[k-1][p][t][s]
//! ```
//!
//! and the same without q for the second step of a path, without p and q for its first. All k are solved together: every cost is asked for
//! once, N^4/24 of them (and as often what it is as the last but one), and N^5/120 additions follow for all budgets. Ties go to the smallest node.
//!
//! ```
//! use ddpm_dp::third_order::{QuadrupleCost, solve};
//!
//! /// Long steps cost their square, and steps should shrink evenly.
//! struct Smooth;
//! impl QuadrupleCost for Smooth {
//!     fn cost(&self, before: [Option<usize>; 2], t: usize, s: usize) -> f64 {
//!         let step = (t - s) as f64;
//!         let bend = match before {
//!             [Some(p), Some(q)] => step - 2.0 * (p - t) as f64 + (q - p) as f64,
//!             _ => 0.0,
//!         };
//!         step * step + bend.abs()
//!     }
//! }
//!
//! let solution = solve(8, None, &Smooth)?;
//! assert_eq!(solution.path(4, 8), Some(vec![0, 2, 4, 6, 8]));
//! assert_eq!(solution.cost(4, 8), 16.0);
//! # Ok::<(), ddpm_dp::Error>(())
//! ```

use std::ops::Range;

use rayon::prelude::*;

use crate::cost_table::CostTable;
use crate::error::{Error, Result, checked_size};

/// The largest N: costs to go and choices of all budgets take 9 N^4 / 24 bytes (246 MB at this N).
pub const MAX_NODES: usize = 160;

/// What a step costs, given the two steps before it.
pub trait QuadrupleCost: Sync {
    /// The cost of the step from node `t` down to `s` < `t`. `before` are the nodes that came before `t`, the nearest first: `[Some(p),
    /// Some(q)]` with `q` > `p` > `t`, `[Some(p), None]` for the second step of a path and `[None, None]` for its first. `+inf` where there
    /// is no such step.
    ///
    /// Called once per quadruple, in parallel and in no particular order.
    fn cost(&self, before: [Option<usize>; 2], t: usize, s: usize) -> f64;

    /// The cost of the same step where the one after it is the last, from `s` to 0, if it is another: solvers end short paths with steps of
    /// lower order.
    fn last_but_one(&self, _before: [Option<usize>; 2], _t: usize, _s: usize) -> Option<f64> {
        None
    }
}

impl<F: Fn([Option<usize>; 2], usize, usize) -> f64 + Sync> QuadrupleCost for F {
    fn cost(&self, before: [Option<usize>; 2], t: usize, s: usize) -> f64 {
        self(before, t, s)
    }
}

/// The smallest cost of every budget at every end, and the paths that attain it.
#[derive(Clone, Debug)]
pub struct Solution {
    places: Places,
    /// Of the states (t) that begin a path.
    begun: Ways,
    /// Of the states (p, t) after one step.
    second: Ways,
    /// Entry q - 1: of the states (q, p, t) after two or more.
    after: Vec<Ways>,
}

/// The best ways down to 0 from a list of states, for every number of steps left.
#[derive(Clone, Debug, Default)]
struct Ways {
    /// Per state one entry per k = 1..=min(t, `max_steps`): the smallest cost with k steps left.
    costs: Vec<f64>,
    /// Beside them: the node that the first of k steps goes to; 0 where k = 1 or the cost is infinite.
    next: Vec<u8>,
}

/// Where the entries of a state lie in its list: states are ordered by p, then t.
#[derive(Clone, Debug)]
struct Places {
    max_steps: usize,
    /// The entries of all states (t') with t' < t.
    of_t: Vec<usize>,
    /// The entries of all states (p', t) with t < p' < p.
    of_p: Vec<usize>,
}

impl Places {
    fn new(last_node: usize, max_steps: usize) -> Self {
        let (mut of_t, mut of_p) = (vec![0; 2], vec![0; 2]);
        for t in 1..=last_node {
            of_t.push(of_t[t] + t.min(max_steps));
            of_p.push(of_p[t] + of_t[t]);
        }
        Self {
            max_steps,
            of_t,
            of_p,
        }
    }

    fn last_node(&self) -> usize {
        self.of_t.len() - 2
    }

    /// Of the state (t).
    fn begun(&self, t: usize) -> Range<usize> {
        self.of_t[t]..self.of_t[t + 1]
    }

    /// Of the state (p, t) or (q, p, t).
    fn after(&self, p: usize, t: usize) -> Range<usize> {
        let begin = self.of_p[p];
        begin + self.of_t[t]..begin + self.of_t[t + 1]
    }
}

/// Finds the cheapest path 0 = t_0 < t_1 < ... < t_K = end of every budget K = 1..=`max_steps` at every end in
/// 1..=`last_node`; `None` for all budgets.
///
/// The result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Nodes`] unless `last_node` is in 1..=[`MAX_NODES`]; [`Error::MaxSteps`] unless `max_steps` is in
/// 1..=`last_node`; [`Error::QuadrupleCost`] for a cost that is NaN, -inf or too large: the same one
/// whatever the number of threads. A budget that is impossible is no error: its cost is `+inf`.
pub fn solve(
    last_node: usize,
    max_steps: Option<usize>,
    cost: &impl QuadrupleCost,
) -> Result<Solution> {
    let max_steps = checked_size(last_node, max_steps, MAX_NODES)?;
    let mut solution = Solution {
        places: Places::new(last_node, max_steps),
        begun: Ways::default(),
        second: Ways::default(),
        after: Vec::with_capacity(last_node),
    };
    for q in 1..=last_node {
        // What these states look up came after p < q, and is complete.
        let of_p = |p: usize| {
            let before = [Some(p), Some(q)];
            let of_t = |t| solution.ways(cost, before, t, &solution.after[p - 1]);
            Ways::of_all((1..p).map(of_t))
        };
        let found: Vec<Result<Ways>> = (1..q).into_par_iter().map(of_p).collect();
        // The first error in their order, whichever was met first.
        let mut after = Ways::of_all(found)?;
        after.costs.shrink_to_fit();
        after.next.shrink_to_fit();
        solution.after.push(after);
        let of_t = |t: usize| solution.ways(cost, [Some(q), None], t, &solution.after[q - 1]);
        let found: Vec<Result<Ways>> = (1..q).into_par_iter().map(of_t).collect();
        let second = Ways::of_all(found)?;
        solution.second.extend(second);
        let begun = solution.ways(cost, [None, None], q, &solution.second)?;
        solution.begun.extend(begun);
    }
    Ok(solution)
}

impl Solution {
    /// The best ways of the state of `before` and `t`. What remains after a step to s is that of the states (t, s) in `rest`.
    fn ways(
        &self,
        cost: &impl QuadrupleCost,
        before: [Option<usize>; 2],
        t: usize,
        rest: &Ways,
    ) -> Result<Ways> {
        let checked = |s: usize, found: f64| {
            // The sum turns -0 into +0, so that equal minima have equal bits.
            let found = found + 0.0;
            if found.abs() <= CostTable::MAX_COST || found == f64::INFINITY {
                Ok(found)
            } else {
                Err(Error::QuadrupleCost {
                    before,
                    t,
                    s,
                    found,
                })
            }
        };
        let most = t.min(self.places.max_steps);
        let mut found = Ways {
            costs: vec![f64::INFINITY; most],
            next: vec![0; most],
        };
        found.costs[0] = checked(0, cost.cost(before, t, 0))?;
        for s in 1..t {
            let step = checked(s, cost.cost(before, t, s))?;
            let last = match cost.last_but_one(before, t, s) {
                Some(other) => checked(s, other)?,
                None => step,
            };
            let rest = &rest.costs[self.places.after(t, s)];
            // s ascends and the comparison is strict: ties go to the smallest node.
            let totals = found.costs[1..].iter_mut().zip(&mut found.next[1..]);
            for (k, ((best, next), rest)) in totals.zip(rest).enumerate() {
                let total = rest + if k == 0 { last } else { step };
                if total < *best {
                    *best = total;
                    *next = s as u8;
                }
            }
        }
        Ok(found)
    }

    /// N, the last node.
    pub fn last_node(&self) -> usize {
        self.places.last_node()
    }

    /// The largest budget that was solved for.
    pub fn max_steps(&self) -> usize {
        self.places.max_steps
    }

    /// The smallest cost of any path of `k` steps that begins at node `end` and goes down to 0.
    ///
    /// `+inf` if there is none, for k = 0, for k > [`Self::max_steps`] and for an `end` outside 1..=N.
    pub fn cost(&self, k: usize, end: usize) -> f64 {
        if !(1..=self.last_node()).contains(&end) || !(1..=end.min(self.max_steps())).contains(&k) {
            return f64::INFINITY;
        }
        self.begun.costs[self.places.begun(end)][k - 1]
    }

    /// The path that attains [`Solution::cost`]`(k, end)`: k+1 nodes, `[0, t_1, .., end]`; `None` if the cost is `+inf`.
    ///
    /// Among optimal paths the node after `end` is the smallest possible, then the one after it, and so on.
    pub fn path(&self, k: usize, end: usize) -> Option<Vec<usize>> {
        if !self.cost(k, end).is_finite() {
            return None;
        }
        let mut nodes = vec![0; k + 1];
        nodes[k] = end;
        for left in (1..k).rev() {
            let t = nodes[left + 1];
            let (ways, at) = match (nodes.get(left + 2), nodes.get(left + 3)) {
                (Some(&p), Some(&q)) => (&self.after[q - 1], self.places.after(p, t)),
                (Some(&p), None) => (&self.second, self.places.after(p, t)),
                _ => (&self.begun, self.places.begun(t)),
            };
            nodes[left] = usize::from(ways.next[at][left]);
        }
        Some(nodes)
    }
}

impl Ways {
    /// Those of one list after another; the first error.
    fn of_all(all: impl IntoIterator<Item = Result<Self>>) -> Result<Self> {
        let mut found = Self::default();
        for ways in all {
            found.extend(ways?);
        }
        Ok(found)
    }

    fn extend(&mut self, more: Self) {
        self.costs.extend(more.costs);
        self.next.extend(more.next);
    }
}

/// The cost of the path through `nodes` (ascending, the first is 0), summed from the clean end as [`solve`] does, so
/// that it equals [`Solution::cost`] bit for bit on an optimal path; `+inf` if the nodes are not a path.
pub fn path_cost(cost: &impl QuadrupleCost, nodes: &[usize]) -> f64 {
    let increasing = nodes.windows(2).all(|pair| pair[0] < pair[1]);
    if nodes.len() < 2 || nodes[0] != 0 || !increasing {
        return f64::INFINITY;
    }
    (1..nodes.len()).fold(0.0, |sum, k| {
        let before = [nodes.get(k + 1).copied(), nodes.get(k + 2).copied()];
        let (t, s) = (nodes[k], nodes[k - 1]);
        let last = cost.last_but_one(before, t, s).filter(|_| k == 2);
        last.unwrap_or_else(|| cost.cost(before, t, s)) + sum
    })
}
