//! Commands that need neither network nor images.

use std::path::PathBuf;

use clap::Args;
use ddpm_schedule::export::Format;

use super::conventions::SolverArg;
use super::export::formats;
use super::inputs::ChainArgs;

/// How PATH is spelled, for the long help.
pub(super) const PATH_HELP: &str = "\
Timesteps of the path: a comma list of t in 1..T (a leading 0 is accepted), `all`, or a stride: \
even:K, quadratic:K, ddim-quadratic:K, logsnr:K, karras:K, or improved-diffusion's \
respacing:STRING such as respacing:10,15,20 or respacing:ddim50";

/// Print every constant of a respaced chain
///
/// One entry per step of the path, first step (onto the data) first, in f64, under the names that
/// improved-diffusion gives them.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm transitions --noise-schedule cosine --train-steps 4000 --path even:8
  ddpm transitions --noise-schedule linear --train-steps 1000 --path 99,499,999 --zero-based")]
pub(crate) struct Transitions {
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    /// Timesteps of the path: a list, `all` or a stride (see --help)
    #[arg(long, value_name = "PATH", default_value = "all", long_help = PATH_HELP)]
    pub(crate) path: String,
    /// Read and print 0-based timesteps, as improved-diffusion and diffusers count
    #[arg(long)]
    pub(crate) zero_based: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Solve any table of step costs exactly, for every budget at once
///
/// COST.npy is a (T+1)x(T+1) array of f64 or f32 whose row t, column s holds L(t, s), the cost of
/// the step from t to s. Entries with s >= t are ignored; +inf means that there is no such step.
/// Every path runs from 0 to T. Costs keep the table's unit.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm solve cost.npy --budgets 8,16,32
  ddpm solve cost.npy --json > paths.json
  ddpm solve cost.npy --budgets 10 --noise-schedule linear --export diffusers > schedule_10.py")]
pub(crate) struct Solve {
    /// The table
    #[arg(value_name = "COST.npy")]
    pub(crate) table: PathBuf,
    /// Numbers of steps to print paths for: a comma list or `all` that are possible
    #[arg(
        long,
        visible_alias = "steps",
        value_name = "K,..",
        default_value = "all"
    )]
    pub(crate) budgets: String,
    /// How to solve; the answer is the same
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    pub(crate) method: SolverArg,
    /// Print the paths as `ddpm export` writes schedules, instead of the table
    #[arg(long, value_name = "FORMAT", value_parser = formats(), conflicts_with_all = ["json", "zero_based"])]
    pub(crate) export: Option<Format>,
    /// The chain of the table's timesteps, which most formats of --export need
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    /// Print 0-based timesteps (the clean node 0 is left out, T becomes T-1)
    #[arg(long)]
    pub(crate) zero_based: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
