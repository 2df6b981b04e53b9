//! Strides: paths by rule, the baselines that an optimised path is compared with.

use std::fmt;
use std::str::FromStr;

use crate::noise_schedule::NoiseSchedule;
use crate::{Error, Result, TimePath, space_timesteps};

/// A rule that picks the timesteps of a path.
///
/// Every stride but `Respacing` ends at `T` and is strictly increasing; where its rule would repeat a
/// timestep, the later one moves up, or down if there is no room. Parsed from and printed as
/// `even:K`, `quadratic:K`, `ddim-quadratic:K`, `respacing:STR`, `logsnr:K`, `karras:K` and `all`.
///
/// ```
/// use ddpm_core::{NoiseSchedule, NoiseScheduleName, Stride};
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000)?;
/// let stride: Stride = "even:4".parse()?;
/// assert_eq!(stride.path(&schedule)?.nodes(), [0, 250, 500, 750, 1000]);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stride {
    /// `t_k = floor(T k / K)`, the paper's "even".
    Even(usize),
    /// `t_k = round(T (k / K)^2)` with halves to even, the paper's "quadratic".
    Quadratic(usize),
    /// `1 + floor(linspace(0, sqrt(0.8 T), K)^2)` (Song et al. 2020, DDIM, which stops at `0.8 T`) and then `T`:
    /// `K + 1` network evaluations.
    DdimQuadratic(usize),
    /// A respacing string of improved-diffusion, see [`space_timesteps`]; may end below `T`.
    Respacing(String),
    /// The timesteps nearest to `K` equal intervals of log-SNR from `t = 1` to `T`.
    LogSnr(usize),
    /// The timesteps nearest to Karras et al. (2022), eq. 5, with rho = 7: equal intervals of `sigma^(1/7)`,
    /// `sigma^2 = 1 / SNR`, from `t = 1` to `T`.
    Karras(usize),
    /// Every timestep.
    All,
}

const SYNTAX: &str = "expected all, even:K, quadratic:K, ddim-quadratic:K, logsnr:K, karras:K, \
                      respacing:STR or a comma list of timesteps";

impl Stride {
    /// The path this stride takes through `schedule`.
    ///
    /// # Errors
    ///
    /// [`Error::ImpossibleStepCount`] for no steps or more than `T`, [`Error::InvalidRespacing`] for a bad
    /// respacing string, [`Error::EmptyPath`] for one that takes no timestep.
    pub fn path(&self, schedule: &NoiseSchedule) -> Result<TimePath> {
        let train_steps = schedule.train_steps();
        if let Self::Even(steps)
        | Self::Quadratic(steps)
        | Self::DdimQuadratic(steps)
        | Self::LogSnr(steps)
        | Self::Karras(steps) = *self
        {
            check(steps, train_steps)?;
        }
        let nodes = match *self {
            Self::All => return Ok(TimePath::all(train_steps)),
            Self::Respacing(ref spec) => {
                let kept = space_timesteps(train_steps, spec)?;
                return TimePath::new(kept.iter().map(|i| i + 1).collect::<Vec<_>>(), train_steps);
            }
            Self::Even(steps) => (1..=steps)
                .map(|k| scaled_floor(train_steps, k, steps))
                .collect(),
            Self::Quadratic(steps) => (1..=steps)
                .map(|k| scaled_square(train_steps, k, steps))
                .collect(),
            Self::DdimQuadratic(steps) => {
                check(steps + 1, train_steps)?;
                let last = (0.8 * train_steps as f64).sqrt();
                crate::noise_schedule::linspace(0.0, last, steps)
                    .map(|root| 1 + (root * root).floor() as usize)
                    .chain([train_steps])
                    .collect()
            }
            Self::LogSnr(steps) => {
                let (low, high) = log_snr_ends(schedule);
                nearest(schedule, crate::noise_schedule::linspace(high, low, steps))
            }
            Self::Karras(steps) => {
                let (low, high) = log_snr_ends(schedule);
                // sigma^(1/rho) = exp(-log_snr / (2 rho)), in logarithms so that no sigma overflows.
                let root = |log_snr: f64| libm::exp(-log_snr / (2.0 * KARRAS_RHO));
                nearest(
                    schedule,
                    crate::noise_schedule::linspace(root(high), root(low), steps)
                        .map(|root| -2.0 * KARRAS_RHO * libm::log(root)),
                )
            }
        };
        TimePath::moved(nodes, train_steps)
    }
}

const KARRAS_RHO: f64 = 7.0;

fn check(steps: usize, train_steps: usize) -> Result<()> {
    if steps == 0 || steps > train_steps {
        return Err(Error::ImpossibleStepCount { steps, train_steps });
    }
    Ok(())
}

/// `floor(T k / K)`.
fn scaled_floor(train_steps: usize, k: usize, steps: usize) -> usize {
    (train_steps as u128 * k as u128 / steps as u128) as usize
}

/// `round(T (k / K)^2)`, halves to even, in integers so that a half is a half.
fn scaled_square(train_steps: usize, k: usize, steps: usize) -> usize {
    let numerator = train_steps as u128 * (k as u128).pow(2);
    let denominator = (steps as u128).pow(2);
    let floor = numerator / denominator;
    let twice_rest = 2 * (numerator % denominator);
    let up = twice_rest > denominator || (twice_rest == denominator && floor % 2 == 1);
    (floor + u128::from(up)) as usize
}

/// Log-SNR at `T` and at 1; without signal at `T`, the timestep before it stands in.
fn log_snr_ends(schedule: &NoiseSchedule) -> (f64, f64) {
    let end = schedule.train_steps();
    let low = match schedule.log_snr(end) {
        finite if finite.is_finite() => finite,
        _ => schedule.log_snr(end.max(2) - 1),
    };
    (low, schedule.log_snr(1))
}

/// For each log-SNR the timestep in `1..=T` nearest to it, the smaller one on ties.
fn nearest(schedule: &NoiseSchedule, log_snrs: impl Iterator<Item = f64>) -> Vec<usize> {
    let log_snr: Vec<f64> = (1..=schedule.train_steps())
        .map(|t| schedule.log_snr(t))
        .collect();
    log_snrs
        .map(|target| {
            let below = log_snr.partition_point(|&value| value > target);
            match below {
                0 => 1,
                i if i == log_snr.len() => i,
                i if log_snr[i - 1] - target <= target - log_snr[i] => i,
                i => i + 1,
            }
        })
        .collect()
}

impl fmt::Display for Stride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Even(steps) => write!(f, "even:{steps}"),
            Self::Quadratic(steps) => write!(f, "quadratic:{steps}"),
            Self::DdimQuadratic(steps) => write!(f, "ddim-quadratic:{steps}"),
            Self::Respacing(spec) => write!(f, "respacing:{spec}"),
            Self::LogSnr(steps) => write!(f, "logsnr:{steps}"),
            Self::Karras(steps) => write!(f, "karras:{steps}"),
            Self::All => f.write_str("all"),
        }
    }
}

impl FromStr for Stride {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let invalid = |reason: String| Error::InvalidPathSpec {
            found: text.to_owned(),
            reason,
        };
        let (rule, argument) = match text.split_once(':') {
            None if text == "all" => return Ok(Self::All),
            None => (text, None),
            Some((rule, argument)) => (rule, Some(argument)),
        };
        let make: fn(usize) -> Self = match rule {
            "even" => Self::Even,
            "quadratic" => Self::Quadratic,
            "ddim-quadratic" => Self::DdimQuadratic,
            "logsnr" => Self::LogSnr,
            "karras" => Self::Karras,
            "respacing" => {
                return match argument {
                    Some(spec) if !spec.trim().is_empty() => {
                        Ok(Self::Respacing(spec.trim().to_owned()))
                    }
                    _ => Err(invalid(
                        "expected a respacing string, such as respacing:10,15,20".to_owned(),
                    )),
                };
            }
            _ => return Err(invalid(SYNTAX.to_owned())),
        };
        argument
            .and_then(|steps| steps.trim().parse().ok())
            .map(make)
            .ok_or_else(|| invalid(format!("expected a number of steps, such as {rule}:8")))
    }
}
