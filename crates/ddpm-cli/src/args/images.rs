//! Which images.

use std::path::PathBuf;

use clap::Args;
use ddpm_data::Split;

use super::conventions::splits;

/// A data set and the part of it that is used.
#[derive(Args, Clone, Debug)]
pub(crate) struct ImageArgs {
    /// Images: a folder with CIFAR-10 (binary or python), downsampled ImageNet (.npz) or PNG, or a .npz, .npy or
    /// .safetensors file [default: $DDPM_DATA]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Which part, where the data set has two [default: test]
    #[arg(long, value_name = "SPLIT", value_parser = splits())]
    pub(crate) split: Option<Split>,
    /// Use the first N images of the seeded order [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}
