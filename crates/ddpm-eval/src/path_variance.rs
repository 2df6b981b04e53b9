//! The variance of every step of one path, for scoring it and for sampling along it.

use ddpm_core::{Path, StepVariance, Transition};

use crate::error::{Error, Result};

/// The variance of every step of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum PathVariance {
    /// The network's own, per pixel.
    Learned,
    /// The posterior variance `btilde_{t|s}`.
    FixedSmall,
    /// The forward variance `beta_{t|s}`.
    FixedLarge,
    /// `log sigma^2` of every step in ascending t, the decoder's first; `None` where it is learned per pixel. This is
    /// what a schedules file stores, and how an analytic variance is given.
    LogVariances(Vec<Option<f64>>),
}

/// The variance of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum StepChoice {
    Learned,
    LogVariance(f64),
}

impl StepChoice {
    /// With the network's `v`, which is there for a choice that has been [checked](PathVariance::check).
    pub(crate) fn with_v(self, v: Option<&[f64]>) -> StepVariance<'_> {
        match self {
            Self::Learned => StepVariance::Learned(v.unwrap_or_default()),
            Self::LogVariance(log_variance) => StepVariance::LogVariance(log_variance),
        }
    }
}

impl PathVariance {
    /// One finite entry per step, and per-pixel variances only from a network that learns them.
    pub(crate) fn check(&self, path: &Path, learns_variance: bool) -> Result<()> {
        let needs_v = match self {
            Self::Learned => true,
            Self::FixedSmall | Self::FixedLarge => false,
            Self::LogVariances(steps) => {
                if steps.len() != path.steps() {
                    return Err(Error::request(
                        "log variances",
                        format!(
                            "expected {} (one per step of the path), found {}",
                            path.steps(),
                            steps.len()
                        ),
                    ));
                }
                if let Some(k) = steps.iter().position(|s| s.is_some_and(|x| !x.is_finite())) {
                    return Err(Error::request(
                        "log variances",
                        format!(
                            "expected finite numbers, found {:?} at step {}",
                            steps[k],
                            k + 1
                        ),
                    ));
                }
                steps.iter().any(Option::is_none)
            }
        };
        match needs_v && !learns_variance {
            false => Ok(()),
            true => Err(Error::request(
                "variance",
                "the model has no variance output; expected fixed-small, fixed-large or analytic",
            )),
        }
    }

    /// The variance of step `k` (from 0), an interior one whose transition is given.
    pub(crate) fn interior(&self, k: usize, transition: &Transition) -> StepChoice {
        match self {
            Self::Learned => StepChoice::Learned,
            Self::FixedSmall => StepChoice::LogVariance(transition.log_posterior_variance),
            Self::FixedLarge => StepChoice::LogVariance(transition.log_beta),
            Self::LogVariances(steps) => {
                steps[k].map_or(StepChoice::Learned, StepChoice::LogVariance)
            }
        }
    }

    /// The variance of step 0, to clean data, where the fixed ones have `respaced` (the clipped posterior variance).
    pub(crate) fn decoder(&self, respaced: f64) -> StepChoice {
        match self {
            Self::Learned => StepChoice::Learned,
            Self::FixedSmall | Self::FixedLarge => StepChoice::LogVariance(respaced),
            Self::LogVariances(steps) => {
                steps[0].map_or(StepChoice::Learned, StepChoice::LogVariance)
            }
        }
    }
}
