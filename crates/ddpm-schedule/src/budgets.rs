//! Which numbers of steps are asked for.

use crate::error::{Error, Result};

/// Which budgets K to report, K being the number of network evaluations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Budgets {
    /// Every K for which there is a path.
    All,
    /// These; each must be possible.
    Only(Vec<usize>),
}

impl Budgets {
    /// The budgets of the paper's tables, as far as the chain is long enough.
    pub fn of_the_paper(train_steps: usize) -> Self {
        let possible = [8, 16, 32, 64, 128, 256]
            .into_iter()
            .filter(|&k| k <= train_steps);
        Self::Only(possible.collect())
    }

    /// The budgets as numbers; all of `1..=most` for [`All`](Self::All).
    ///
    /// # Errors
    /// [`Error::Steps`] for one that is 0 or above `most`.
    pub fn wanted(&self, most: usize) -> Result<Vec<usize>> {
        match self {
            Self::All => Ok((1..=most).collect()),
            Self::Only(list) => match list.iter().find(|&&k| !(1..=most).contains(&k)) {
                Some(&found) => Err(Error::Steps { max: most, found }),
                None => Ok(list.clone()),
            },
        }
    }
}
