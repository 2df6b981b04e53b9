//! Lists of step counts.

use crate::error::{Error, Result};

/// Which budgets the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Budgets {
    /// Every budget that is possible.
    All,
    /// These, each of which has to be possible.
    List(Vec<usize>),
}

impl Budgets {
    /// Parses `8,16,32` or `all`, the value of `flag`; `most` steps are possible.
    ///
    /// # Errors
    /// [`Error::Input`] for anything else, a 0 or a budget beyond `most`.
    pub(crate) fn parse(flag: &str, text: &str, most: usize) -> Result<Self> {
        if text == "all" {
            return Ok(Self::All);
        }
        let budgets: Vec<usize> = parse_list(flag, text, "numbers of steps or `all`")?;
        for &steps in &budgets {
            if !(1..=most).contains(&steps) {
                return Err(Error::flag(
                    flag,
                    format!("K={steps}: expected a number of steps from 1 to {most}"),
                ));
            }
        }
        Ok(Self::List(budgets))
    }

    /// The budgets of the paper's tables, as far as the chain is long enough.
    pub(crate) fn of_the_paper(train_steps: usize) -> Self {
        let possible = [8, 16, 32, 64, 128, 256]
            .into_iter()
            .filter(|&k| k <= train_steps);
        Self::List(possible.collect())
    }

    /// The budgets as numbers; all of 1..=T for `all`.
    pub(crate) fn wanted(&self, train_steps: usize) -> Vec<usize> {
        match self {
            Self::All => (1..=train_steps).collect(),
            Self::List(list) => list.clone(),
        }
    }
}

/// Parses a comma list of whole numbers, the value of `flag`.
///
/// # Errors
/// [`Error::Input`] that names the word that is not a number.
pub(crate) fn parse_list(flag: &str, text: &str, expected: &str) -> Result<Vec<usize>> {
    text.split(',')
        .map(|word| {
            word.trim().parse().map_err(|_| {
                Error::flag(
                    flag,
                    format!("expected a comma list of {expected}, found {word:?}"),
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_all() {
        let parse = |text| Budgets::parse("--steps", text, 100);
        assert_eq!(parse("all").unwrap(), Budgets::All);
        assert_eq!(parse("8, 16").unwrap(), Budgets::List(vec![8, 16]));
        for (bad, named) in [
            ("8,,16", "\"\""),
            ("eight", "eight"),
            ("0", "K=0"),
            ("101", "K=101"),
        ] {
            let message = parse(bad).unwrap_err().to_string();
            assert!(
                message.starts_with("--steps: ") && message.contains(named),
                "{message}"
            );
        }
    }
}
