//! Paths: which timesteps a short chain visits.

use std::fmt;

use crate::{Error, Result};

/// A path `0 = t_0 < t_1 < ... < t_K <= T` with `K >= 1`, the number of network evaluations.
///
/// Nothing forces `t_1 = 1` or `t_K = T`. Printed as the comma list of its nodes without the leading 0.
///
/// ```
/// use ddpm_core::TimePath;
///
/// let path = TimePath::new([1, 8, 64], 64)?;
/// assert_eq!(path.steps(), 3);
/// assert_eq!(path.nodes(), [0, 1, 8, 64]);
/// assert_eq!(path.edges().collect::<Vec<_>>(), [(1, 0), (8, 1), (64, 8)]);
/// assert!(TimePath::new([8, 1], 64).is_err());
/// # Ok::<(), ddpm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TimePath {
    /// With the leading 0; strictly increasing, at least two entries.
    nodes: Vec<usize>,
}

impl TimePath {
    /// A path through `nodes`, ascending, in `1..=train_steps`; a leading 0 may be there or not.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyPath`], [`Error::PathNotIncreasing`] or [`Error::TimestepOutOfRange`].
    pub fn new(nodes: impl Into<Vec<usize>>, train_steps: usize) -> Result<Self> {
        let mut nodes = nodes.into();
        if nodes.first() != Some(&0) {
            nodes.insert(0, 0);
        }
        if nodes.len() < 2 {
            return Err(Error::EmptyPath { train_steps });
        }
        for pair in nodes.windows(2) {
            if pair[1] <= pair[0] {
                return Err(Error::PathNotIncreasing {
                    previous: pair[0],
                    node: pair[1],
                });
            }
            if pair[1] > train_steps {
                return Err(Error::TimestepOutOfRange {
                    t: pair[1],
                    train_steps,
                });
            }
        }
        Ok(Self { nodes })
    }

    /// A path to `train_steps` through nodes that ascend but may repeat, at most `train_steps` of them: the fewest are moved that have to
    /// be, up where one repeats, then down where there is no room left.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyPath`] for no node.
    pub fn moved(mut nodes: Vec<usize>, train_steps: usize) -> Result<Self> {
        let mut lowest = 1;
        for node in &mut nodes {
            *node = (*node).max(lowest);
            lowest = *node + 1;
        }
        let mut highest = train_steps;
        for node in nodes.iter_mut().rev() {
            *node = (*node).min(highest);
            highest = *node - 1;
        }
        if let Some(last) = nodes.last_mut() {
            *last = train_steps;
        }
        Self::new(nodes, train_steps)
    }

    /// The path of every timestep, `1..=train_steps`.
    ///
    /// # Panics
    ///
    /// If `train_steps` is 0, which no [`NoiseSchedule`](crate::NoiseSchedule) has.
    pub fn all(train_steps: usize) -> Self {
        assert!(train_steps > 0, "a path needs at least one timestep");
        Self {
            nodes: (0..=train_steps).collect(),
        }
    }

    /// `K`, the number of steps, which is the number of network evaluations.
    pub fn steps(&self) -> usize {
        self.nodes.len() - 1
    }

    /// `t_0 = 0, t_1, ..., t_K`.
    pub fn nodes(&self) -> &[usize] {
        &self.nodes
    }

    /// `t_K`, where the prior takes over.
    pub fn end(&self) -> usize {
        self.nodes[self.nodes.len() - 1]
    }

    /// The edges `(t_k, t_{k-1})`, in ascending `t`.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.nodes.windows(2).map(|pair| (pair[1], pair[0]))
    }
}

impl fmt::Display for TimePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, node) in self.nodes[1..].iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{node}")?;
        }
        Ok(())
    }
}
