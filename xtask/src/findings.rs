//! What the tables of a run show, held against what the paper found.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::reproduce::{STEPS, VARIANCES};

/// One row of a table's JSON.
struct Row {
    stride: String,
    variance: String,
    steps: u64,
    bpd: f64,
    /// DP minus this row and its paired standard error, for rows of other strides.
    dp_minus_this: Option<(f64, f64)>,
}

fn rows(path: &Path) -> anyhow::Result<Vec<Row>> {
    let table = read_json(path)?;
    let expected = |what: &str| format!("{}: expected {what} in every row", path.display());
    table["rows"]
        .as_array()
        .with_context(|| format!("{}: expected an array 'rows'", path.display()))?
        .iter()
        .map(|row| {
            let text = |key: &str| {
                row[key]
                    .as_str()
                    .map(str::to_owned)
                    .with_context(|| expected(key))
            };
            let difference = &row["dp_minus_this"];
            Ok(Row {
                stride: text("stride")?,
                variance: text("variance")?,
                steps: row["steps"].as_u64().with_context(|| expected("steps"))?,
                bpd: row["bpd"].as_f64().with_context(|| expected("bpd"))?,
                dp_minus_this: difference["bpd"]
                    .as_f64()
                    .zip(difference["stderr"].as_f64()),
            })
        })
        .collect()
}

/// Says whether the table shows what the paper found, and returns whether all of it holds.
pub(crate) fn print(out: &Path) -> anyhow::Result<bool> {
    let table = rows(&out.join("table.json"))?;
    let differences: Vec<(u64, f64, f64)> = table
        .iter()
        .filter(|row| row.stride == "even" || row.stride == "quadratic")
        .filter_map(|row| row.dp_minus_this.map(|(d, error)| (row.steps, d, error)))
        .collect();
    let expected = 2 * VARIANCES.len() * STEPS.split(',').count();
    let compared = differences.len();
    if compared != expected {
        bail!(
            "table.json: expected {expected} rows of even and quadratic with a paired difference, found {compared}"
        );
    }
    let strictly_below = differences
        .iter()
        .all(|&(steps, difference, _)| steps > 64 || difference < 0.0);
    let never_above = differences
        .iter()
        .all(|&(_, difference, error)| difference <= 2.0 * error);
    println!(
        "  DP below even and quadratic at every K <= 64, every variance: {}",
        yes(strictly_below)
    );
    println!(
        "  DP nowhere above them by more than two paired standard errors: {}",
        yes(never_above)
    );

    let shared = rows(&out.join("table-one-decoder.json"))?;
    let bpd = |variance: &str, like: &Row| {
        shared
            .iter()
            .find(|r| r.variance == variance && r.stride == like.stride && r.steps == like.steps)
            .map(|r| r.bpd)
    };
    if !shared.iter().any(|row| row.variance == "analytic") {
        bail!("table-one-decoder.json: expected rows of the analytic variance");
    }
    let analytic_best = shared
        .iter()
        .filter(|row| row.variance == "analytic")
        .all(|row| {
            ["fixed-small", "fixed-large"]
                .iter()
                .all(|fixed| bpd(fixed, row).is_some_and(|other| row.bpd < other))
        });
    println!(
        "  analytic variance below both fixed ones under one decoder, every stride and K: {}",
        yes(analytic_best)
    );

    let mut free_never_above = true;
    for variance in VARIANCES {
        let full = costs(&out.join(format!("{variance}.full.schedules.json")))?;
        let free = costs(&out.join(format!("{variance}.free.schedules.json")))?;
        free_never_above &= full
            .iter()
            .zip(&free)
            .all(|((_, full), (_, free))| free <= full);
        let gains: Vec<String> = full
            .iter()
            .zip(&free)
            .map(|((steps, a), (_, b))| format!("K={steps} {:+.5}", b - a))
            .collect();
        println!(
            "  {variance:<12} --start free minus full, on the choosing set: {}",
            gains.join("  ")
        );
    }
    println!(
        "  --start free never above full on the choosing set: {}",
        yes(free_never_above)
    );
    Ok(strictly_below && never_above && analytic_best && free_never_above)
}

pub(crate) fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "NO" }
}

/// Steps and cost with the prior of every budget of a schedules file.
fn costs(path: &Path) -> anyhow::Result<Vec<(u64, f64)>> {
    let schedules = read_json(path)?;
    schedules["budgets"]
        .as_array()
        .with_context(|| format!("{}: expected an array 'budgets'", path.display()))?
        .iter()
        .map(|budget| {
            let number = |key: &str| {
                budget[key]
                    .as_f64()
                    .with_context(|| format!("{}: expected a number '{key}'", path.display()))
            };
            Ok((
                number("steps")? as u64,
                number("cost")? + number("prior_bpd")?,
            ))
        })
        .collect()
}

pub(crate) fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}
