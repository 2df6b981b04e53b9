//! The schedules that are worth sampling when the judge is the user's own: exact optima under several weightings, and what others use.

use ddpm_core::{CoefficientKind, NoiseSchedule, Sampler, StepCoefficients, Stride, TimePath};
use ddpm_schedule::TrajectoryKind;

use crate::error::{Invalid, Result};
use crate::gits::Gits;
use crate::quality::{QualityModel, Weighting};
use crate::store::Trajectories;

/// A schedule that may be the best.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What it is: `quality`, `quality, norms`, `fitted`, `even` and so on.
    pub name: String,
    /// The sampler that takes its steps.
    pub sampler: Sampler,
    /// The path.
    pub path: TimePath,
    /// Where the coefficients of the steps come from.
    pub coefficients: CoefficientKind,
    /// Of every step in ascending t; empty for the sampler's own.
    pub fitted: Vec<StepCoefficients>,
    /// Whether it is one of the usual strides, or GITS: what a choice has to beat.
    pub is_rival: bool,
}

/// The candidates of each of these numbers of steps on these trajectories, for every sampler that growth was measured for: the best path of every weighting
/// ([`Weighting::candidates`]), sampled by UniPC too where it is one of DPM-Solver++(2M); what was taught with fitted coefficients; GITS on
/// the same grid; the usual strides ([`usual_strides`]); and what `others` choose, by name a path for each of the numbers of steps. None twice
/// that takes the same steps.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for trajectories of the forward process or of an interrupted run, and a number of steps that
/// there is no path of.
pub fn family(
    trajectories: &Trajectories,
    steps: &[usize],
    others: &[(&str, Vec<TimePath>)],
) -> Result<Vec<Vec<Candidate>>> {
    trajectories.check_finished()?;
    if trajectories.origin().kind != TrajectoryKind::Flow {
        let why = "candidates: expected trajectories of the probability flow, found those of the forward process";
        return Err(Invalid::Unsupported(why.into()).into());
    }
    let growth = trajectories.growth().iter();
    let own = growth.filter(|point| point.coefficients == CoefficientKind::Solver);
    let mut samplers: Vec<Sampler> = own.map(|point| point.sampler).collect();
    samplers.dedup();
    if samplers.is_empty() {
        samplers.push(Sampler::DpmSolver2M);
    }
    let model = QualityModel::new(trajectories)?;
    let gits = Gits::new(trajectories);
    let mut best = Vec::with_capacity(samplers.len());
    for sampler in samplers {
        let mut optima = Vec::new();
        for weighting in Weighting::candidates(sampler) {
            let paths = model.best_paths(sampler, weighting, steps)?;
            optima.push((name_of(weighting), paths));
        }
        best.push((sampler, optima));
    }
    let of_steps = |(i, &steps): (usize, &usize)| {
        let best = best.iter().map(|(sampler, optima)| {
            let optima = optima.iter();
            let optima = optima.map(|(name, paths)| (name.as_str(), &paths[i].1));
            (*sampler, optima.collect())
        });
        let mut rivals = usual_strides(trajectories.schedule(), steps)?;
        for (name, paths) in others {
            let path = paths.get(i).filter(|path| path.steps() == steps);
            let why = || format!("a path of {steps} steps for each of the numbers of steps");
            let found = || Invalid::field(*name, why(), "another number of paths or of steps");
            rivals.push((name, path.ok_or_else(found)?.clone()));
        }
        rivals.insert(0, ("GITS on the grid", gits.path(steps)?));
        of_one_budget(trajectories, best, &rivals, steps)
    };
    steps.iter().enumerate().map(of_steps).collect()
}

/// The candidates of one number of steps, from the optima of every sampler by name.
fn of_one_budget<'a>(
    trajectories: &Trajectories,
    best: impl Iterator<Item = (Sampler, Vec<(&'a str, &'a TimePath)>)>,
    rivals: &[(&str, TimePath)],
    steps: usize,
) -> Result<Vec<Candidate>> {
    let schedule = trajectories.schedule();
    let mut found: Vec<Candidate> = Vec::new();
    for (sampler, optima) in best {
        let of = |name: &str, sampler: Sampler, path: &TimePath, is_rival: bool| Candidate {
            name: name.to_owned(),
            sampler,
            path: path.clone(),
            coefficients: CoefficientKind::Solver,
            fitted: Vec::new(),
            is_rival,
        };
        for (name, path) in optima {
            let follows = Some(Sampler::UniPc2).filter(|_| sampler == Sampler::DpmSolver2M);
            for sampler in std::iter::once(sampler).chain(follows) {
                add(schedule, &mut found, of(name, sampler, path, false));
            }
        }
        let taught = trajectories.trials().iter().filter(|trial| {
            let is_fitted = trial.coefficients != CoefficientKind::Solver;
            is_fitted && trial.sampler == sampler && trial.steps() == steps
        });
        for trial in taught {
            found.push(Candidate {
                coefficients: trial.coefficients,
                fitted: trial.fitted.clone(),
                ..of(
                    trial.coefficients.name(),
                    sampler,
                    &TimePath::new(trial.path.clone(), schedule.train_steps())?,
                    false,
                )
            });
        }
        for (name, path) in rivals {
            add(schedule, &mut found, of(name, sampler, path, true));
        }
    }
    Ok(found)
}

/// What users take otherwise: even, quadratic, uniform log-SNR and Karras strides of so many steps.
///
/// # Errors
/// Those of [`Stride::path`].
pub fn usual_strides(
    schedule: &NoiseSchedule,
    steps: usize,
) -> Result<Vec<(&'static str, TimePath)>> {
    let strides = [
        ("even", Stride::Even(steps)),
        ("quadratic", Stride::Quadratic(steps)),
        ("uniform log-SNR", Stride::LogSnr(steps)),
        ("Karras", Stride::Karras(steps)),
    ];
    let path = |(name, stride): (&'static str, Stride)| Ok((name, stride.path(schedule)?));
    strides.into_iter().map(path).collect()
}

fn name_of(weighting: Weighting) -> String {
    let mut words = vec!["quality"];
    if weighting.power < 2.0 {
        words.push("norms");
    }
    if !weighting.growth {
        words.push("without growth");
    }
    if weighting.extrapolation > 0.0 {
        words.push("careful");
    }
    words.join(", ")
}

/// The first of candidates that take the same steps stays: on few steps samplers of different orders do.
fn add(schedule: &NoiseSchedule, found: &mut Vec<Candidate>, candidate: Candidate) {
    let steps = |of: &Candidate| {
        let priced = of.fitted.is_empty() && of.sampler.check_priced().is_ok();
        priced.then(|| of.sampler.flow_steps(schedule, &of.path))
    };
    let own = steps(&candidate);
    let same = |other: &Candidate| {
        let sampler = other.sampler == candidate.sampler;
        (&other.path, &other.fitted) == (&candidate.path, &candidate.fitted)
            && (sampler || (own.is_some() && steps(other) == own))
    };
    if !found.iter().any(same) {
        found.push(candidate);
    }
}
