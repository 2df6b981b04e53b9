//! Commands that make, merge and use profiles.

use std::path::PathBuf;

use clap::Args;
use ddpm_core::{CoefficientKind, DecoderKind, MeanKind, Objective, StartRule, VarianceKind};
use ddpm_schedule::export::Format;

use super::chain::PATH_HELP;
use super::conventions::{
    ClipArgs, StepArgs, coefficient_kinds, decoders, means, objectives, starts, variances,
};
use super::export::formats;
use super::inputs::{ChainArgs, CheckpointArgs, ImageArgs};
use super::outputs::OutputArgs;

/// Measure a network on images: all that schedules need, in a file
///
/// While the run lasts, finished blocks of images are saved in OUT.partial: every 20 seconds (see
/// `--save-every`), at the end, on an error and on Ctrl-C, which stops at the next batch. A process
/// that is killed (or stopped by a second Ctrl-C) loses the evaluations made since the last save, no
/// more. `--resume` continues. OUT.lock keeps a second run with the same output
/// out. The result does not depend on threads, batch size, shards or interruptions.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm profile model.pt --data cifar10 --split train --limit 64 --evaluations 4096 --out train.p
  ddpm profile model.pt --data cifar10 --split train --shard 0/4 --out part0.p
  ddpm profile --import errors.npz --out other_network.p
  ddpm profile --import monday.npz tuesday.npz --out other_network.p

Networks that ddpm cannot run: --import takes an .npz of sums that any loop can make
(examples/python/ddpm_hook.py), M timesteps and B blocks of images; blocks without images are left
out, and neighbours pooled until each has images at every timestep:
  t                  int [M]       timesteps from 1 to T, in any order (others count from 0: add 1)
  sum_squared_error  float [B, M]  sum over images of the mean over dimensions of (x0 - xhat0)^2
  count              int [B, M]    images summed
  x0_mean_square     float [B]     mean over images and dimensions of x0^2
  image_shape        int [3]       channels, height, width (signals: channels, length; vectors: length)
  clip_denoised      bool          whether xhat0 was clipped to [-1, 1]
  alpha_bar          float [T]     of t = 1..T (`ddpm schedule --mse` takes --noise-schedule too)
  eight_bit          bool          may be absent: whether all of x0 are 8-bit levels of [-1, 1]
  saturated          float         with eight_bit: the fraction of x0 that is -1 or 1
For the spectral variance and the calibrated mean, four more. U is a DCT-II along every axis but the
channels, times a basis of the channels; e, h and n are the coefficients U (x0 - xhat0), U xhat0 and
U (x_t - sqrt(alpha_bar) xhat0) / sqrt(1 - alpha_bar). N bands, channel after channel and in each from
low to high; Q of them are constants, which hold the first coefficient of a channel alone:
  band_edges         float [E]     radii at which bands begin; those without a coefficient are no bands
  band_channels      float [C, C]  the basis of the channels, a basis vector in every row
  band_products      float64 [B, M, N, 6]  sum over images of the means over the band's coefficients of
                                   e^2, e h, e n, h^2, h n, n^2
  band_means         float64 [B, M, Q, 3]  sum over images of e, h, n of the constants",
    mut_arg("checkpoint", |arg| arg.required(false).required_unless_present("import").conflicts_with("import")))]
pub(crate) struct Profile {
    #[command(flatten)]
    pub(crate) checkpoint: Option<CheckpointArgs>,
    /// Make the profile of squared errors that another program has summed up (see below), in one or more files; they tell the chain
    #[arg(long, value_name = "F.npz", num_args = 1.., conflicts_with_all = [
        "data", "limit", "evaluations", "seed", "clip_denoised", "shard", "images_per_block", "no_bands", "bands", "channel_basis", "class", "save_every", "resume",
        "state_dict", "model", "num_heads", "num_head_channels", "num_heads_upsample", "attention_order", "image_size",
        "train_steps", "noise_schedule", "rescale_timesteps", "parameterization", "precision", "device", "batch",
    ])]
    pub(crate) import: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    /// The profile to write
    #[arg(long, value_name = "P.safetensors")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    /// Network evaluations of the whole run, never exceeded: 32 timesteps of as many images as that
    /// pays for; with --limit N, more timesteps of N images, or 20 of fewer [default: every timestep]
    #[arg(long, value_name = "M")]
    pub(crate) evaluations: Option<u64>,
    /// Seed of the image order and of all noise
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    /// Measure only the blocks of shard i of n, i from 0
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<String>,
    /// Images per block, the unit of error bars and of resuming [default: at least 32 blocks]
    #[arg(long, value_name = "N")]
    pub(crate) images_per_block: Option<usize>,
    /// Leave out the statistics of bands of frequencies, which the spectral variance and the calibrated mean need
    #[arg(long)]
    pub(crate) no_bands: bool,
    /// Rings of frequencies of every channel, beside its constant, between a radius of 0.9 and the largest; those that hold no coefficient
    /// are dropped [default: 23]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096), conflicts_with = "no_bands")]
    pub(crate) bands: Option<u32>,
    /// Orthonormal basis of the channels, .npy of [C, C] floats, a vector a row [default: luminance and two colours of three channels,
    /// else the channels themselves]
    #[arg(long, value_name = "B.npy", conflicts_with = "no_bands")]
    pub(crate) channel_basis: Option<PathBuf>,
    /// Class of every image, for class-conditional networks on data without labels
    #[arg(long, value_name = "N")]
    pub(crate) class: Option<usize>,
    /// Time between two saves of finished blocks; 0 saves after every block
    #[arg(long, value_name = "SECONDS", default_value_t = ddpm_eval::ProfilePlan::SAVE_EVERY.as_secs())]
    pub(crate) save_every: u64,
    /// Continue from OUT.partial
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Merge the profiles of disjoint blocks of images into one
///
/// The parts may come in any order and grouping: the result is the same to the bit as a profile
/// made at once.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm merge part0.p part1.p part2.p part3.p --out train.p")]
pub(crate) struct Merge {
    /// The parts
    #[arg(value_name = "P", required = true)]
    pub(crate) parts: Vec<PathBuf>,
    /// The profile to write
    #[arg(long, value_name = "P")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Choose the optimal schedule for every number of steps
///
/// From a profile, or from a curve t,m(t) of any other network (m is the squared error of its
/// prediction of the image, per dimension), which serves the fixed and analytic variances; an .npz that has bands of
/// frequencies serves the spectral variance too.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm schedule train.p --steps 8,16,32 --variance learned --out schedules.json
  ddpm schedule train.p --steps 8 --variance analytic --start free
  ddpm schedule trajectories.safetensors --objective quality --sampler ddim --steps 5,10,20
  ddpm schedule --mse m.csv --noise-schedule linear --steps 10 --decoder-bin-width 0.00784
  ddpm schedule --mse errors.npz --steps 10 --variance analytic --export diffusers > schedule_10.py")]
pub(crate) struct Schedule {
    /// The profile to choose on; for the objectives quality and klub the trajectories
    #[arg(value_name = "P", conflicts_with = "mse")]
    pub(crate) profile: Option<PathBuf>,
    /// CSV with columns t and mse for t = 1..T, or an .npz of summed squared errors (see `ddpm profile
    /// --import`), instead of a profile
    #[arg(long, value_name = "M.csv|M.npz")]
    pub(crate) mse: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    /// Numbers of steps: a comma list or `all` [default: 8,16,32,64,128,256; on trajectories 5,8,10,16,20,32]
    #[arg(long, value_name = "K,..")]
    pub(crate) steps: Option<String>,
    #[command(flatten)]
    pub(crate) conventions: StepArgs,
    /// With --decoder gaussian: bits/dim of the decoder term to use at t = 1, where a continuous
    /// density is a poor stand-in for a discretised one
    #[arg(long, value_name = "BITS", allow_negative_numbers = true)]
    pub(crate) decoder_first_bits: Option<f64>,
    /// Where paths end
    #[arg(long, value_name = "START", default_value = "full", value_parser = starts())]
    pub(crate) start: StartRule,
    /// What to minimise
    #[arg(long, value_name = "OBJ", default_value = "elbo", value_parser = objectives())]
    pub(crate) objective: Objective,
    /// With --objective quality: the sampler that the schedules are for: ddim, dpm-solver++, dpm-solver++3m or ipndm [default: dpm-solver++]
    #[arg(long, value_name = "NAME")]
    pub(crate) sampler: Option<String>,
    /// With --objective quality: the sampler's own coefficients, or those fitted to the trajectories [default: of those that R was made with
    /// for these steps (ddpm trajectory --coefficients), the ones that end closest]
    #[arg(long, value_name = "KIND", value_parser = coefficient_kinds())]
    pub(crate) coefficients: Option<CoefficientKind>,
    /// Choose again without each of N folds of the images, to say how stable the listed paths are and
    /// how much is lost by choosing on this many, among about a thousand timesteps; 2 or more, or 0 for not [default: 8]
    #[arg(long, value_name = "N")]
    pub(crate) folds: Option<usize>,
    /// The schedules file to write
    #[arg(long, value_name = "S.json")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    /// Print the schedules as `ddpm export` writes them, instead of the table
    #[arg(long, value_name = "FORMAT", value_parser = formats(), conflicts_with_all = ["json", "zero_based"])]
    pub(crate) export: Option<Format>,
    /// Print 0-based timesteps (files always count from 1)
    #[arg(long)]
    pub(crate) zero_based: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print the paper's Table 3: bits/dim of every stride, with errors
///
/// Paths, analytic variances and optimal decoder variances are chosen on the first profile and
/// scored on the second; the standard errors are over the second's blocks of images.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm table train.p test.p
  ddpm table train.p test.p --steps 8,32 --variance learned,analytic --json
  ddpm table train.p test.p --path even:8 --path 1,57,333,1400,4000")]
pub(crate) struct Table {
    /// The profile to choose on
    #[arg(value_name = "P_train")]
    pub(crate) train: PathBuf,
    /// The profile to report on
    #[arg(value_name = "P_test", required_unless_present = "path")]
    pub(crate) test: Option<PathBuf>,
    /// Numbers of steps: a comma list [default: 8,16,32,64,128,256]
    #[arg(long, value_name = "K,..")]
    pub(crate) steps: Option<String>,
    /// Score this path instead, beside the optimal one of as many steps; may be given several times, and one profile will do
    #[arg(long, value_name = "PATH", long_help = PATH_HELP, conflicts_with_all = ["steps", "start"])]
    pub(crate) path: Vec<String>,
    /// Variances: a comma list [default: all that the profiles can serve]
    #[arg(long, value_name = "V,..", value_delimiter = ',', value_parser = variances())]
    pub(crate) variance: Vec<VarianceKind>,
    /// One mean for every variance that can have it [default: calibrated for spectral and best, else network]
    #[arg(long, value_name = "M", value_parser = means())]
    pub(crate) mean: Option<MeanKind>,
    /// One decoder for every variance [default: respaced, and optimal for the measured ones, from analytic to
    /// best; gaussian for profiles of squared errors alone]
    #[arg(long, value_name = "D", value_parser = decoders())]
    pub(crate) decoder: Option<DecoderKind>,
    /// Where optimal paths end
    #[arg(long, value_name = "START", default_value = "full", value_parser = starts())]
    pub(crate) start: StartRule,
    /// Print 0-based timesteps
    #[arg(long)]
    pub(crate) zero_based: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
