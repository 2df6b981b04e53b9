//! Test beds: a file of a few lines in the place of a checkpoint, or of images.

use std::path::Path;

use ddpm_data::{ImageSet, Split};
use ddpm_eval::TestBed;

use super::files::read_bytes;
use crate::args::{CheckpointArgs, DeviceArg, PrecisionArg};
use crate::error::{Error, Result};

/// Bytes of a file that may be a test bed, which takes a line or two.
const LONGEST: u64 = 1 << 16;

/// The text of a file that describes a test bed; `None` where it is something else.
pub(super) fn description(path: &Path) -> Result<Option<String>> {
    let is_json = path.extension().is_some_and(|ending| ending == "json");
    let is_short =
        || std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= LONGEST);
    if !is_json || !is_short() {
        return Ok(None);
    }
    // What is wrong with it is said by whoever reads it as JSON.
    let bytes = read_bytes(path)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(TestBed::is_described_by(&text).then_some(text))
}

/// The test bed that a file describes; `None` where it is something else.
pub(crate) fn open(path: &Path) -> Result<Option<TestBed>> {
    let Some(text) = description(path)? else {
        return Ok(None);
    };
    let beside = |images: &Path| path.parent().unwrap_or(Path::new("")).join(images);
    let bed = TestBed::from_json(&text, &mut |images, split| {
        Ok(ddpm_data::open(&beside(images), split, None)?)
    });
    bed.map(Some).map_err(|error| match error {
        ddpm_eval::Error::Data(error) => Error::file(path, format!("images: {error}"))
            .advised("relative paths begin at the folder of the test bed"),
        error => Error::file(path, error),
    })
}

/// Opens images, or draws those of a test bed.
pub(crate) fn open_images(path: &Path, split: Split) -> Result<ImageSet> {
    match open(path)? {
        Some(bed) => Ok(bed.draws(split)?),
        None => Ok(ddpm_data::open(path, split, None)?),
    }
}

/// Refuses flags that complete the weights of a checkpoint.
pub(super) fn check_flags(args: &CheckpointArgs) -> Result<()> {
    for (flag, given) in [
        ("--state-dict", args.state_dict.is_some()),
        ("--model", args.model.is_some()),
        ("--num-heads", args.num_heads.is_some()),
        ("--num-head-channels", args.num_head_channels.is_some()),
        ("--num-heads-upsample", args.num_heads_upsample.is_some()),
        ("--attention-order", args.attention_order.is_some()),
        ("--image-size", args.image_size.is_some()),
        ("--train-steps", args.train_steps.is_some()),
        ("--noise-schedule", args.noise_schedule.is_some()),
        ("--rescale-timesteps", args.rescale_timesteps.is_some()),
        ("--parameterization", args.parameterization.is_some()),
        ("--precision", args.precision != PrecisionArg::F32),
        ("--device", args.device != DeviceArg::Cpu),
    ] {
        if given {
            return Err(Error::usage(format!(
                "{flag} is about the weights of a checkpoint: {} is a test bed, whose file says all",
                args.checkpoint.display()
            )));
        }
    }
    Ok(())
}
