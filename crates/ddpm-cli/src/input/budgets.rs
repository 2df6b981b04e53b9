//! Lists of step counts.

use std::collections::BTreeSet;

use ddpm_schedule::Budgets;

use crate::error::{Error, Result};

/// Parses `8,16,32` or `all`, the value of `flag`; `most` steps are possible.
pub(crate) fn parse_budgets(flag: &str, text: &str, most: usize) -> Result<Budgets> {
    if text == "all" {
        return Ok(Budgets::All);
    }
    let mut budgets = parse_list(flag, text, "numbers of steps or `all`")?;
    // What is said twice is meant once.
    let mut seen = BTreeSet::new();
    budgets.retain(|&steps| seen.insert(steps));
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

/// What `--steps` asks for where at most `most` steps are possible; `otherwise` if it is not given.
pub(crate) fn steps_or(text: Option<&str>, most: usize, otherwise: Budgets) -> Result<Budgets> {
    text.map_or(Ok(otherwise), |text| parse_budgets("--steps", text, most))
}

/// Parses a comma list of whole numbers, the value of `flag`.
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
        assert_eq!(parse("8,2,8").unwrap(), Budgets::Only(vec![8, 2]));
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
