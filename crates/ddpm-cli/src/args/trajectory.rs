//! The command that follows trajectories of a network.

use std::path::PathBuf;

use clap::Args;
use ddpm_core::{CoefficientKind, MeanKind};

use super::conventions::{ClipArgs, coefficient_kinds, means};
use super::inputs::{CheckpointArgs, ImageArgs};
use super::outputs::OutputArgs;

/// Follow a network's flow: what schedules for samples need
///
/// Takes a few samples down the probability-flow ODE in many small steps, measures how much errors
/// grow on the way, and tries the best schedules of the usual numbers of steps. No images are
/// needed. `ddpm schedule --objective quality` chooses from the file, without the network.
///
/// With --forward the states are those of images under growing noise instead, for
/// `ddpm schedule --objective klub`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm trajectory model.pt --out trajectories.safetensors
  ddpm schedule trajectories.safetensors --objective quality --sampler ddim --out schedules.json
  ddpm trajectory model.pt --mean calibrated --profile train.p --out corrected.safetensors
  ddpm trajectory model.pt --forward --data cifar10 --split train --out forward.safetensors")]
pub(crate) struct Trajectory {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    /// The trajectories to write
    #[arg(long, value_name = "R.safetensors")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    /// Number of samples, or of images with --forward
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) count: u32,
    /// Timesteps of the reference, among which schedules are sought [default: 160, at most T]
    #[arg(long, value_name = "N")]
    pub(crate) nodes: Option<usize>,
    /// Numbers of steps whose best schedules are run and compared: a comma list, or `none`
    /// [default: 5,8,10,16,20,32]
    #[arg(long, value_name = "K,..", conflicts_with = "forward")]
    pub(crate) steps: Option<String>,
    /// Samplers to measure for: a comma list of ddim, dpm-solver++, dpm-solver++3m and ipndm; the last
    /// two take at most 160 nodes [default: ddim,dpm-solver++]
    #[arg(
        long,
        value_name = "NAME,..",
        value_delimiter = ',',
        conflicts_with = "forward"
    )]
    pub(crate) sampler: Vec<String>,
    /// Fit the coefficients of the steps too and run the best schedules with them: a comma list of history (how far a step extrapolates
    /// alone), fitted (all) and fitted-bands (all, per band of frequencies)
    #[arg(
        long,
        value_name = "KIND,..",
        value_delimiter = ',',
        value_parser = coefficient_kinds(),
        conflicts_with = "forward"
    )]
    pub(crate) coefficients: Vec<CoefficientKind>,
    /// Follow images through the forward process instead
    #[arg(long)]
    pub(crate) forward: bool,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    /// Whether estimates are corrected per band of frequencies before a sampler steps on them: `calibrated` takes --profile, and `ddpm
    /// sample` then runs the schedules chosen on these trajectories with the same corrections
    #[arg(long, value_name = "M", value_parser = means(), default_value = "network", conflicts_with = "forward")]
    pub(crate) mean: MeanKind,
    /// Profile whose measured errors give the calibrated mean
    #[arg(long, value_name = "P", conflicts_with = "forward")]
    pub(crate) profile: Option<PathBuf>,
    /// Class of every sample, for class-conditional networks [default: classes in turn; with --forward
    /// those of the data]
    #[arg(long, value_name = "N")]
    pub(crate) class: Option<usize>,
    /// Seed of all noise, and of the choice of images; another than that of the samples one draws
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Time between two saves of what is finished; 0 saves after every piece
    #[arg(long, value_name = "SECONDS", default_value_t = ddpm_eval::ProfilePlan::SAVE_EVERY.as_secs())]
    pub(crate) save_every: u64,
    /// Continue from OUT.partial, or add samplers and numbers of steps to OUT: name those that it has too
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
