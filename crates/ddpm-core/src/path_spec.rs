//! What a user writes where a path is expected.

use std::fmt;
use std::str::FromStr;

use crate::{Error, NoiseSchedule, Result, Stride, TimePath};

/// A path as written: a comma list of timesteps, or a [`Stride`].
///
/// ```
/// use ddpm_core::{NoiseSchedule, NoiseScheduleName, PathSpec};
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 100)?;
/// let listed: PathSpec = "0,1,10,100".parse()?;
/// assert_eq!(listed.resolve(&schedule, false)?.nodes(), [0, 1, 10, 100]);
/// // The indices of other tools count from 0.
/// let listed: PathSpec = "0,9,99".parse()?;
/// assert_eq!(listed.resolve(&schedule, true)?.nodes(), [0, 1, 10, 100]);
/// let stride: PathSpec = "even:2".parse()?;
/// assert_eq!(stride.resolve(&schedule, false)?.nodes(), [0, 50, 100]);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathSpec {
    /// Listed timesteps.
    Nodes(Vec<usize>),
    /// A rule.
    Stride(Stride),
}

impl PathSpec {
    /// The path through `schedule`. With `zero_based`, listed timesteps are the 0-based indices of other
    /// tools (node = index + 1, and a leading 0 is node 1); strides are the same either way.
    ///
    /// # Errors
    ///
    /// Those of [`TimePath::new`] and [`Stride::path`]; listed timesteps are reported as nodes.
    pub fn resolve(&self, schedule: &NoiseSchedule, zero_based: bool) -> Result<TimePath> {
        match self {
            Self::Stride(stride) => stride.path(schedule),
            Self::Nodes(nodes) => {
                let shift = usize::from(zero_based);
                let nodes: Vec<usize> = nodes.iter().map(|t| t.saturating_add(shift)).collect();
                TimePath::new(nodes, schedule.train_steps())
            }
        }
    }
}

impl fmt::Display for PathSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stride(stride) => stride.fmt(f),
            Self::Nodes(nodes) => {
                let nodes: Vec<String> = nodes.iter().map(usize::to_string).collect();
                f.write_str(&nodes.join(","))
            }
        }
    }
}

impl FromStr for PathSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if !text.starts_with(|first: char| first.is_ascii_digit()) {
            return text.parse().map(Self::Stride);
        }
        text.split(',')
            .map(|node| {
                node.trim().parse().map_err(|_| Error::InvalidPathSpec {
                    found: text.to_owned(),
                    reason: format!(
                        "{node:?} is not a timestep: expected a comma list of integers"
                    ),
                })
            })
            .collect::<Result<_>>()
            .map(Self::Nodes)
    }
}
