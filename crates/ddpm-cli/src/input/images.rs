//! The images of a run: which set, which split, which of them.

use std::path::{Path, PathBuf};

use ddpm_data::{ImageSet, Split};

use super::checkpoint::{Network, not_conditional};
use super::files::variable;
use super::test_bed::open_images;
use crate::args::ImageArgs;
use crate::error::{Error, Result};
use crate::output::Voice;

/// Images of one data set in the order of a run.
#[derive(Debug)]
pub(crate) struct RunImages {
    pub(crate) set: ImageSet,
    pub(crate) split: Split,
    /// Indices in the set.
    pub(crate) chosen: Vec<usize>,
}

impl RunImages {
    /// Opens the data set, puts its images in the seeded order and takes the first `--limit`. The network comes back
    /// knowing the size of the images.
    pub(crate) fn open(
        args: &ImageArgs,
        network: Network,
        class: Option<usize>,
        seed: u64,
        voice: Voice,
    ) -> Result<(Self, Network)> {
        let split = split(args);
        let path = data_path(args)?;
        let set = open_images(&path, split)?;
        warn_of_left_out(&path, &set, voice);
        let network = network.fit_to(set.shape(), voice)?;
        check_size(path, &set, &network)?;
        let set = match class {
            Some(_) if network.denoiser().num_classes().is_none() => return Err(not_conditional()),
            Some(class) => set.with_class(class),
            None => set,
        };
        let limit = limit(args, set.len())?;
        let run = Self {
            chosen: ddpm_data::selection(seed, set.len(), limit),
            set,
            split,
        };
        Ok((run, network))
    }
}

/// Says so where a folder holds more than is read of it.
pub(crate) fn warn_of_left_out(path: &Path, set: &ImageSet, voice: Voice) {
    if let Some(left_out) = set.left_out() {
        voice.warn(format_args!(
            "{}: left out {left_out}; PNG and JPEG files directly in a folder are read, or else those in its folders of classes",
            path.display()
        ));
    }
}

/// Images must have the size that the network takes.
pub(crate) fn check_size(path: PathBuf, set: &ImageSet, network: &Network) -> Result<()> {
    let (expected, found) = (network.denoiser().shape(), set.shape());
    if found == expected {
        return Ok(());
    }
    Err(ddpm_data::Error::ImageSize {
        path,
        expected,
        found: found.to_vec(),
    }
    .into())
}

/// The data set: `--data`, else `$DDPM_DATA`.
pub(crate) fn data_path(args: &ImageArgs) -> Result<PathBuf> {
    args.data
        .clone()
        .or_else(|| variable("DDPM_DATA"))
        .ok_or_else(|| {
            Error::usage("no images: expected --data DIR (CIFAR-10, ImageNet, a folder of PNG or JPEG, .npz, .npy or .safetensors), or DDPM_DATA in the environment")
        })
}

/// `--split`, test if it is not given.
pub(crate) fn split(args: &ImageArgs) -> Split {
    args.split.unwrap_or(Split::Test)
}

/// `--limit`, checked against the number of images there are.
pub(crate) fn limit(args: &ImageArgs, available: usize) -> Result<usize> {
    match args.limit {
        None => Ok(available),
        Some(wanted) if (1..=available).contains(&wanted) => Ok(wanted),
        Some(wanted) => Err(Error::flag(
            "--limit",
            format!("expected 1 to {available}, the number of images there are, found {wanted}"),
        )),
    }
}
