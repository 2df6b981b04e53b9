//! `Process`: a Gaussian process on a clock of N nodes.

use std::collections::BTreeMap;
use std::path::Path;

use ddpm_core::{ModelId, NoiseSchedule, NoiseScheduleName, ProcessKind};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::arrays::floats;
use crate::errors::{argument, invalid};

const EDM: [f64; 2] = ddpm_core::Process::EDM_SIGMAS;

/// The settings that tell a process, and log alpha_bar of a chain, which no settings hold.
type Told = (BTreeMap<String, String>, Option<Vec<f64>>);

/// A Gaussian process x = alpha x0 + sigma noise on a clock of N nodes, from little noise to much; node 0 is clean data.
///
/// `Process.vp(alphas_cumprod)`, `Process.flow()`, `Process.edm()`, `Process.table(...)`; `kind`, `train_steps` (N), and by node `alphas`, `sigmas`, `times`.
#[pyclass(frozen, module = "ddpm_schedules", eq, from_py_object)]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) inner: ddpm_core::Process,
}

#[pymethods]
impl Process {
    /// DDPM's chain: products of 1 - beta in the order of training timesteps. Networks are told whole timesteps from 0.
    #[staticmethod]
    fn vp(alphas_cumprod: &Bound<'_, PyAny>) -> PyResult<Self> {
        let alpha_bar = floats("alphas_cumprod", alphas_cumprod)?;
        let schedule = NoiseSchedule::from_alpha_bar(&alpha_bar).map_err(|error| {
            argument(
                "alphas_cumprod",
                format_args!("{error} (expected the products of 1 - beta, falling from nearly 1, in the order of training timesteps)"),
            )
        })?;
        Ok(Self {
            inner: ddpm_core::Process::vp(schedule),
        })
    }

    /// DDPM's chain by its betas.
    #[staticmethod]
    fn from_betas(betas: &Bound<'_, PyAny>) -> PyResult<Self> {
        let betas = floats("betas", betas)?;
        let schedule =
            NoiseSchedule::from_betas(&betas).map_err(|error| argument("betas", error))?;
        Ok(Self {
            inner: ddpm_core::Process::vp(schedule),
        })
    }

    /// DDPM's chain by the name of its noise schedule: `linear`, `cosine`, ...
    #[staticmethod]
    fn named(name: &str, train_steps: usize) -> PyResult<Self> {
        let name: NoiseScheduleName = name.parse().map_err(|error| argument("name", error))?;
        let schedule = NoiseSchedule::named(name, train_steps).map_err(invalid)?;
        Ok(Self {
            inner: ddpm_core::Process::vp(schedule),
        })
    }

    /// Rectified flow, x = (1 - s) x0 + s noise, at s = 1/N, 2/N, .., 1. Networks are told `time_scale * s`.
    #[staticmethod]
    #[pyo3(signature = (nodes = 1000, *, time_scale = 1.0))]
    fn flow(nodes: usize, time_scale: f64) -> PyResult<Self> {
        if !(time_scale > 0.0 && time_scale.is_finite()) {
            let problem = format_args!(
                "expected a finite number above 0, found {time_scale}; of a network whose time runs the other way wrap the function"
            );
            return Err(argument("time_scale", problem));
        }
        let flow = ddpm_core::Process::flow(nodes).and_then(|flow| match time_scale {
            1.0 => Ok(flow),
            scale => flow.with_time_scale(scale),
        });
        Ok(Self {
            inner: flow.map_err(invalid)?,
        })
    }

    /// x = x0 + sigma noise, N nodes even in sigma^(1/7). Networks are told sigma.
    #[staticmethod]
    #[pyo3(signature = (sigma_min = EDM[0], sigma_max = EDM[1], nodes = 1000))]
    fn edm(sigma_min: f64, sigma_max: f64, nodes: usize) -> PyResult<Self> {
        let edm = ddpm_core::Process::edm(sigma_min, sigma_max, nodes);
        Ok(Self {
            inner: edm.map_err(invalid)?,
        })
    }

    /// Any process: alpha, sigma and what the network is told, of nodes 1..N from little noise to much.
    #[staticmethod]
    fn table(
        alphas: &Bound<'_, PyAny>,
        sigmas: &Bound<'_, PyAny>,
        times: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let table = ddpm_core::Process::table(
            &floats("alphas", alphas)?,
            &floats("sigmas", sigmas)?,
            &floats("times", times)?,
        );
        Ok(Self {
            inner: table.map_err(invalid)?,
        })
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.inner.kind().name()
    }

    #[getter]
    fn spacing(&self) -> &str {
        self.inner.spacing()
    }

    #[getter]
    pub(crate) fn train_steps(&self) -> usize {
        self.inner.noise_schedule().train_steps()
    }

    #[getter]
    fn alphas<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.nodes(py, |t| self.inner.alpha(t))
    }

    #[getter]
    fn sigmas<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.nodes(py, |t| self.inner.sigma(t))
    }

    #[getter]
    fn times<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.nodes(py, |t| self.inner.time(t))
    }

    fn __repr__(&self) -> String {
        format!("Process({}, {})", self.inner.kind(), self.inner.spacing())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Told)> {
        let chain = (self.inner.kind() == ProcessKind::Vp).then(|| self.inner.noise_schedule());
        let logs = chain.map(|chain| chain.log_alpha_bars()[1..].to_vec());
        let again = py.get_type::<Self>().getattr("_again")?;
        Ok((again, (self.inner.settings(), logs)))
    }

    /// What `__reduce__` tells.
    #[staticmethod]
    fn _again(settings: BTreeMap<String, String>, logs: Option<Vec<f64>>) -> PyResult<Self> {
        let inner = match logs {
            Some(logs) => {
                let schedule = NoiseSchedule::from_log_alpha_bar(&logs).map_err(invalid)?;
                ddpm_core::Process::vp(schedule)
            }
            None => ddpm_core::Process::of_settings(&settings)
                .ok_or_else(|| argument("settings", "expected those of a process, found others"))?,
        };
        Ok(Self { inner })
    }
}

impl Process {
    /// The process behind a file: the chain that it stores, or the one that the caller gives for it.
    pub(crate) fn behind(
        path: &Path,
        model: Option<&ModelId>,
        schedule: &NoiseSchedule,
        given: Option<Self>,
    ) -> PyResult<Self> {
        let (file, clock) = (path.display(), schedule.clock());
        let settings = model.map(|model| &model.settings);
        let told = settings.and_then(|settings| settings.get(ProcessKind::SETTING));
        let told = told.filter(|_| clock != ProcessKind::Vp);
        let Some(process) = given else {
            let made = match (clock, told) {
                (ProcessKind::Vp, _) => Some(ddpm_core::Process::vp(schedule.clone())),
                (_, Some(_)) => settings.and_then(ddpm_core::Process::of_settings),
                // The command line's `--process flow` without a network.
                (ProcessKind::Flow, None) => ddpm_core::Process::flow(schedule.train_steps()).ok(),
                _ => None,
            };
            if let Some(inner) = made.filter(|made| made.noise_schedule().is_close(schedule)) {
                return Ok(Self { inner });
            }
            let told = told.map_or(clock.name(), String::as_str);
            let problem = format_args!(
                "{file} does not hold all numbers of its process ({told}): expected that process too, ds.load(path, process)"
            );
            return Err(argument("process", problem));
        };
        let own = process.inner.to_string();
        let same_clock = told.map_or(process.inner.kind() == clock, |told| *told == own);
        if same_clock && process.inner.noise_schedule().is_close(schedule) {
            return Ok(process);
        }
        let told = match (told, clock) {
            (Some(told), _) => told,
            (None, ProcessKind::Vp) => "a chain of whole timesteps",
            (None, clock) => clock.name(),
        };
        let problem = format_args!("expected that of {file} ({told}), found {own}");
        Err(argument("process", problem))
    }

    fn nodes<'py>(&self, py: Python<'py>, of: impl Fn(usize) -> f64) -> Bound<'py, PyArray1<f64>> {
        let values: Vec<f64> = (0..=self.train_steps()).map(of).collect();
        values.into_pyarray(py)
    }
}
