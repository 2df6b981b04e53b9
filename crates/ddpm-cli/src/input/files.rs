//! Whole files in and out, and those of this program: profiles, schedules and trajectories.

use std::path::{Path, PathBuf};

use ddpm_core::MeanKind;
use ddpm_files::{FormatError, csv};
use ddpm_profile::ElboProfile;
use ddpm_schedule::Schedules;
use ddpm_trajectory::Trajectories;

use crate::advice::{PROFILE, TENSORS, TRAJECTORIES, kind_of};
use crate::error::{Advice, Error, Located, Result};
use crate::output::Voice;
use crate::render::{join, quote};

/// Bytes of the longest document: the schedules of all numbers of steps of a chain of 4,000 take a tenth of it.
const LONGEST_DOCUMENT: u64 = 1 << 32;

/// The file or folder that an environment variable names.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// `path` with another ending after its own.
pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    name.into()
}

/// Refuses a device, which has no end.
fn refuse_device(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if std::fs::metadata(path).is_ok_and(|file| file.file_type().is_char_device()) {
            return Err(Error::file(path, "expected a file, found a device"));
        }
    }
    Ok(())
}

/// Reads a file.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    match path.is_file() {
        true => std::fs::read(path).map_err(|source| Error::read(path, source)),
        // A pipe may have no end.
        false => read_document(path),
    }
}

/// Reads a document of ours or a table of text, of which nobody has a longer one.
fn read_document(path: &Path) -> Result<Vec<u8>> {
    refuse_device(path)?;
    Ok(ddpm_files::read_small(path, LONGEST_DOCUMENT)?)
}

/// Reads one number per timestep t = 1..T from a column of a CSV file.
pub(crate) fn read_column(path: &Path, column: &str) -> Result<Vec<f64>> {
    let bytes = read_document(path)?;
    std::str::from_utf8(&bytes)
        .map_err(|_| "expected a CSV file, found bytes that are no text".to_owned())
        .and_then(|text| csv::column(text, column).map_err(|error| error.to_string()))
        .map_err(|message| {
            Error::file(path, message).advised(format!(
                "the file needs a first line `t,{column}` and then a line for every t = 1, 2, .., T"
            ))
        })
}

/// Finds out before a long run whether its output can be written at all.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    ddpm_files::check_writable(path).map_err(|source| Error::write(path, source))
}

/// Writes a file at once: a reader sees the old contents or the new ones, never half of them.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    // It clears away what a writer that was killed has left.
    check_writable(path)?;
    ddpm_files::write_atomic(path, bytes).map_err(|source| Error::write(path, source))
}

/// Reads a profile.
pub(crate) fn read_profile(path: &Path) -> Result<ElboProfile> {
    let bytes = read_bytes(path)?;
    let is_no_profile = |error: &ddpm_profile::Error| {
        matches!(error, ddpm_profile::Error::Format(FormatError::Not { .. }))
    };
    const ADVICE: &str =
        "a profile P is the file that `ddpm profile CKPT --data DIR --out P` writes";
    ElboProfile::from_bytes(&bytes).map_err(|error| match kind_of(&bytes) {
        Some(TRAJECTORIES) => {
            Error::file(path, format!("not an elbo profile: found {TRAJECTORIES}")).advised(
                format!("`ddpm schedule --objective quality` chooses on these (klub on those of --forward); {ADVICE}"),
            )
        }
        // The library says more of a safetensors file than that it is one.
        Some(kind) if is_no_profile(&error) && ![PROFILE, TENSORS].contains(&kind) => {
            Error::file(path, format!("not an elbo profile: found {kind}")).advised(ADVICE)
        }
        _ => Error::file(path, error).advised(ADVICE),
    })
}

/// Reads a profile to compute from, and says so if blocks of its run are missing.
pub(crate) fn read_profile_to_use(path: &Path, voice: Voice) -> Result<ElboProfile> {
    let profile = read_profile(path)?;
    if !profile.is_complete() {
        voice.warn(format_args!(
            "{}: {} of {} blocks of images are missing; merge the other shards or resume the run",
            path.display(),
            profile.missing_blocks().len(),
            profile.provenance().total_blocks
        ));
    }
    Ok(profile)
}

/// Says so where a profile has too few images for what is asked of its means.
pub(crate) fn warn_of_few_images(path: &Path, profile: &ElboProfile, mean: MeanKind, voice: Voice) {
    let images = profile.images();
    // Without bands there is no calibrated mean to warn of, but an error to come.
    let has_bands = profile.layout().bands().is_some();
    if mean == MeanKind::Network || images >= ElboProfile::IMAGES_FOR_MEANS || !has_bands {
        return;
    }
    let left = if images < ElboProfile::IMAGES_FOR_SOME_MEANS {
        "every mean stays the network's"
    } else {
        "the means of the constants of channels stay the network's"
    };
    voice.warn(format_args!(
        "{}: all means are calibrated from {} images on, all but those of constants from {}, found {images}: {left}",
        path.display(),
        ElboProfile::IMAGES_FOR_MEANS,
        ElboProfile::IMAGES_FOR_SOME_MEANS
    ));
}

/// Reads a schedules file.
pub(crate) fn read_schedules(path: &Path) -> Result<Schedules> {
    let bytes = read_document(path)?;
    let schedules = match String::from_utf8(bytes) {
        Ok(text) => Schedules::from_json(&text).in_file(path),
        Err(error) => {
            let found = kind_of(error.as_bytes()).unwrap_or("bytes that are no text");
            Err(Error::file(
                path,
                format!("not a schedules file: expected JSON, found {found}"),
            ))
        }
    };
    schedules.advised("a schedules file S.json is what `ddpm schedule P --out S.json` writes")
}

/// What the library says of the schedules of `file`, or of an export, with the flags that mend it.
pub(crate) fn about_schedules(error: ddpm_schedule::Error, file: &Path) -> Error {
    use ddpm_schedule::Error as E;
    match &error {
        E::NoBudget { steps, found } => {
            let held = join(found, ", ");
            Error::file(
                file,
                format!("no schedule of {steps} steps (--steps); expected one of {held}"),
            )
            .advised(format!(
                "take one of these, or choose anew: ddpm schedule P --steps {steps} --out {}",
                quote(&file.to_string_lossy())
            ))
        }
        E::NeedsNoiseSchedule { .. } => Error::usage(format!(
            "{error}, which a cost table does not tell: expected --noise-schedule NAME or --alpha-bar A.csv (csv and npy do without)"
        )),
        E::NotExpressible { .. } => Error::usage(format!(
            "{error}; expected another --format (csv and npy hold the bare timesteps)"
        )),
        E::NoSignal { .. } => Error::Input(format!("{error} (ddpm schedule --start free)")),
        _ => Error::file(file, error),
    }
}

/// Reads trajectories, of an interrupted run too.
pub(crate) fn read_trajectories(path: &Path) -> Result<Trajectories> {
    const ADVICE: &str = "trajectories are the file R that `ddpm trajectory CKPT --out R` writes";
    let bytes = read_bytes(path)?;
    Trajectories::from_bytes(&bytes).map_err(|error| match kind_of(&bytes) {
        Some(PROFILE) => Error::file(path, format!("not a trajectories file: found {PROFILE}"))
            .advised(format!(
                "`ddpm schedule` chooses on a profile by --objective elbo or mse; {ADVICE}"
            )),
        _ => Error::file(path, error).advised(ADVICE),
    })
}

/// Reads trajectories to choose from; of a run that has not ended nobody knows what is missing.
pub(crate) fn read_trajectories_to_use(path: &Path) -> Result<Trajectories> {
    let trajectories = read_trajectories(path)?;
    let finished = trajectories.check_finished().in_file(path);
    finished.advised("finish it by `ddpm trajectory ... --resume`, and take its --out")?;
    Ok(trajectories)
}
