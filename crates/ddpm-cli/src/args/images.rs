//! Which images.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A data set and the part of it that is used.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImageArgs {
    /// Images: a folder with CIFAR-10 (binary or python), downsampled ImageNet (.npz) or PNG, or a .npz, .npy or
    /// .safetensors file [default: $DDPM_DATA]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Which part, where the data set has two [default: test]
    #[arg(long, value_name = "SPLIT")]
    pub(crate) split: Option<SplitArg>,
    /// Use the first N images of the seeded order [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

/// The parts of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitArg {
    /// Images the network was trained on: to choose schedules
    Train,
    /// Images it has not seen: to report numbers
    Test,
}
