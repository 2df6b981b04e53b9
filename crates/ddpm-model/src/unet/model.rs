//! The network for a batch.

use ndarray::{Array4, ArrayView4};

use super::backend::Backend;
use super::network::Network;
use super::packed::Packed;
#[cfg(feature = "candle")]
use super::stock::Stock;
use super::weights::Weights;
use crate::checkpoint::Checkpoint;
use crate::config::{ModelConfig, ModelOptions};
use crate::kernels::{Arithmetic, Isa};
use crate::{Error, Result, room};

/// A UNet with its weights.
pub struct UNet {
    config: ModelConfig,
    checkpoint_sha256: String,
    state_dict: Option<String>,
    parameters: usize,
    backend: Backend,
    network: OnEngine,
}

enum OnEngine {
    Packed(Box<Network<Packed>>),
    #[cfg(feature = "candle")]
    Stock(Box<Network<Stock>>),
}

impl UNet {
    /// Builds the network that the weights describe, taking from `options`, `model.json` or a preset what they cannot
    /// tell.
    ///
    /// # Errors
    /// Those of [`ModelConfig::resolve`]; [`Error::MissingKey`], [`Error::ExtraKeys`] and [`Error::WrongShape`] where
    /// weights and architecture differ.
    pub fn load(checkpoint: &Checkpoint, options: &ModelOptions) -> Result<Self> {
        Self::load_on(checkpoint, options, Backend::default())
    }

    /// [`UNet::load`] with a choice of what computes the layers.
    ///
    /// # Errors
    /// Those of [`UNet::load`]; [`Error::Device`] and [`Error::Isa`] where the backend is not to be had.
    pub fn load_on(
        checkpoint: &Checkpoint,
        options: &ModelOptions,
        backend: Backend,
    ) -> Result<Self> {
        Self::build(checkpoint, options, backend)
            .map_err(|error| error.under(&checkpoint.place().prefix))
    }

    fn build(checkpoint: &Checkpoint, options: &ModelOptions, backend: Backend) -> Result<Self> {
        let config = ModelConfig::resolve(checkpoint, options)?;
        let weights = Weights::new(checkpoint.tensors());
        let network = match backend {
            Backend::Packed(arithmetic) => {
                let engine = Packed::new(Isa::detect()?, arithmetic);
                OnEngine::Packed(Box::new(Network::load(engine, &weights, &config)?))
            }
            #[cfg(feature = "candle")]
            _ => {
                let engine = Stock::open(backend)?;
                OnEngine::Stock(Box::new(Network::load(engine, &weights, &config)?))
            }
            #[cfg(not(feature = "candle"))]
            _ => return Err(backend.not_built()),
        };
        weights.finish()?;
        Ok(Self {
            parameters: weights.parameters(),
            checkpoint_sha256: checkpoint.sha256().to_owned(),
            state_dict: checkpoint.place().choice(),
            config,
            backend,
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

    /// SHA-256 of the checkpoint that the weights come from ([`Checkpoint::sha256`]).
    pub fn checkpoint_sha256(&self) -> &str {
        &self.checkpoint_sha256
    }

    /// Which of several weights of the checkpoint these are, whose hash is that of all; `None` where it holds no others.
    pub(crate) fn state_dict(&self) -> Option<&str> {
        self.state_dict.as_deref()
    }

    /// What computes the network.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What multiplies bf16, where the network runs in it: results differ between `tiles`, `pairs` and `widened`.
    pub fn bf16_products(&self) -> Option<&'static str> {
        match self.backend {
            Backend::Packed(Arithmetic::Bf16) => Isa::detect().ok().map(Isa::bf16_products),
            _ => None,
        }
    }

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The raw output `[B, out_channels, H, W]` for images `x` of shape `[B, in_channels, H, W]`.
    ///
    /// `network_time[b]` is the time as the network is fed (see [`crate::UNetDenoiser`] for timesteps); `labels[b]` is
    /// the class of image `b`, to be given if and only if the network is class-conditional. On the processor, an image's
    /// output is the same to the bit whatever shares its batch and however many threads run.
    ///
    /// # Errors
    /// [`Error::Input`] if shapes, times or labels do not fit; [`Error::Memory`] if a batch has no room.
    pub fn forward(
        &self,
        x: ArrayView4<'_, f32>,
        network_time: &[f32],
        labels: Option<&[usize]>,
    ) -> Result<Array4<f32>> {
        let (batch, channels, height, width) = x.dim();
        self.check(x.dim(), network_time, labels)?;
        let out_channels = self.config.architecture.out_channels;
        let mut images = room::floats(x.len())?;
        images.extend(x.iter());
        let shape = [batch, channels, height, width];
        let output = match &self.network {
            OnEngine::Packed(network) => network.forward(images, shape, network_time, labels)?,
            // candle's products on the processor round according to their size, so that images go one by one.
            #[cfg(feature = "candle")]
            OnEngine::Stock(network) if self.backend == Backend::Stock => {
                let mut output = room::floats(batch * out_channels * height * width)?;
                let images = images.chunks_exact(channels * height * width);
                for (index, image) in images.enumerate() {
                    let labels = labels.map(|labels| &labels[index..=index]);
                    let time = &network_time[index..=index];
                    let shape = [1, channels, height, width];
                    output.extend(network.forward(image.to_vec(), shape, time, labels)?);
                }
                output
            }
            #[cfg(feature = "candle")]
            OnEngine::Stock(network) => network.forward(images, shape, network_time, labels)?,
        };
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
