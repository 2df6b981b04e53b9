//! The training chain of commands that read no checkpoint.

use ddpm_core::{NoiseSchedule, NoiseScheduleName, PathSpec};

use super::csv::read_column;
use crate::args::ChainArgs;
use crate::error::{Error, Located, Result};

/// The noise schedule that the flags tell; `rows` is T where another file already tells it.
///
/// # Errors
/// [`Error::Usage`] if the schedule or T is not given, [`Error::Input`] if it is impossible.
pub(crate) fn noise_schedule(args: &ChainArgs, rows: Option<usize>) -> Result<NoiseSchedule> {
    let schedule = match (&args.noise_schedule, &args.alpha_bar) {
        (Some(name), _) => {
            let train_steps = args.train_steps.or(rows).ok_or_else(|| {
                Error::usage(
                    "--noise-schedule needs --train-steps T, the number of training timesteps",
                )
            })?;
            let name: NoiseScheduleName = name.parse().in_flag("--noise-schedule")?;
            NoiseSchedule::named(name, train_steps).in_flag("--noise-schedule")?
        }
        (None, Some(path)) => {
            let alpha_bar = read_column(path, "alpha_bar")?;
            NoiseSchedule::from_alpha_bar(&alpha_bar).in_file(path)?
        }
        (None, None) => {
            return Err(Error::usage(
                "expected --noise-schedule NAME with --train-steps T, or --alpha-bar A.csv",
            ));
        }
    };
    if let Some(wanted) = args.train_steps
        && wanted != schedule.train_steps()
    {
        return Err(Error::flag(
            "--train-steps",
            format!(
                "expected {}, the number of rows of --alpha-bar, found {wanted}",
                schedule.train_steps()
            ),
        ));
    }
    Ok(if args.zero_terminal_snr {
        schedule.zero_terminal_snr()
    } else {
        schedule
    })
}

/// Resolves the value of `--path` on a chain.
///
/// # Errors
/// [`Error::Input`] naming the flag.
pub(crate) fn parse_path(
    text: &str,
    schedule: &NoiseSchedule,
    zero_based: bool,
) -> Result<ddpm_core::TimePath> {
    let spec: PathSpec = text.parse().in_flag("--path")?;
    spec.resolve(schedule, zero_based).map_err(|error| {
        let advice = match error {
            ddpm_core::Error::PathNotIncreasing { .. } => {
                Some("list timesteps once each, the least first")
            }
            _ => None,
        };
        Error::flag("--path", error).advised_maybe(advice)
    })
}
