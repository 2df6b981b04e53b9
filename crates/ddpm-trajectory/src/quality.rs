//! What a step costs the quality of samples, and the paths that cost least.

use ddpm_core::{CoefficientKind, LinearStep, NoiseSchedule, Sampler, TimePath};
use ddpm_dp::second_order;
use ddpm_schedule::{Budgets, TrajectoryKind};

use crate::cheapest::cheapest;
use crate::error::{Invalid, Result};
use crate::gram::Gram;
use crate::growth::GrowthCurve;
use crate::store::Trajectories;

/// How local errors are turned into costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighting {
    /// Whether errors are weighted with how much they grow until time 0.
    pub growth: bool,
    /// Costs are this power of the weighted errors: 2 adds squares, as if errors were independent; 1 adds norms, as if all had one
    /// direction.
    pub power: f64,
    /// For two-step solvers: the error is also weighted with this power of 1 + 1/(2r), the factor with which the step multiplies what
    /// is wrong with the estimate at its node, r being the ratio of the previous step to this one in log-SNR.
    pub extrapolation: f64,
}

impl Default for Weighting {
    /// Mean squares with growth: what linearised, independent errors add up to.
    fn default() -> Self {
        Self {
            growth: true,
            power: 2.0,
            extrapolation: 0.0,
        }
    }
}

impl Weighting {
    /// The weightings whose best paths are worth running, the default first: which of them predicts best depends on the number of
    /// steps, on whether errors add up coherently and on how far linearisation holds.
    pub fn candidates(solver: Sampler) -> [Self; 4] {
        let of = |power, growth, extrapolation| Self {
            growth,
            power,
            extrapolation,
        };
        match solver {
            Sampler::Ddim => [
                of(2.0, true, 0.0),
                of(1.0, true, 0.0),
                of(2.0, false, 0.0),
                of(1.0, false, 0.0),
            ],
            _ => [
                of(2.0, true, 0.0),
                of(1.0, true, 0.0),
                of(2.0, true, 1.0),
                of(1.0, true, 1.0),
            ],
        }
    }
}

/// The largest 1 + 1/(2r) of a step that is thought sensible.
const MOST_EXTRAPOLATION: f64 = 3.0;

/// 1 + 1/(2r) of a two-step solver's step, 1 of any other: 1 + 1/(2r) and -1/(2r) are the weights of the two estimates.
fn extrapolation(step: &LinearStep) -> f64 {
    if step.from_previous == 0.0 {
        1.0
    } else {
        step.from_xhat0 / (step.from_xhat0 + step.from_previous)
    }
}

/// Whether there are paths of so many steps between the nodes of a grid, which for two-step solvers is no matter of course: a step
/// must not extrapolate too far. Nothing is measured; what this lets pass every [`QualityModel`] of this grid can choose.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for more steps than the grid has nodes, and where there is no path.
///
/// # Panics
/// If the grid ends beyond the schedule.
pub fn check_reachable(
    schedule: &NoiseSchedule,
    grid: &TimePath,
    solver: Sampler,
    steps: &[usize],
) -> Result<()> {
    let nodes = grid.nodes();
    let max = grid.steps();
    Budgets::Only(steps.to_vec()).wanted(max)?;
    let Some(&most) = steps.iter().max().filter(|_| solver != Sampler::Ddim) else {
        return Ok(());
    };
    let free = |previous: Option<usize>, t: usize, s: usize| {
        let before = previous.map(|p| nodes[p]);
        let step = solver.flow_step(schedule, before, nodes[t], nodes[s]);
        if extrapolation(&step) > MOST_EXTRAPOLATION {
            f64::INFINITY
        } else {
            0.0
        }
    };
    let solution = second_order::solve(max, Some(most), &free)?;
    match steps.iter().find(|&&k| solution.path(k, max).is_none()) {
        None => Ok(()),
        Some(&steps) => {
            let end = grid.end();
            Err(Invalid::Unreachable { steps, end }.into())
        }
    }
}

/// Local errors on a reference trajectory and their growth.
#[derive(Clone, Debug)]
pub struct QualityModel {
    schedule: NoiseSchedule,
    /// With node 0: index i is the i-th node.
    nodes: Vec<usize>,
    gram: Gram,
    /// Per solver of [`Sampler::ALL`], log of the growth from each node on.
    log_growth: Vec<Vec<f64>>,
}

impl QualityModel {
    /// A model of these trajectories.
    ///
    /// # Errors
    /// [`Error::Schedule`](crate::Error::Schedule) for trajectories of another process than the flow.
    pub fn new(trajectories: &Trajectories) -> Result<Self> {
        if trajectories.origin().kind != TrajectoryKind::Flow {
            let why = "objective quality: expected trajectories of the probability flow, found those of the forward process";
            return Err(Invalid::Unsupported(why.into()).into());
        }
        let schedule = trajectories.schedule().clone();
        let nodes: Vec<usize> = std::iter::once(0)
            .chain(trajectories.nodes().iter().copied())
            .collect();
        let log_growth = Sampler::ALL
            .iter()
            .map(|&solver| {
                let curve = GrowthCurve::new(
                    trajectories.growth(),
                    solver,
                    CoefficientKind::Solver,
                    &schedule,
                );
                nodes.iter().map(|&t| curve.log(&schedule, t)).collect()
            })
            .collect();
        Ok(Self {
            gram: trajectories.gram(),
            schedule,
            nodes,
            log_growth,
        })
    }

    /// Timesteps of the nodes that paths may visit, with 0.
    pub fn nodes(&self) -> &[usize] {
        &self.nodes
    }

    /// The growth of an error at node index `i` until time 0.
    pub fn growth(&self, solver: Sampler, i: usize) -> f64 {
        let at = Sampler::ALL.iter().position(|&s| s == solver);
        at.map_or(1.0, |at| libm::exp(self.log_growth[at][i]))
    }

    /// The cost of the step between node indices, as [`ddpm_dp::second_order::TripleCost`] asks for it; `previous` does not matter to
    /// DDIM. `+inf` for an extrapolation beyond what is sensible (r below 1/4).
    pub fn cost(
        &self,
        solver: Sampler,
        weighting: Weighting,
        previous: Option<usize>,
        t: usize,
        s: usize,
    ) -> f64 {
        let (before, from, to) = (
            previous.map(|p| self.nodes[p]),
            self.nodes[t],
            self.nodes[s],
        );
        let step = solver.flow_step(&self.schedule, before, from, to);
        let errors = self.gram.squared_errors(&step, previous.unwrap_or(0), t, s);
        let mut square = errors.iter().sum::<f64>() / errors.len() as f64;
        if weighting.growth {
            let growth = self.growth(solver, s);
            square *= growth * growth;
        }
        let weight = extrapolation(&step);
        if weight > MOST_EXTRAPOLATION {
            return f64::INFINITY;
        }
        square *= libm::pow(weight * weight, weighting.extrapolation);
        libm::pow(square, 0.5 * weighting.power)
    }

    /// The cost of a path, or `None` if it visits nodes that are not of the grid.
    pub fn path_cost(&self, solver: Sampler, weighting: Weighting, path: &TimePath) -> Option<f64> {
        let indices: Option<Vec<usize>> = path
            .nodes()
            .iter()
            .map(|t| self.nodes.binary_search(t).ok())
            .collect();
        let cost = |p: Option<usize>, t: usize, s: usize| self.cost(solver, weighting, p, t, s);
        indices.map(|nodes| second_order::path_cost(&cost, &nodes))
    }

    /// The cheapest paths from the last node of the grid to 0, K = 1..=`max_steps`: cost and path in timesteps, `None` where there is none.
    pub(super) fn solve(
        &self,
        solver: Sampler,
        weighting: Weighting,
        max_steps: usize,
    ) -> Result<Vec<Option<(f64, TimePath)>>> {
        let cost = |p: Option<usize>, t: usize, s: usize| self.cost(solver, weighting, p, t, s);
        cheapest(solver, &self.schedule, &self.nodes, max_steps, &cost)
    }

    /// The cheapest path of `steps` steps and its cost.
    ///
    /// # Errors
    /// [`Error::Schedule`](crate::Error::Schedule) for more steps than the grid has nodes, and where there is no path.
    pub fn best_paths(
        &self,
        solver: Sampler,
        weighting: Weighting,
        steps: &[usize],
    ) -> Result<Vec<(f64, TimePath)>> {
        let max = self.nodes.len() - 1;
        Budgets::Only(steps.to_vec()).wanted(max)?;
        let Some(&most) = steps.iter().max() else {
            return Ok(Vec::new());
        };
        let optima = self.solve(solver, weighting, most)?;
        steps
            .iter()
            .map(|&k| {
                let end = self.schedule.train_steps();
                let best = optima[k - 1].clone();
                Ok(best.ok_or(Invalid::Unreachable { steps: k, end })?)
            })
            .collect()
    }

    /// For each number of steps the best paths under the weightings of [`Weighting::candidates`], without repetitions.
    ///
    /// # Errors
    /// As [`QualityModel::best_paths`].
    pub fn candidates(&self, solver: Sampler, steps: &[usize]) -> Result<Vec<Vec<TimePath>>> {
        let mut found = vec![Vec::new(); steps.len()];
        for weighting in Weighting::candidates(solver) {
            let best = self.best_paths(solver, weighting, steps)?;
            for (found, (_, path)) in found.iter_mut().zip(best) {
                if !found.contains(&path) {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }
}
