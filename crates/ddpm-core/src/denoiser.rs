//! The interface of a trained network.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayViewD};

use crate::{NetworkId, NoiseSchedule, Parameterization};

/// What a network made of a batch.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Raw output in the network's [`Parameterization`], in the shape of the input.
    pub mean: ArrayD<f32>,
    /// Raw variance channels, in the shape of the input, if the network learns its variance: `v = (raw + 1) / 2`.
    pub variance: Option<ArrayD<f32>>,
}

/// A trained diffusion model: noisy data in, raw predictions out.
///
/// Data are images, signals, videos or vectors: anything of one shape. The output for one of them does not depend on
/// the others of its batch. Three methods are required: [`noise_schedule`](Self::noise_schedule),
/// [`shape`](Self::shape) and [`predict`](Self::predict).
pub trait Denoiser: Send + Sync {
    /// The noise schedule that the network was trained with.
    fn noise_schedule(&self) -> &NoiseSchedule;

    /// The shape of one datum without the batch axis, of any rank above 0: `[C, H, W]` of images.
    fn shape(&self) -> Vec<usize>;

    /// Predicts for `x` of shape `[B, ..]`, the rest being [`shape`](Self::shape), at node `t[b]` in `1..=T` of each
    /// datum, the label `labels[b]` below [`num_classes`](Self::num_classes) if the network is class-conditional. The
    /// implementor alone maps `t` to the network's own time.
    ///
    /// # Errors
    ///
    /// If the input does not fit the network (see [`check_inputs`](Self::check_inputs)) or the network fails.
    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError>;

    /// `T`, the number of timesteps the network was trained with.
    fn train_steps(&self) -> usize {
        self.noise_schedule().train_steps()
    }

    /// What the mean channels hold.
    fn parameterization(&self) -> Parameterization {
        Parameterization::Epsilon
    }

    /// Whether predictions come with variance channels.
    fn learns_variance(&self) -> bool {
        false
    }

    /// Number of classes of a class-conditional network.
    fn num_classes(&self) -> Option<usize> {
        None
    }

    /// The batch size at which the network is fastest.
    fn preferred_batch(&self) -> usize {
        8
    }

    /// Which weights these are: the hash of their file, or a name of the user's. Runs of a network that does not say are
    /// neither resumed nor merged.
    fn network_id(&self) -> NetworkId {
        NetworkId::Unknown
    }

    /// The arithmetic of the network, as profiles record it: `f32`, `bf16`.
    fn precision(&self) -> &str {
        "f32"
    }

    /// Whether the network is fed `t * 1000 / T`, as profiles record it.
    fn rescales_timesteps(&self) -> bool {
        false
    }

    /// What else decides the output and the weights do not tell, by name, as profiles record it: those that differ in one
    /// of these are of different networks.
    fn settings(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Checks the input of [`predict`](Self::predict) against what the network says of itself; for implementors.
    ///
    /// # Errors
    ///
    /// Names the first shape, timestep or label that does not fit.
    fn check_inputs(
        &self,
        x: &ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<(), DenoiserError> {
        let fault = |problem: String| Err(DenoiserError::new(problem));
        let expected = self.shape();
        let batch = match x.shape() {
            [batch, datum @ ..] if *datum == expected => *batch,
            found => {
                let axes: String = expected.iter().map(|n| format!(", {n}")).collect();
                return fault(format!(
                    "the input has shape {found:?}: the network expects [B{axes}], where B is the batch"
                ));
            }
        };
        if t.len() != batch {
            let found = t.len();
            return fault(format!(
                "found {found} timesteps for a batch of {batch}: expected one each"
            ));
        }
        let train_steps = self.train_steps();
        if let Some(t) = t.iter().find(|&&t| t == 0 || t > train_steps) {
            return fault(format!(
                "timestep {t} is out of range: expected 1..={train_steps}"
            ));
        }
        match (self.num_classes(), labels) {
            (None, None) => Ok(()),
            (None, Some(_)) => {
                fault("found labels: the network is not class-conditional".to_owned())
            }
            (Some(classes), None) => fault(format!(
                "found no labels: the network is conditional on {classes} classes"
            )),
            (Some(_), Some(labels)) if labels.len() != batch => fault(format!(
                "found {} labels for a batch of {batch}: expected one each",
                labels.len()
            )),
            (Some(classes), Some(labels)) => match labels.iter().find(|&&label| label >= classes) {
                Some(label) => fault(format!(
                    "label {label} is out of range: expected 0..{classes}"
                )),
                None => Ok(()),
            },
        }
    }
}

/// Why a network could not predict.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DenoiserError {
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DenoiserError {
    /// An error without a deeper cause.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// An error caused by another one.
    pub fn with_source(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            message: message.into(),
            source: Some(source.into()),
        }
    }
}
