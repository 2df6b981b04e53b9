//! The noise that a network was trained with.

use std::fmt;

use ddpm_core::{NoiseSchedule, NoiseScheduleName};

use crate::Result;

/// A noise schedule by name, or one that has none.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TrainingNoise {
    /// Complete with the number of timesteps.
    Named(NoiseScheduleName),
    /// Complete.
    Custom {
        /// What it is, such as `linear betas from 0.0015 to 0.0195`.
        description: String,
        /// The schedule.
        schedule: NoiseSchedule,
    },
}

impl TrainingNoise {
    /// The schedule over `train_steps` timesteps; a custom one has its own number, which the configuration has checked.
    ///
    /// # Errors
    /// [`crate::Error::Process`] if the named schedule does not exist for so many timesteps.
    pub fn schedule(&self, train_steps: usize) -> Result<NoiseSchedule> {
        match self {
            Self::Named(name) => Ok(NoiseSchedule::named(*name, train_steps)?),
            Self::Custom { schedule, .. } => Ok(schedule.clone()),
        }
    }
}

impl fmt::Display for TrainingNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Custom { description, .. } => write!(f, "custom ({description})"),
        }
    }
}
