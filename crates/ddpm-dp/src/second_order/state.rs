//! What remains to be paid at one state of the second-order recurrence.

/// The best ways from node t down to 0, given the step before, for every number of steps left.
#[derive(Clone, Debug)]
pub(super) struct Remaining {
    /// Entry k - 1: the smallest cost with k steps left; k = 1..=min(t, max_steps).
    costs: Vec<f64>,
    /// Entry k - 2: the node that the first of k steps goes to; 0 where the cost is infinite.
    next: Vec<u16>,
}

impl Remaining {
    /// `row[s]` is the cost of the step from t to s, s = 0..t, and `states[s - 1]` what remains after it.
    pub(super) fn best(row: &[f64], states: &[Self], max_steps: usize) -> Self {
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
    pub(super) fn cost(&self, k: usize) -> f64 {
        let entry = k.checked_sub(1).and_then(|i| self.costs.get(i));
        entry.copied().unwrap_or(f64::INFINITY)
    }

    /// The node that the first of k >= 2 steps goes to.
    pub(super) fn next(&self, k: usize) -> usize {
        usize::from(self.next[k - 2])
    }
}
