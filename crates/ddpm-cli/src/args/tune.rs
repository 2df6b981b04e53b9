//! The command that chooses by sampling.

use std::path::PathBuf;

use clap::Args;
use ddpm_core::{CoefficientKind, Objective};
use ddpm_data::Split;

use super::conventions::{ClipArgs, coefficient_kinds, sample_objectives, splits};
use super::inputs::CheckpointArgs;
use super::outputs::OutputArgs;

/// Choose a schedule by the distance of its samples from real images
///
/// Judges a family of exact optima (weightings, UniPC along them, fitted coefficients, the calibrated mean with --profile)
/// and the usual strides, GITS and, with --profile, the paper's reweighted objective: all draw from the same noise, and the farther half goes in every round. The winner is judged once
/// more on fresh noise, beside the runner-up and the best usual stride.
///
/// What is drawn is kept in OUT.partial until the end; --resume goes on from there. The seed S of --seed is that of the
/// trajectories, S + 1 that of the noise that schedules are chosen on, S + 2 that of the noise that the winner is judged on.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm tune model.pt --steps 10 --reference cifar10 --split train --out tuned.json
  ddpm tune model.pt --steps 10 --profile train.p --reference test.npz --out tuned.json
  ddpm sample model.pt --schedule tuned.json --steps 10 --count 64 --out samples.png")]
pub(crate) struct Tune {
    #[command(flatten)]
    pub(crate) checkpoint: CheckpointArgs,
    /// K, the number of steps
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) steps: u32,
    /// The real images, or statistics of them for fd, as `ddpm fid` takes them
    #[arg(long, value_name = "B")]
    pub(crate) reference: PathBuf,
    /// Which part of the reference, where it has two
    #[arg(long, value_name = "SPLIT", value_parser = splits())]
    pub(crate) split: Option<Split>,
    /// The distance: fd (Frechet), kid (kernel) or energy
    #[arg(long, value_name = "OBJ", default_value = "fd", value_parser = sample_objectives())]
    pub(crate) objective: Objective,
    /// Weights of the feature network, .pth or .safetensors, or `raw` for the data themselves [default: $DDPM_FEATURES, or
    /// Inception downloaded before]
    #[arg(long, value_name = "WEIGHTS")]
    pub(crate) features: Option<PathBuf>,
    /// Samples that the winner is judged on; the first round takes a sixteenth
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) samples: u32,
    /// Samplers to choose for: a comma list of ddim, dpm-solver++ (whose paths UniPC takes too), dpm-solver++3m and ipndm [default:
    /// dpm-solver++]
    #[arg(
        long,
        value_name = "NAME,..",
        value_delimiter = ',',
        conflicts_with = "trajectories"
    )]
    pub(crate) sampler: Vec<String>,
    /// Coefficients to fit too: a comma list of history, fitted and fitted-bands
    #[arg(long, value_name = "KIND,..", value_delimiter = ',', value_parser = coefficient_kinds(), conflicts_with = "trajectories")]
    pub(crate) coefficients: Vec<CoefficientKind>,
    /// Trajectories of this network that are there already, of the network itself and of the corrected one: a comma list [default:
    /// they are made]
    #[arg(long, value_name = "R,..", value_delimiter = ',')]
    pub(crate) trajectories: Vec<PathBuf>,
    /// Profile: candidates with the calibrated mean too, and the path of `ddpm schedule P --objective mse`
    #[arg(long, value_name = "P")]
    pub(crate) profile: Option<PathBuf>,
    /// The schedules file to write
    #[arg(long, value_name = "S.json")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    /// Class of every sample, for class-conditional networks [default: classes in turn]
    #[arg(long, value_name = "N")]
    pub(crate) class: Option<usize>,
    /// Seed of all noise
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..u64::MAX - 2))]
    pub(crate) seed: u64,
    /// Go on with an interrupted run of the same command
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
