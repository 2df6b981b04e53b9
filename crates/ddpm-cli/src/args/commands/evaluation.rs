//! Commands that run the network along a path.

use std::path::PathBuf;

use clap::Args;

use super::chain::PATH_HELP;
use crate::args::{CheckpointArgs, ClipArgs, ImageArgs, StepArgs};

/// Evaluate bits/dim of one path directly, term by term, without a profile
///
/// The independent check of a schedule, and of parity with another implementation: `--images` and
/// `--noise` take the very numbers the other one was run on.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm bpd model.pt --data cifar10 --limit 16 --schedule schedules.json --steps 32
  ddpm bpd model.pt --data cifar10 --limit 16 --path even:32 --variance fixed-small
  ddpm bpd model.pt --images x.safetensors --noise n.safetensors --path 444,3999 --zero-based
  ddpm bpd model.pt --data cifar10 --limit 4 --path all --terms 1,2,55")]
pub(crate) struct Bpd {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    #[command(flatten)]
    pub(crate) data: ImageArgs,
    /// Images as tensors instead: key x_start (f32 in [-1, 1], [B,C,H,W]), or key cifar_test_index
    /// (i64, [B]) with the pixels taken from --data
    #[arg(long, value_name = "X.safetensors")]
    pub(crate) images: Option<PathBuf>,
    /// Noise to use at every timestep: key noise, [B,C,H,W] (may be the file of --images)
    #[arg(long, value_name = "N.safetensors", requires = "images")]
    pub(crate) noise: Option<PathBuf>,
    /// Schedules file; its variances and conventions apply
    #[arg(long, value_name = "S.json", conflicts_with_all = ["path", "variance", "decoder", "profile"], requires = "steps")]
    pub(crate) schedule: Option<PathBuf>,
    /// Which budget of the schedules file
    #[arg(long, value_name = "K", requires = "schedule")]
    pub(crate) steps: Option<usize>,
    /// Timesteps of the path: a list, `all` or a stride (see --help)
    #[arg(long, value_name = "PATH", long_help = PATH_HELP, required_unless_present = "schedule")]
    pub(crate) path: Option<String>,
    #[command(flatten)]
    pub(crate) conventions: StepArgs,
    /// Profile whose measured errors give the analytic variances and the optimal decoder
    #[arg(long, value_name = "P")]
    pub(crate) profile: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    /// Evaluate only the steps that start at these timesteps: a comma list
    #[arg(long, value_name = "T,..")]
    pub(crate) terms: Option<String>,
    /// Class of every image, for class-conditional networks on data without labels
    #[arg(long, value_name = "N")]
    pub(crate) class: Option<usize>,
    /// Seed of the image order and of all noise
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Read and print 0-based timesteps (the clean node prints as -1)
    #[arg(long)]
    pub(crate) zero_based: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Draw samples along a chosen schedule
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm sample model.pt --schedule schedules.json --steps 32 --count 64 --out samples.png
  ddpm sample model.pt --schedule schedules.json --steps 32 --count 1000 --out samples/")]
pub(crate) struct Sample {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    /// Schedules file; its variances apply
    #[arg(long, value_name = "S.json")]
    pub(crate) schedule: PathBuf,
    /// Which budget of the schedules file
    #[arg(long, value_name = "K")]
    pub(crate) steps: usize,
    /// Number of images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// samples.png (one grid), samples.npz (uint8, NHWC), or a folder of PNG
    #[arg(long, value_name = "OUT")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    /// Class of every image, for class-conditional networks [default: classes in turn]
    #[arg(long, value_name = "N")]
    pub(crate) class: Option<usize>,
    /// Seed of all noise
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
