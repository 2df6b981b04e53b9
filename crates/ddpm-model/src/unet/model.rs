//! The network for a batch.

use candle_core::{Device, Tensor};
use ndarray::{Array4, ArrayView4, Axis};
use rayon::prelude::*;

use super::layers::Kernels;
use super::network::Network;
use super::weights::Weights;
use crate::checkpoint::Checkpoint;
use crate::config::{ModelConfig, ModelOptions};
use crate::{Error, Result};

/// An improved-diffusion UNet with its weights.
pub struct UNet {
    config: ModelConfig,
    parameters: usize,
    kernels: Kernels,
    network: Network,
}

impl UNet {
    /// Builds the network that the weights describe, taking from `options`, `model.json` or a preset what they cannot
    /// tell.
    ///
    /// # Errors
    /// Those of [`ModelConfig::resolve`]; [`Error::MissingKey`], [`Error::ExtraKeys`] and [`Error::WrongShape`] where
    /// weights and architecture differ.
    pub fn load(checkpoint: &Checkpoint, options: &ModelOptions) -> Result<Self> {
        Self::load_with(checkpoint, options, Kernels::default())
    }

    /// [`UNet::load`] with a choice of what computes the layers.
    ///
    /// # Errors
    /// Those of [`UNet::load`].
    pub fn load_with(
        checkpoint: &Checkpoint,
        options: &ModelOptions,
        kernels: Kernels,
    ) -> Result<Self> {
        let config = ModelConfig::resolve(checkpoint, options)?;
        let weights = Weights::new(checkpoint.tensors(), kernels);
        let network = Network::load(&weights, &config)?;
        weights.finish()?;
        Ok(Self {
            parameters: weights.parameters(),
            config,
            kernels,
            network,
        })
    }

    /// What the network is and where that is known from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    pub(crate) fn set_config(&mut self, config: ModelConfig) {
        self.config = config;
    }

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The raw output `[B, out_channels, H, W]` for images `x` of shape `[B, in_channels, H, W]`.
    ///
    /// `network_time[b]` is the time as the network is fed (see [`crate::UNetDenoiser`] for timesteps); `labels[b]` is
    /// the class of image `b`, to be given if and only if the network is class-conditional. An image's output is the
    /// same to the bit whatever shares its batch and however many threads run.
    ///
    /// # Errors
    /// [`Error::Input`] if shapes, times or labels do not fit.
    pub fn forward(
        &self,
        x: ArrayView4<'_, f32>,
        network_time: &[f32],
        labels: Option<&[usize]>,
    ) -> Result<Array4<f32>> {
        let (batch, channels, height, width) = x.dim();
        self.check(x.dim(), network_time, labels)?;
        let out_channels = self.config.architecture.out_channels;
        let image_len = out_channels * height * width;
        let mut output = vec![0.0; batch * image_len];
        let run = |(index, slot): (usize, &mut [f32])| -> Result<()> {
            let image = x.index_axis(Axis(0), index).iter().copied().collect();
            let image = Tensor::from_vec(image, (1, channels, height, width), &Device::Cpu)?;
            let label = labels.map(|labels| labels[index]);
            let result = self.network.forward(&image, network_time[index], label)?;
            slot.copy_from_slice(&result.flatten_all()?.to_vec1::<f32>()?);
            Ok(())
        };
        match self.kernels {
            // candle spreads each of its operations over the threads.
            Kernels::Stock => output
                .chunks_exact_mut(image_len)
                .enumerate()
                .try_for_each(run)?,
            Kernels::Packed => output
                .par_chunks_exact_mut(image_len)
                .enumerate()
                .try_for_each(run)?,
        }
        Array4::from_shape_vec((batch, out_channels, height, width), output)
            .map_err(|error| Error::Input(error.to_string()))
    }

    fn check(
        &self,
        (batch, channels, height, width): (usize, usize, usize, usize),
        network_time: &[f32],
        labels: Option<&[usize]>,
    ) -> Result<()> {
        let architecture = &self.config.architecture;
        let invalid = |detail: String| Err(Error::Input(detail));
        if channels != architecture.in_channels {
            return invalid(format!(
                "images have {channels} channels, expected {}",
                architecture.in_channels
            ));
        }
        let multiple = architecture.size_multiple();
        if height == 0 || width == 0 || height % multiple != 0 || width % multiple != 0 {
            return invalid(format!(
                "images are {height}x{width} pixels, expected multiples of {multiple}"
            ));
        }
        if network_time.len() != batch {
            return invalid(format!(
                "{} timesteps for {batch} images, expected one for each",
                network_time.len()
            ));
        }
        if let Some(time) = network_time.iter().find(|time| !time.is_finite()) {
            return invalid(format!("a timestep is {time}, expected a finite number"));
        }
        match (architecture.num_classes, labels) {
            (None, None) => Ok(()),
            (None, Some(_)) => {
                invalid("labels were given, and the network is not class-conditional".into())
            }
            (Some(classes), None) => invalid(format!(
                "the network is class-conditional, expected a label below {classes} for each image"
            )),
            (Some(_), Some(labels)) if labels.len() != batch => invalid(format!(
                "{} labels for {batch} images, expected one for each",
                labels.len()
            )),
            (Some(classes), Some(labels)) => match labels.iter().find(|&&label| label >= classes) {
                Some(label) => invalid(format!("label {label}, expected less than {classes}")),
                None => Ok(()),
            },
        }
    }
}
