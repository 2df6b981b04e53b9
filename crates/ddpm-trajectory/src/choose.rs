//! Schedules chosen on trajectories.

use ddpm_core::{FlowSolver, Path};
use ddpm_dp::{SolveOptions, solve};

use super::klub::klub;
use super::quality::{QualityModel, Weighting};
use super::store::{Process, Trajectories, Trial};
use crate::error::{Error, Result};
use crate::schedules::{Budgets, OnTrajectories, Schedules};

/// Schedules whose samples end close to where the probability flow takes the same starts, for one sampler.
///
/// Every budget is solved exactly under the default [`Weighting`] (costs are mean squared local errors times squared growth, per
/// dimension). Where the trajectories hold trials of a budget, the path that came closest to the reference is taken instead, which is
/// what linearised errors cannot tell at few steps; its distance is stored.
///
/// # Errors
/// [`Error::Field`] for what an interrupted run has kept, [`Error::Unsupported`] for trajectories of the forward process, [`Error::Steps`] for more steps than the grid has nodes,
/// [`Error::Unreachable`].
pub fn choose_quality(
    trajectories: &Trajectories,
    sampler: FlowSolver,
    budgets: Budgets<'_>,
) -> Result<Schedules> {
    trajectories.check_finished()?;
    let growth = trajectories.growth();
    if !growth.is_empty() && !growth.iter().any(|point| sampler.is_named(&point.sampler)) {
        let mut names: Vec<&str> = growth.iter().map(|point| &point.sampler[..]).collect();
        names.dedup();
        return Err(Error::Field {
            field: "growth of errors".into(),
            expected: format!("measured for {sampler}"),
            found: format!("measured for {}", names.join(", ")),
        });
    }
    let model = QualityModel::new(trajectories)?;
    let most = trajectories.nodes().len();
    let wanted = wanted(budgets, most)?;
    let optima = model.solve(sampler, Weighting::default(), most)?;
    let mut chosen = Vec::new();
    for k in wanted {
        let exact = optima.best[k - 1].clone();
        let tried = best_trial(trajectories.trials(), sampler, k);
        let budget = match (tried, exact) {
            (Some(trial), _) => {
                let path = Path::new(trial.path.clone(), trajectories.schedule().train_steps())?;
                let cost = model.path_cost(sampler, Weighting::default(), &path);
                let cost = cost
                    .filter(|cost| cost.is_finite())
                    .ok_or_else(|| Error::Field {
                        field: format!("trial of {k} steps with {sampler}"),
                        expected: "a path over nodes of the grid whose steps extrapolate at most threefold"
                            .into(),
                        found: path.to_string(),
                    })?;
                (cost, path, Some(trial.rms()))
            }
            (None, Some((cost, path))) => (cost, path, None),
            (None, None) if matches!(budgets, Budgets::All) => continue,
            (None, None) => {
                return Err(Error::Unreachable {
                    steps: k,
                    end: trajectories.schedule().train_steps(),
                });
            }
        };
        chosen.push(budget);
    }
    Schedules::on_trajectories(OnTrajectories {
        origin: trajectories.origin(),
        schedule: trajectories.schedule(),
        objective: "quality",
        unit: "weighted squared error",
        sampler: Some(sampler),
        costs: padded(
            optima
                .best
                .iter()
                .map(|best| best.as_ref().map(|(cost, _)| *cost)),
            trajectories.schedule().train_steps(),
        ),
        budgets: chosen,
    })
}

/// Schedules that minimise the KLUB bound of *Align Your Steps* ([`klub`]), on trajectories of the forward process.
///
/// # Errors
/// [`Error::Unsupported`] for trajectories of the flow, [`Error::Steps`] for more steps than the grid has nodes.
pub fn choose_klub(trajectories: &Trajectories, budgets: Budgets<'_>) -> Result<Schedules> {
    trajectories.check_finished()?;
    if trajectories.origin().process != Process::Forward {
        return Err(Error::Unsupported(
            "objective klub: expected trajectories of the forward process, found those of the probability flow".into(),
        ));
    }
    let (nodes, schedule) = (trajectories.nodes(), trajectories.schedule());
    let last = nodes.len();
    let wanted = wanted(budgets, last)?;
    let table = klub(&trajectories.gram(), schedule, nodes)?;
    let solution = solve(&table, &SolveOptions::default())?;
    let path = |k: usize| -> Result<(f64, Path, Option<f64>)> {
        let indices = solution.path(&table, k, last).ok_or(Error::Unreachable {
            steps: k,
            end: schedule.train_steps(),
        })?;
        let timestep = |&i: &usize| if i == 0 { 0 } else { nodes[i - 1] };
        let timesteps: Vec<usize> = indices.iter().map(timestep).collect();
        Ok((
            solution.cost(k, last),
            Path::new(timesteps, schedule.train_steps())?,
            None,
        ))
    };
    Schedules::on_trajectories(OnTrajectories {
        origin: trajectories.origin(),
        schedule,
        objective: "klub",
        unit: "nats/dim",
        sampler: None,
        costs: padded(
            (1..=last).map(|k| Some(solution.cost(k, last))),
            schedule.train_steps(),
        ),
        budgets: wanted.into_iter().map(path).collect::<Result<_>>()?,
    })
}

/// The budgets asked for; all means as many steps as there are nodes.
fn wanted(budgets: Budgets<'_>, most: usize) -> Result<Vec<usize>> {
    match budgets {
        Budgets::All => Ok((1..=most).collect()),
        Budgets::Only(list) => match list.iter().find(|&&k| !(1..=most).contains(&k)) {
            Some(&found) => Err(Error::Steps { max: most, found }),
            None => Ok(list.to_vec()),
        },
    }
}

/// The path of so many steps whose samples came closest.
fn best_trial(trials: &[Trial], sampler: FlowSolver, steps: usize) -> Option<&Trial> {
    trials
        .iter()
        .filter(|trial| sampler.is_named(&trial.sampler) && trial.steps() == steps)
        .min_by(|a, b| a.rms().total_cmp(&b.rms()))
}

/// One entry per number of steps up to T; there is no path of more steps than nodes.
fn padded(costs: impl Iterator<Item = Option<f64>>, train_steps: usize) -> Vec<Option<f64>> {
    let finite = costs.map(|cost| cost.filter(|cost| cost.is_finite()));
    finite
        .chain(std::iter::repeat(None))
        .take(train_steps)
        .collect()
}
