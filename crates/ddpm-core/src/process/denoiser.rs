//! A network of another process as a [`Denoiser`] of our chain.

use std::collections::BTreeMap;

use ndarray::{ArrayViewD, Axis};

use super::{Process, ProcessKind};
use crate::{
    Denoiser, DenoiserError, NetworkId, NetworkOutput, NoiseSchedule, Parameterization, Prediction,
};

/// A function of (x, time, labels) that was trained on a [`Process`], as a [`Denoiser`] of our chain: `x` is the process's own state, times are
/// what the process says.
///
/// Of the chain itself ([`ProcessKind::Vp`]) the function's output is what predictions hold, number for number. Of other processes it is turned
/// into an estimate of `x_0`.
pub struct OnProcess<F> {
    process: Process,
    output: NetworkOutput,
    shape: Vec<usize>,
    function: F,
    network_id: NetworkId,
    classes: Option<usize>,
    learns_variance: bool,
    batch: usize,
}

impl<F> OnProcess<F>
where
    F: Fn(ArrayViewD<'_, f32>, &[f64], Option<&[usize]>) -> Result<Prediction, DenoiserError>
        + Send
        + Sync,
{
    /// `function` gets states `[B, ..]` of the process, the time of each, and labels if there are classes, and returns an output of the states'
    /// shape, with one of the variance if it learns that.
    pub fn new(process: Process, output: NetworkOutput, shape: &[usize], function: F) -> Self {
        Self {
            process,
            output,
            shape: shape.to_vec(),
            function,
            network_id: NetworkId::Unknown,
            classes: None,
            learns_variance: false,
            batch: 8,
        }
    }

    /// The same function, for whose weights somebody vouches.
    #[must_use]
    pub fn with_id(self, network_id: NetworkId) -> Self {
        Self { network_id, ..self }
    }

    /// The same function, conditional on so many classes.
    #[must_use]
    pub fn with_classes(self, classes: usize) -> Self {
        Self {
            classes: Some(classes),
            ..self
        }
    }

    /// The same function, whose output has variance channels.
    #[must_use]
    pub fn with_learned_variance(self) -> Self {
        Self {
            learns_variance: true,
            ..self
        }
    }

    /// The same function, fastest at this batch size.
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        Self {
            batch: batch.max(1),
            ..self
        }
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Whether outputs are handed on as they are.
    fn passes_on(&self) -> Option<Parameterization> {
        let is_chain = self.process.kind() == ProcessKind::Vp;
        is_chain.then(|| self.output.parameterization()).flatten()
    }
}

impl<F> Denoiser for OnProcess<F>
where
    F: Fn(ArrayViewD<'_, f32>, &[f64], Option<&[usize]>) -> Result<Prediction, DenoiserError>
        + Send
        + Sync,
{
    fn noise_schedule(&self) -> &NoiseSchedule {
        self.process.noise_schedule()
    }

    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        self.check_inputs(&x, t, labels)?;
        let weights = |&t: &usize| {
            self.output.estimate(&self.process, t).ok_or_else(|| {
                DenoiserError::new(format!(
                    "nothing of the data is left at t = {t}: a network that puts out {} says nothing of it",
                    self.output
                ))
            })
        };
        let weights: Vec<[f64; 2]> = match self.passes_on() {
            // The estimate is made, or refused, where predictions are read.
            Some(_) => Vec::new(),
            None => t.iter().map(weights).collect::<Result<_, _>>()?,
        };
        let times: Vec<f64> = t
            .iter()
            .map(|&t| self.output.time(&self.process, t))
            .collect();
        let mut shown = x.to_owned();
        for (mut datum, &t) in shown.axis_iter_mut(Axis(0)).zip(t) {
            let factor = self.output.input_scale(&self.process, t);
            if factor != 1.0 {
                datum.mapv_inplace(|x| (factor * f64::from(x)) as f32);
            }
        }
        let output = (self.function)(shown.view(), &times, labels)?;
        if output.variance.is_some() != self.learns_variance {
            let [expected, found] = [self.learns_variance, !self.learns_variance]
                .map(|some| if some { "one" } else { "none" });
            return Err(DenoiserError::new(format!(
                "the network's variance output: expected {expected}, as it says of itself, found {found}"
            )));
        }
        let outputs = [Some(&output.mean), output.variance.as_ref()];
        if let Some(wrong) = outputs
            .into_iter()
            .flatten()
            .find(|part| part.shape() != x.shape())
        {
            let (expected, found) = (x.shape(), wrong.shape());
            return Err(DenoiserError::new(format!(
                "the network's output has shape {found:?}: expected {expected:?}, that of the states"
            )));
        }
        if self.passes_on().is_some() {
            return Ok(output);
        }
        let mut output = output;
        let data = output.mean.axis_iter_mut(Axis(0)).zip(x.axis_iter(Axis(0)));
        for ((mut out, x), [of_state, of_output]) in data.zip(weights) {
            out.zip_mut_with(&x, |out, &x| {
                *out = (of_state * f64::from(x) + of_output * f64::from(*out)) as f32;
            });
        }
        Ok(output)
    }

    fn parameterization(&self) -> Parameterization {
        self.passes_on().unwrap_or(Parameterization::X0)
    }

    fn learns_variance(&self) -> bool {
        self.learns_variance
    }

    fn num_classes(&self) -> Option<usize> {
        self.classes
    }

    fn preferred_batch(&self) -> usize {
        self.batch
    }

    fn network_id(&self) -> NetworkId {
        self.network_id.clone()
    }

    fn settings(&self) -> BTreeMap<String, String> {
        if self.passes_on().is_some() {
            // Nothing that the noise schedule and the parameterisation do not say.
            return BTreeMap::new();
        }
        let mut told = self.process.settings();
        told.insert(NetworkOutput::SETTING.into(), self.output.to_string());
        told
    }
}
