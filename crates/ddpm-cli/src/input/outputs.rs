//! What a command may write over: never what it reads, and of what is there only what this very command made.
//!
//! A file that is in the way stays, unless it is empty, its own record says that the same command on the same inputs made it, or
//! `--force` replaces it. Long runs decide that before anything is computed; commands of seconds compare what they have made with what is
//! there, to the last byte, because most of their formats have no record.

use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::files::{read_schedules, variable, with_ending, write_file};
use crate::error::{Error, Result};

/// The arguments that name what is written.
const OUTPUTS: [&str; 4] = ["out", "output", "save_statistics", "write_model"];
/// The folder of a report, in which its page lies too: the report itself knows which of its files that is.
const FOLDER: &str = "folder";

/// Refuses a command line that would write over a file which it reads, whatever names the two go by.
pub(crate) fn refuse_inputs_as_outputs(matches: &ArgMatches) -> Result<()> {
    let Some((_, matches)) = matches.subcommand() else {
        return Ok(());
    };
    let mut inputs: Vec<PathBuf> = matches
        .ids()
        .map(clap::Id::as_str)
        .filter(|id| !OUTPUTS.contains(id) && *id != FOLDER)
        .flat_map(|id| paths(matches, id))
        .collect();
    inputs.extend(
        paths(matches, "checkpoint")
            .iter()
            .flat_map(|ckpt| beside(ckpt)),
    );
    let takes = |id: &str| matches.try_contains_id(id).is_ok();
    for (id, name) in [("data", "DDPM_DATA"), ("features", "DDPM_FEATURES")] {
        inputs.extend(variable(name).filter(|_| takes(id)));
    }
    for (flag, out) in outputs(matches) {
        // What a run keeps beside its output is written too.
        let kept = ["lock", "partial", "run.json"].map(|ending| with_ending(&out, ending));
        for written in [&out].into_iter().chain(&kept) {
            if let Some(input) = inputs.iter().find(|input| is_same(input, written)) {
                let read = input.display();
                return Err(Error::flag(
                    &flag,
                    format!(
                        "{} is read by this very command ({read}); expected another place",
                        written.display(),
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Files that are read beside a checkpoint, where there are any.
fn beside(checkpoint: &Path) -> Vec<PathBuf> {
    let folder = checkpoint.parent().unwrap_or(Path::new(""));
    let above = folder.parent().unwrap_or(Path::new(""));
    vec![
        checkpoint.with_extension("model.json"),
        folder.join("model.json"),
        folder.join("config.json"),
        folder.join("scheduler_config.json"),
        folder.join("scheduler/scheduler_config.json"),
        above.join("scheduler/scheduler_config.json"),
        checkpoint.join("../scheduler/scheduler_config.json"),
    ]
}

/// The outputs that were named, with their flags.
fn outputs(matches: &ArgMatches) -> Vec<(String, PathBuf)> {
    let flag = |id: &str| format!("--{}", id.replace('_', "-"));
    let of = |id| {
        paths(matches, id)
            .into_iter()
            .map(move |out| (flag(id), out))
    };
    OUTPUTS.into_iter().flat_map(of).collect()
}

fn paths(matches: &ArgMatches, id: &str) -> Vec<PathBuf> {
    let found = matches.try_get_many::<PathBuf>(id).ok().flatten();
    found.map_or_else(Vec::new, |paths| paths.cloned().collect())
}

/// Whether an output that exists is an input, or a file in a folder that is one.
fn is_same(input: &Path, out: &Path) -> bool {
    match (input.canonicalize(), out.canonicalize()) {
        (Ok(input), Ok(out)) => {
            out == input || (input.is_dir() && out.is_file() && out.starts_with(&input))
        }
        _ => false,
    }
}

/// Refuses an output of which nothing tells whose it is.
pub(crate) fn refuse_to_replace(out: &Path, force: bool) -> Result<()> {
    if force || !ddpm_files::replaces(out) {
        return Ok(());
    }
    Err(in_the_way(
        out,
        "is there already, and has no record of what made it",
    ))
}

/// Refuses an output that would replace anything but a schedules file, of which it is known later whether it holds these.
pub(crate) fn refuse_unless_schedules(out: &Path, force: bool) -> Result<()> {
    if force || !ddpm_files::replaces(out) || read_schedules(out).is_ok() {
        return Ok(());
    }
    Err(in_the_way(
        out,
        "is there already, and is no schedules file",
    ))
}

/// A file is there that this command did not make; `what` says how that is known.
pub(crate) fn in_the_way(out: &Path, what: impl std::fmt::Display) -> Error {
    Error::file(
        out,
        format_args!("{what}; expected the result of this very command, or no file"),
    )
    .advised("name another place, or replace it by --force")
}

/// Writes the result of a command that takes seconds: over a file that is there only where it holds this very result.
pub(crate) fn write_unless_in_the_way(out: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let is_this = || std::fs::read(out).is_ok_and(|there| there == bytes);
    if !force && ddpm_files::replaces(out) && !is_this() {
        return Err(in_the_way(
            out,
            "is there already, and holds something else than this command makes",
        ));
    }
    write_file(out, bytes)
}
