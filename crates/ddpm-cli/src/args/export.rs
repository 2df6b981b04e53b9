//! The command that hands schedules to other tools.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use ddpm_core::Sampler;
use ddpm_schedule::export::Format;

use super::conventions::{named_values, samplers};
use super::outputs::OutputArgs;

named_values! {
    /// What an export is for.
    formats: Format {
        Diffusers: "Python: timesteps and the schedulers that follow them",
        KDiffusion: "Python: sigmas, ending with 0",
        Comfyui: "One line of sigmas per schedule, as its nodes take them",
        ImprovedDiffusion: "Python: use_timesteps of SpacedDiffusion",
        Csv: "One row per step, with alpha_bar, sigma and log-variance",
        Npy: "Timesteps as int64; several schedules are rows filled up with -1",
    }
}

/// Write schedules down for other tools
///
/// Every tool counts timesteps from 0 and takes them noisiest first: our t is its timestep t - 1. What
/// a tool cannot take over of a schedule (the analytic variances, say) is written in the export and on
/// stderr.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm export schedules.json --format diffusers --steps 32 --out schedule_32.py
  ddpm export schedules.json --format comfyui --steps 16
  ddpm export quality.json --format diffusers --sampler unipc --out unipc.py
  ddpm export schedules.json --format csv > schedules.csv")]
pub(crate) struct Export {
    /// Schedules file
    #[arg(value_name = "S.json")]
    pub(crate) schedules: PathBuf,
    /// For what
    #[arg(long, value_name = "FORMAT", value_parser = formats())]
    pub(crate) format: Format,
    /// Budgets of the schedules file: a comma list or `all` [default: all]
    #[arg(long, value_name = "K,..")]
    pub(crate) steps: Option<String>,
    /// The sampler that is to take the steps: the one that the schedules were chosen for, or one that
    /// takes its schedules too (those of dpm-solver++: dpm-solver++3m, ipndm, unipc, unipc3)
    #[arg(long, value_name = "SAMPLER", value_parser = samplers())]
    pub(crate) sampler: Option<Sampler>,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "F")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    /// Print the schedules as JSON instead
    #[arg(long)]
    pub(crate) json: bool,
}
