//! What `ddpm` prints with `--json`, one type per command, so that a program can read what another one printed.
//!
//! # Version and stability
//!
//! This is version 1 of the documents. Fields may be added at any time, at the end of an object; within a major version of this crate (a minor
//! one below 1.0) none is renamed, removed or given another meaning or unit. Readers ignore fields that they do not know. A field that came
//! later than its document is optional here, so that documents of earlier versions are read.
//!
//! What `ddpm schedule` prints is a file of its own, [`Schedules`](crate::Schedules), and the record beside samples another,
//! [`SampleRecord`](crate::SampleRecord).
//!
//! # One word for one thing
//!
//! Fields have one name for one thing in every type here. Where a document has had another key from the beginning, that key
//! stays and the better one stands beside it: [`document`] adds `train_steps` to `T` and `checkpoint_sha256` to `sha256` in the outermost
//! object, and `standard_error` to `stderr` in every one.
//!
//! Numbers that JSON cannot hold (an infinite bound, the error bar of a single block) are null, and NaN when they are read.
//!
//! ```
//! use ddpm_schedule::results::{Solve, SolvedBudget, document};
//!
//! let printed = r#"{"T": 2, "method": "blocked", "costs": [null, 3.0], "budgets": [{"steps": 2, "cost": 3.0, "path": [0, 1, 2]}]}"#;
//! let found: Solve = serde_json::from_str(printed)?;
//! assert_eq!(found.budgets[0].path, [0, 1, 2]);
//! assert_eq!(document(&found)?["train_steps"], 2);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod best;
mod distances;
mod headline;
mod likelihood;
mod networks;
mod pages;
mod paths;
mod words;

pub use best::{RULE_OF_BEST, RULE_OF_LOWEST, best, lowest};
pub use distances::{
    Distance, Energy, FeatureNetwork, Fid, FidStatistics, ImageSet, Kid, Measured, Neighbours,
    Sample, SetKind, Standing, Tune, TuneRound, Versus, Weights,
};
pub use headline::{Beyond, Fewest, Headline};
pub use likelihood::{
    BitsPerDim, Merge, PairedDifference, Profile, ScoredImages, Table, TableRow, Term,
    mean_and_error,
};
pub use networks::{Bench, Inspect, NetworkConfig, Predict};
pub use pages::{
    LeftOut, Plot, PlotPoint, PlotSeries, Report, ReportedImage, ReportedProfile,
    ReportedSchedules, Stamp,
};
pub use paths::{Exported, Solve, SolvedBudget, Trajectory, Transitions, Trial};
pub use words::{stride_in_words, with_error};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A key, the better word that stands beside it, and whether it does in inner objects too.
const BETTER_WORDS: [(&str, &str, bool); 3] = [
    ("T", "train_steps", false),
    ("sha256", "checkpoint_sha256", false),
    ("stderr", "standard_error", true),
];

/// A result as the document that `ddpm` prints: its fields in their order, and at the end of each object the better words of its keys.
///
/// # Errors
/// A value that JSON has no form for; no type here has one.
pub fn document(result: &impl Serialize) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(result)?;
    add_better_words(&mut value, true);
    Ok(value)
}

fn add_better_words(value: &mut Value, outermost: bool) {
    match value {
        Value::Array(items) => {
            for item in items {
                add_better_words(item, false);
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                add_better_words(field, false);
            }
            for (key, better, everywhere) in BETTER_WORDS {
                let found = fields.get(key).filter(|_| outermost || everywhere);
                if let Some(found) = found.cloned() {
                    fields.insert(better.to_owned(), found);
                }
            }
        }
        _ => {}
    }
}

/// A number that may have been none that JSON can hold.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// Many of them.
fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let found = Vec::<Option<f64>>::deserialize(from)?;
    Ok(found.into_iter().map(|x| x.unwrap_or(f64::NAN)).collect())
}

/// As [`numbers`], where they may be absent together.
fn some_numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<f64>>, D::Error> {
    let found = Option::<Vec<Option<f64>>>::deserialize(from)?;
    Ok(found.map(|list| list.into_iter().map(|x| x.unwrap_or(f64::NAN)).collect()))
}

#[cfg(test)]
mod tests;
