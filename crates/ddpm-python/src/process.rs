//! `Process`: a Gaussian process on a clock of N nodes.

use ddpm_core::{NoiseSchedule, NoiseScheduleName};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::arrays::floats;
use crate::errors::{argument, invalid};

#[pyclass(frozen, module = "ddpm_schedules", eq, from_py_object)]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) inner: ddpm_core::Process,
}

#[pymethods]
impl Process {
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

    #[staticmethod]
    fn from_betas(betas: &Bound<'_, PyAny>) -> PyResult<Self> {
        let betas = floats("betas", betas)?;
        let schedule =
            NoiseSchedule::from_betas(&betas).map_err(|error| argument("betas", error))?;
        Ok(Self {
            inner: ddpm_core::Process::vp(schedule),
        })
    }

    #[staticmethod]
    fn named(name: &str, train_steps: usize) -> PyResult<Self> {
        let name: NoiseScheduleName = name.parse().map_err(|error| argument("name", error))?;
        let schedule = NoiseSchedule::named(name, train_steps).map_err(invalid)?;
        Ok(Self {
            inner: ddpm_core::Process::vp(schedule),
        })
    }

    #[staticmethod]
    #[pyo3(signature = (nodes = 1000, *, time_scale = 1.0))]
    fn flow(nodes: usize, time_scale: f64) -> PyResult<Self> {
        let flow = ddpm_core::Process::flow(nodes).and_then(|p| p.told(|s| s * time_scale));
        Ok(Self {
            inner: flow.map_err(invalid)?,
        })
    }

    #[staticmethod]
    #[pyo3(signature = (sigma_min = 0.002, sigma_max = 80.0, nodes = 1000))]
    fn edm(sigma_min: f64, sigma_max: f64, nodes: usize) -> PyResult<Self> {
        let edm = ddpm_core::Process::edm(sigma_min, sigma_max, nodes);
        Ok(Self {
            inner: edm.map_err(invalid)?,
        })
    }

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
}

impl Process {
    fn nodes<'py>(&self, py: Python<'py>, of: impl Fn(usize) -> f64) -> Bound<'py, PyArray1<f64>> {
        let values: Vec<f64> = (0..=self.train_steps()).map(of).collect();
        values.into_pyarray(py)
    }
}
