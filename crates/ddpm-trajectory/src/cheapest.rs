//! The cheapest paths between the nodes of a grid, for samplers that look back on no node, one or two.

use ddpm_core::{NoiseSchedule, Sampler, TimePath};
use ddpm_dp::third_order::{self, QuadrupleCost};
use ddpm_dp::{CostTable, SolveOptions, second_order, solve};
use rayon::prelude::*;

use crate::error::{Invalid, Result};
use crate::grid_steps::Before;

/// The cheapest paths from the last of `nodes` (with 0) to 0, K = 1..=`max_steps`: cost and path in timesteps, `None` where there is none. The
/// cost is asked for with so many nodes before as the sampler looks back on. `ends_lower` says whether the sampler's last step but one is of
/// lower order where the sampler's own is ([`Sampler::looks_back_at`]).
pub(crate) fn cheapest(
    sampler: Sampler,
    schedule: &NoiseSchedule,
    nodes: &[usize],
    max_steps: usize,
    ends_lower: bool,
    cost: &(impl Fn(Before, usize, usize) -> f64 + Sync),
) -> Result<Vec<Option<(f64, TimePath)>>> {
    let last = nodes.len() - 1;
    let max_steps = max_steps.min(last);
    let of_indices = |cost: f64, path: Option<Vec<usize>>| -> Result<Option<(f64, TimePath)>> {
        let Some(path) = path else { return Ok(None) };
        let timesteps: Vec<usize> = path.iter().map(|&i| nodes[i]).collect();
        Ok(Some((
            cost,
            TimePath::new(timesteps, schedule.train_steps())?,
        )))
    };
    match sampler.looks_back() {
        0 => {
            let table = CostTable::from_fn(last, |t, s| cost([None; 2], t, s))?;
            let options = SolveOptions {
                max_steps: Some(max_steps),
                ..SolveOptions::default()
            };
            let solution = solve(&table, &options)?;
            let best = |k| of_indices(solution.cost(k, last), solution.path(&table, k, last));
            (1..=max_steps).into_par_iter().map(best).collect()
        }
        1 => {
            let cost = |p: Option<usize>, t: usize, s: usize| cost([p, None], t, s);
            let solution = second_order::solve(last, Some(max_steps), &cost)?;
            let best = |k| of_indices(solution.cost(k, last), solution.path(k, last));
            (1..=max_steps).map(best).collect()
        }
        _ => {
            check_nodes(sampler, last)?;
            // On paths of so many steps.
            let lowered = |k: usize| ends_lower && last_but_one_is_lower(sampler, k);
            let mut found = Vec::with_capacity(max_steps);
            for lower in [true, false] {
                let wanted: Vec<usize> = (1..=max_steps).filter(|&k| lowered(k) == lower).collect();
                let Some(&most) = wanted.last() else { continue };
                let cost = LastButOne { cost, lower };
                let solution = third_order::solve(last, Some(most), &cost)?;
                for k in wanted {
                    let best = of_indices(solution.cost(k, last), solution.path(k, last))?;
                    found.push((k, best));
                }
            }
            found.sort_by_key(|&(k, _)| k);
            Ok(found.into_iter().map(|(_, best)| best).collect())
        }
    }
}

/// Whether the sampler's last step but one of a path is of lower order than the others, and would not be for want of nodes.
pub(crate) fn last_but_one_is_lower(sampler: Sampler, steps: usize) -> bool {
    let has_nodes = steps >= 2 + sampler.looks_back();
    has_nodes && sampler.looks_back_at(steps, 2) < sampler.looks_back()
}

/// The nodes among which the best paths of a sampler can be sought at most.
pub fn most_nodes(sampler: Sampler) -> usize {
    if sampler.looks_back() < 2 {
        second_order::MAX_NODES
    } else {
        third_order::MAX_NODES
    }
}

/// Refuses more of them.
pub(crate) fn check_nodes(sampler: Sampler, last: usize) -> Result<()> {
    let most = most_nodes(sampler);
    if last <= most {
        return Ok(());
    }
    let expected = format!("at most {most} for {sampler}");
    Err(Invalid::field("nodes of the grid", expected, last).into())
}

/// A cost whose last step but one may look back on one node less.
pub(crate) struct LastButOne<'a, F> {
    pub(crate) cost: &'a F,
    pub(crate) lower: bool,
}

impl<F: Fn(Before, usize, usize) -> f64 + Sync> QuadrupleCost for LastButOne<'_, F> {
    fn cost(&self, before: Before, t: usize, s: usize) -> f64 {
        (self.cost)(before, t, s)
    }

    fn last_but_one(&self, before: Before, t: usize, s: usize) -> Option<f64> {
        (self.lower && before[1].is_some()).then(|| (self.cost)([before[0], None], t, s))
    }
}
