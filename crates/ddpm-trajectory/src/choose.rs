//! Schedules chosen on trajectories.

use ddpm_core::{DecoderKind, MeanKind, Objective, Sampler, TimePath, VarianceKind};
use ddpm_dp::{SolveOptions, solve};
use ddpm_schedule::{Budgets, Chosen, Schedule, Schedules, Scoring, TrajectoryKind};

use crate::error::{Invalid, Result};
use crate::klub::klub;
use crate::quality::{QualityModel, Weighting};
use crate::store::{Trajectories, Trial};

/// Schedules whose samples end close to where the probability flow takes the same starts, for one sampler.
///
/// Every budget is solved exactly under the default [`Weighting`] (costs are mean squared local errors times squared growth, per
/// dimension). Where the trajectories hold trials of a budget, the path that came closest to the reference is taken instead, which is
/// what linearised errors cannot tell at few steps; its distance is stored.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for what an interrupted run has kept, for trajectories of the forward process, for more
/// steps than the grid has nodes, and where there is no path.
pub fn choose_quality(
    trajectories: &Trajectories,
    sampler: Sampler,
    budgets: &Budgets,
) -> Result<Schedules> {
    trajectories.check_finished()?;
    let growth = trajectories.growth();
    if !growth.is_empty() && !growth.iter().any(|point| point.sampler == sampler) {
        let mut names: Vec<&str> = growth.iter().map(|point| point.sampler.name()).collect();
        names.dedup();
        let measured = |names: &str| format!("measured for {names}");
        let (expected, found) = (measured(sampler.name()), measured(&names.join(", ")));
        return Err(Invalid::field("growth of errors", expected, found).into());
    }
    let model = QualityModel::new(trajectories)?;
    let most = trajectories.nodes().len();
    let wanted = budgets.wanted(most)?;
    let optima = model.solve(sampler, Weighting::default(), most)?;
    let mut chosen = Vec::new();
    for k in wanted {
        let exact = optima[k - 1].clone();
        let tried = best_trial(trajectories.trials(), sampler, k);
        let budget = match (tried, exact) {
            (Some(trial), _) => {
                let path =
                    TimePath::new(trial.path.clone(), trajectories.schedule().train_steps())?;
                let cost = model.path_cost(sampler, Weighting::default(), &path);
                let expected =
                    "a path over nodes of the grid whose steps extrapolate at most threefold";
                let cost = cost.filter(|cost| cost.is_finite()).ok_or_else(|| {
                    let field = format!("trial of {k} steps with {sampler}");
                    Invalid::field(field, expected, &path)
                })?;
                (cost, path, Some(trial.rms()))
            }
            (None, Some((cost, path))) => (cost, path, None),
            (None, None) if matches!(budgets, Budgets::All) => continue,
            (None, None) => {
                let end = trajectories.schedule().train_steps();
                return Err(Invalid::Unreachable { steps: k, end }.into());
            }
        };
        chosen.push(budget);
    }
    let costs = optima
        .iter()
        .map(|best| best.as_ref().map(|(cost, _)| *cost));
    schedules(
        trajectories,
        Objective::Quality,
        Some(sampler),
        costs,
        chosen,
    )
}

/// Schedules that minimise the KLUB bound of *Align Your Steps* ([`klub`]), on trajectories of the forward process.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for trajectories of the flow, and for more steps than the grid has nodes.
pub fn choose_klub(trajectories: &Trajectories, budgets: &Budgets) -> Result<Schedules> {
    trajectories.check_finished()?;
    if trajectories.origin().kind != TrajectoryKind::Forward {
        let why = "objective klub: expected trajectories of the forward process, found those of the probability flow";
        return Err(Invalid::Unsupported(why.into()).into());
    }
    let (nodes, schedule) = (trajectories.nodes(), trajectories.schedule());
    let last = nodes.len();
    let wanted = budgets.wanted(last)?;
    let table = klub(&trajectories.gram(), schedule, nodes)?;
    let solution = solve(&table, &SolveOptions::default())?;
    let path = |k: usize| -> Result<(f64, TimePath, Option<f64>)> {
        let indices = solution.path(&table, k, last).ok_or(Invalid::Unreachable {
            steps: k,
            end: schedule.train_steps(),
        })?;
        let timestep = |&i: &usize| if i == 0 { 0 } else { nodes[i - 1] };
        let timesteps: Vec<usize> = indices.iter().map(timestep).collect();
        Ok((
            solution.cost(k, last),
            TimePath::new(timesteps, schedule.train_steps())?,
            None,
        ))
    };
    let costs = (1..=last).map(|k| Some(solution.cost(k, last)));
    let chosen = wanted.into_iter().map(path).collect::<Result<_>>()?;
    schedules(trajectories, Objective::Klub, None, costs, chosen)
}

/// The schedules with the fixed-small variances of their paths, for those who sample with noise.
///
/// `costs`: of K = 1, 2, .. steps; `chosen`: cost, path, and distance if it was measured.
fn schedules(
    trajectories: &Trajectories,
    objective: Objective,
    sampler: Option<Sampler>,
    costs: impl Iterator<Item = Option<f64>>,
    chosen: Vec<(f64, TimePath, Option<f64>)>,
) -> Result<Schedules> {
    let model = &trajectories.origin().model;
    let noise_schedule = trajectories.schedule().clone();
    let noise_schedule = match model.noise_schedule {
        Some(name) => noise_schedule.called(name)?,
        None => noise_schedule,
    };
    let scoring = Scoring::new(VarianceKind::FixedSmall)
        .with_decoder(DecoderKind::None)
        .with_objective(objective)
        .with_mean(MeanKind::of_calibrated(trajectories.means().is_some()));
    let budget = |(cost, path, distance)| -> Result<Chosen> {
        let mut schedule = Schedule::of_path(&noise_schedule, path, &scoring)?;
        if let Some(means) = trajectories.means() {
            schedule = schedule.with_means(means)?;
        }
        Ok(Chosen {
            schedule: Schedule {
                sampler: sampler.unwrap_or(schedule.sampler),
                ..schedule
            },
            cost,
            prior_bpd: None,
            stability: None,
            distance,
        })
    };
    Ok(Schedules {
        costs: padded(costs, noise_schedule.train_steps()),
        budgets: chosen.into_iter().map(budget).collect::<Result<_>>()?,
        noise_schedule,
        scoring,
        sampler,
        clip_denoised: Some(model.clip_denoised),
        parameterization: model.parameterization,
        provenance: None,
        trajectories: Some(trajectories.origin().clone()),
    })
}

/// The path of so many steps whose samples came closest.
fn best_trial(trials: &[Trial], sampler: Sampler, steps: usize) -> Option<&Trial> {
    trials
        .iter()
        .filter(|trial| trial.sampler == sampler && trial.steps() == steps)
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
