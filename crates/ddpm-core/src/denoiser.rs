//! The interface of a trained network.

use ndarray::{Array4, ArrayView4};

use crate::Parameterization;

/// What a network made of a batch.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Raw output in the network's [`Parameterization`], `[B, C, H, W]`.
    pub mean: Array4<f32>,
    /// Raw variance channels, `[B, C, H, W]`, if the network learns its variance: `v = (raw + 1) / 2`.
    pub variance: Option<Array4<f32>>,
}

/// A trained diffusion model: noisy images in, raw predictions out.
///
/// An image's output does not depend on the other images of its batch.
pub trait Denoiser: Send + Sync {
    /// `[C, H, W]` of the images.
    fn image_shape(&self) -> [usize; 3];

    /// `T`, the number of timesteps the network was trained with.
    fn train_steps(&self) -> usize;

    /// What the mean channels hold.
    fn parameterization(&self) -> Parameterization;

    /// Whether predictions come with variance channels.
    fn learns_variance(&self) -> bool;

    /// Number of classes of a class-conditional network.
    fn num_classes(&self) -> Option<usize> {
        None
    }

    /// The batch size at which the network is fastest.
    fn preferred_batch(&self) -> usize {
        8
    }

    /// Predicts for `x` of shape `[B, C, H, W]` at node `t[b]` in `1..=T` of each image, the label `labels[b]` below
    /// [`num_classes`](Self::num_classes) if the network is class-conditional. The adaptor alone maps `t` to the
    /// network's own time.
    ///
    /// # Errors
    ///
    /// If the input does not fit the network (see [`check_inputs`](Self::check_inputs)) or the network fails.
    fn predict(
        &self,
        x: ArrayView4<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError>;

    /// Checks the input of [`predict`](Self::predict) against what the network says of itself; for implementors.
    ///
    /// # Errors
    ///
    /// Names the first shape, timestep or label that does not fit.
    fn check_inputs(
        &self,
        x: ArrayView4<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<(), DenoiserError> {
        let (batch, channels, height, width) = x.dim();
        let expected = self.image_shape();
        if [channels, height, width] != expected {
            return Err(DenoiserError::new(format!(
                "images have shape {:?}: the network expects {expected:?} (channels, height, width)",
                [channels, height, width]
            )));
        }
        if t.len() != batch {
            return Err(DenoiserError::new(format!(
                "found {} timesteps for {batch} images: expected one each",
                t.len()
            )));
        }
        let train_steps = self.train_steps();
        if let Some(t) = t.iter().find(|&&t| t == 0 || t > train_steps) {
            return Err(DenoiserError::new(format!(
                "timestep {t} is out of range: expected 1..={train_steps}"
            )));
        }
        match (self.num_classes(), labels) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(DenoiserError::new(
                "found labels: the network is not class-conditional",
            )),
            (Some(classes), None) => Err(DenoiserError::new(format!(
                "found no labels: the network is conditional on {classes} classes"
            ))),
            (Some(_), Some(labels)) if labels.len() != batch => Err(DenoiserError::new(format!(
                "found {} labels for {batch} images: expected one each",
                labels.len()
            ))),
            (Some(classes), Some(labels)) => match labels.iter().find(|&&label| label >= classes) {
                Some(label) => Err(DenoiserError::new(format!(
                    "label {label} is out of range: expected 0..{classes}"
                ))),
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
