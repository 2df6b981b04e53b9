//! Commands that run the network along a path.

use std::path::PathBuf;

use clap::Args;

use ddpm_core::{MeanKind, Sampler, VarianceKind};

use super::chain::PATH_HELP;
use super::conventions::{ClipArgs, StepArgs, means, samplers, variances};
use super::inputs::{CheckpointArgs, ImageArgs};
use super::outputs::OutputArgs;

/// Evaluate bits/dim of one path directly, without a profile
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
    #[arg(long, value_name = "S.json", conflicts_with_all = ["path", "variance", "mean", "decoder", "profile"], requires = "steps")]
    pub(crate) schedule: Option<PathBuf>,
    /// Which budget of the schedules file
    #[arg(long, value_name = "K", requires = "schedule", conflicts_with = "path")]
    pub(crate) steps: Option<usize>,
    /// Timesteps of the path: a list, `all` or a stride (see --help)
    #[arg(long, value_name = "PATH", long_help = PATH_HELP, required_unless_present = "schedule")]
    pub(crate) path: Option<String>,
    #[command(flatten)]
    pub(crate) conventions: StepArgs,
    /// Profile whose measured errors give the measured variances, the calibrated mean and the optimal decoder
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
///
/// Image i of a seed starts from the same noise whatever the path, the sampler or the batch, and meets the same noise at
/// the timesteps that two paths share. Beside the samples, OUT.run.json says how they were made.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm sample model.pt --schedule schedules.json --steps 32 --count 64 --out samples.png
  ddpm sample model.pt --path even:32 --noise-from samples.png --out even.png
  ddpm sample model.pt --schedule schedules.json --steps 10 --sampler ddim --count 64 --out ddim.png
  ddpm sample model.pt --path logsnr:10 --sampler dpm-solver++ --count 50000 --out samples.npz
  ddpm sample model.pt --schedule schedules.json --steps 32 --count 50000 --out samples/ --resume")]
pub(crate) struct Sample {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    /// Schedules file; its variances apply
    #[arg(long, value_name = "S.json", conflicts_with_all = ["path", "variance", "mean", "profile"], requires = "steps")]
    pub(crate) schedule: Option<PathBuf>,
    /// Which budget of the schedules file
    #[arg(long, value_name = "K", requires = "schedule")]
    pub(crate) steps: Option<usize>,
    /// Timesteps of the path: a list, `all` or a stride (see --help)
    #[arg(long, value_name = "PATH", long_help = PATH_HELP, required_unless_present = "schedule")]
    pub(crate) path: Option<String>,
    /// Read 0-based timesteps in --path
    #[arg(long, requires = "path", conflicts_with = "schedule")]
    pub(crate) zero_based: bool,
    /// How a step is taken [default: what the schedule was chosen for, else ddpm]
    #[arg(long, value_name = "SAMPLER", value_parser = samplers())]
    pub(crate) sampler: Option<Sampler>,
    /// Noise of a DDIM step in [0, 1]: 0 is deterministic, 1 is ddpm with variance fixed-small [default: 0]
    #[arg(long, value_name = "ETA")]
    pub(crate) eta: Option<f64>,
    /// Variance of the steps of ddpm [default: learned where the network has it, else fixed-small; spectral with --mean calibrated]
    #[arg(long, value_name = "V", value_parser = variances())]
    pub(crate) variance: Option<VarianceKind>,
    /// Mean of the steps, of every sampler [default: calibrated for spectral and best, else network]
    #[arg(long, value_name = "M", value_parser = means())]
    pub(crate) mean: Option<MeanKind>,
    /// Profile whose measured errors give the measured variances and the calibrated mean
    #[arg(long, value_name = "P")]
    pub(crate) profile: Option<PathBuf>,
    /// Clip the noise of the second-to-last step, the last that is added, to so many of 256 levels on average, as
    /// Analytic-DPM does with 1 or 2 (the last step shows its mean)
    #[arg(long, value_name = "LEVELS")]
    pub(crate) clip_last_noise: Option<f64>,
    /// Number of images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000), required_unless_present = "noise_from")]
    pub(crate) count: Option<u32>,
    /// Index of the first image; images are numbered from here
    #[arg(long, value_name = "I", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..1 << 55))]
    pub(crate) start_index: u64,
    /// samples.png (one grid), samples.npz (arr_0, uint8, NHWC), or a folder of PNG
    #[arg(long, value_name = "OUT")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    /// Class of every image, for class-conditional networks [default: classes in turn, by index]
    #[arg(long, value_name = "N")]
    pub(crate) class: Option<usize>,
    /// Seed of all noise
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// The noise of an earlier run: its seed, first index, classes and, unless --count is given, number of images, from
    /// OUT.run.json beside the earlier OUT
    #[arg(long, value_name = "OUT", conflicts_with_all = ["seed", "start_index"])]
    pub(crate) noise_from: Option<PathBuf>,
    /// Go on with an interrupted run of the same command (--count may have grown): images that are there are kept
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
