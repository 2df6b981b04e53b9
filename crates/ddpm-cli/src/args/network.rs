//! Commands that look at a checkpoint alone.

use std::path::PathBuf;

use clap::Args;

use super::inputs::CheckpointArgs;
use super::outputs::OutputArgs;

/// Show what a checkpoint is, and what its weights cannot tell
///
/// Everything that the weights tell is read from their shapes; T, the noise schedule and the rest
/// are shown where they are known.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm inspect model.pt
  ddpm inspect model.pt --num-heads 4 --json
  ddpm inspect model.pt --num-heads 4 --train-steps 1000 --noise-schedule linear --write-model
  ddpm inspect ddpm-cifar10-32/                  a folder of diffusers
  ddpm inspect training.pt --state-dict model    raw weights instead of averaged ones")]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    /// Keep what weights cannot tell, as flags and files say it, in a file that every command finds [default: NAME.model.json beside the
    /// checkpoint, model.json in a folder]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub(crate) write_model: Option<Option<PathBuf>>,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Run the network once and write its raw output, to verify a port
///
/// The input file holds `x` [B,C,H,W] (f32), `timesteps` [B] exactly as the network is fed, and
/// `y` [B] for class-conditional networks; the output file gets `output` [B,C',H,W].
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm predict model.pt --num-heads 4 --input in.safetensors --output out.safetensors")]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    /// Tensors x, timesteps and, if classes are needed, y
    #[arg(long, value_name = "IN.safetensors")]
    pub(crate) input: PathBuf,
    /// Where the tensor output goes
    #[arg(long, value_name = "OUT.safetensors")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    /// Print a summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Time the network's forward pass on random images
///
/// Prints the median of several batches and their range. Results of the network do not depend on
/// the batch size, so this is how to choose one. With the environment variable DDPM_TIMING=1, this
/// and every other command ends with a table of the time spent in each operation.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm bench model.pt --batch 8
  ddpm bench model.pt --batch 8 --precision bf16 --json
  DDPM_TIMING=1 ddpm bench model.pt
  DDPM_ISA=avx2 ddpm bench model.pt     generic, avx2, avx512 or amx instead of the best")]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    /// Batches to time, after two that are not counted
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
