//! Commands that compare sets of images.

use std::path::PathBuf;

use clap::Args;
use ddpm_data::Split;

use super::conventions::splits;
use super::outputs::OutputArgs;

/// Compare two sets of images: FID, KID, precision, recall
///
/// A and B are folders of PNG or JPEG, folders with CIFAR-10 or downsampled ImageNet, .npz (arr_0, uint8,
/// NHWC), .npy or .safetensors of images, or .npz of statistics (mu, sigma) as pytorch-fid writes
/// them. B is the reference: the real images. The network is pytorch-fid's Inception, whose
/// distance alone is the FID, or a CIFAR ResNet, whose distance is called FD(resnet56).
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  ddpm fid samples.npz cifar10 --split-b train --features pt_inception-2015-12-05-6726825d.pth
  ddpm fid samples/ cifar10 --split-b train --features cifar-resnet56.safetensors --json
  ddpm fid cifar10 --split-a train --save-statistics train.npz --download
  ddpm fid samples.npz train.npz
  ddpm fid quality.npz train.npz --versus even.npz --features cifar-resnet56.safetensors")]
pub(crate) struct Fid {
    /// The images in question
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,
    /// The reference
    #[arg(value_name = "B", required_unless_present = "save_statistics")]
    pub(crate) b: Option<PathBuf>,
    /// Which part of A, where it has two
    #[arg(long, value_name = "SPLIT", value_parser = splits())]
    pub(crate) split_a: Option<Split>,
    /// Which part of B, where it has two; FIDs are published against train
    #[arg(long, value_name = "SPLIT", requires = "b", value_parser = splits())]
    pub(crate) split_b: Option<Split>,
    /// Weights of the feature network, .pth or .safetensors, or `raw` for the data themselves [default: $DDPM_FEATURES, or
    /// Inception downloaded before]
    #[arg(long, value_name = "WEIGHTS")]
    pub(crate) features: Option<PathBuf>,
    /// Download the Inception weights of pytorch-fid (96 MB) with curl, unless that was done before
    #[arg(long, conflicts_with = "features")]
    pub(crate) download: bool,
    /// Use N images of each set, the first of a seeded order [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Another sample C that began with the same noise as A, image by image: how much farther from B is A than C, with
    /// an error bar of pairs
    #[arg(long, value_name = "C", requires = "b")]
    pub(crate) versus: Option<PathBuf>,
    /// Allow less than 2048 images, where the bias is large
    #[arg(long)]
    pub(crate) allow_few: bool,
    /// Blocks of A to leave out in turn for the error bar; 0 for none [default: 32; 0 with Inception]
    #[arg(long, value_name = "BLOCKS")]
    pub(crate) jackknife: Option<usize>,
    /// Images in a subset for KID [default: 1000, or an eighth of the smaller set]
    #[arg(long, value_name = "N")]
    pub(crate) kid_subset_size: Option<usize>,
    /// Neighbours for precision, recall, density and coverage
    #[arg(long, value_name = "K", default_value_t = 5)]
    pub(crate) nearest: usize,
    /// Images of each set for precision, recall, density and coverage; 0 for none
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) nearest_images: usize,
    /// Write the statistics of A, for pytorch-fid or as a later B
    #[arg(long, value_name = "OUT.npz")]
    pub(crate) save_statistics: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) existing: OutputArgs,
    /// Images at once [default: 64; 16 with Inception]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) batch: Option<u16>,
    /// Seed of the order of images and of subsets
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
