//! `Schedules`: what was chosen, and each schedule in the words of the programs that run it.

use std::path::PathBuf;

use ddpm_core::{
    CoefficientKind, DecoderKind, LinearStep, MeanKind, NetworkOutput, Objective, ProcessKind,
    Sampler, StartRule, TimePath, VarianceKind,
};
use ddpm_profile::{CostModel, Curves, USUAL_FOLDS, choose, with_stability, with_standard_errors};
use ddpm_schedule::export::{Format, export};
use ddpm_schedule::{Budgets, Chosen, Kernel, Schedule, Scoring};
use ddpm_trajectory::{choose_fitted, choose_quality, closest_coefficients, usual_steps};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::calls::detached;
use crate::errors::{argument, invalid};
use crate::files::{read_as, save};
use crate::flow::Trajectories;
use crate::names::{maybe, named};
use crate::process::Process;
use crate::profile::Profile;

#[pyclass(frozen, module = "ddpm_schedules._core")]
pub(crate) struct Schedules {
    pub(crate) inner: ddpm_schedule::Schedules,
    process: Process,
}

#[pymethods]
impl Schedules {
    /// `process`: that of the network, where the file's is not a chain of whole timesteps.
    #[staticmethod]
    #[pyo3(signature = (path, process = None))]
    fn load(py: Python<'_>, path: PathBuf, process: Option<Process>) -> PyResult<Self> {
        let inner = read_as(py, &path, |bytes| {
            let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
            ddpm_schedule::Schedules::from_json(text).map_err(|error| error.to_string())
        })?;
        let process = Process::behind(&path, inner.model(), &inner.noise_schedule, process)?;
        Ok(Self { inner, process })
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let inner = &self.inner;
        let process = self.process.clone();
        if !self.is_ones_own() {
            let text = inner.to_json().map_err(invalid)?;
            let again = py.get_type::<Self>().getattr("_again")?;
            let told = (text, process).into_pyobject(py)?;
            return Ok((again, told));
        }
        let scoring = &inner.scoring;
        let told = (
            process,
            inner.budgets[0].nodes()[1..].to_vec(),
            self.sampler().name(),
            scoring.variance.name(),
            scoring.decoder.name(),
            inner.clip_denoised.unwrap_or(true),
        );
        let module = py.import("ddpm_schedules._core")?;
        Ok((
            module.getattr("schedule_of_nodes")?,
            told.into_pyobject(py)?,
        ))
    }

    /// What `__reduce__` tells.
    #[staticmethod]
    fn _again(text: &str, process: Process) -> PyResult<Self> {
        let inner = ddpm_schedule::Schedules::from_json(text).map_err(invalid)?;
        Ok(Self { inner, process })
    }

    #[pyo3(signature = (path, overwrite = false))]
    fn save(&self, path: PathBuf, overwrite: bool) -> PyResult<()> {
        if self.is_ones_own() {
            return Err(invalid(
                "path: a list of one's own was not chosen on anything that a file could tell; expected schedules of optimize",
            ));
        }
        let text = self.inner.to_json().map_err(invalid)?;
        save(&path, text.as_bytes(), overwrite)
    }

    #[getter]
    fn process(&self) -> Process {
        self.process.clone()
    }

    /// K of every schedule.
    #[getter]
    fn steps(&self) -> Vec<usize> {
        self.inner.budgets.iter().map(Chosen::steps).collect()
    }

    /// What all have in common.
    fn conventions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(py);
        let (scoring, sampler) = (&self.inner.scoring, self.sampler());
        let is_elbo = scoring.objective == Objective::Elbo;
        all.set_item("objective", scoring.objective.name())?;
        all.set_item("sampler", sampler.name())?;
        all.set_item("variance", is_elbo.then(|| scoring.variance.name()))?;
        all.set_item("mean", scoring.mean.name())?;
        all.set_item("decoder", is_elbo.then(|| scoring.decoder.name()))?;
        all.set_item("coefficients", self.inner.coefficients.name())?;
        all.set_item("clip", self.inner.clip_denoised.unwrap_or(true))?;
        all.set_item("unit", scoring.objective.unit())?;
        let remembers = if sampler.remembers_noise() {
            "epsilon"
        } else {
            "x0"
        };
        all.set_item("remembers", remembers)?;
        let parameterization = self.inner.parameterization.map(|p| p.name());
        let settings = self.inner.model().map(|model| &model.settings);
        let output = settings.and_then(|settings| settings.get(NetworkOutput::SETTING));
        // "edm (sigma_data 0.5)"
        let output = output.map(|text| text.split(' ').next().unwrap_or_default());
        all.set_item("prediction", output.or(parameterization))?;
        Ok(all)
    }

    /// Cost, prior, standard error and distance of one schedule.
    fn numbers<'py>(&self, py: Python<'py>, steps: usize) -> PyResult<Bound<'py, PyDict>> {
        let (_, chosen) = self.chosen(steps)?;
        let all = PyDict::new(py);
        // Nothing was minimised of a list of one's own.
        all.set_item("cost", Some(chosen.cost).filter(|cost| !cost.is_nan()))?;
        all.set_item("prior", chosen.prior_bpd)?;
        all.set_item("stderr", chosen.cost_standard_error)?;
        let loss = chosen.stability.map(|s| (s.loss, s.loss_standard_error));
        all.set_item("loss_by_choosing", loss)?;
        all.set_item("distance", chosen.distance)?;
        Ok(all)
    }

    /// Nodes t_1 < .. < t_K.
    fn nodes<'py>(&self, py: Python<'py>, steps: usize) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let (_, chosen) = self.chosen(steps)?;
        let nodes: Vec<i64> = chosen.nodes()[1..].iter().map(|&t| t as i64).collect();
        Ok(nodes.into_pyarray(py))
    }

    /// What the network is told, in the order of sampling.
    fn times<'py>(&self, py: Python<'py>, steps: usize) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let (_, chosen) = self.chosen(steps)?;
        let mut times = self.process.inner.times_of(&chosen.schedule.path);
        times.pop();
        Ok(times.into_pyarray(py))
    }

    /// sigma / alpha, or s of a flow, in the order of sampling, and 0.
    fn sigmas<'py>(&self, py: Python<'py>, steps: usize) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let (_, chosen) = self.chosen(steps)?;
        let (process, path) = (&self.process.inner, &chosen.schedule.path);
        let ratios = process.sigmas_of(path).into_iter();
        let sigmas: Vec<f64> = match process.kind() {
            // Of the clock itself, to the last digit.
            ProcessKind::Flow => {
                let nodes = path.nodes().iter().rev();
                nodes.map(|&t| process.sigma(t)).collect()
            }
            kind => ratios.map(|ratio| kind.sigma(ratio)).collect(),
        };
        Ok(sigmas.into_pyarray(py))
    }

    /// The steps of one schedule in the process's own coordinates, in the order of sampling.
    fn linear_steps<'py>(
        &self,
        py: Python<'py>,
        steps: usize,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let (_, chosen) = self.chosen(steps)?;
        let found = self.linear(chosen)?;
        let edges: Vec<(usize, usize)> = chosen.schedule.path.edges().collect();
        let show = |(&(t, s), (terms, noise)): (&(usize, usize), &(Vec<f64>, f64))| {
            let process = &self.process.inner;
            let scale = process.scale(s);
            let all = PyDict::new(py);
            all.set_item("t", t)?;
            all.set_item("s", s)?;
            all.set_item("x", scale / process.scale(t) * terms[0])?;
            all.set_item("d", scale * terms[1])?;
            let history: Vec<f64> = terms[2..].iter().map(|h| scale * h).collect();
            all.set_item("history", history)?;
            all.set_item("noise", scale * noise)?;
            Ok(all)
        };
        edges.iter().zip(&found).rev().map(show).collect()
    }

    /// What a list of timesteps alone cannot carry.
    fn carried_only_by_install(&self, steps: usize) -> PyResult<Vec<String>> {
        let (_, chosen) = self.chosen(steps)?;
        let schedule = &chosen.schedule;
        let mut found = Vec::new();
        if let Some(words) = schedule.coefficients.in_words() {
            found.push(words.to_owned());
        }
        if schedule.mean() == MeanKind::Calibrated {
            found.push("calibrated mean".to_owned());
        }
        let usual = [
            VarianceKind::FixedSmall,
            VarianceKind::FixedLarge,
            VarianceKind::Learned,
        ];
        let variance = self.inner.scoring.variance;
        if self.sampler() == Sampler::Ddpm && !usual.contains(&variance) {
            found.push(format!("{variance} variance"));
        }
        Ok(found)
    }

    /// An export of `ddpm export` as text.
    #[pyo3(signature = (format, steps = None))]
    fn export(&self, format: &str, steps: Option<Vec<usize>>) -> PyResult<String> {
        let format: Format = named("format", format)?;
        if !format.is_text() {
            return Err(argument("format", format_args!("{format} is no text")));
        }
        let budgets = steps.map_or(Budgets::All, Budgets::Only);
        let made = export(&self.inner, &budgets, format).map_err(invalid)?;
        String::from_utf8(made.bytes).map_err(invalid)
    }

    fn __repr__(&self) -> String {
        let scoring = &self.inner.scoring;
        format!("Schedules({}, K = {:?})", scoring.objective, self.steps())
    }
}

impl Schedules {
    /// Whether it is a list of one's own, which was chosen on nothing and which no file could tell.
    fn is_ones_own(&self) -> bool {
        matches!(&self.inner.budgets[..], [only] if only.cost.is_nan())
    }

    fn sampler(&self) -> Sampler {
        self.inner.sampler.unwrap_or(Sampler::Ddpm)
    }

    pub(crate) fn chosen(&self, steps: usize) -> PyResult<(usize, &Chosen)> {
        let mut all = self.inner.budgets.iter().enumerate();
        all.find(|(_, chosen)| chosen.steps() == steps)
            .ok_or_else(|| {
                let problem = format_args!("expected one of {:?}, found {steps}", self.steps());
                argument("steps", problem)
            })
    }

    /// Terms of x_t, of the estimate and of the nodes before, and the noise, of the steps in ascending t.
    fn linear(&self, chosen: &Chosen) -> PyResult<Vec<(Vec<f64>, f64)>> {
        let (schedule, noise) = (&chosen.schedule, &self.inner.noise_schedule);
        let alone = "such steps are no combination of whole states: ";
        if schedule.mean() == MeanKind::Calibrated {
            return Err(invalid(format_args!("{alone}calibrated mean")));
        }
        if !schedule.fitted.is_empty() {
            let terms = |step: &ddpm_core::StepCoefficients| match step.bands() {
                1 => Ok((step.terms().iter().flatten().copied().collect(), 0.0)),
                _ => Err(invalid(format_args!("{alone}coefficients per band"))),
            };
            return schedule.fitted.iter().map(terms).collect();
        }
        let whole = |step: LinearStep| {
            let terms = [step.from_x_t, step.from_xhat0].into_iter();
            (
                terms.chain(step.history().iter().copied()).collect(),
                step.noise,
            )
        };
        if self.sampler() != Sampler::Ddpm {
            let steps = self.sampler().flow_steps(noise, &schedule.path);
            return Ok(steps.into_iter().map(whole).collect());
        }
        let edges = schedule.path.edges().zip(&schedule.kernels);
        edges
            .map(|((t, s), kernel)| {
                let variance = match kernel {
                    Kernel::Scalar { log_variance } => *log_variance,
                    // Shows its mean.
                    _ if s == 0 => 0.0,
                    _ => {
                        let variance = self.inner.scoring.variance;
                        return Err(invalid(format_args!("{alone}{variance} variance")));
                    }
                };
                Ok(whole(LinearStep::ancestral(
                    &noise.transition(t, s),
                    variance,
                )))
            })
            .collect()
    }
}

/// The schedule of nodes that somebody names, with kernels that need no measurement.
#[pyfunction]
#[pyo3(signature = (process, nodes, sampler, variance, decoder, clip))]
pub(crate) fn schedule_of_nodes(
    process: Process,
    mut nodes: Vec<usize>,
    sampler: &str,
    variance: &str,
    decoder: &str,
    clip: bool,
) -> PyResult<Schedules> {
    let sampler: Sampler = named("sampler", sampler)?;
    let variance: VarianceKind = named("variance", variance)?;
    let decoder: DecoderKind = named("decoder", decoder)?;
    let noise_schedule = process.inner.noise_schedule().clone();
    nodes.sort_unstable();
    let path = TimePath::new(nodes, noise_schedule.train_steps())
        .map_err(|error| argument("timesteps", error))?;
    let ancestral = sampler == Sampler::Ddpm;
    let scoring = if ancestral {
        Scoring::new(variance).with_decoder(decoder)
    } else {
        Scoring::unscored(MeanKind::Network).with_objective(Objective::Quality)
    };
    let schedule = Schedule::of_path(&noise_schedule, path, &scoring).map_err(invalid)?;
    let chosen = Chosen {
        schedule: if ancestral {
            schedule
        } else {
            schedule.for_sampler(sampler)
        },
        cost: f64::NAN,
        prior_bpd: None,
        cost_standard_error: None,
        stability: None,
        distance: None,
    };
    let inner = ddpm_schedule::Schedules {
        scoring,
        sampler: (!ancestral).then_some(sampler),
        coefficients: CoefficientKind::Solver,
        clip_denoised: Some(clip),
        parameterization: None,
        costs: vec![None; noise_schedule.train_steps()],
        budgets: vec![chosen],
        provenance: None,
        trajectories: None,
        noise_schedule,
    };
    Ok(Schedules { inner, process })
}

#[pyfunction]
#[pyo3(signature = (profile, steps, *, variance, mean, decoder, start, objective))]
pub(crate) fn optimize_profile(
    py: Python<'_>,
    profile: &Profile,
    steps: Option<Vec<usize>>,
    variance: Option<&str>,
    mean: Option<&str>,
    decoder: Option<&str>,
    start: Option<&str>,
    objective: &str,
) -> PyResult<Schedules> {
    let variance: Option<VarianceKind> = maybe("variance", variance)?;
    let mean: Option<MeanKind> = maybe("mean", mean)?;
    let decoder: Option<DecoderKind> = maybe("decoder", decoder)?;
    let start: StartRule = maybe("start", start)?.unwrap_or(StartRule::Full);
    let objective: Objective = named("objective", objective)?;
    let of = &profile.inner;
    let found = detached(py, || -> ddpm_profile::Result<_> {
        let curves = Curves::from_profile(of)?;
        let scoring = curves
            .scoring(variance, mean, decoder)
            .with_objective(objective)
            .with_start(start);
        scoring.check()?;
        let budgets = match steps {
            None => Budgets::of_the_paper(curves.train_steps()),
            Some(steps) => Budgets::Only(steps),
        };
        let model = CostModel::new(&curves, curves.freeze(&scoring)?)?;
        let schedules = choose(&model, &budgets, Some(of.provenance()))?;
        let schedules = with_standard_errors(schedules, of, &curves, &budgets)?;
        with_stability(schedules, of, &budgets, USUAL_FOLDS, &mut || {})
    })?;
    let inner = found.map_err(invalid)?;
    Ok(Schedules {
        inner,
        process: profile.process.clone(),
    })
}

#[pyfunction]
#[pyo3(signature = (trajectories, steps, *, sampler, coefficients))]
pub(crate) fn optimize_trajectories(
    py: Python<'_>,
    trajectories: &Trajectories,
    steps: Option<Vec<usize>>,
    sampler: Option<&str>,
    coefficients: Option<&str>,
) -> PyResult<Schedules> {
    let sampler: Sampler = maybe("sampler", sampler)?.unwrap_or(Sampler::DpmSolver2M);
    sampler.check_priced().map_err(invalid)?;
    let kind: Option<CoefficientKind> = maybe("coefficients", coefficients)?;
    let of = &trajectories.inner;
    let most = of.nodes().len();
    if let Some(k) = steps.iter().flatten().find(|&&k| k > most) {
        let problem =
            format_args!("K={k}: expected at most {most}, the timesteps of the trajectories");
        return Err(argument("steps", problem));
    }
    let asked = steps.clone().map_or(Budgets::All, Budgets::Only);
    let inner = detached(py, || {
        let kind = kind.unwrap_or_else(|| closest_coefficients(of, sampler, &asked));
        match kind {
            CoefficientKind::Solver => {
                let steps = steps.unwrap_or_else(|| usual_steps(most));
                choose_quality(of, sampler, &Budgets::Only(steps))
            }
            kind => choose_fitted(of, sampler, kind, &asked),
        }
    })?
    .map_err(|error| match error {
        ddpm_trajectory::Error::Schedule(ddpm_schedule::Error::Field { ref field, .. })
            if ["growth of errors", "trial"].iter().any(|of| field.starts_with(of)) => invalid(format_args!(
            "{error}; ds.follow measures and teaches what its sampler=, steps= and coefficients= name"
        )),
        error => invalid(error),
    })?;
    Ok(Schedules {
        inner,
        process: trajectories.process.clone(),
    })
}
