//! The training chain, for the commands that need no checkpoint.

use std::path::PathBuf;

use clap::Args;

/// A noise schedule by name or from a file.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChainArgs {
    /// Noise schedule: linear, linear-unscaled, scaled-linear, cosine or sigmoid
    #[arg(long, value_name = "NAME", conflicts_with = "alpha_bar")]
    pub(crate) noise_schedule: Option<String>,
    /// CSV with a column alpha_bar for t = 1..T, instead of a named schedule
    #[arg(long, value_name = "A.csv")]
    pub(crate) alpha_bar: Option<PathBuf>,
    /// T, the number of training timesteps [default: the number of rows of the file]
    #[arg(long, value_name = "T")]
    pub(crate) train_steps: Option<usize>,
    /// Rescale the schedule so that nothing of the image is left at T
    #[arg(long)]
    pub(crate) zero_terminal_snr: bool,
}
