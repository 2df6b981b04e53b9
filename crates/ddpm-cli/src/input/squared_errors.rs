//! Squared errors that another program summed up, as an `.npz` archive. The arrays are described in `ddpm profile --help`.

use std::io::Read;
use std::path::{Path, PathBuf};

use ddpm_core::NoiseSchedule;
use ddpm_data::Split;
use ddpm_eval::RecordedErrors;
use ddpm_profile::{Doubt, ElboProfile};

use super::chain::noise_schedule;
use crate::advice::kind_of;
use crate::args::ChainArgs;
use crate::error::{Advice, Error, Result};
use crate::output::Voice;
use crate::render::plural;

/// Bytes of a file that say what it is.
const LOOKED_AT: u64 = 1 << 20;

/// Whether a path is read as arrays and not as a CSV file.
pub(crate) fn is_array_file(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("npz"))
}

/// Reads recordings of one network and makes a profile of them. The noise schedule is that of `chain`, where its flags are given, else the
/// file's own `alpha_bar`, taken for a named schedule where it is one in single precision.
pub(crate) fn read_squared_errors(
    paths: &[PathBuf],
    chain: Option<&ChainArgs>,
    split: Option<Split>,
    voice: Voice,
) -> Result<ElboProfile> {
    read(paths, chain, split, voice).advised("the arrays are described in `ddpm profile --help`; examples/python/ddpm_hook.py writes them")
}

fn read(
    paths: &[PathBuf],
    chain: Option<&ChainArgs>,
    split: Option<Split>,
    voice: Voice,
) -> Result<ElboProfile> {
    paths.iter().try_for_each(|path| check_archive(path))?;
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let names = names.join(" + ");
    let located = |error| match error {
        error @ (ddpm_eval::Error::Core(_) | ddpm_eval::Error::Profile(_)) => {
            Error::Input(format!("{names}: {error}"))
        }
        error => error.into(),
    };
    let recordings = paths.iter().map(|path| RecordedErrors::open(path));
    let recordings: ddpm_eval::Result<Vec<_>> = recordings.collect();
    let recordings = recordings.map_err(located)?;
    let (Some(path), Some(first)) = (paths.first(), recordings.first()) else {
        return Err(Error::usage("--import: expected one or more files"));
    };
    let told = chain.map(|flags| told(first, path, flags));
    let schedule = match told.transpose()?.flatten() {
        Some(schedule) => schedule,
        None => {
            let found = first.recognise().map_err(located)?;
            if let Some((name, is_rescaled)) = found.name {
                voice.note(format_args!(
                    "{}: its alpha_bar is the {name} noise schedule{}, which is used in full precision",
                    path.display(),
                    if is_rescaled { " with zero terminal SNR" } else { "" }
                ));
            }
            found.schedule
        }
    };
    let imported = RecordedErrors::into_profile(recordings, &schedule, split).map_err(located)?;
    let profile = imported.profile;
    let blocks = profile.blocks().len();
    if blocks < imported.blocks {
        voice.warn(format_args!(
            "{names}: {} of images became {blocks}, so that each has images at every timestep: error bars are of {blocks}; give every block the same timesteps for more",
            plural(imported.blocks as u64, "block")
        ));
    }
    let end = schedule.train_steps();
    if schedule.alpha_bar(end) == 0.0 && profile.layout().timesteps().last() != Some(&end) {
        voice.warn(format_args!(
            "{names}: no signal is left at t = T = {end} (alpha_bar = 0), which was not measured: a network that predicts the noise cannot start there; --start free may end earlier"
        ));
    }
    for (path, doubt) in &imported.doubts {
        warn_of_doubt(path, doubt, voice);
    }
    Ok(profile)
}

/// Says where the errors of another program are like no network's.
pub(crate) fn warn_of_doubt(path: &Path, doubt: &Doubt, voice: Voice) {
    voice.warn(format_args!("{}: {doubt}", path.display()));
}

fn check_archive(path: &Path) -> Result<()> {
    // The rest of a large archive is none of the answer's business.
    let mut bytes = Vec::new();
    let start =
        std::fs::File::open(path).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut bytes));
    start.map_err(|source| Error::read(path, source))?;
    if bytes.starts_with(b"PK") {
        return Ok(());
    }
    let found = kind_of(&bytes).unwrap_or("a file that is no zip archive");
    Err(Error::file(
        path,
        format!("expected a readable .npz archive, as numpy.savez writes; found {found}"),
    ))
}

/// The noise schedule of the flags, if they tell one.
fn told(
    recorded: &RecordedErrors<'_>,
    path: &Path,
    flags: &ChainArgs,
) -> Result<Option<NoiseSchedule>> {
    let stored = recorded.train_steps();
    if let (Some(stored), Some(wanted)) = (stored, flags.train_steps)
        && stored != wanted
    {
        let expected = format!("as many entries as --train-steps says, {wanted}");
        return Err(recorded.wrong_schedule(&expected, stored).into());
    }
    // Rescaling needs a named schedule: of the file's own nothing tells whether it was rescaled before.
    if flags.process.is_some() {
        return Err(Error::usage(
            "--process: recorded errors are of a chain of whole timesteps; those of other clocks are measured by the Python package",
        ));
    }
    if flags.noise_schedule.is_none() && flags.alpha_bar.is_none() && !flags.zero_terminal_snr {
        return match stored {
            Some(_) => Ok(None),
            None => Err(Error::usage(format!(
                "{}: no array alpha_bar; expected one, or --noise-schedule NAME with --train-steps T",
                path.display()
            ))),
        };
    }
    let schedule = noise_schedule(flags, stored)?;
    recorded.check_schedule(&schedule, "the noise schedule on the command line")?;
    Ok(Some(schedule))
}
