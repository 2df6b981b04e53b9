//! The cheapest path of every budget under a cost model.

use std::f64::consts::LN_2;

use ddpm_core::{CoefficientKind, Objective, StartRule, TimePath, nats_to_bits};
use ddpm_dp::{CostTable, Solution, SolveOptions, Start, solve};
use ddpm_schedule::{Budgets, Chosen, Provenance, Schedules, Scoring};
use rayon::prelude::*;

use crate::cost::CostModel;
use crate::curves::Curves;
use crate::error::{Invalid, Result};
use crate::nodes::Nodes;
use crate::profile::ElboProfile;
use crate::uncertainty::jackknife;

/// The factor from a cost model's costs to the unit of its objective.
pub(crate) fn unit(objective: Objective) -> f64 {
    match objective {
        Objective::Elbo => LN_2,
        _ => 1.0,
    }
}

/// The best schedules of a profile's images, under conventions whose numbers are frozen on these very images.
///
/// # Errors
/// Those of [`Curves::from_profile`], [`Curves::freeze`], [`CostModel::new`] and [`choose`].
pub fn choose_on(profile: &ElboProfile, scoring: &Scoring, budgets: &Budgets) -> Result<Schedules> {
    let curves = Curves::from_profile(profile)?;
    let model = CostModel::new(&curves, curves.freeze(scoring)?)?;
    choose(&model, budgets, Some(profile.provenance()))
}

/// Finds the best path of every budget under `model` and reports those asked for, each re-scored term by term.
///
/// `provenance`: the origin of the curves, where they are those of a profile.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for a budget beyond T, for one without a path of finite cost, and for a free start without a prior term to weigh (mse objective, or an unknown mean square of the data); a noise schedule that is not the one that
/// `provenance` names; errors of the solver.
pub fn choose(
    model: &CostModel<'_>,
    budgets: &Budgets,
    provenance: Option<&Provenance>,
) -> Result<Schedules> {
    let schedule = model.schedule();
    let steps = schedule.train_steps();
    let mut wanted = budgets.wanted(steps)?;
    let told = provenance.map(|p| &p.model);
    let noise_schedule = match told.and_then(|model| model.noise_schedule) {
        Some(name) => schedule.clone().called(name)?,
        None => schedule.clone(),
    };
    let scoring = *model.scoring();
    let optima = Optima::new(model, None)?;
    let terminal = optima.terminal(model, scoring.start)?;
    let per_unit = unit(scoring.objective);
    let end_of = |k: usize| optima.end(k, terminal.as_deref());
    let costs = (1..=steps)
        .map(|k| end_of(k).map(|end| optima.solution.cost(k, end) / per_unit))
        .collect();
    if *budgets == Budgets::All {
        wanted.retain(|&k| end_of(k).is_some());
    }
    let chosen = |&k: &usize| -> Result<Chosen> {
        let path = optima.path(k, terminal.as_deref())?;
        Ok(Chosen {
            cost: model.path_cost(&path) / per_unit,
            prior_bpd: model.prior(path.end()).map(|prior| prior / LN_2),
            schedule: model.schedule_of(path),
            cost_standard_error: None,
            stability: None,
            distance: None,
        })
    };
    Ok(Schedules {
        noise_schedule,
        scoring,
        sampler: None,
        coefficients: CoefficientKind::Solver,
        clip_denoised: told.map(|model| model.clip_denoised),
        parameterization: told.and_then(|model| model.parameterization),
        costs,
        budgets: wanted.par_iter().map(chosen).collect::<Result<_>>()?,
        provenance: provenance.cloned(),
        trajectories: None,
    })
}

/// Schedules that were chosen on a profile, whose curves are given, with the standard errors of their costs: over its blocks of images, the
/// paths and whatever conventions took from the images being fixed. As they are under another objective than the likelihood, where all
/// budgets were asked for, and of fewer than two blocks.
///
/// # Errors
/// Those of [`Curves::from_profile`], [`Curves::freeze`] and [`CostModel::new`].
pub fn with_standard_errors(
    schedules: Schedules,
    profile: &ElboProfile,
    curves: &Curves,
    budgets: &Budgets,
) -> Result<Schedules> {
    let is_elbo = schedules.scoring.objective == Objective::Elbo;
    if !is_elbo || *budgets == Budgets::All || profile.blocks().len() < 2 {
        return Ok(schedules);
    }
    let frozen = curves.freeze(&schedules.scoring)?;
    let estimates = jackknife(profile, |curves| {
        let model = CostModel::new(curves, frozen.clone())?;
        let paths = schedules.budgets.iter().map(|b| &b.schedule.path);
        Ok(paths
            .map(|path| nats_to_bits(model.path_cost(path)))
            .collect())
    })?;
    let errors = estimates.iter().map(|e| e.standard_error).collect();
    Ok(schedules.with_cost_errors(errors)?)
}

/// The table of paths of two steps or more that leave t = 1 last.
fn with_first_node(table: CostTable) -> Result<CostTable> {
    let (cost, first) = (0..=table.train_steps())
        .map(|t| match t {
            0 | 1 => (f64::INFINITY, 0),
            _ => (table.edge(t, 1), 1),
        })
        .unzip();
    Ok(table.with_start(Start { cost, first })?)
}

/// The solved table of a cost model.
pub(crate) struct Optima {
    nodes: Nodes,
    train_steps: usize,
    table: CostTable,
    pub(crate) solution: Solution,
}

impl Optima {
    /// Solves for budgets up to `max_steps`, or for all; under [`Scoring::fixes_first`] over the paths of t_1 = 1, and the one step.
    pub(crate) fn new(model: &CostModel<'_>, max_steps: Option<usize>) -> Result<Self> {
        let all = Nodes::All(model.schedule().train_steps());
        Self::among(all, model, max_steps)
    }

    /// The same over the paths of some timesteps alone.
    pub(crate) fn among(
        nodes: Nodes,
        model: &CostModel<'_>,
        max_steps: Option<usize>,
    ) -> Result<Self> {
        let mut table = model.table_among(&nodes)?;
        if model.scoring().fixes_first() {
            table = with_first_node(table)?;
        }
        let options = SolveOptions {
            max_steps,
            ..SolveOptions::default()
        };
        let solution = solve(&table, &options)?;
        let train_steps = model.schedule().train_steps();
        Ok(Self {
            nodes,
            train_steps,
            table,
            solution,
        })
    }

    /// What it costs to end at each node under a free start; `None` under a full one.
    pub(crate) fn terminal(
        &self,
        model: &CostModel<'_>,
        start: StartRule,
    ) -> Result<Option<Vec<f64>>> {
        if start == StartRule::Full {
            return Ok(None);
        }
        if model.scoring().objective == Objective::Mse {
            let why = "start free: the mse objective has no prior term to weigh the end of a path with; use start full";
            return Err(Invalid::Unsupported(why.into()).into());
        }
        let why = "start free: the mean square of the data is not known, so the prior term is not either; use start full";
        let prior = |i: usize| match i {
            0 => Some(f64::INFINITY),
            _ => model.prior(self.nodes.at(i)),
        };
        let priors = (0..=self.nodes.last()).map(prior).collect();
        let priors: Option<Vec<f64>> = priors;
        match priors {
            None => Err(Invalid::Unsupported(why.into()).into()),
            priors => Ok(priors),
        }
    }

    /// The number of the node that the best path of K steps ends at; `None` if there is none.
    pub(crate) fn end(&self, k: usize, terminal: Option<&[f64]>) -> Option<usize> {
        let last = self.table.train_steps();
        match terminal {
            None => self.solution.cost(k, last).is_finite().then_some(last),
            Some(terminal) => self.solution.best_end(k, terminal).map(|(end, _)| end),
        }
    }

    /// The best path of K steps.
    pub(crate) fn path(&self, k: usize, terminal: Option<&[f64]>) -> Result<TimePath> {
        let end = self.end(k, terminal);
        let numbers = end.and_then(|end| self.solution.path(&self.table, k, end));
        let unreachable = Invalid::Unreachable {
            steps: k,
            end: self.train_steps,
        };
        let numbers = numbers.ok_or(unreachable)?;
        let nodes: Vec<usize> = numbers.into_iter().map(|i| self.nodes.at(i)).collect();
        Ok(TimePath::new(nodes, self.train_steps)?)
    }
}
