//! The UNet as a `ddpm_core::Denoiser`: timesteps t in 1..=T instead of the network's own time.

use std::collections::BTreeMap;

use ddpm_core::{Denoiser, DenoiserError, NetworkId, NoiseSchedule, Parameterization, Prediction};
use ndarray::{ArrayD, ArrayViewD, Ix4, s};
use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::config::{ModelConfig, ModelOptions};
use crate::unet::{Backend, UNet};
use crate::{Error, Result};

/// A UNet with its diffusion process.
///
/// Timestep t is fed to the network as (t - 1), or (t - 1) 1000 / T where it was trained with rescaled timesteps,
/// computed in f32 as in improved-diffusion.
pub struct UNetDenoiser {
    unet: UNet,
    noise_schedule: NoiseSchedule,
    /// What (t - 1) is multiplied by.
    time_scale: f32,
}

impl UNetDenoiser {
    /// Loads the network of a checkpoint with its process.
    ///
    /// # Errors
    /// Those of [`UNet::load_on`] and [`new`](Self::new); [`Error::MissingOptions`] names what both of them lack.
    pub fn open(checkpoint: &Checkpoint, options: &ModelOptions, backend: Backend) -> Result<Self> {
        match UNet::load_on(checkpoint, options, backend) {
            Err(Error::MissingOptions(mut missing)) => {
                let config = ModelConfig::resolve(checkpoint, &options.with_any_heads())?;
                missing.extend(config.missing());
                Err(Error::MissingOptions(missing))
            }
            unet => Self::new(unet?, options),
        }
    }

    /// Completes the network with T, the noise schedule and the timestep rescaling; values in `options` override those
    /// found when the network was loaded.
    ///
    /// # Errors
    /// [`Error::MissingOptions`] naming the values that nobody gave (rescaling is not asked for where T = 1000, which
    /// it leaves alone); [`Error::InvalidOption`] for impossible values; [`Error::Process`] if the schedule is.
    pub fn new(mut unet: UNet, options: &ModelOptions) -> Result<Self> {
        let config = unet.config().with_options(options)?;
        let unknown = config.train_steps.is_none() || config.noise_schedule.is_none();
        if let (Some((path, detail)), true) = (&config.unread_process, unknown) {
            return Err(Error::ModelFile {
                path: path.clone(),
                detail: detail.clone(),
            });
        }
        let (Some(train_steps), Some(noise), []) = (
            config.train_steps.map(|known| known.value),
            config.noise_schedule.clone(),
            &config.missing()[..],
        ) else {
            return Err(Error::MissingOptions(config.missing()));
        };
        let rescale = config.rescale_timesteps.is_some_and(|known| known.value);
        unet.set_config(config);
        Ok(Self {
            unet,
            noise_schedule: noise.value.schedule(train_steps)?,
            time_scale: if rescale {
                (1000.0 / train_steps as f64) as f32
            } else {
                1.0
            },
        })
    }

    /// The same network for images of `size` x `size` pixels, which weights cannot tell.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for a size that the network cannot halve as often as it has to.
    pub fn with_image_size(mut self, size: usize) -> Result<Self> {
        let options = ModelOptions {
            image_size: Some(size),
            ..ModelOptions::default()
        };
        let config = self.unet.config().with_options(&options)?;
        self.unet.set_config(config);
        Ok(self)
    }

    /// What the network is and where that is known from.
    pub fn config(&self) -> &ModelConfig {
        self.unet.config()
    }

    /// The network itself.
    pub fn unet(&self) -> &UNet {
        &self.unet
    }

    /// The time that the network is fed at timestep `t` in 1..=T.
    pub fn network_time(&self, t: usize) -> f32 {
        (t - 1) as f32 * self.time_scale
    }
}

impl Denoiser for UNetDenoiser {
    fn noise_schedule(&self) -> &NoiseSchedule {
        &self.noise_schedule
    }

    fn shape(&self) -> Vec<usize> {
        let config = self.config();
        let size = config.image_size.value;
        vec![config.architecture.in_channels, size, size]
    }

    fn parameterization(&self) -> Parameterization {
        self.config().parameterization.value
    }

    fn learns_variance(&self) -> bool {
        self.config().architecture.learns_variance()
    }

    fn num_classes(&self) -> Option<usize> {
        self.config().architecture.num_classes
    }

    fn network_id(&self) -> NetworkId {
        NetworkId::Sha256(self.unet.checkpoint_sha256().to_owned())
    }

    fn precision(&self) -> &str {
        self.unet.backend().precision()
    }

    fn rescales_timesteps(&self) -> bool {
        // T = 1000 is fed the same either way, which is why nobody may have said so.
        self.config()
            .rescale_timesteps
            .is_some_and(|known| known.value)
    }

    fn settings(&self) -> BTreeMap<String, String> {
        let config = self.config().describe();
        let mut settings = BTreeMap::new();
        for key in [
            "num_heads",
            "num_heads_upsample",
            "num_head_channels",
            "attention_order",
        ] {
            let text = match &config["architecture"][key] {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            settings.insert(key.to_owned(), text);
        }
        for (key, value) in [
            ("state_dict", self.unet.state_dict()),
            ("bf16_products", self.unet.bf16_products()),
        ] {
            settings.extend(value.map(|value| (key.to_owned(), value.to_owned())));
        }
        settings
    }

    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> std::result::Result<Prediction, DenoiserError> {
        self.check_inputs(&x, t, labels)?;
        let x = x
            .into_dimensionality::<Ix4>()
            .map_err(|error| DenoiserError::with_source("the network takes images", error))?;
        let time: Vec<f32> = t.iter().map(|&t| self.network_time(t)).collect();
        let failed = |error: Error| DenoiserError::with_source("the network failed", error);
        let output = self.unet.forward(x, &time, labels).map_err(failed)?;
        let channels = self.config().architecture.in_channels;
        let part = |from| -> ArrayD<f32> {
            let part = output.slice(s![.., from..from + channels, .., ..]);
            part.to_owned().into_dyn()
        };
        Ok(Prediction {
            mean: part(0),
            variance: self.learns_variance().then(|| part(channels)),
        })
    }
}
