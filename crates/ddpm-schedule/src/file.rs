//! The file of schedules.
//!
//! # Version 2
//!
//! JSON, UTF-8: `{"format": "ddpm-schedules", "version": 2, "T": .., "noise_schedule": .., "log_alpha_bar": [..] (custom schedules
//! only), "variance": .., "decoder": .., "objective": .., "start": .., "clip_denoised": .., "parameterization": .., "unit": ..,
//! "costs": [C_1 .. C_T, null where impossible], "budgets": [{"steps", "cost", "scored_decoder", "prior_bpd", "path",
//! "log_variance"}, ..], "provenance": .., "checksum": ".."}`. `log_alpha_bar` is that of t = 1 .. T, null for minus infinity (t = T
//! only). `noise_schedule` is a name, `custom`, or of a network on another clock that: `flow`, `edm`, `table`. `cost` leaves the prior out. `scored_decoder` is the decoder convention of this budget: that of the file, but `marginal`
//! where K = 1 leaves `respaced` without a second node. `path` is `[0, t_1, .., t_K]`. `log_variance` has one entry
//! per step, the decoder first, null where the network supplies it per pixel or there is none.
//! `checksum` is the SHA-256 of the compact form of the same document with an empty checksum, so that white space may change and nothing
//! else.
//!
//! # Version 3
//!
//! Version 2 whose budgets have one more key, `"stability"`: see [`Stability`](crate::Stability). It is written only where they have it.
//!
//! # Version 4
//!
//! Version 2 with the key `"trajectories"`, the [`TrajectoryOrigin`](crate::TrajectoryOrigin) of what the schedules were chosen on (`provenance` is null), and
//! where they are for one sampler its name in `"sampler"`. Budgets may have `"distance"`. Variances are fixed-small, for those
//! who sample with noise.
//!
//! # Version 5
//!
//! Version 2, with or without `"stability"`, whose steps have a mean or a variance that is calibrated, or version 4 of a network whose mean
//! was corrected, or a version with `"decoder_bin_width"`, the width of a bin of the gaussian decoder. `"mean"` is `network` or
//! `calibrated`. `"bands"` says what the frequencies are pooled in: `"shape"`, `"channel_basis"` (a vector after the other), `"edges"` (radii)
//! and `"separate_channels"`; see [`Bands`]. `"by_timestep"` has, of every t that a step with bands starts at, `"t"`, the
//! correction `"a"`, `"b"` (by band) and `"m"` (of the constants), which are absent under the network's own mean, and the `"powers"`
//! S_b, which are absent where no step from t has a variance per band. Budgets have one more key, `"kernels"`, the kind of
//! every step, the decoder first: `learned`, `learned-from` (`log_variance` is the lower end of the range), `learned-scaled`
//! (`log_variance` is log tau; an ancestral step of it keeps the network's own mean), `scalar`, `bands`, `none`.
//!
//! # Version 6
//!
//! Version 4 or 5 of a sampler whose coefficients are fitted. `"coefficients"`, after `"sampler"`, says how, and every budget has `"fitted"`: of
//! every step in ascending t a list of the weights of x_t, of the estimate at t and, where the step looks back, of the one before; numbers, or
//! lists of one number per band of `"bands"`.
//!
//! # Version 7
//!
//! Version 2, 3 or 5 whose budgets have `"cost_standard_error"` after `"cost"`: over blocks of images, the path fixed. It is written only where
//! they have it.
//!
//! # Version 1
//!
//! Has `"alpha_bar"` instead of `"log_alpha_bar"`, which loses digits where alpha_bar is near 0 or 1, and no `"scored_decoder"`. It is read
//! as if it had been written in version 2.

use std::collections::BTreeMap;
use std::sync::Arc;

use ddpm_core::{
    Bands, CoefficientKind, DecoderKind, MeanCorrection, MeanKind, NoiseSchedule, Objective,
    ProcessKind, Sampler, StartRule, StepCoefficients, TimePath, VarianceKind,
};
use ddpm_files::{DocumentHead, FormatError, PartsChecksum};
use serde::{Deserialize, Serialize};

use crate::corrections::{StoredBands, StoredStep};
use crate::error::{Error, Result};
use crate::kernel::{Kernel, KernelKind};
use crate::provenance::{Provenance, told};
use crate::schedule::Schedule;
use crate::schedules::{Chosen, Schedules, Stability};
use crate::scoring::{GaussianDecoder, Scoring};
use crate::trajectory_origin::TrajectoryOrigin;

const FORMAT: &str = "ddpm-schedules";
const WHAT: &str = "schedules file";
const KIND: &str = "a schedules file";
/// The version of schedules without a stability.
const VERSION: u64 = 2;
/// The version of schedules with one.
const VERSION_STABILITY: u64 = 3;
/// The version of schedules chosen on trajectories.
const VERSION_TRAJECTORIES: u64 = 4;
/// The version of schedules with calibrated steps.
const VERSION_CALIBRATED: u64 = 5;
/// The version of fitted coefficients, and of schedules that were chosen by the distance of their samples.
const VERSION_FITTED: u64 = 6;
/// The version of schedules with standard errors of their costs.
const VERSION_ERRORS: u64 = 7;
/// The newest version that this library reads.
const NEWEST: u64 = VERSION_ERRORS;
/// What stands for a parameterisation that nobody told a profile.
const UNKNOWN: &str = ddpm_core::ModelId::UNKNOWN;

/// The JSON document, its keys in this order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: String,
    version: u64,
    #[serde(rename = "T")]
    train_steps: usize,
    noise_schedule: String,
    /// Version 1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alpha_bar: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log_alpha_bar: Option<Vec<Option<f64>>>,
    variance: VarianceKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean: Option<MeanKind>,
    decoder: DecoderKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decoder_bin_width: Option<f64>,
    objective: Objective,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sampler: Option<Sampler>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    coefficients: Option<CoefficientKind>,
    start: StartRule,
    clip_denoised: Option<bool>,
    parameterization: Option<String>,
    unit: String,
    costs: Vec<Option<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bands: Option<StoredBands>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    by_timestep: Vec<StoredStep>,
    budgets: Vec<StoredBudget>,
    provenance: Option<Provenance>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trajectories: Option<TrajectoryOrigin>,
    checksum: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredBudget {
    steps: usize,
    cost: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost_standard_error: Option<f64>,
    /// Not in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scored_decoder: Option<DecoderKind>,
    prior_bpd: Option<f64>,
    path: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kernels: Option<Vec<KernelKind>>,
    log_variance: Vec<Option<f64>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fitted: Vec<StepCoefficients>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stability: Option<Stability>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    distance: Option<f64>,
}

impl Schedules {
    /// The file, indented, with a final newline.
    ///
    /// # Errors
    /// [`FormatError::Not`] if a number was set to something JSON cannot hold; [`Error::Field`] for kernels and means that are not of the
    /// conventions.
    pub fn to_json(&self) -> Result<String> {
        self.check()?;
        let mut stored = Stored::of(self);
        stored.checksum = stored.sum()?;
        let text = serde_json::to_string_pretty(&stored).map_err(not_json)?;
        Ok(text + "\n")
    }

    /// The same document, on one line, with the timesteps of tools that count from 0. It is no schedules file and does not pose as one: it has no
    /// format, version or checksum.
    ///
    /// # Errors
    /// Those of [`to_json`](Self::to_json).
    pub fn to_json_zero_based(&self) -> Result<String> {
        let mut stored = Stored::of(self);
        for budget in &mut stored.budgets {
            budget.path = budget.path[1..].iter().map(|t| t - 1).collect();
        }
        let mut value = serde_json::to_value(&stored).map_err(not_json)?;
        if let Some(object) = value.as_object_mut() {
            object.retain(|key, _| !matches!(&key[..], "format" | "version" | "checksum"));
        }
        let text = serde_json::to_string(&value).map_err(not_json)?;
        Ok(text + "\n")
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`FormatError`] for text that is no such file, is of a newer version or was edited; [`Error::Field`] or an error of
    /// [`TimePath::new`] for contents that contradict themselves.
    pub fn from_json(text: &str) -> Result<Self> {
        let head = DocumentHead::read(text.as_bytes()).map_err(not_json)?;
        if !head.is(FORMAT) {
            return Err(not(format!(
                "expected format \"{FORMAT}\", found {}",
                head.format
            )));
        }
        match head.version() {
            Some(found) if found > NEWEST => {
                return Err(Error::Format(FormatError::NewerVersion {
                    what: WHAT,
                    supported: NEWEST,
                    found,
                }));
            }
            Some(1..=NEWEST) => {}
            _ => {
                return Err(not(format!(
                    "expected a format version, found {}",
                    head.version
                )));
            }
        }
        let mut stored: Stored = serde_json::from_str(text).map_err(not_json)?;
        let found = stored.sum()?;
        if found != stored.checksum {
            return Err(Error::Format(FormatError::Checksum {
                what: WHAT,
                expected: stored.checksum,
                found,
            }));
        }
        stored.upgraded()?.read()
    }
}

impl Stored {
    fn of(schedules: &Schedules) -> Self {
        let s = schedules;
        let named = s.noise_schedule.name();
        let calibrated = s.is_calibrated() || s.scoring.gaussian.bin_width.is_some();
        let fitted = s.coefficients != CoefficientKind::Solver;
        let has_errors = |chosen: &Chosen| chosen.cost_standard_error.is_some();
        let version = if s.budgets.iter().any(has_errors) {
            VERSION_ERRORS
        } else if fitted || s.scoring.objective.by_sampling() {
            VERSION_FITTED
        } else if calibrated {
            VERSION_CALIBRATED
        } else if s.trajectories.is_some() {
            VERSION_TRAJECTORIES
        } else if s.budgets.iter().any(|chosen| chosen.stability.is_some()) {
            VERSION_STABILITY
        } else {
            VERSION
        };
        let told = s.provenance.is_some() || s.trajectories.is_some();
        Self {
            format: FORMAT.into(),
            version,
            train_steps: s.train_steps(),
            noise_schedule: s.noise_schedule.name_or_custom(),
            alpha_bar: None,
            log_alpha_bar: named.is_none().then(|| stored_logs(&s.noise_schedule)),
            variance: s.scoring.variance,
            mean: calibrated.then_some(s.scoring.mean),
            decoder: s.scoring.decoder,
            decoder_bin_width: s.scoring.gaussian.bin_width,
            objective: s.scoring.objective,
            sampler: s.sampler,
            coefficients: Some(s.coefficients).filter(|&kind| kind != CoefficientKind::Solver),
            start: s.scoring.start,
            clip_denoised: s.clip_denoised,
            parameterization: match s.parameterization {
                Some(known) => Some(known.to_string()),
                None => told.then(|| UNKNOWN.to_owned()),
            },
            unit: s.scoring.objective.unit().into(),
            costs: s.costs.clone(),
            bands: s.bands().map(StoredBands::from),
            by_timestep: steps_of(s.budgets.iter().map(|chosen| &chosen.schedule)),
            budgets: s
                .budgets
                .iter()
                .map(|chosen| StoredBudget::of(chosen, calibrated))
                .collect(),
            provenance: s.provenance.clone(),
            trajectories: s.trajectories.clone(),
            checksum: String::new(),
        }
    }

    /// A document of version 1 as one of version 2, and one of version 7 as what it is but for its standard errors.
    fn upgraded(mut self) -> Result<Self> {
        let errors = self.budgets.iter().map(|budget| budget.cost_standard_error);
        let errors: Vec<f64> = errors.flatten().collect();
        if errors.is_empty() == (self.version == VERSION_ERRORS) {
            let expected = "in the budgets of version 7, and there only";
            let found = format!("version {}", self.version);
            return Err(Error::field("cost_standard_error", expected, found));
        }
        if let Some(found) = errors.into_iter().find(|e| !(e.is_finite() && *e >= 0.0)) {
            return Err(Error::field(
                "cost_standard_error",
                "a number of at least 0",
                found,
            ));
        }
        if self.version == VERSION_ERRORS {
            let stability = self.budgets.iter().any(|b| b.stability.is_some());
            self.version = match (self.mean, stability) {
                (Some(_), _) => VERSION_CALIBRATED,
                (None, true) => VERSION_STABILITY,
                (None, false) => VERSION,
            };
        }
        if self.version >= VERSION {
            return Ok(self);
        }
        if let Some(alpha_bar) = self.alpha_bar.take() {
            self.log_alpha_bar = Some(stored_logs(&NoiseSchedule::from_alpha_bar(&alpha_bar)?));
        }
        for budget in &mut self.budgets {
            budget.scored_decoder = Some(self.decoder.for_steps(budget.steps));
        }
        self.version = VERSION;
        Ok(self)
    }

    fn read(self) -> Result<Schedules> {
        self.check()?;
        let per_band = self.per_band()?;
        let schedule_of = |budget: StoredBudget| budget.read(&self, &per_band);
        let budgets = self.budgets.iter().cloned().map(schedule_of);
        let schedules = Schedules {
            budgets: budgets.collect::<Result<_>>()?,
            noise_schedule: self.noise_schedule()?,
            scoring: Scoring {
                variance: self.variance,
                mean: self.mean.unwrap_or(MeanKind::Network),
                decoder: self.decoder,
                gaussian: GaussianDecoder {
                    bin_width: self.decoder_bin_width,
                    first: None,
                },
                objective: self.objective,
                start: self.start,
            },
            sampler: self.sampler,
            coefficients: self.coefficients.unwrap_or_default(),
            clip_denoised: self.clip_denoised,
            parameterization: match self.parameterization {
                Some(name) => told(&name, UNKNOWN)?,
                None => None,
            },
            costs: self.costs,
            provenance: self.provenance,
            trajectories: self.trajectories,
        };
        schedules.check()?;
        Ok(schedules)
    }

    /// The bands and what the steps have of them.
    fn per_band(&self) -> Result<PerBand> {
        let bands = match &self.bands {
            None => None,
            Some(stored) => Some(Arc::new(Bands::try_from(stored)?)),
        };
        let mut steps = BTreeMap::new();
        for step in &self.by_timestep {
            let powers = step.powers.as_deref().map(Arc::from);
            if steps.insert(step.t, (step.mean()?, powers)).is_some() {
                let name = format!("by_timestep at t = {}", step.t);
                return Err(Error::field(name, "one entry", "two"));
            }
        }
        Ok(PerBand { bands, steps })
    }

    /// The noise schedule, from its name or, bit for bit, from its stored log(alpha_bar).
    fn noise_schedule(&self) -> Result<NoiseSchedule> {
        match (&self.log_alpha_bar, &self.noise_schedule[..]) {
            // A name that says nothing of the clock is passed over: the numbers stand beside it.
            (Some(stored), name) => {
                let log = |stored: &Option<f64>| stored.unwrap_or(f64::NEG_INFINITY);
                let logs: Vec<f64> = stored.iter().map(log).collect();
                let clock = name.parse().unwrap_or(ProcessKind::Vp);
                Ok(NoiseSchedule::from_log_alpha_bar(&logs)?.with_clock(clock))
            }
            (None, "custom") => Err(Error::field(
                "log_alpha_bar",
                "T values, for noise schedule custom",
                "none",
            )),
            (None, name) => Ok(NoiseSchedule::named(name.parse()?, self.train_steps)?),
        }
    }

    fn check(&self) -> Result<()> {
        let version = || format!("version {}", self.version);
        let is_fitted = self.version == VERSION_FITTED;
        let told = self
            .coefficients
            .is_some_and(|kind| kind != CoefficientKind::Solver);
        let by_sampling = self.objective.by_sampling();
        if is_fitted != (told || by_sampling) || (!told && self.coefficients.is_some()) {
            let expected = "how they were fitted (history, fitted, fitted-bands), or an objective of samples (fd, kid, energy), in version 6, and in no other";
            return Err(Error::field("coefficients", expected, version()));
        }
        let calibrated = self.version == VERSION_CALIBRATED || (is_fitted && self.mean.is_some());
        let has_keys = self.mean.is_some()
            || self.decoder_bin_width.is_some()
            || (self.bands.is_some() && !is_fitted)
            || !self.by_timestep.is_empty()
            || self.budgets.iter().any(|b| b.kernels.is_some());
        let has_all = self.mean.is_some() && self.budgets.iter().all(|b| b.kernels.is_some());
        if has_keys != calibrated || (calibrated && !has_all) {
            let expected = "in version 5 and after, and there only";
            return Err(Error::field(
                "mean, decoder_bin_width, bands, by_timestep and kernels",
                expected,
                version(),
            ));
        }
        let told = self.budgets.iter().any(|b| b.stability.is_some());
        if told != (self.version == VERSION_STABILITY) && !calibrated {
            let expected = "in the budgets of version 3, and there only";
            return Err(Error::field("stability", expected, version()));
        }
        let from_trajectories = self.trajectories.is_some();
        let extras = self.sampler.is_some() || self.budgets.iter().any(|b| b.distance.is_some());
        let may =
            calibrated || from_trajectories == (is_fitted || self.version == VERSION_TRAJECTORIES);
        if !may || (extras && !from_trajectories) {
            return Err(Error::field(
                "trajectories, sampler and distance",
                "in version 4 and, of a corrected network, in version 5",
                version(),
            ));
        }
        // Those that are chosen by sampling may be for any sampler that has steps of its own.
        if let Some(sampler) = self.sampler.filter(|_| !by_sampling) {
            sampler.check_priced()?;
        }
        if self.alpha_bar.is_some() {
            let expected = "log_alpha_bar in its place, in version 2";
            return Err(Error::field("alpha_bar", expected, "alpha_bar"));
        }
        let counts = [
            ("log_alpha_bar", self.log_alpha_bar.as_ref().map(Vec::len)),
            ("costs", Some(self.costs.len())),
        ];
        for (name, found) in counts {
            if let Some(found) = found {
                Error::check_length(name, self.train_steps, found)?;
            }
        }
        Ok(())
    }

    /// The checksum of everything but itself.
    fn sum(&mut self) -> Result<String> {
        let kept = std::mem::take(&mut self.checksum);
        // Written twice, for its length and for its bytes: held, it would take as much memory as the file again.
        let mut length = Length(0);
        serde_json::to_writer(&mut length, self).map_err(not_json)?;
        let mut sum = PartsChecksum::default();
        serde_json::to_writer(sum.long_part(length.0), self).map_err(not_json)?;
        self.checksum = kept;
        Ok(sum.finish())
    }
}

/// Counts what is written.
struct Length(u64);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The correction and the powers of the steps from one timestep.
type OfTimestep = (Option<Arc<MeanCorrection>>, Option<Arc<[f64]>>);

/// What the steps of a file have per band, by the timestep that they start at.
struct PerBand {
    bands: Option<Arc<Bands>>,
    steps: BTreeMap<usize, OfTimestep>,
}

/// What the steps of all budgets have per band, each timestep once.
pub(crate) fn steps_of<'a>(schedules: impl Iterator<Item = &'a Schedule>) -> Vec<StoredStep> {
    let mut steps = BTreeMap::new();
    for schedule in schedules {
        for (k, (t, _)) in schedule.path.edges().enumerate() {
            let (mean, kernel) = (schedule.means.get(k), &schedule.kernels[k]);
            if mean.is_none() && !kernel.is_per_band() {
                continue;
            }
            let mut step = steps.remove(&t).unwrap_or_else(|| StoredStep::at(t));
            if let Some(mean) = mean {
                step = step.with_mean(mean);
            }
            if let Kernel::Bands { powers } = kernel {
                step.powers = Some(powers.to_vec());
            }
            steps.insert(t, step);
        }
    }
    steps.into_values().collect()
}

impl StoredBudget {
    fn of(chosen: &Chosen, calibrated: bool) -> Self {
        let schedule = &chosen.schedule;
        let kinds = || schedule.kernels.iter().map(KernelKind::of).collect();
        Self {
            steps: chosen.steps(),
            cost: chosen.cost,
            cost_standard_error: chosen.cost_standard_error,
            scored_decoder: Some(schedule.decoder),
            prior_bpd: chosen.prior_bpd,
            path: chosen.nodes().to_vec(),
            kernels: calibrated.then(kinds),
            log_variance: schedule.kernels.iter().map(Kernel::number).collect(),
            fitted: schedule.fitted.clone(),
            stability: chosen.stability,
            distance: chosen.distance,
        }
    }

    fn read(self, file: &Stored, per_band: &PerBand) -> Result<Chosen> {
        let path = TimePath::new(self.path, file.train_steps)?;
        let expected = file.decoder.for_steps(self.steps);
        if self.scored_decoder != Some(expected) {
            return Err(Error::field(
                format!("scored_decoder of the budget of {} steps", self.steps),
                expected.to_string(),
                self.scored_decoder
                    .map_or_else(|| "none".into(), |found| found.to_string()),
            ));
        }
        if path.steps() != self.steps || self.log_variance.len() != self.steps {
            return Err(Error::field(
                format!("budget of {} steps", self.steps),
                "as many steps in its path and its log_variance",
                format!("{} and {}", path.steps(), self.log_variance.len()),
            ));
        }
        let kinds = self.kernels.unwrap_or_else(|| {
            let numbers = self.log_variance.iter().enumerate();
            let kind = |(k, number): (usize, &Option<f64>)| match number {
                Some(_) => KernelKind::Scalar,
                None if k == 0 && expected == DecoderKind::None => KernelKind::None,
                None => KernelKind::Learned,
            };
            numbers.map(kind).collect()
        });
        if kinds.len() != self.steps {
            return Err(Error::field(
                format!("kernels of the budget of {} steps", self.steps),
                self.steps.to_string(),
                kinds.len().to_string(),
            ));
        }
        let mut kernels = Vec::with_capacity(self.steps);
        let mut means = Vec::new();
        let mut is_per_band = false;
        for (k, (t, _)) in path.edges().enumerate() {
            let (mean, powers) = per_band.steps.get(&t).cloned().unwrap_or_default();
            let kernel = kinds[k].kernel(self.log_variance[k], powers.as_ref());
            let kernel = kernel.ok_or_else(|| {
                Error::field(
                    format!("step {} of the budget of {} steps", k + 1, self.steps),
                    "the number or the powers of its kind of kernel",
                    format!("{:?} and {:?}", kinds[k], self.log_variance[k]),
                )
            })?;
            is_per_band |= mean.is_some() || kernel.is_per_band();
            kernels.push(kernel);
            means.extend(mean);
        }
        is_per_band |= self.fitted.iter().any(|step| step.bands() > 1);
        let bands = per_band.bands.clone().filter(|_| is_per_band);
        let schedule = Schedule {
            path,
            kernels,
            means,
            bands,
            decoder: expected,
            bin_width: file.decoder_bin_width,
            sampler: file.sampler.unwrap_or(Sampler::Ddpm),
            coefficients: file.coefficients.unwrap_or_default(),
            fitted: self.fitted,
        };
        schedule.check(file.train_steps)?;
        Ok(Chosen {
            schedule,
            cost: self.cost,
            cost_standard_error: self.cost_standard_error,
            prior_bpd: self.prior_bpd,
            stability: self.stability,
            distance: self.distance,
        })
    }
}

/// log(alpha_bar) of t = 1..=T as the file has it.
fn stored_logs(schedule: &NoiseSchedule) -> Vec<Option<f64>> {
    schedule.log_alpha_bars()[1..]
        .iter()
        .map(|&log| Some(log).filter(|log| log.is_finite()))
        .collect()
}

fn not(detail: String) -> Error {
    Error::Format(FormatError::Not { kind: KIND, detail })
}

pub(crate) fn not_json(e: serde_json::Error) -> Error {
    not(e.to_string())
}
