//! What a step costs the quality of samples, and the paths that cost least.

use ddpm_core::{CoefficientKind, LinearStep, NoiseSchedule, Sampler, TimePath};
use ddpm_dp::third_order;
use ddpm_schedule::{Budgets, TrajectoryKind};

use crate::cheapest::{LastButOne, cheapest, check_nodes, last_but_one_is_lower};
use crate::error::{Invalid, Result};
use crate::gram::Gram;
use crate::grid_steps::{Before, GridSteps};
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
    /// For solvers that extrapolate: the error is also weighted with this power of how much the step multiplies what is wrong with its
    /// estimates, of DPM-Solver++(2M) 1 + 1/(2r), the weight of the estimate at its node, r being the ratio of the previous step to this one
    /// in log-SNR; of DPM-Solver++(3M) what the same sum of absolute weights would be there.
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
            // Those of iPNDM weigh estimates alike, whatever the nodes.
            Sampler::Ddim | Sampler::Ipndm => [
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

/// The largest extrapolation of a step of two or three nodes that is thought sensible. Three equal steps have 2.3, steps that double 4.2.
const MOST_EXTRAPOLATION: [f64; 2] = [3.0, 5.0];

/// How much a step multiplies what is wrong with its estimates: half of one more than the sum of their absolute weights, which weigh 1 together.
/// Of DPM-Solver++(2M) that is the weight of the estimate at t, 1 + 1/(2r). 1 where no estimate before is used, and for iPNDM, whose weights
/// do not depend on the nodes.
fn extrapolation(sampler: Sampler, step: &LinearStep) -> f64 {
    let [near, far] = step.from_history;
    let all = step.from_xhat0 + near + far;
    match (near, far) {
        _ if sampler == Sampler::Ipndm => 1.0,
        (0.0, 0.0) => 1.0,
        (_, 0.0) => step.from_xhat0 / all,
        _ => 0.5 * (1.0 + (step.from_xhat0.abs() + near.abs() + far.abs()) / all.abs()),
    }
}

/// Whether a step extrapolates farther than is thought sensible.
fn extrapolates_too_far(sampler: Sampler, step: &LinearStep) -> bool {
    let most = MOST_EXTRAPOLATION[usize::from(step.from_history[1] != 0.0)];
    extrapolation(sampler, step) > most
}

/// Whether there are paths of so many steps between the nodes of a grid, which for multistep solvers is no matter of course: a step
/// must not extrapolate too far. Nothing is measured; what this lets pass every [`QualityModel`] of this grid can choose.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for more steps than the grid has nodes, for more nodes than can be solved for a sampler that
/// looks back on two of them, and where there is no path.
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
    check_nodes(solver, max)?;
    let extrapolates = !matches!(solver, Sampler::Ddim | Sampler::Ipndm);
    let Some(&most) = steps.iter().max().filter(|_| extrapolates) else {
        return Ok(());
    };
    let of_grid = GridSteps::new(schedule, nodes);
    let free = |before: Before, t: usize, s: usize| {
        let step = of_grid.step(solver, before, t, s);
        if extrapolates_too_far(solver, &step) {
            f64::INFINITY
        } else {
            0.0
        }
    };
    let paths = cheapest(solver, schedule, nodes, most, true, &free)?;
    match steps.iter().find(|&&k| paths[k - 1].is_none()) {
        None => Ok(()),
        Some(&steps) => {
            let end = grid.end();
            Err(Invalid::Unreachable { steps, end }.into())
        }
    }
}

/// A cost that is this power of the root of a square.
pub(crate) fn raised(square: f64, power: f64) -> f64 {
    // Exact, and most of what is asked for.
    if power == 2.0 {
        square
    } else {
        libm::pow(square, 0.5 * power)
    }
}

/// Local errors on a reference trajectory and their growth.
#[derive(Clone, Debug)]
pub struct QualityModel {
    schedule: NoiseSchedule,
    /// With node 0: index i is the i-th node.
    nodes: Vec<usize>,
    steps: GridSteps,
    gram: Gram,
    /// Per solver of [`Sampler::ALL`], the growth from each node on.
    growth: Vec<Vec<f64>>,
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
        let growth = Sampler::ALL
            .iter()
            .map(|&solver| {
                let curve = GrowthCurve::new(
                    trajectories.growth(),
                    solver,
                    CoefficientKind::Solver,
                    &schedule,
                );
                nodes
                    .iter()
                    .map(|&t| libm::exp(curve.log(&schedule, t)))
                    .collect()
            })
            .collect();
        Ok(Self {
            gram: trajectories.gram(),
            steps: GridSteps::new(&schedule, &nodes),
            schedule,
            nodes,
            growth,
        })
    }

    /// Timesteps of the nodes that paths may visit, with 0.
    pub fn nodes(&self) -> &[usize] {
        &self.nodes
    }

    /// The growth of an error at node index `i` until time 0.
    pub fn growth(&self, solver: Sampler, i: usize) -> f64 {
        let at = Sampler::ALL.iter().position(|&s| s == solver);
        at.map_or(1.0, |at| self.growth[at][i])
    }

    /// The mean square, over images and dimensions, of the error of one step of a sampler on the reference: it begins at the reference's state at
    /// node index `t`, and what it makes of it is compared with the reference's state at index `s` < `t`. `before` are the indices of the
    /// nodes before `t`, the nearest first; a sampler looks at as many as it uses.
    ///
    /// # Panics
    /// If an index is above N, or they are not in order.
    pub fn squared_error(
        &self,
        solver: Sampler,
        before: [Option<usize>; 2],
        t: usize,
        s: usize,
    ) -> f64 {
        let step = self.steps.step(solver, before, t, s);
        self.error_of(solver, &step, before, t, s)
    }

    fn error_of(
        &self,
        solver: Sampler,
        step: &LinearStep,
        before: Before,
        t: usize,
        s: usize,
    ) -> f64 {
        let n = self.gram.nodes();
        let mut terms = [(0, 0.0); 7];
        terms[0] = (t - 1, step.from_x_t);
        terms[1] = (n + t - 1, step.from_xhat0);
        terms[2] = (if s == 0 { n } else { s - 1 }, -1.0);
        let mut count = 3;
        for (weight, p) in step.from_history.into_iter().zip(before) {
            let Some(p) = p.filter(|_| weight != 0.0) else {
                continue;
            };
            let [of_state, of_estimate] = self.steps.remembered(solver, p);
            terms[count] = (n + p - 1, weight * of_estimate);
            count += 1;
            if of_state != 0.0 {
                terms[count] = (p - 1, weight * of_state);
                count += 1;
            }
        }
        self.gram.mean_square(&terms[..count])
    }

    /// The cost of the step between node indices; `before` as in [`squared_error`](Self::squared_error). `+inf` for an extrapolation beyond
    /// what is sensible (of two-step solvers r below 1/4).
    pub fn cost(
        &self,
        solver: Sampler,
        weighting: Weighting,
        before: [Option<usize>; 2],
        t: usize,
        s: usize,
    ) -> f64 {
        let step = self.steps.step(solver, before, t, s);
        if extrapolates_too_far(solver, &step) {
            return f64::INFINITY;
        }
        let mut square = self.error_of(solver, &step, before, t, s);
        if weighting.growth {
            let growth = self.growth(solver, s);
            square *= growth * growth;
        }
        if weighting.extrapolation != 0.0 {
            let weight = extrapolation(solver, &step);
            square *= libm::pow(weight * weight, weighting.extrapolation);
        }
        raised(square, weighting.power)
    }

    /// The cost of a path, or `None` if it visits nodes that are not of the grid.
    pub fn path_cost(&self, solver: Sampler, weighting: Weighting, path: &TimePath) -> Option<f64> {
        let at = |t: &usize| self.nodes.binary_search(t).ok();
        let indices: Option<Vec<usize>> = path.nodes().iter().map(at).collect();
        let cost = |before: Before, t: usize, s: usize| self.cost(solver, weighting, before, t, s);
        let lower = last_but_one_is_lower(solver, path.steps());
        let cost = LastButOne { cost: &cost, lower };
        indices.map(|nodes| third_order::path_cost(&cost, &nodes))
    }

    /// The cheapest paths from the last node of the grid to 0, K = 1..=`max_steps`: cost and path in timesteps, `None` where there is none.
    pub(super) fn solve(
        &self,
        solver: Sampler,
        weighting: Weighting,
        max_steps: usize,
    ) -> Result<Vec<Option<(f64, TimePath)>>> {
        let cost = |before: Before, t: usize, s: usize| self.cost(solver, weighting, before, t, s);
        let (schedule, nodes) = (&self.schedule, &self.nodes);
        cheapest(solver, schedule, nodes, max_steps, true, &cost)
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
