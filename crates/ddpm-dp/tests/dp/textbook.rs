//! The recurrence as it is printed, with stored argmins: the oracle of the fast solvers.
//!
//! C\[1\]\[t\] = L(t, 0); C\[k\]\[t\] = min over s < t of C\[k-1\]\[s\] + L(t, s), the smallest s on ties (Watson et al. 2021,
//! Algorithm 1, for every end). With a [`ddpm_dp::Start`] C\[2\] is given. Plain loops, O(K T^2) time and memory.

use ddpm_dp::CostTable;

/// Costs and argmins of every budget at every end.
#[derive(Clone, Debug)]
pub(crate) struct Textbook {
    /// `costs[k][t]`, k = 0..=K, t = 0..=T; `+inf` where there is no path.
    pub(crate) costs: Vec<Vec<f64>>,
    /// `previous[k][t]`: the node before t on the optimal path; meaningless where the cost is `+inf`.
    pub(crate) previous: Vec<Vec<usize>>,
}

/// Solves for the budgets up to `max_steps` (any number; budgets above T are impossible).
pub(crate) fn solve(table: &CostTable, max_steps: usize) -> Textbook {
    let nodes = table.train_steps() + 1;
    let mut costs = vec![vec![f64::INFINITY; nodes]; max_steps + 1];
    let mut previous = vec![vec![0; nodes]; max_steps + 1];
    costs[0][0] = 0.0;
    for k in 1..=max_steps {
        for t in 1..nodes {
            if let (2, Some(start)) = (k, table.start()) {
                costs[k][t] = start.cost[t];
                previous[k][t] = start.first[t];
                continue;
            }
            for s in 0..t {
                let candidate = costs[k - 1][s] + table.edge(t, s);
                if candidate < costs[k][t] {
                    costs[k][t] = candidate;
                    previous[k][t] = s;
                }
            }
        }
    }
    Textbook { costs, previous }
}

impl Textbook {
    /// The optimal path with k steps that ends at `end`, `[0, .., end]`; `None` if there is none.
    pub(crate) fn path(&self, k: usize, end: usize) -> Option<Vec<usize>> {
        if !self.costs.get(k)?.get(end)?.is_finite() {
            return None;
        }
        let mut nodes = vec![end];
        let mut t = end;
        for step in (1..=k).rev() {
            t = self.previous[step][t];
            nodes.push(t);
        }
        nodes.reverse();
        Some(nodes)
    }
}
