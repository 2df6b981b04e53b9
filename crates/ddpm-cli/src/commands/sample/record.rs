//! The record of a run of `ddpm sample`: beside its output or, until a file is complete, in the folder of its images.

use std::path::{Path, PathBuf};

use ddpm_schedule::SampleRecord;

use crate::error::{Error, Located, Result};
use crate::input::{Partial, with_ending, write_file};

/// The file that goes with an output: beside the file itself, where the output is a link to it.
pub(super) fn beside(out: &Path) -> PathBuf {
    let file = ddpm_files::destination(out).unwrap_or_else(|_| out.to_owned());
    with_ending(&file, "run.json")
}

/// The file that goes with the images of a run that is not complete.
pub(super) fn within(folder: &Path) -> PathBuf {
    folder.join("run.json")
}

/// Reads the record of an output, which may be its name itself; an interrupted run has one too.
pub(super) fn of_output(out: &Path) -> Result<SampleRecord> {
    // Without a slash at the end.
    let out: PathBuf = out.components().collect();
    let name = out.file_name().map(|name| name.to_string_lossy());
    if name.is_some_and(|name| name == "run.json" || name.ends_with(".run.json")) {
        return read(&out);
    }
    let (file, interrupted) = (beside(&out), within(&Partial::place(&out)));
    let only_interrupted = !file.exists() && interrupted.exists();
    read(if only_interrupted {
        &interrupted
    } else {
        &file
    })
}

/// Reads a record.
pub(super) fn read(file: &Path) -> Result<SampleRecord> {
    SampleRecord::from_json(&ddpm_files::read_small(file, SampleRecord::MOST_BYTES)?).map_err(
        |problem| {
            Error::file(
                file,
                format!("expected what `ddpm sample` writes beside its samples: {problem}"),
            )
        },
    )
}

/// Writes a record.
pub(super) fn write(record: &SampleRecord, file: &Path) -> Result<()> {
    write_file(file, record.to_json().or_internal()?.as_bytes())
}

/// Refuses to add to the samples of a run, whose record is `file`, that differs in more than their number.
pub(super) fn check_same_run(new: &SampleRecord, file: &Path) -> Result<()> {
    match new.differences(&read(file)?).into_iter().next() {
        None => Ok(()),
        Some(found) => Err(Error::file(
            file,
            format!(
                "cannot resume: {} differs: expected {} (this run's), found {}; name another --out",
                found.field, found.first, found.second
            ),
        )),
    }
}
