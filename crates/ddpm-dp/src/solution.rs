//! What a solve returns: the cost of every budget, and paths recovered from those costs.

use std::sync::OnceLock;

use crate::budgets::{BudgetCosts, first};
use crate::certificate::Certificate;
use crate::cost_table::{CHUNK, CostTable};

/// The smallest cost of every budget k at every end t, and how it was found.
///
/// Memory: about 4 T^2 bytes for all budgets (64 MB at T = 4000). No argmins are stored; a path is recovered by
/// comparing C\[k\]\[t\] with the candidates that it was the minimum of, which is exact because each candidate is the
/// same single addition.
#[derive(Clone, Debug)]
pub struct Solution {
    costs: BudgetCosts,
    certificate: Certificate,
    /// Made when the first path is asked for.
    chunk_minima: OnceLock<Vec<Vec<f64>>>,
}

impl Solution {
    pub(crate) fn new(costs: BudgetCosts, certificate: Certificate) -> Self {
        Self {
            costs,
            certificate,
            chunk_minima: OnceLock::new(),
        }
    }

    /// T of the table.
    pub fn train_steps(&self) -> usize {
        self.costs.train_steps()
    }

    /// The largest budget that was solved for.
    pub fn max_steps(&self) -> usize {
        self.costs.max_steps()
    }

    /// C\[k\]\[`end`\]: the smallest cost of any path 0 = t_0 < ... < t_k = `end`, in the table's unit.
    ///
    /// `+inf` if there is none (k > `end`, or every such path uses a missing edge) and for k > [`Self::max_steps`]
    /// or `end` > T. A path of no steps ends at 0 and costs 0.
    pub fn cost(&self, k: usize, end: usize) -> f64 {
        self.costs.get(k, end)
    }

    /// The path that attains [`Solution::cost`]`(k, end)`: k+1 nodes, `[0, t_1, .., end]`.
    ///
    /// `table` is the one that was solved. Among optimal paths the last node before `end` is the smallest possible,
    /// then the one before it, and so on. `None` if the cost is `+inf` or if `table` is not the table solved.
    pub fn path(&self, table: &CostTable, k: usize, end: usize) -> Option<Vec<usize>> {
        if table.train_steps() != self.train_steps() || !self.cost(k, end).is_finite() {
            return None;
        }
        let mut nodes = vec![0; k + 1];
        let mut t = end;
        for step in (1..=k).rev() {
            nodes[step] = t;
            t = match (step, table.start()) {
                (2, Some(start)) if start.cost[t] == self.cost(2, t) => start.first[t],
                (2, Some(_)) => return None,
                // The two edges were merged: C[1] had no part in it.
                (1, Some(_)) if k > 1 => 0,
                _ => self.previous_node(table, step, t)?,
            };
        }
        (t == 0).then_some(nodes)
    }

    /// The smallest s with C\[k-1\]\[s\] + L(t, s) = C\[k\]\[t\].
    ///
    /// Most chunks are skipped: rounding is monotone, so that no candidate of a chunk is below the sum of the chunk's
    /// minima.
    fn previous_node(&self, table: &CostTable, k: usize, t: usize) -> Option<usize> {
        let target = self.cost(k, t);
        let cost_minima = &self.chunk_minima.get_or_init(|| self.costs.chunk_minima())[k - 1];
        let first_chunk = first(k - 1) / CHUNK;
        let edge_minima = &table.chunk_minima(t)[first_chunk..];
        for (chunk, (cost, edge)) in (first_chunk..).zip(cost_minima.iter().zip(edge_minima)) {
            if cost + edge > target {
                continue;
            }
            let sources = chunk * CHUNK..t.min((chunk + 1) * CHUNK);
            let costs = self.costs.stored(k - 1, sources.clone());
            let mut candidates = costs.iter().zip(&table.row(t)[sources.clone()]);
            if let Some(i) = candidates.position(|(cost, edge)| cost + edge == target) {
                return Some(sources.start + i);
            }
        }
        None
    }

    /// The end t that minimises C\[k\]\[t\] + `terminal[t]`, and that sum; the smallest t on ties.
    ///
    /// `terminal` has one entry per node t = 0..=T: what it costs to end there (the prior KL of the ELBO), `+inf` to
    /// forbid it. NaN and nodes beyond the end of a shorter slice count as forbidden. `None` if no end is possible.
    pub fn best_end(&self, k: usize, terminal: &[f64]) -> Option<(usize, f64)> {
        let mut best = None;
        let mut smallest = f64::INFINITY;
        for (t, &extra) in (0..=self.train_steps()).zip(terminal) {
            let total = self.cost(k, t) + extra;
            if total < smallest {
                smallest = total;
                best = Some((t, total));
            }
        }
        best
    }

    /// How the costs were found, and what was learned about the table on the way.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}
