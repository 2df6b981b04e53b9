//! The cheapest paths between the nodes of a grid, for samplers of either order.

use ddpm_core::{NoiseSchedule, Sampler, TimePath};
use ddpm_dp::second_order::TripleCost;
use ddpm_dp::{CostTable, SolveOptions, second_order, solve};
use rayon::prelude::*;

use crate::error::Result;

/// The cheapest paths from the last of `nodes` (with 0) to 0, K = 1..=`max_steps`: cost and path in timesteps, `None` where there is none. The
/// cost of a sampler of first order is asked for without a previous node.
pub(crate) fn cheapest(
    sampler: Sampler,
    schedule: &NoiseSchedule,
    nodes: &[usize],
    max_steps: usize,
    cost: &impl TripleCost,
) -> Result<Vec<Option<(f64, TimePath)>>> {
    let last = nodes.len() - 1;
    let max_steps = max_steps.min(last);
    let of_indices = |cost: f64, path: Vec<usize>| -> Result<(f64, TimePath)> {
        let timesteps: Vec<usize> = path.iter().map(|&i| nodes[i]).collect();
        Ok((cost, TimePath::new(timesteps, schedule.train_steps())?))
    };
    if sampler == Sampler::Ddim {
        let table = CostTable::from_fn(last, |t, s| cost.cost(None, t, s))?;
        let options = SolveOptions {
            max_steps: Some(max_steps),
            ..SolveOptions::default()
        };
        let solution = solve(&table, &options)?;
        let best = |k: usize| {
            let path = solution.path(&table, k, last);
            path.map(|path| of_indices(solution.cost(k, last), path))
                .transpose()
        };
        return (1..=max_steps).into_par_iter().map(best).collect();
    }
    let solution = second_order::solve(last, Some(max_steps), cost)?;
    let best = |k: usize| {
        let path = solution.path(k, last);
        path.map(|path| of_indices(solution.cost(k, last), path))
            .transpose()
    };
    (1..=max_steps).map(best).collect()
}
