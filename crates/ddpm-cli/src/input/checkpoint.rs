//! A checkpoint with everything the flags say about it.

use std::ops::Range;

use ddpm_core::{Denoiser, Parameterization, VarianceKind};
use ddpm_model::{
    Arithmetic, AttentionOrder, Backend, Checkpoint, ModelOptions, Source, UNet, UNetDenoiser,
};

use ddpm_eval::TestBed;

use super::test_bed;
use crate::args::{AttentionOrderArg, CheckpointArgs, DeviceArg, PrecisionArg};
use crate::error::{Error, Located, Result};
use crate::output::Voice;

/// Images per network call on a GPU where `--batch` is not given.
const GPU_BATCH: usize = 64;

/// The flags as the model crate takes them.
pub(crate) fn model_options(args: &CheckpointArgs) -> Result<ModelOptions> {
    if let Some(name) = &args.noise_schedule {
        name.parse::<ddpm_core::NoiseScheduleName>()
            .in_flag("--noise-schedule")?;
    }
    let parameterization = args.parameterization.as_ref();
    let parameterization = parameterization.map(|name| name.parse().in_flag("--parameterization"));
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
        parameterization: parameterization.transpose()?,
        variance: None,
        model_file: args.model.clone(),
    })
}

/// What `--device` and `--precision` ask for.
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
pub(crate) fn open_checkpoint(args: &CheckpointArgs) -> Result<Checkpoint> {
    if test_bed::description(&args.checkpoint)?.is_some() {
        return Err(Error::Input(format!(
            "{}: a test bed, which has no weights; expected a checkpoint",
            args.checkpoint.display()
        )));
    }
    Checkpoint::open_part(&args.checkpoint, args.state_dict.as_deref())
        .map_err(|e| Error::checkpoint(&args.checkpoint, e))
}

/// Builds the bare network, which needs neither T nor a noise schedule.
pub(crate) fn open_network(args: &CheckpointArgs) -> Result<UNet> {
    let options = model_options(args)?;
    UNet::load_on(&open_checkpoint(args)?, &options, backend(args)?)
        .map_err(|e| Error::checkpoint(&args.checkpoint, e))
}

/// A network with its diffusion process.
pub(crate) struct Network {
    kind: Kind,
    /// Images per network call; 0 for the network's own choice.
    pub(crate) batch: usize,
}

enum Kind {
    UNet(Box<UNetDenoiser>),
    TestBed(Box<TestBed>),
}

impl Network {
    /// Opens the checkpoint for use at timesteps t in 1..=T.
    pub(crate) fn open(args: &CheckpointArgs) -> Result<Self> {
        if let Some(bed) = test_bed::open(&args.checkpoint)? {
            test_bed::check_flags(args)?;
            return Ok(Self {
                kind: Kind::TestBed(Box::new(bed)),
                batch: args.batch.map_or(0, |n| n as usize),
            });
        }
        let options = model_options(args)?;
        let denoiser = UNetDenoiser::open(&open_checkpoint(args)?, &options, backend(args)?)
            .map_err(|e| Error::checkpoint(&args.checkpoint, e))?;
        let usual = match args.device {
            // The rounding of a GPU's products may depend on their size, which must not be a matter of measured time.
            DeviceArg::Cuda | DeviceArg::Metal => GPU_BATCH,
            DeviceArg::Cpu => 0,
        };
        Ok(Self {
            kind: Kind::UNet(Box::new(denoiser)),
            batch: args.batch.map_or(usual, |n| n as usize),
        })
    }

    /// Whether it is a perfect network, of a test bed.
    pub(crate) fn is_test_bed(&self) -> bool {
        matches!(self.kind, Kind::TestBed(_))
    }

    /// The network.
    pub(crate) fn denoiser(&self) -> &dyn Denoiser {
        match &self.kind {
            Kind::UNet(denoiser) => &**denoiser,
            Kind::TestBed(bed) => bed.network(),
        }
    }

    /// Takes the image size from what the network is used with, where neither a flag nor a file says it, and says so where that is not the
    /// size that its layers suggest.
    pub(crate) fn fit_to(self, shape: &[usize], voice: Voice) -> Result<Self> {
        let (Kind::UNet(denoiser), &[channels, height, width]) = (&self.kind, shape) else {
            return Ok(self);
        };
        let size = denoiser.config().image_size;
        if size.source != Source::Default || height != width || channels != denoiser.shape()[0] {
            return Ok(self);
        }
        if size.value != height {
            voice.warn(format_args!(
                "the images have {height}x{height} pixels and nothing says what the network was trained on (its layers suggest {0}x{0}): it runs on {height}x{height}; --image-size N settles it",
                size.value
            ));
        }
        let Kind::UNet(denoiser) = self.kind else {
            return Ok(self);
        };
        let fitted = denoiser
            .with_image_size(height)
            .map_err(|e| Error::Input(format!("images of {height}x{width} pixels: {e}")))?;
        Ok(Self {
            kind: Kind::UNet(Box::new(fitted)),
            ..self
        })
    }

    /// Refuses to predict from timestep `t` what the network cannot tell there.
    pub(crate) fn check_signal_at(&self, t: usize) -> Result<()> {
        let denoiser = self.denoiser();
        let epsilon = denoiser.parameterization() == Parameterization::Epsilon;
        if epsilon && denoiser.noise_schedule().alpha_bar(t) == 0.0 {
            let error = ddpm_core::Error::EpsilonWithoutSignal { t };
            return Err(Error::Input(format!(
                "noise schedule {} with T={}: {error}",
                denoiser.noise_schedule().name_or_custom(),
                denoiser.train_steps()
            )));
        }
        Ok(())
    }

    /// One class per image for a class-conditional network: the one asked for, or all in turn by index.
    pub(crate) fn labels(
        &self,
        class: Option<usize>,
        indices: Range<usize>,
    ) -> Result<Option<Vec<usize>>> {
        match (self.denoiser().num_classes(), class) {
            (None, None) => Ok(None),
            (Some(classes), None) => Ok(Some(indices.map(|i| i % classes).collect())),
            (_, Some(class)) => {
                self.check_class(class)?;
                Ok(Some(vec![class; indices.len()]))
            }
        }
    }

    /// Refuses a `--class` that the network does not know.
    pub(crate) fn check_class(&self, class: usize) -> Result<()> {
        match self.denoiser().num_classes() {
            None => Err(Error::flag(
                "--class",
                "expected none, because the network is not class-conditional",
            )),
            Some(classes) if class < classes => Ok(()),
            Some(classes) => Err(Error::flag(
                "--class",
                format!("expected a class below {classes}, found {class}"),
            )),
        }
    }

    /// The variance of a step where no flag says it: the one that the checkpoint was made for, where it tells.
    pub(crate) fn variance(&self) -> VarianceKind {
        let learned = self.denoiser().learns_variance();
        let told = match &self.kind {
            Kind::UNet(denoiser) => denoiser.config().variance,
            Kind::TestBed(_) => None,
        };
        told.map_or_else(|| VarianceKind::of_network(learned), |known| known.value)
    }

    /// Whether predicted images are clipped where no flag says so: as the checkpoint's scheduler does, else yes. The estimates of a perfect
    /// network are right as they are.
    pub(crate) fn clips(&self) -> bool {
        match &self.kind {
            Kind::UNet(denoiser) => denoiser
                .config()
                .clip_denoised
                .is_none_or(|known| known.value),
            Kind::TestBed(_) => false,
        }
    }
}
