//! What commands take in: a checkpoint with what its weights cannot tell, images, a training chain.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use ddpm_data::Split;

use super::conventions::splits;

/// A checkpoint with the flags that complete it.
///
/// Values come from the flags, else from `NAME.model.json` or `model.json` beside the file (its
/// keys are the flags in snake_case), else from diffusers' config.json and scheduler_config.json,
/// else from a preset of a released checkpoint.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckpointArgs {
    /// Checkpoint: .pt (zip or legacy stream), .safetensors, a folder of a diffusers UNet2DModel or its pipeline, or a test bed (.json)
    #[arg(value_name = "CKPT")]
    pub(crate) checkpoint: PathBuf,
    /// Which weights to take where CKPT holds several: an entry (ema, model.net), a module or a folder (unet) [default:
    /// averaged ones before raw ones]
    #[arg(long, value_name = "NAME", help_heading = MODEL)]
    pub(crate) state_dict: Option<String>,
    /// JSON file with what the weights cannot tell [default: NAME.model.json or model.json beside CKPT]
    #[arg(long, value_name = "FILE", help_heading = MODEL)]
    pub(crate) model: Option<PathBuf>,
    /// Attention heads
    #[arg(long, value_name = "N", help_heading = MODEL, conflicts_with = "num_head_channels")]
    pub(crate) num_heads: Option<usize>,
    /// Channels per attention head, instead of a number of heads
    #[arg(long, value_name = "C", help_heading = MODEL)]
    pub(crate) num_head_channels: Option<usize>,
    /// Attention heads in the upsampling half, where they differ
    #[arg(long, value_name = "N", help_heading = MODEL)]
    pub(crate) num_heads_upsample: Option<usize>,
    /// Order in which queries, keys and values are laid out
    #[arg(long, value_name = "ORDER", help_heading = MODEL)]
    pub(crate) attention_order: Option<AttentionOrderArg>,
    /// Height and width of an image in pixels
    #[arg(long, value_name = "N", help_heading = MODEL)]
    pub(crate) image_size: Option<usize>,
    /// T, the number of timesteps the network was trained with
    #[arg(long, value_name = "T", help_heading = MODEL)]
    pub(crate) train_steps: Option<usize>,
    /// Noise schedule: linear, linear-unscaled, scaled-linear, cosine or sigmoid
    #[arg(long, value_name = "NAME", help_heading = MODEL)]
    pub(crate) noise_schedule: Option<String>,
    /// Whether the network is fed the timestep times 1000/T
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, help_heading = MODEL)]
    pub(crate) rescale_timesteps: Option<bool>,
    /// What the network predicts: epsilon, x0 or v
    #[arg(long, value_name = "NAME", help_heading = MODEL)]
    pub(crate) parameterization: Option<String>,
    /// Arithmetic of the network's products: f32, or bf16 for speed (sums stay f32)
    #[arg(long, value_name = "P", default_value = "f32", help_heading = COMPUTING)]
    pub(crate) precision: PrecisionArg,
    /// What computes the network
    #[arg(long, value_name = "DEVICE", default_value = "cpu", help_heading = COMPUTING)]
    pub(crate) device: DeviceArg,
    /// Images per network call; results do not depend on it [default: 8, or what is fastest in a long run]
    #[arg(long, value_name = "N", help_heading = COMPUTING, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) batch: Option<u32>,
}

const MODEL: &str = "What the weights cannot tell";
const COMPUTING: &str = "Computing";

/// Arithmetic of the network's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionArg {
    F32,
    Bf16,
}

/// What computes the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceArg {
    /// The processor, by this program's own kernels
    Cpu,
    /// The first CUDA device (built with --features cuda)
    Cuda,
    /// The first Metal device (built with --features metal)
    Metal,
}

/// Layouts of the query, key and value channels.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AttentionOrderArg {
    /// Heads first, as improved-diffusion and most guided-diffusion checkpoints
    Legacy,
    /// Queries, keys and values first, as guided-diffusion's new order
    New,
}

/// A data set and the part of it that is used.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImageArgs {
    /// Images: a folder with CIFAR-10 (binary or python), downsampled ImageNet (.npz), PNG or JPEG, or a .npz, .npy or
    /// .safetensors file [default: $DDPM_DATA]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Which part, where the data set has two [default: test]
    #[arg(long, value_name = "SPLIT", value_parser = splits())]
    pub(crate) split: Option<Split>,
    /// Use the first N images of the seeded order [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// A noise schedule by name or from a file.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChainArgs {
    /// Noise schedule: linear, linear-unscaled, scaled-linear, cosine or sigmoid
    #[arg(long, value_name = "NAME", conflicts_with = "alpha_bar")]
    pub(crate) noise_schedule: Option<String>,
    /// CSV with a column alpha_bar for t = 1..T, instead of a named schedule
    #[arg(long, value_name = "A.csv")]
    pub(crate) alpha_bar: Option<PathBuf>,
    /// Another clock than whole timesteps: flow (x = (1 - s) x0 + s noise, T nodes even in s) or
    /// edm:MIN:MAX (x = x0 + sigma noise, T nodes even in sigma^(1/7); edm is 0.002 to 80)
    #[arg(long, value_name = "P", conflicts_with_all = ["noise_schedule", "alpha_bar", "zero_terminal_snr"])]
    pub(crate) process: Option<String>,
    /// T, the number of training timesteps [default: the number of rows of the file]
    #[arg(long, value_name = "T")]
    pub(crate) train_steps: Option<usize>,
    /// Rescale the schedule so that nothing of the image is left at T
    #[arg(long)]
    pub(crate) zero_terminal_snr: bool,
}

impl ChainArgs {
    /// A flag that is given, if one is.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let flags = [
            ("--noise-schedule", self.noise_schedule.is_some()),
            ("--alpha-bar", self.alpha_bar.is_some()),
            ("--process", self.process.is_some()),
            ("--train-steps", self.train_steps.is_some()),
            ("--zero-terminal-snr", self.zero_terminal_snr),
        ];
        flags
            .iter()
            .find(|(_, given)| *given)
            .map(|(flag, _)| *flag)
    }
}
