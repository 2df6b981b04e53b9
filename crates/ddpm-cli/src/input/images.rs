//! The images of a run: which set, which split, which of them.

use std::path::{Path, PathBuf};

use ddpm_data::{ImageSet, Split};

use super::checkpoint::Network;
use super::files::variable;
use super::test_bed::open_images;
use crate::advice;
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
        check_size(&path, &set, &network)?;
        let set = with_labels(&path, set, class, &network)?;
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

/// The images of `path` with the labels that the network needs, all of them `class` where one is given; said before anything is computed.
pub(crate) fn with_labels(
    path: &Path,
    set: ImageSet,
    class: Option<usize>,
    network: &Network,
) -> Result<ImageSet> {
    let set = match class {
        Some(class) => {
            network.check_class(class)?;
            set.with_class(class)
        }
        None => set,
    };
    ddpm_eval::labels_for(network.denoiser(), &set).map_err(|error| match error {
        ddpm_eval::Error::Request { .. } => {
            Error::file(path, &error).advised_maybe(advice::on_evaluation(&error))
        }
        error => error.into(),
    })?;
    Ok(set)
}

/// Images must have the size that the network takes.
pub(crate) fn check_size(path: &Path, set: &ImageSet, network: &Network) -> Result<()> {
    let (expected, found) = (network.denoiser().shape(), set.shape());
    if found == expected {
        return Ok(());
    }
    Err(ddpm_data::Error::ImageSize {
        path: path.to_owned(),
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
