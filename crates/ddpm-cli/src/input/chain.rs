//! The training chain of commands that read no checkpoint.

use ddpm_core::{NoiseSchedule, NoiseScheduleName, PathSpec};

use super::csv::read_column;
use crate::args::ChainArgs;
use crate::error::{Error, Located, Result};

/// A noise schedule and what to call it.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) schedule: NoiseSchedule,
    /// A known name, or `custom`.
    pub(crate) name: String,
}

impl Chain {
    /// Builds the chain from the flags; `rows` is T where another file already tells it.
    ///
    /// # Errors
    /// [`Error::Usage`] if the schedule or T is not given, [`Error::Input`] if it is impossible.
    pub(crate) fn from_args(args: &ChainArgs, rows: Option<usize>) -> Result<Self> {
        let (schedule, name) = match (&args.noise_schedule, &args.alpha_bar) {
            (Some(name), _) => {
                let train_steps = args.train_steps.or(rows).ok_or_else(|| {
                    Error::usage(
                        "--noise-schedule needs --train-steps T, the number of training timesteps",
                    )
                })?;
                let name: NoiseScheduleName = name.parse().in_flag("--noise-schedule")?;
                (
                    NoiseSchedule::named(name, train_steps).in_flag("--noise-schedule")?,
                    name.to_string(),
                )
            }
            (None, Some(path)) => {
                let alpha_bar = read_column(path, "alpha_bar")?;
                (
                    NoiseSchedule::from_alpha_bar(&alpha_bar).in_file(path)?,
                    "custom".to_owned(),
                )
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
        if args.zero_terminal_snr {
            Ok(Self {
                schedule: schedule.zero_terminal_snr(),
                name: "custom".to_owned(),
            })
        } else {
            Ok(Self { schedule, name })
        }
    }
}

/// Resolves the value of `--path` on a chain.
///
/// # Errors
/// [`Error::Input`] naming the flag.
pub(crate) fn parse_path(
    text: &str,
    schedule: &NoiseSchedule,
    zero_based: bool,
) -> Result<ddpm_core::Path> {
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
