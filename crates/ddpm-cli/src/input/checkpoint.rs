//! A checkpoint with everything the flags say about it.

use std::collections::BTreeMap;

use ddpm_core::{Denoiser, Parameterization, VarianceKind};
use ddpm_model::{
    Arithmetic, AttentionOrder, Backend, Checkpoint, ModelOptions, Source, StateDictPlace, UNet,
    UNetDenoiser,
};

use crate::args::{AttentionOrderArg, CheckpointArgs, DeviceArg, PrecisionArg};
use crate::error::{Error, Located, Result};

use super::conventions::default_variance;

/// Images per network call on a GPU where `--batch` is not given.
const GPU_BATCH: usize = 64;

/// The flags as the model crate takes them.
///
/// # Errors
/// [`Error::Input`] for an unknown parameterisation or noise schedule.
pub(crate) fn model_options(args: &CheckpointArgs) -> Result<ModelOptions> {
    if let Some(name) = &args.noise_schedule {
        name.parse::<ddpm_core::NoiseScheduleName>()
            .in_flag("--noise-schedule")?;
    }
    Ok(ModelOptions {
        num_heads: args.num_heads,
        num_head_channels: args.num_head_channels,
        num_heads_upsample: args.num_heads_upsample,
        attention_order: args.attention_order.map(|order| match order {
            AttentionOrderArg::Legacy => AttentionOrder::Legacy,
            AttentionOrderArg::New => AttentionOrder::New,
        }),
        image_size: args.image_size,
        train_steps: args.train_steps,
        noise_schedule: args.noise_schedule.clone(),
        rescale_timesteps: args.rescale_timesteps,
        parameterization: match &args.parameterization {
            Some(name) => Some(name.parse().in_flag("--parameterization")?),
            None => None,
        },
        variance: None,
        model_file: args.model.clone(),
    })
}

/// What `--device` and `--precision` ask for.
///
/// # Errors
/// bf16 where only our own kernels have it.
fn backend(args: &CheckpointArgs) -> Result<Backend> {
    let arithmetic = match args.precision {
        PrecisionArg::F32 => Arithmetic::F32,
        PrecisionArg::Bf16 => Arithmetic::Bf16,
    };
    let backend = match args.device {
        DeviceArg::Cpu => return Ok(Backend::Packed(arithmetic)),
        DeviceArg::Cuda => Backend::Cuda,
        DeviceArg::Metal => Backend::Metal,
    };
    match arithmetic {
        Arithmetic::F32 => Ok(backend),
        _ => Err(Error::usage(
            "--precision bf16 needs --device cpu: on a GPU the network runs in f32",
        )),
    }
}

/// Reads the checkpoint, a file or a folder.
///
/// # Errors
/// A file that is absent, truncated or no checkpoint.
pub(crate) fn open_checkpoint(args: &CheckpointArgs) -> Result<Checkpoint> {
    Checkpoint::open_part(&args.checkpoint, args.state_dict.as_deref())
        .map_err(|e| Error::checkpoint(&args.checkpoint, e))
}

/// Builds the bare network, which needs neither T nor a noise schedule.
///
/// # Errors
/// Weights that do not fit one architecture, missing heads.
pub(crate) fn open_network(args: &CheckpointArgs) -> Result<UNet> {
    let options = model_options(args)?;
    UNet::load_on(&open_checkpoint(args)?, &options, backend(args)?)
        .map_err(|e| Error::checkpoint(&args.checkpoint, e))
}

/// A network with its diffusion process.
pub(crate) struct Network {
    pub(crate) denoiser: UNetDenoiser,
    /// SHA-256 of the checkpoint.
    pub(crate) sha256: String,
    /// The weights that were taken, where the checkpoint holds several.
    state_dict: Option<String>,
    /// Images per network call; 0 for the network's own choice.
    pub(crate) batch: usize,
}

impl Network {
    /// Opens the checkpoint for use at timesteps t in 1..=T.
    ///
    /// # Errors
    /// As [`open_network`], and whatever weights cannot tell and nobody gave.
    pub(crate) fn open(args: &CheckpointArgs) -> Result<Self> {
        let options = model_options(args)?;
        let checkpoint = open_checkpoint(args)?;
        let denoiser = UNet::load_on(&checkpoint, &options, backend(args)?)
            .and_then(|unet| UNetDenoiser::new(unet, &options))
            .map_err(|e| Error::checkpoint(&args.checkpoint, e))?;
        Ok(Self {
            denoiser,
            sha256: checkpoint.sha256().to_owned(),
            state_dict: choice(checkpoint.place()),
            batch: args.batch.map_or(
                match args.device {
                    // The rounding of a GPU's products may depend on their size, which must not be a matter of
                    // measured time.
                    DeviceArg::Cuda | DeviceArg::Metal => GPU_BATCH,
                    DeviceArg::Cpu => 0,
                },
                |n| n as usize,
            ),
        })
    }

    /// Takes the image size from what the network is used with, where neither a flag nor a file says it.
    ///
    /// # Errors
    /// A size that the network cannot take.
    pub(crate) fn fit_to(self, shape: [usize; 3]) -> Result<Self> {
        let guessed = self.denoiser.config().image_size.source == Source::Default;
        let [channels, height, width] = shape;
        if !guessed || height != width || channels != self.denoiser.image_shape()[0] {
            return Ok(self);
        }
        let denoiser = self
            .denoiser
            .with_image_size(height)
            .map_err(|e| Error::Input(format!("images of {height}x{width} pixels: {e}")))?;
        Ok(Self { denoiser, ..self })
    }

    /// Whether the network is fed 1000 (t-1)/T instead of t-1.
    pub(crate) fn rescales_timesteps(&self) -> bool {
        // T = 1000 is fed the same either way, which is why nobody may have said so.
        self.denoiser
            .config()
            .rescale_timesteps
            .is_some_and(|known| known.value)
    }

    /// What decides the network's output besides its weights and has no field of its own in a profile. Profiles that
    /// differ in one of these are of different networks and do not merge.
    pub(crate) fn told_beside_weights(&self) -> BTreeMap<String, String> {
        let mut told = self.heads_and_order();
        if let Some(place) = &self.state_dict {
            told.insert("state_dict".to_owned(), place.clone());
        }
        if let Some(products) = self.denoiser.unet().bf16_products() {
            told.insert("bf16_products".to_owned(), products.to_owned());
        }
        told
    }

    fn heads_and_order(&self) -> BTreeMap<String, String> {
        let config = self.denoiser.config().describe();
        [
            "num_heads",
            "num_heads_upsample",
            "num_head_channels",
            "attention_order",
        ]
        .into_iter()
        .map(|key| (key, &config["architecture"][key]))
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (key.to_owned(), text)
        })
        .collect()
    }

    /// Refuses to predict from timestep `t` what the network cannot tell there.
    ///
    /// # Errors
    /// Epsilon-prediction where alpha_bar is 0.
    pub(crate) fn check_signal_at(&self, t: usize) -> Result<()> {
        let epsilon = self.denoiser.parameterization() == Parameterization::Epsilon;
        if epsilon && self.denoiser.noise_schedule().alpha_bar(t) == 0.0 {
            let error = ddpm_core::Error::EpsilonWithoutSignal { t };
            return Err(Error::Input(format!(
                "noise schedule {} with T={}: {error}",
                self.noise_schedule_name(),
                self.denoiser.train_steps()
            )));
        }
        Ok(())
    }

    /// Arithmetic of the network: `f32` or `bf16`.
    pub(crate) fn precision(&self) -> &'static str {
        self.denoiser.unet().backend().precision()
    }

    /// Name of the noise schedule.
    pub(crate) fn noise_schedule_name(&self) -> String {
        self.denoiser
            .config()
            .noise_schedule
            .as_ref()
            .map_or_else(|| "custom".to_owned(), |known| known.value.name())
    }

    /// The variance of a step where no flag says it: the one that the checkpoint was made for, where it tells.
    pub(crate) fn variance(&self) -> VarianceKind {
        let learned = self.denoiser.learns_variance();
        let told = self.denoiser.config().variance;
        told.map_or_else(|| default_variance(learned), |known| known.value)
    }

    /// Whether predicted images are clipped where no flag says so: as the checkpoint's scheduler does, else yes.
    pub(crate) fn clips(&self) -> bool {
        self.denoiser
            .config()
            .clip_denoised
            .is_none_or(|known| known.value)
    }
}

/// The entry and the module of weights that have others beside them: the checkpoint's hash is that of all.
fn choice(place: &StateDictPlace) -> Option<String> {
    (!place.set_aside.is_empty()).then(|| {
        let module = place.prefix.strip_suffix('.').unwrap_or_default();
        let names: Vec<&str> = place
            .entries
            .iter()
            .map(String::as_str)
            .chain((!module.is_empty()).then_some(module))
            .collect();
        names.join(".")
    })
}
