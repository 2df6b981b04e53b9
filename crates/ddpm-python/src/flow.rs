//! `Trajectories`: states down the flow, which schedules for the quality of samples are chosen on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ddpm_core::{CoefficientKind, Denoiser as _, MeanKind, ModelId, Sampler};
use ddpm_eval::{FlowPlan, GrowthPlan, TrajectoryPlan, follow_flow};
use ddpm_profile::{CostModel, Curves, ElboProfile};
use ddpm_schedule::{Corrections, Scoring, TrajectoryKind, TrajectoryOrigin};
use ddpm_trajectory::{USUAL_NODES, most_nodes, reference_grid, usual_steps};
use ndarray::{Array1, Array3, Axis};
use numpy::{IntoPyArray, PyArray3, PyArrayMethods, PyReadonlyArray3};
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::calls::{detached, run};
use crate::errors::{argument, invalid};
use crate::files::{Output, Pickled, pickled, read_as, save};
use crate::model::Denoiser;
use crate::names::named;
use crate::process::Process;
use crate::profile::Profile;

/// States down a network's flow, which schedules for samples are chosen on: the file of `ddpm trajectory`.
#[pyclass(frozen, module = "ddpm_schedules._core")]
pub(crate) struct Trajectories {
    pub(crate) inner: ddpm_trajectory::Trajectories,
    pub(crate) process: Process,
}

#[pymethods]
impl Trajectories {
    /// `process`: that of the network, where the file's is not a chain of whole timesteps.
    #[staticmethod]
    #[pyo3(signature = (path, process = None))]
    fn load(py: Python<'_>, path: PathBuf, process: Option<Process>) -> PyResult<Self> {
        let inner = read_as(py, &path, ddpm_trajectory::Trajectories::from_bytes)?;
        let model = Some(&inner.origin().model);
        let process = Process::behind(&path, model, inner.schedule(), process)?;
        Ok(Self { inner, process })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Pickled<'py>> {
        pickled::<Self>(py, self.inner.to_bytes(), &self.process)
    }

    /// What `__reduce__` tells.
    #[staticmethod]
    fn _again(bytes: &[u8], process: Process) -> PyResult<Self> {
        let inner = ddpm_trajectory::Trajectories::from_bytes(bytes).map_err(invalid)?;
        Ok(Self { inner, process })
    }

    #[pyo3(signature = (path, overwrite = false))]
    fn save(&self, path: PathBuf, overwrite: bool) -> PyResult<()> {
        save(&path, &self.inner.to_bytes(), overwrite)
    }

    #[getter]
    fn process(&self) -> Process {
        self.process.clone()
    }

    #[getter]
    fn count(&self) -> usize {
        self.inner.images()
    }

    #[getter]
    fn nodes(&self) -> Vec<usize> {
        self.inner.nodes().to_vec()
    }

    #[getter]
    fn evaluations(&self) -> u64 {
        self.inner.origin().evaluations
    }

    /// float32 `[starts, nodes, dims]`, in the process's own coordinates.
    #[getter]
    fn states<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray3<f32>> {
        self.collect(py, |image, i, t| {
            let scale = self.process.inner.scale(t);
            let state = self.inner.state(image, i).iter();
            state.map(|&x| (scale * f64::from(x)) as f32).collect()
        })
    }

    /// float32 `[starts, nodes, dims]`: estimates of the clean data.
    #[getter]
    fn estimates<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray3<f32>> {
        self.collect(py, |image, i, _| self.inner.estimate(image, i).to_vec())
    }

    /// (sampler, coefficients, K, distance) of every path that was run.
    #[getter]
    fn trials(&self) -> Vec<(&'static str, &'static str, usize, f64)> {
        let trials = self.inner.trials().iter();
        trials
            .map(|t| (t.sampler.name(), t.coefficients.name(), t.steps(), t.rms()))
            .collect()
    }

    fn __repr__(&self) -> String {
        format!(
            "Trajectories({} starts at {} timesteps)",
            self.inner.images(),
            self.inner.nodes().len()
        )
    }
}

impl Trajectories {
    /// `of(image, i, t)` at the node t, the i-th from 1.
    fn collect<'py>(
        &self,
        py: Python<'py>,
        of: impl Fn(usize, usize, usize) -> Vec<f32>,
    ) -> Bound<'py, PyArray3<f32>> {
        let (count, nodes, dims) = (self.inner.images(), self.inner.nodes(), self.inner.dims());
        let mut all = Array3::zeros((count, nodes.len(), dims));
        for (row, mut slot) in all.lanes_mut(Axis(2)).into_iter().enumerate() {
            let (image, i) = (row / nodes.len(), row % nodes.len());
            slot.assign(&Array1::from(of(image, i + 1, nodes[i])));
        }
        all.into_pyarray(py)
    }
}

fn samplers(names: &[String]) -> PyResult<Vec<Sampler>> {
    if names.is_empty() {
        return Ok(Sampler::USUAL.to_vec());
    }
    let mut found = Vec::new();
    for name in names {
        let sampler: Sampler = named("sampler", name)?;
        sampler.check_priced().map_err(invalid)?;
        if !found.contains(&sampler) {
            found.push(sampler);
        }
    }
    Ok(found)
}

#[pyfunction]
#[pyo3(signature = (model, *, count, seed, samplers, nodes, steps, coefficients, growth, label, clip, mean_of, out, resume, save_every, progress))]
pub(crate) fn follow(
    py: Python<'_>,
    model: &Denoiser,
    count: usize,
    seed: u64,
    samplers: Vec<String>,
    nodes: Option<usize>,
    steps: Option<Vec<usize>>,
    coefficients: Vec<String>,
    growth: bool,
    label: Option<usize>,
    clip: bool,
    mean_of: Option<PyRef<'_, Profile>>,
    out: Option<PathBuf>,
    resume: bool,
    save_every: f64,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<Trajectories> {
    let output = Output::of(out, resume)?;
    let solvers = self::samplers(&samplers)?;
    let network = model.silent();
    let schedule = network.noise_schedule();
    let nodes = nodes.unwrap_or_else(|| USUAL_NODES.min(schedule.train_steps()));
    if let Some(&solver) = solvers.iter().find(|&&solver| nodes > most_nodes(solver)) {
        let most = most_nodes(solver);
        let problem = format_args!("expected at most {most} for {solver}, found {nodes}");
        return Err(argument("nodes", problem));
    }
    let grid = reference_grid(schedule, nodes).map_err(|error| argument("nodes", error))?;
    let mut fitted = Vec::new();
    for name in &coefficients {
        let kind: CoefficientKind = named("coefficients", name)?;
        if kind != CoefficientKind::Solver && !fitted.contains(&kind) {
            fitted.push(kind);
        }
    }
    fitted.sort_unstable();
    if !fitted.is_empty() && count < 2 {
        let why = "expected at least 2 with coefficients: some judge what is fitted to the others";
        return Err(argument("count", why));
    }
    let mut steps = steps.unwrap_or_else(|| usual_steps(grid.steps()));
    steps.sort_unstable();
    steps.dedup();
    let corrections = |profile: &ElboProfile| {
        let scoring = Scoring::unscored(MeanKind::Calibrated);
        let curves = Curves::from_profile(profile)?;
        let costs = CostModel::new(&curves, curves.freeze(&scoring)?)?;
        Ok(Corrections::of_schedule(&costs.schedule_of(grid.clone())))
    };
    let means = match mean_of.as_deref() {
        None => None,
        Some(profile) => detached(py, || corrections(&profile.inner))?
            .map_err(|error: ddpm_profile::Error| argument("mean_of", error))?,
    };
    let mut measured = GrowthPlan {
        solvers,
        ..GrowthPlan::default()
    };
    if !growth {
        measured.points = 0;
    }
    let plan = TrajectoryPlan {
        flow: FlowPlan {
            first: 0,
            count,
            seed,
            labels: model.labels(label, count)?,
            clip_denoised: clip,
            means: means.map(Arc::new),
            batch: model.batch,
        },
        grid,
        growth: measured,
        steps,
        fitted,
        save_every: Duration::try_from_secs_f64(save_every)
            .map_err(|error| argument("save_every", error))?,
    };
    let earlier = output.earlier(py, ddpm_trajectory::Trajectories::from_bytes)?;
    let made = run(py, model, progress, |network, progress| {
        follow_flow(network, &plan, earlier, progress, &mut |so_far| {
            output.keep(|| so_far.to_bytes())
        })
    })?;
    output.finish(|| made.to_bytes())?;
    Ok(Trajectories {
        inner: made,
        process: model.process.clone(),
    })
}

/// Trajectories of states and estimates that another program went through: `x` in the process's own coordinates and `x0`, clipped if `clip` says so, `[starts, nodes, dims]`, nodes
/// ascending.
#[pyfunction]
#[pyo3(signature = (model, nodes, x, x0, *, clip))]
pub(crate) fn traced(
    model: &Denoiser,
    nodes: Vec<usize>,
    x: PyReadonlyArray3<'_, f32>,
    x0: PyReadonlyArray3<'_, f32>,
    clip: bool,
) -> PyResult<Trajectories> {
    let process = &model.process;
    let (count, dims) = (
        x.as_array().shape()[0],
        model.shape.iter().product::<usize>(),
    );
    let expected = [count, nodes.len(), dims];
    for (name, found) in [("x", x.as_array().shape()), ("x0", x0.as_array().shape())] {
        if found != expected {
            let problem = format_args!("expected shape {expected:?}, found {found:?}");
            return Err(argument(name, problem));
        }
    }
    let train_steps = process.train_steps();
    if let Some(t) = nodes.iter().find(|&&t| !(1..=train_steps).contains(&t)) {
        let problem = format_args!("expected nodes in 1..={train_steps}, found {t}");
        return Err(argument("nodes", problem));
    }
    let mut states = x.to_owned_array();
    for (i, &t) in nodes.iter().enumerate() {
        let scale = process.inner.scale(t);
        let mut column = states.slice_mut(ndarray::s![.., i, ..]);
        column.mapv_inplace(|x| (f64::from(x) / scale) as f32);
    }
    let estimates = x0.as_array();
    let network = model.silent();
    let origin = TrajectoryOrigin {
        model: ModelId::of(&network, clip),
        kind: TrajectoryKind::Flow,
        solver: None,
        seed: 0,
        images: (0..count as u64).collect(),
        labels: None,
        data_sha256: None,
        evaluations: (count * nodes.len()) as u64,
        library_version: env!("CARGO_PKG_VERSION").to_owned(),
        extra: BTreeMap::new(),
    };
    let made = ddpm_trajectory::Trajectories::new(
        origin,
        process.inner.noise_schedule().clone(),
        nodes,
        states.iter().copied().collect(),
        estimates.iter().copied().collect(),
    );
    Ok(Trajectories {
        inner: made.map_err(invalid)?,
        process: process.clone(),
    })
}
