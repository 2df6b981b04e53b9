//! `Denoiser`: a Python function as a network.

use std::sync::mpsc::{Sender, SyncSender};

use ddpm_core::{DenoiserError, NetworkId, NetworkOutput, OnProcess, Prediction};
use ndarray::{ArrayD, ArrayViewD};
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::arrays::singles;
use crate::errors::argument;
use crate::names;
use crate::process::Process;

/// A batch for the user's function.
pub(crate) struct Asked {
    pub(crate) x: ArrayD<f32>,
    pub(crate) times: Vec<f64>,
    pub(crate) labels: Option<Vec<usize>>,
    pub(crate) answer: SyncSender<Result<Prediction, DenoiserError>>,
}

/// Where a library puts its questions.
pub(crate) type Questions = Sender<Asked>;

#[pyclass(frozen, module = "ddpm_schedules._core")]
pub(crate) struct Denoiser {
    pub(crate) process: Process,
    output: NetworkOutput,
    pub(crate) shape: Vec<usize>,
    /// `function(x, t, labels) -> (output, variance or None)`: float32 `[B, ..]`, float64 `[B]`, int64 `[B]` or None.
    function: Py<PyAny>,
    name: Option<String>,
    pub(crate) classes: Option<usize>,
    learns_variance: bool,
    pub(crate) batch: usize,
}

#[pymethods]
impl Denoiser {
    #[new]
    #[pyo3(signature = (function, process, prediction, shape, *, sigma_data, name, classes, learns_variance, batch))]
    fn new(
        function: Py<PyAny>,
        process: Process,
        prediction: &str,
        shape: Vec<usize>,
        sigma_data: f64,
        name: Option<String>,
        classes: Option<usize>,
        learns_variance: bool,
        batch: usize,
    ) -> PyResult<Self> {
        if shape.is_empty() || shape.contains(&0) {
            let problem = format_args!(
                "expected that of one datum without the batch, such as (3, 32, 32), found {shape:?}"
            );
            return Err(argument("shape", problem));
        }
        for (what, value) in [("batch", Some(batch)), ("classes", classes)] {
            if value == Some(0) {
                return Err(argument(what, "expected at least 1, found 0"));
            }
        }
        if name.as_ref().is_some_and(|name| name.trim().is_empty()) {
            return Err(argument("name", "expected a text that is not empty"));
        }
        Ok(Self {
            output: names::output(prediction, sigma_data)?,
            process,
            shape,
            function,
            name,
            classes,
            learns_variance,
            batch,
        })
    }

    #[getter]
    fn process(&self) -> Process {
        self.process.clone()
    }

    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    #[getter]
    fn prediction(&self) -> &'static str {
        self.output.name()
    }

    /// What the network is told at node t.
    fn time(&self, t: usize) -> PyResult<f64> {
        if (1..=self.process.train_steps()).contains(&t) {
            Ok(self.output.time(&self.process.inner, t))
        } else {
            let problem = format_args!("expected a node in 1..={}", self.process.train_steps());
            Err(argument("t", problem))
        }
    }
}

impl Denoiser {
    /// The network, whose function is asked through `questions`.
    pub(crate) fn network(&self, questions: Questions) -> impl ddpm_core::Denoiser + use<> {
        let ask = move |x: ArrayViewD<'_, f32>, times: &[f64], labels: Option<&[usize]>| {
            let gone = |_| DenoiserError::new("nobody answers for the network");
            let (answer, reply) = std::sync::mpsc::sync_channel(1);
            let asked = Asked {
                x: x.to_owned(),
                times: times.to_vec(),
                labels: labels.map(<[usize]>::to_vec),
                answer,
            };
            let sent = questions.send(asked);
            sent.map_err(|_| DenoiserError::new("nobody answers for the network"))?;
            reply.recv().map_err(gone)?
        };
        self.with(ask)
    }

    /// The network for what it says of itself; it cannot be asked.
    pub(crate) fn silent(&self) -> impl ddpm_core::Denoiser + use<> {
        self.with(|_: ArrayViewD<'_, f32>, _: &[f64], _: Option<&[usize]>| {
            Err(DenoiserError::new("this network cannot be asked"))
        })
    }

    fn with<F>(&self, function: F) -> OnProcess<F>
    where
        F: Fn(ArrayViewD<'_, f32>, &[f64], Option<&[usize]>) -> Result<Prediction, DenoiserError>
            + Send
            + Sync,
    {
        let process = self.process.inner.clone();
        let mut network =
            OnProcess::new(process, self.output, &self.shape, function).with_batch(self.batch);
        if let Some(name) = &self.name {
            network = network.with_id(NetworkId::Named(name.clone()));
        }
        if let Some(classes) = self.classes {
            network = network.with_classes(classes);
        }
        if self.learns_variance {
            network = network.with_learned_variance();
        }
        network
    }

    /// Calls the function, on this thread.
    pub(crate) fn call(
        &self,
        py: Python<'_>,
        x: ArrayD<f32>,
        times: Vec<f64>,
        labels: Option<Vec<usize>>,
    ) -> PyResult<Prediction> {
        let labels = labels.map(|labels| {
            let labels: Vec<i64> = labels.into_iter().map(|label| label as i64).collect();
            labels.into_pyarray(py)
        });
        let arguments = (x.into_pyarray(py), times.into_pyarray(py), labels);
        let found = self.function.bind(py).call1(arguments)?;
        let (mean, variance): (Bound<'_, PyAny>, Option<Bound<'_, PyAny>>) = found.extract()?;
        let variance = variance
            .map(|v| singles("variance output", &v))
            .transpose()?;
        Ok(Prediction {
            mean: singles("output", &mean)?,
            variance,
        })
    }

    /// One class for all, checked.
    pub(crate) fn labels(
        &self,
        class: Option<usize>,
        count: usize,
    ) -> PyResult<Option<Vec<usize>>> {
        match (self.classes, class) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(argument(
                "label",
                "expected none: the network has no classes",
            )),
            (Some(classes), None) => Err(argument(
                "label",
                format_args!("expected one of the network's {classes} classes, found none"),
            )),
            (Some(classes), Some(label)) if label >= classes => Err(argument(
                "label",
                format_args!("expected one below {classes}, found {label}"),
            )),
            (Some(_), Some(label)) => Ok(Some(vec![label; count])),
        }
    }
}
