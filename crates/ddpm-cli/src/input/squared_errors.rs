//! Squared errors that another program summed up, as an `.npz` archive. The arrays are described in `ddpm profile --help`.

use std::path::Path;

use ddpm_core::NoiseSchedule;
use ddpm_data::Split;
use ddpm_eval::RecordedErrors;
use ddpm_profile::ElboProfile;

use super::chain::noise_schedule;
use super::files::read_bytes;
use crate::advice::kind_of;
use crate::args::ChainArgs;
use crate::error::{Advice, Error, Result};
use crate::output::Voice;

/// Whether a path is read as arrays and not as a CSV file.
pub(crate) fn is_array_file(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("npz"))
}

/// Reads sums and makes a profile of them. The noise schedule is that of `chain`, where its flags are given, else the
/// file's own `alpha_bar`, taken for a named schedule where it is one in single precision.
pub(crate) fn read_squared_errors(
    path: &Path,
    chain: Option<&ChainArgs>,
    split: Option<Split>,
    voice: Voice,
) -> Result<ElboProfile> {
    read(path, chain, split, voice).advised("the arrays are described in `ddpm profile --help`; examples/python/ddpm_hook.py writes them")
}

fn read(
    path: &Path,
    chain: Option<&ChainArgs>,
    split: Option<Split>,
    voice: Voice,
) -> Result<ElboProfile> {
    let bytes = read_bytes(path)?;
    if !bytes.starts_with(b"PK") {
        let found = kind_of(&bytes).unwrap_or("a file that is no zip archive");
        return Err(Error::file(
            path,
            format!("expected a readable .npz archive, as numpy.savez writes; found {found}"),
        ));
    }
    let located = |error| match error {
        error @ (ddpm_eval::Error::Core(_) | ddpm_eval::Error::Profile(_)) => {
            Error::file(path, error)
        }
        error => error.into(),
    };
    let recorded = RecordedErrors::open(path).map_err(located)?;
    let told = chain.map(|flags| told(&recorded, path, flags));
    let schedule = match told.transpose()?.flatten() {
        Some(schedule) => schedule,
        None => {
            let found = recorded.recognise().map_err(located)?;
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
    let profile = recorded.into_profile(&schedule, split).map_err(located)?;
    let end = schedule.train_steps();
    if schedule.alpha_bar(end) == 0.0 && profile.layout().timesteps().last() != Some(&end) {
        voice.warn(format_args!(
            "{}: no signal is left at t = T = {end} (alpha_bar = 0), which was not measured: a network that predicts the noise cannot start there; --start free may end earlier",
            path.display()
        ));
    }
    Ok(profile)
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
