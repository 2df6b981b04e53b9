//! Optimal schedules of many budgets and the file they are kept in.
//!
//! # Version 2
//!
//! JSON, UTF-8: `{"format": "ddpm-schedules", "version": 2, "T": .., "noise_schedule": .., "log_alpha_bar": [..] (custom schedules
//! only), "variance": .., "decoder": .., "objective": .., "start": .., "clip_denoised": .., "parameterization": .., "unit": ..,
//! "costs": [C_1 .. C_T, null where impossible], "budgets": [{"steps", "cost", "scored_decoder", "prior_bpd", "path",
//! "log_variance"}, ..], "provenance": .., "checksum": ".."}`. `log_alpha_bar` is that of t = 1 .. T, null for minus infinity (t = T
//! only). `cost` leaves the prior out. `scored_decoder` is the decoder convention of this budget: that of the file, but `marginal`
//! where K = 1 leaves `respaced` without a second node. `path` is `[0, t_1, .., t_K]`. `log_variance` has one entry
//! per step, the decoder first, null where the network supplies it per pixel or there is none.
//! `checksum` is the SHA-256 of the compact form of the same document with an empty checksum, so that white space may change and nothing
//! else.
//!
//! # Version 3
//!
//! Version 2 whose budgets have one more key, `"stability"`: see [`Stability`]. It is written only where they have it.
//!
//! # Version 4
//!
//! Version 2 with the key `"trajectories"`, the [`TrajectoryOrigin`] of what the schedules were chosen on (`provenance` is null), and
//! where they are for one sampler its name in `"sampler"`. Budgets may have `"distance"`. Variances are fixed-small, for those
//! who sample with noise.
//!
//! # Version 1
//!
//! Has `"alpha_bar"` instead of `"log_alpha_bar"`, which loses digits where alpha_bar is near 0 or 1, and no `"scored_decoder"`. It is read
//! as if it had been written in version 2.

use std::f64::consts::LN_2;

use ddpm_core::{FlowSolver, NoiseSchedule, NoiseScheduleName, Path, VarianceKind};
use ddpm_dp::{CostTable, Solution, SolveOptions, solve};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    checksum::Checksum,
    conventions::{DecoderKind, Objective, StartRule},
    cost::CostModel,
    error::{Error, Result},
    provenance::Provenance,
    stability::Stability,
    trajectory::TrajectoryOrigin,
};

const FORMAT: &str = "ddpm-schedules";
const WHAT: &str = "schedules file";
/// The version of schedules without a stability.
const VERSION: u64 = 2;
/// The version of schedules with one.
const VERSION_STABILITY: u64 = 3;
/// The version of schedules chosen on trajectories.
const VERSION_TRAJECTORIES: u64 = 4;
/// The newest version that this library reads.
const NEWEST: u64 = VERSION_TRAJECTORIES;

/// Schedules of several budgets, chosen under one set of conventions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedules {
    format: String,
    version: u64,
    /// T.
    #[serde(rename = "T")]
    pub train_steps: usize,
    /// Name of the noise schedule, or `custom`.
    pub noise_schedule: String,
    /// Version 1 only, and gone after reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alpha_bar: Option<Vec<f64>>,
    /// log(alpha_bar) of t = 1..=T, for `custom` only; `None` for minus infinity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_alpha_bar: Option<Vec<Option<f64>>>,
    /// Name of the variance ([`ddpm_core::VarianceKind`]).
    pub variance: String,
    /// Name of the decoder ([`crate::DecoderKind`]).
    pub decoder: String,
    /// Name of the objective ([`Objective`], or one of those over trajectories: `quality`, `klub`).
    pub objective: String,
    /// Name of the sampler that the schedules are for ([`ddpm_core::FlowSolver`]), where they are for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// Name of the start rule ([`StartRule`]).
    pub start: String,
    /// Whether xhat0 is clipped; `None` where the curve did not say.
    pub clip_denoised: Option<bool>,
    /// What the network predicts; `None` where the curve did not say.
    pub parameterization: Option<String>,
    /// Unit of the costs: `bits/dim`; `weighted mse`, `weighted squared error` (quality) or `nats/dim` (klub) under other objectives.
    pub unit: String,
    /// The smallest cost of K = 1..=T steps, `None` where no path exists.
    pub costs: Vec<Option<f64>>,
    /// The budgets asked for.
    pub budgets: Vec<Budget>,
    /// Where the statistics come from.
    pub provenance: Option<Provenance>,
    /// Where the trajectories come from that the schedules were chosen on, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trajectories: Option<TrajectoryOrigin>,
    checksum: String,
}

/// The schedule of one budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// K, the number of network evaluations.
    pub steps: usize,
    /// The cost without the prior term, in the unit of the file.
    pub cost: f64,
    /// Name of the decoder convention that the cost was computed with: that of the file, but `marginal` where a path of one step
    /// leaves `respaced` without a second node. Costs of different conventions do not compare.
    // Empty only while a file of version 1 is read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scored_decoder: String,
    /// The prior term of the path's end in bits/dim; `None` where the data's mean square is not known.
    pub prior_bpd: Option<f64>,
    /// 0 = t_0 < t_1 < ... < t_K.
    pub path: Vec<usize>,
    /// log sigma^2 per step, decoder first; `None` where it is per pixel or there is none.
    pub log_variance: Vec<Option<f64>>,
    /// How much the path owes to the images it was chosen on, where that was estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<Stability>,
    /// The root mean square distance, per dimension, of samples from the end points of the reference trajectories, where the path
    /// was run from their starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<f64>,
}

/// Which budgets to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budgets<'a> {
    /// Every K = 1..=T for which there is a path.
    All,
    /// These; each must be possible.
    Only(&'a [usize]),
}

/// What a schedules file says of the origin of its numbers, besides the conventions of the cost model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// Name of the noise schedule; `None` for a custom one.
    pub noise_schedule: Option<NoiseScheduleName>,
    /// Whether xhat0 was clipped, if known.
    pub clip_denoised: Option<bool>,
    /// What the network predicts, if known.
    pub parameterization: Option<String>,
    /// The whole provenance, if the curves come from a profile.
    pub provenance: Option<Provenance>,
}

impl From<&Provenance> for Origin {
    fn from(provenance: &Provenance) -> Self {
        Self {
            noise_schedule: provenance.noise_schedule.parse().ok(),
            clip_denoised: Some(provenance.clip_denoised),
            parameterization: Some(provenance.parameterization.clone()),
            provenance: Some(provenance.clone()),
        }
    }
}

/// Finds the best path of every budget under `model` and reports those asked for, each re-scored term by term.
///
/// # Errors
/// [`Error::Steps`] for a budget beyond T and [`Error::Unreachable`] for one without a path of finite cost; [`Error::Unsupported`] for a free
/// start without a prior term to weigh (mse objective, or an unknown mean square of the data), or a name of the noise schedule that
/// is not this one; errors of the solver.
pub fn choose(
    model: &CostModel<'_>,
    budgets: Budgets<'_>,
    start: StartRule,
    origin: &Origin,
) -> Result<Schedules> {
    let schedule = model.schedule();
    let steps = schedule.train_steps();
    if let Budgets::Only(list) = budgets
        && let Some(&found) = list.iter().find(|&&k| k == 0 || k > steps)
    {
        return Err(Error::Steps { max: steps, found });
    }
    check_name(schedule, origin.noise_schedule)?;
    let optima = Optima::new(model, None)?;
    let terminal = optima.terminal(model, start)?;
    let per_unit = match model.objective() {
        Objective::Elbo => LN_2,
        Objective::Mse => 1.0,
    };
    let end_of = |k: usize| optima.end(k, terminal.as_deref());
    let costs = (1..=steps)
        .map(|k| end_of(k).map(|end| optima.solution.cost(k, end) / per_unit))
        .collect();
    let wanted: Vec<usize> = match budgets {
        Budgets::All => (1..=steps).filter(|&k| end_of(k).is_some()).collect(),
        Budgets::Only(list) => list.to_vec(),
    };
    let budget = |&k: &usize| -> Result<Budget> {
        let end = end_of(k).ok_or(Error::Unreachable {
            steps: k,
            end: steps,
        })?;
        let path = optima.path(k, end)?;
        Ok(Budget {
            steps: k,
            cost: model.path_cost(&path) / per_unit,
            scored_decoder: model.decoder_convention().kind().for_steps(k).to_string(),
            prior_bpd: model.prior(end).map(|prior| prior / LN_2),
            log_variance: model.log_variances(&path),
            path: path.nodes().to_vec(),
            stability: None,
            distance: None,
        })
    };
    let mut schedules = Schedules {
        format: FORMAT.into(),
        version: VERSION,
        train_steps: steps,
        noise_schedule: origin
            .noise_schedule
            .map_or("custom".into(), |name| name.to_string()),
        alpha_bar: None,
        log_alpha_bar: match origin.noise_schedule {
            Some(_) => None,
            None => Some(stored_logs(schedule)),
        },
        variance: model.variances().kind().to_string(),
        decoder: model.decoder_convention().kind().to_string(),
        objective: model.objective().to_string(),
        sampler: None,
        start: start.to_string(),
        clip_denoised: origin.clip_denoised,
        parameterization: origin.parameterization.clone(),
        unit: match model.objective() {
            Objective::Elbo => "bits/dim".into(),
            Objective::Mse => "weighted mse".into(),
        },
        costs,
        budgets: wanted.par_iter().map(budget).collect::<Result<_>>()?,
        provenance: origin.provenance.clone(),
        trajectories: None,
        checksum: String::new(),
    };
    schedules.checksum = schedules.sum()?;
    Ok(schedules)
}

/// log(alpha_bar) of t = 1..=T as the file has it.
fn stored_logs(schedule: &NoiseSchedule) -> Vec<Option<f64>> {
    schedule.log_alpha_bars()[1..]
        .iter()
        .map(|&log| Some(log).filter(|log| log.is_finite()))
        .collect()
}

/// Refuses a name that is not this schedule's: the file would be read with other alpha_bar.
fn check_name(schedule: &NoiseSchedule, name: Option<NoiseScheduleName>) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    let named = NoiseSchedule::named(name, schedule.train_steps())?;
    let near = |t: usize| {
        let (a, b) = (named.log_alpha_bar(t), schedule.log_alpha_bar(t));
        a == b || (a - b).abs() <= 1e-9 * b.abs()
    };
    match (1..=schedule.train_steps()).find(|&t| !near(t)) {
        None => Ok(()),
        Some(t) => Err(Error::Unsupported(format!(
            "noise schedule: {name} has another alpha_bar at t = {t} than the curves; call it custom"
        ))),
    }
}

/// The solved table of a cost model.
pub(crate) struct Optima {
    table: CostTable,
    pub(crate) solution: Solution,
}

impl Optima {
    /// Solves for budgets up to `max_steps`, or for all.
    pub(crate) fn new(model: &CostModel<'_>, max_steps: Option<usize>) -> Result<Self> {
        let table = model.table()?;
        let options = SolveOptions {
            max_steps,
            ..SolveOptions::default()
        };
        let solution = solve(&table, &options)?;
        Ok(Self { table, solution })
    }

    /// What it costs to end at each t under a free start; `None` under a full one.
    pub(crate) fn terminal(
        &self,
        model: &CostModel<'_>,
        start: StartRule,
    ) -> Result<Option<Vec<f64>>> {
        if start == StartRule::Full {
            return Ok(None);
        }
        if model.objective() == Objective::Mse {
            return Err(Error::Unsupported(
                "start free: the mse objective has no prior term to weigh the end of a path with; use start full".into(),
            ));
        }
        let prior = |t: usize| {
            match t {
            0 => Ok(f64::INFINITY),
            _ => model.prior(t).ok_or_else(|| {
                Error::Unsupported(
                    "start free: the mean square of the data is not known, so the prior term is not either; use start full".into(),
                )
            }),
        }
        };
        (0..=self.table.train_steps())
            .map(prior)
            .collect::<Result<Vec<_>>>()
            .map(Some)
    }

    /// The end of the best path of K steps; `None` if there is none.
    pub(crate) fn end(&self, k: usize, terminal: Option<&[f64]>) -> Option<usize> {
        let last = self.table.train_steps();
        match terminal {
            None => self.solution.cost(k, last).is_finite().then_some(last),
            Some(terminal) => self.solution.best_end(k, terminal).map(|(end, _)| end),
        }
    }

    pub(crate) fn path(&self, k: usize, end: usize) -> Result<Path> {
        let nodes = self
            .solution
            .path(&self.table, k, end)
            .ok_or(Error::Unreachable { steps: k, end })?;
        Ok(Path::new(nodes, self.table.train_steps())?)
    }
}

/// What [`Schedules::on_trajectories`] is made of.
pub(crate) struct OnTrajectories<'a> {
    pub(crate) origin: &'a TrajectoryOrigin,
    pub(crate) schedule: &'a NoiseSchedule,
    pub(crate) objective: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) sampler: Option<FlowSolver>,
    pub(crate) costs: Vec<Option<f64>>,
    /// Cost, path, and distance if it was measured.
    pub(crate) budgets: Vec<(f64, Path, Option<f64>)>,
}

impl Schedules {
    /// Schedules that were chosen on trajectories, with the fixed-small variances of their paths.
    pub(crate) fn on_trajectories(parts: OnTrajectories<'_>) -> Result<Self> {
        let (origin, schedule) = (parts.origin, parts.schedule);
        let name: Option<NoiseScheduleName> = origin.noise_schedule.parse().ok();
        check_name(schedule, name)?;
        let budget = |(cost, path, distance): (f64, Path, Option<f64>)| Budget {
            steps: path.steps(),
            cost,
            scored_decoder: DecoderKind::None.to_string(),
            prior_bpd: None,
            log_variance: path
                .edges()
                .map(|(t, s)| (s > 0).then(|| schedule.transition(t, s).log_posterior_variance))
                .collect(),
            path: path.nodes().to_vec(),
            stability: None,
            distance,
        };
        let mut schedules = Self {
            format: FORMAT.into(),
            version: VERSION_TRAJECTORIES,
            train_steps: schedule.train_steps(),
            noise_schedule: name.map_or("custom".into(), |name| name.to_string()),
            alpha_bar: None,
            log_alpha_bar: name.is_none().then(|| stored_logs(schedule)),
            variance: VarianceKind::FixedSmall.to_string(),
            decoder: DecoderKind::None.to_string(),
            objective: parts.objective.into(),
            sampler: parts.sampler.map(|sampler| sampler.to_string()),
            start: StartRule::Full.to_string(),
            clip_denoised: Some(origin.clip_denoised),
            parameterization: Some(origin.parameterization.clone()),
            unit: parts.unit.into(),
            costs: parts.costs,
            budgets: parts.budgets.into_iter().map(budget).collect(),
            provenance: None,
            trajectories: Some(origin.clone()),
            checksum: String::new(),
        };
        schedules.checksum = schedules.sum()?;
        Ok(schedules)
    }

    /// The same schedules with what [`stability`](crate::stability) found, one entry per budget.
    ///
    /// # Errors
    /// [`Error::Length`] for another number of entries.
    pub fn with_stability(mut self, found: Vec<Stability>) -> Result<Self> {
        if found.len() != self.budgets.len() {
            return Err(Error::Length {
                field: "stability".into(),
                expected: self.budgets.len(),
                found: found.len(),
            });
        }
        for (budget, found) in self.budgets.iter_mut().zip(found) {
            budget.stability = Some(found);
        }
        if !self.budgets.is_empty() {
            self.version = VERSION_STABILITY;
        }
        self.checksum = self.sum()?;
        Ok(self)
    }

    /// The file, indented, with a final newline.
    ///
    /// # Errors
    /// [`Error::Value`] if a number was set to something JSON cannot hold.
    pub fn to_json(&self) -> Result<String> {
        let mut stamped = self.clone();
        stamped.checksum = stamped.sum()?;
        serde_json::to_string_pretty(&stamped)
            .map(|text| text + "\n")
            .map_err(not_json)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::NotSchedules`], [`Error::NewerVersion`], [`Error::Checksum`], and [`Error::Field`] or an error of [`Path::new`] for
    /// contents that contradict themselves.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(not_json)?;
        if value["format"] != FORMAT {
            return Err(Error::NotSchedules(format!(
                "expected format \"{FORMAT}\", found {}",
                value["format"]
            )));
        }
        match value["version"].as_u64() {
            Some(found) if found > NEWEST => {
                return Err(Error::NewerVersion {
                    what: WHAT,
                    supported: NEWEST,
                    found,
                });
            }
            Some(1..=NEWEST) => {}
            _ => {
                return Err(Error::NotSchedules(format!(
                    "expected a format version, found {}",
                    value["version"]
                )));
            }
        }
        let mut schedules: Self = serde_json::from_str(text).map_err(not_json)?;
        let found = schedules.sum()?;
        if found != schedules.checksum {
            return Err(Error::Checksum {
                what: WHAT,
                expected: schedules.checksum,
                found,
            });
        }
        if schedules.version < VERSION {
            schedules.upgrade()?;
        }
        schedules.check()?;
        Ok(schedules)
    }

    /// From version 1 to 2.
    fn upgrade(&mut self) -> Result<()> {
        if let Some(alpha_bar) = self.alpha_bar.take() {
            self.log_alpha_bar = Some(stored_logs(&NoiseSchedule::from_alpha_bar(&alpha_bar)?));
        }
        let decoder: DecoderKind = self.decoder.parse()?;
        for budget in &mut self.budgets {
            budget.scored_decoder = decoder.for_steps(budget.steps).to_string();
        }
        self.version = VERSION;
        self.checksum = self.sum()?;
        Ok(())
    }

    /// The schedule of K steps.
    pub fn budget(&self, steps: usize) -> Option<&Budget> {
        self.budgets.iter().find(|budget| budget.steps == steps)
    }

    /// The noise schedule, from its name or, bit for bit, from its stored log(alpha_bar).
    ///
    /// # Errors
    /// Those of [`NoiseSchedule`], and [`Error::Field`] for a custom schedule without log_alpha_bar.
    pub fn schedule(&self) -> Result<NoiseSchedule> {
        match (&self.log_alpha_bar, &self.noise_schedule[..]) {
            (Some(stored), _) => {
                let log = |stored: &Option<f64>| stored.unwrap_or(f64::NEG_INFINITY);
                let logs: Vec<f64> = stored.iter().map(log).collect();
                Ok(NoiseSchedule::from_log_alpha_bar(&logs)?)
            }
            (None, "custom") => Err(field(
                "log_alpha_bar",
                "T values, for noise schedule custom".into(),
                "none".into(),
            )),
            (None, name) => Ok(NoiseSchedule::named(name.parse()?, self.train_steps)?),
        }
    }

    fn check(&self) -> Result<()> {
        let told = self.budgets.iter().any(|b| b.stability.is_some());
        if told != (self.version == VERSION_STABILITY) {
            return Err(field(
                "stability",
                "in the budgets of version 3, and there only".into(),
                format!("version {}", self.version),
            ));
        }
        let from_trajectories = self.trajectories.is_some();
        let extras = self.sampler.is_some() || self.budgets.iter().any(|b| b.distance.is_some());
        if from_trajectories != (self.version == VERSION_TRAJECTORIES)
            || (extras && !from_trajectories)
        {
            return Err(field(
                "trajectories, sampler and distance",
                "in version 4, and there only".into(),
                format!("version {}", self.version),
            ));
        }
        if let Some(name) = &self.sampler {
            name.parse::<FlowSolver>()?;
        }
        if self.alpha_bar.is_some() {
            return Err(field(
                "alpha_bar",
                "log_alpha_bar in its place, in version 2".into(),
                "alpha_bar".into(),
            ));
        }
        if let Some(stored) = self
            .log_alpha_bar
            .as_ref()
            .filter(|logs| logs.len() != self.train_steps)
        {
            return Err(field(
                "log_alpha_bar",
                format!("{} values", self.train_steps),
                format!("{}", stored.len()),
            ));
        }
        if self.costs.len() != self.train_steps {
            return Err(field(
                "costs",
                format!("{} values", self.train_steps),
                format!("{}", self.costs.len()),
            ));
        }
        let decoder: DecoderKind = self.decoder.parse()?;
        for budget in &self.budgets {
            let path = Path::new(budget.path.clone(), self.train_steps)?;
            let scored = decoder.for_steps(budget.steps).to_string();
            if budget.scored_decoder != scored {
                return Err(field(
                    &format!("scored_decoder of the budget of {} steps", budget.steps),
                    scored,
                    budget.scored_decoder.clone(),
                ));
            }
            if path.steps() != budget.steps || budget.log_variance.len() != budget.steps {
                return Err(field(
                    &format!("budget of {} steps", budget.steps),
                    "as many steps in its path and its log_variance".into(),
                    format!("{} and {}", path.steps(), budget.log_variance.len()),
                ));
            }
        }
        Ok(())
    }

    /// The checksum of everything but itself.
    fn sum(&self) -> Result<String> {
        let mut blank = self.clone();
        blank.checksum = String::new();
        let mut sum = Checksum::default();
        sum.part(&serde_json::to_vec(&blank).map_err(not_json)?);
        Ok(sum.finish())
    }
}

fn not_json(e: serde_json::Error) -> Error {
    Error::NotSchedules(e.to_string())
}

fn field(field: &str, expected: String, found: String) -> Error {
    Error::Field {
        field: field.into(),
        expected,
        found,
    }
}
