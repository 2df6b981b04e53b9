//! The headline of a run: how many optimal steps cost what all steps cost.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use ddpm_schedule::results::{Headline, Table, TableRow};

use crate::results::read;

/// The longest schedule that is looked at.
const MOST: usize = 64;

/// A table of every number of steps.
pub(crate) struct EveryBudget {
    /// Where it lies.
    pub(crate) file: &'static str,
    /// What `ddpm table` is told.
    pub(crate) options: &'static [&'static str],
}

/// The paper's own convention, and one decoder for all.
pub(crate) const TABLES: [EveryBudget; 2] = [
    EveryBudget {
        file: "headline-paper.json",
        options: &["--variance", "learned", "--json"],
    },
    EveryBudget {
        file: "headline.json",
        options: &[
            "--variance",
            "learned,analytic,learned-calibrated,spectral",
            "--decoder",
            "optimal",
            "--json",
        ],
    },
];

/// The numbers of steps of [`TABLES`], as an option.
pub(crate) fn steps() -> String {
    let all: Vec<String> = (1..=MOST).map(|k| k.to_string()).collect();
    all.join(",")
}

/// The headline in words.
///
/// # Errors
/// A table that is missing or has no row of all steps.
pub(crate) fn text(out: &Path) -> anyhow::Result<String> {
    let [paper, shared] = TABLES.map(|table| {
        read::<Table>(&out.join(table.file))
            .map(|found| (table.file, found.train_steps, found.rows))
    });
    let mut text = String::new();
    for (file, all_steps, rows) in [paper?, shared?] {
        let all: Vec<&TableRow> = rows.iter().filter(|row| row.stride == "all").collect();
        let learned = all
            .iter()
            .find(|row| row.variance.name() == "learned")
            .with_context(|| format!("{file}: expected a row of all steps, learned variance"))?
            .bpd;
        if text.is_empty() {
            let head = "The fewest optimal steps within 0.1 bits/dim of all";
            writeln!(
                text,
                "{head} {all_steps} (chosen on train, scored on test images)\n"
            )?;
            let columns = [
                "bits/dim of all",
                "within 0.1 of these",
                "within 0.1 of all learned",
            ];
            let [a, b, c] = columns;
            writeln!(
                text,
                "{:<32}{:<10}{a:>17}{b:>21}{c:>27}",
                "kernel", "decoder"
            )?;
        }
        for row in all {
            let own = fewest(&rows, row, row.bpd);
            let of_learned = fewest(&rows, row, learned);
            let kernel = match row.variance.name() {
                "learned" if file == TABLES[0].file => "learned (the paper's)".to_owned(),
                "learned-calibrated" | "spectral" => format!("{} (ours)", row.kernel()),
                _ => row.kernel(),
            };
            let (decoder, bpd) = (row.decoder.to_string(), row.bpd);
            writeln!(
                text,
                "{kernel:<32}{decoder:<10}{bpd:>17.3}{own:>21}{of_learned:>27}"
            )?;
        }
    }
    Ok(text)
}

/// The fewest optimal steps of the kernel of a row that cost at most [`Headline::WITHIN`] more than `all`.
fn fewest(rows: &[TableRow], of: &TableRow, all: f64) -> String {
    let optimal = rows.iter().filter(|row| {
        row.stride == "dp" && row.variance == of.variance && row.bpd <= all + Headline::WITHIN
    });
    let fewest = optimal.map(|row| row.steps).min();
    fewest.map_or(format!("more than {MOST}"), |steps| format!("K={steps}"))
}
