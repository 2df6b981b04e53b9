//! Schedules chosen on trajectories.

use ddpm_core::{
    CoefficientKind, MeanKind, NoiseSchedule, Objective, Sampler, StepCoefficients, TimePath,
};
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
        names.sort_unstable();
        names.dedup();
        let expected = format!("measured for {sampler}");
        let found = format!("measured for {}", names.join(", "));
        return Err(Invalid::field("growth of errors", expected, found).into());
    }
    let model = QualityModel::new(trajectories)?;
    let most = trajectories.nodes().len();
    let wanted = budgets.wanted(most)?;
    let optima = model.solve(sampler, Weighting::default(), most)?;
    let mut chosen = Vec::new();
    for k in wanted {
        let exact = optima[k - 1].clone();
        let tried = best_trial(trajectories.trials(), sampler, CoefficientKind::Solver, k);
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
                Found {
                    cost,
                    path,
                    fitted: Vec::new(),
                    distance: Some(trial.rms()),
                }
            }
            (None, Some((cost, path))) => Found {
                cost,
                path,
                fitted: Vec::new(),
                distance: None,
            },
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
    let of = Some((sampler, CoefficientKind::Solver));
    schedules(trajectories, Objective::Quality, of, costs, chosen)
}

/// The coefficients to take where nobody says: of those with which every number of steps was tried, the kind whose trials ended closest to
/// the reference (the mean of the logarithms of their distances); the sampler's own where nothing was taught.
///
/// Taught trials are judged on images that their coefficients do not know, so that no kind wins by its number of coefficients.
pub fn closest_coefficients(
    trajectories: &Trajectories,
    sampler: Sampler,
    budgets: &Budgets,
) -> CoefficientKind {
    let distance = |kind: CoefficientKind, steps: usize| {
        best_trial(trajectories.trials(), sampler, kind, steps).map(|trial| libm::log(trial.rms()))
    };
    let steps: Vec<usize> = match budgets {
        Budgets::Only(list) => list.clone(),
        Budgets::All => trajectories.taught_steps(sampler),
    };
    let mean = |kind: CoefficientKind| -> Option<f64> {
        let logs: Option<Vec<f64>> = steps.iter().map(|&k| distance(kind, k)).collect();
        let logs = logs.filter(|logs| !logs.is_empty())?;
        Some(logs.iter().sum::<f64>() / logs.len() as f64)
    };
    let tried = CoefficientKind::ALL
        .iter()
        .filter_map(|&kind| Some((kind, mean(kind)?)));
    // The first of equals: those of the sampler.
    tried
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(CoefficientKind::Solver, |(kind, _)| kind)
}

/// The same with coefficients that were fitted: the paths and the steps of the trajectories' trials.
///
/// Only what was taught on the sampler's own states is offered. Coefficients that fit the reference's end farther from it than the sampler's own
/// ([`FittedModel`](crate::FittedModel) prices paths with them, which is another matter).
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for what an interrupted run has kept, and for a number of steps that was not tried with these
/// coefficients.
pub fn choose_fitted(
    trajectories: &Trajectories,
    sampler: Sampler,
    coefficients: CoefficientKind,
    budgets: &Budgets,
) -> Result<Schedules> {
    trajectories.check_finished()?;
    let of_kind = |trial: &&Trial| (trial.sampler, trial.coefficients) == (sampler, coefficients);
    let mut tried: Vec<usize> = trajectories
        .trials()
        .iter()
        .filter(of_kind)
        .map(Trial::steps)
        .collect();
    tried.sort_unstable();
    let wanted = match budgets {
        Budgets::All => tried.clone(),
        Budgets::Only(list) => list.clone(),
    };
    let missing = wanted.iter().find(|k| !tried.contains(k)).copied();
    if let Some(steps) = missing.or_else(|| tried.is_empty().then_some(0)) {
        let field = match steps {
            0 => format!("trials of {sampler} with {coefficients} coefficients"),
            k => format!("trial of {k} steps of {sampler} with {coefficients} coefficients"),
        };
        let found = match &tried[..] {
            [] => "none".to_owned(),
            list => {
                let list: Vec<String> = list.iter().map(usize::to_string).collect();
                format!("those of K = {}", list.join(", "))
            }
        };
        return Err(Invalid::field(field, "steps that were taught", found).into());
    }
    let train_steps = trajectories.schedule().train_steps();
    let mut chosen = Vec::new();
    let mut costs = vec![None; train_steps];
    for k in wanted {
        let Some(trial) = best_trial(trajectories.trials(), sampler, coefficients, k) else {
            continue;
        };
        // What a path costs is what it was found to be off by.
        let cost = trial.rms().powi(2);
        costs[k - 1] = Some(cost);
        chosen.push(Found {
            cost,
            path: TimePath::new(trial.path.clone(), train_steps)?,
            fitted: trial.fitted.clone(),
            distance: Some(trial.rms()),
        });
    }
    let of = Some((sampler, coefficients));
    schedules(
        trajectories,
        Objective::Quality,
        of,
        costs.into_iter(),
        chosen,
    )
}

/// What was chosen for a budget.
struct Found {
    cost: f64,
    path: TimePath,
    /// Of every step; empty for the sampler's own.
    fitted: Vec<StepCoefficients>,
    /// If it was measured.
    distance: Option<f64>,
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
    let path = |k: usize| -> Result<Found> {
        let indices = solution.path(&table, k, last).ok_or(Invalid::Unreachable {
            steps: k,
            end: schedule.train_steps(),
        })?;
        let timestep = |&i: &usize| if i == 0 { 0 } else { nodes[i - 1] };
        let timesteps: Vec<usize> = indices.iter().map(timestep).collect();
        Ok(Found {
            cost: solution.cost(k, last),
            path: TimePath::new(timesteps, schedule.train_steps())?,
            fitted: Vec::new(),
            distance: None,
        })
    };
    let costs = (1..=last).map(|k| Some(solution.cost(k, last)));
    let chosen = wanted.into_iter().map(path).collect::<Result<_>>()?;
    schedules(trajectories, Objective::Klub, None, costs, chosen)
}

/// The schedules with the fixed-small variances of their paths, for those who sample with noise.
///
/// `costs`: of K = 1, 2, .. steps.
fn schedules(
    trajectories: &Trajectories,
    objective: Objective,
    of: Option<(Sampler, CoefficientKind)>,
    costs: impl Iterator<Item = Option<f64>>,
    chosen: Vec<Found>,
) -> Result<Schedules> {
    let (noise_schedule, scoring) = frame(trajectories, objective)?;
    let (sampler, coefficients) = of.unzip();
    let coefficients = coefficients.unwrap_or_default();
    let budget = |found: Found| -> Result<Chosen> {
        let mut schedule = Schedule::of_path(&noise_schedule, found.path, &scoring)?;
        if let Some(means) = trajectories.means() {
            schedule = schedule.with_means(means)?;
        }
        if found.fitted.iter().any(|step| step.bands() > 1) {
            schedule = schedule.with_bands(trajectories.bands_of_fits()?)?;
        }
        Ok(Chosen {
            schedule: Schedule {
                sampler: sampler.unwrap_or(schedule.sampler),
                coefficients,
                fitted: found.fitted,
                ..schedule
            },
            cost: found.cost,
            prior_bpd: None,
            cost_standard_error: None,
            stability: None,
            distance: found.distance,
        })
    };
    let costs = padded(costs, noise_schedule.train_steps());
    let budgets = chosen.into_iter().map(budget).collect::<Result<_>>()?;
    Ok(Schedules {
        costs,
        budgets,
        noise_schedule,
        scoring,
        sampler,
        coefficients,
        clip_denoised: Some(trajectories.origin().model.clip_denoised),
        parameterization: trajectories.origin().model.parameterization,
        provenance: None,
        trajectories: Some(trajectories.origin().clone()),
    })
}

/// The noise schedule under its name, and the conventions.
fn frame(trajectories: &Trajectories, objective: Objective) -> Result<(NoiseSchedule, Scoring)> {
    let noise_schedule = trajectories.schedule().clone();
    let noise_schedule = match trajectories.origin().model.noise_schedule {
        Some(name) => noise_schedule.called(name)?,
        None => noise_schedule,
    };
    let mean = MeanKind::of_calibrated(trajectories.means().is_some());
    let scoring = Scoring::unscored(mean).with_objective(objective);
    Ok((noise_schedule, scoring))
}

/// A schedules file of one schedule that was chosen by sampling, from candidates of these trajectories: `value` is what it was judged to be
/// worth under `objective`.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for a corrected schedule on trajectories of the network itself, and the other way round.
pub fn chosen_by_sampling(
    trajectories: &Trajectories,
    objective: Objective,
    schedule: Schedule,
    value: f64,
) -> Result<Schedules> {
    let (noise_schedule, scoring) = frame(trajectories, objective)?;
    if schedule.mean() != scoring.mean {
        let (expected, found) = (scoring.mean.to_string(), schedule.mean());
        return Err(Invalid::field("mean of the schedule", expected, found).into());
    }
    let steps = schedule.steps();
    let mut costs = vec![None; noise_schedule.train_steps()];
    costs[steps - 1] = Some(value);
    Ok(Schedules {
        costs,
        sampler: Some(schedule.sampler),
        coefficients: schedule.coefficients,
        budgets: vec![Chosen {
            schedule,
            cost: value,
            prior_bpd: None,
            cost_standard_error: None,
            stability: None,
            distance: None,
        }],
        noise_schedule,
        scoring,
        clip_denoised: Some(trajectories.origin().model.clip_denoised),
        parameterization: trajectories.origin().model.parameterization,
        provenance: None,
        trajectories: Some(trajectories.origin().clone()),
    })
}

/// The path of so many steps whose samples came closest.
fn best_trial(
    trials: &[Trial],
    sampler: Sampler,
    coefficients: CoefficientKind,
    steps: usize,
) -> Option<&Trial> {
    trials
        .iter()
        .filter(|trial| trial.sampler == sampler && trial.coefficients == coefficients)
        .filter(|trial| trial.steps() == steps)
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
