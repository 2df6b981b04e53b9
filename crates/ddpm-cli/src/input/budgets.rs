//! Lists of step counts.

use std::path::Path;

use ddpm_schedule::{Budgets, Chosen, Schedules};

use super::profile::find_budget;
use crate::error::{Error, Result};

/// Parses `8,16,32` or `all`, the value of `flag`; `most` steps are possible.
///
/// # Errors
/// [`Error::Input`] for anything else, a 0 or a budget beyond `most`.
pub(crate) fn parse_budgets(flag: &str, text: &str, most: usize) -> Result<Budgets> {
    if text == "all" {
        return Ok(Budgets::All);
    }
    let budgets = parse_list(flag, text, "numbers of steps or `all`")?;
    for &steps in &budgets {
        if !(1..=most).contains(&steps) {
            return Err(Error::flag(
                flag,
                format!("K={steps}: expected a number of steps from 1 to {most}"),
            ));
        }
    }
    Ok(Budgets::Only(budgets))
}

/// What `--steps` asks for of a chain of `train_steps`; the paper's budgets where it is not given.
///
/// # Errors
/// As [`parse_budgets`].
pub(crate) fn budgets_or_the_papers(text: Option<&str>, train_steps: usize) -> Result<Budgets> {
    match text {
        Some(text) => parse_budgets("--steps", text, train_steps),
        None => Ok(Budgets::of_the_paper(train_steps)),
    }
}

/// These budgets of a schedules file, in the order asked for.
///
/// # Errors
/// A budget that the file does not hold.
pub(crate) fn chosen_of<'a>(
    budgets: &Budgets,
    schedules: &'a Schedules,
    file: &Path,
) -> Result<Vec<&'a Chosen>> {
    match budgets {
        Budgets::All => Ok(schedules.budgets.iter().collect()),
        Budgets::Only(list) => list
            .iter()
            .map(|&steps| find_budget(schedules, steps, file))
            .collect(),
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
        let parse = |text| parse_budgets("--steps", text, 100);
        assert_eq!(parse("all").unwrap(), Budgets::All);
        assert_eq!(parse("8, 16").unwrap(), Budgets::Only(vec![8, 16]));
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
