//! The record of a run of `ddpm sample`, beside its output.

use std::path::{Path, PathBuf};

use ddpm_schedule::SampleRecord;

use crate::error::{Error, Located, Result};
use crate::input::{read_bytes, with_ending, write_file};

/// The file that goes with an output.
fn beside(out: &Path) -> PathBuf {
    with_ending(out, "run.json")
}

/// Reads the record of `out`, which may be its name itself.
pub(super) fn read(out: &Path) -> Result<SampleRecord> {
    // Without a slash at the end.
    let out: PathBuf = out.components().collect();
    let itself = out.to_string_lossy().ends_with(".run.json");
    let file = if itself { out } else { beside(&out) };
    SampleRecord::from_json(&read_bytes(&file)?).map_err(|problem| {
        Error::file(
            &file,
            format!("expected what `ddpm sample` writes beside its samples: {problem}"),
        )
    })
}

/// Writes the record of `out`.
pub(super) fn write(record: &SampleRecord, out: &Path) -> Result<()> {
    write_file(&beside(out), record.to_json().or_internal()?.as_bytes())
}

/// Refuses to add to the samples of a run that differs in more than their number.
pub(super) fn check_same_run(new: &SampleRecord, earlier: &SampleRecord, out: &Path) -> Result<()> {
    match new.differences(earlier).into_iter().next() {
        None => Ok(()),
        Some(found) => Err(Error::file(
            &beside(out),
            format!(
                "cannot resume: {} differs: expected {} (this run's), found {}; name another --out",
                found.field, found.first, found.second
            ),
        )),
    }
}
