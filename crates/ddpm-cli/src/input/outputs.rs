//! What a command may write over: never what it reads, and of what is there only what this very command made.
//!
//! The rule is decided before anything is computed. A file that is in the way stays, unless it is empty, its own record says that the
//! same command on the same inputs made it, or `--force` replaces it. Formats without a record always need `--force`.

use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::files::write_file;
use crate::error::{Error, Result};

/// The arguments that name what is written.
const OUTPUTS: [&str; 3] = ["out", "output", "save_statistics"];
/// The argument that replaces what is there.
const FORCE: &str = "force";
/// Commands whose outputs have records: they know their own result again. Of all others a file that is there is in the way.
const KNOW_THEIR_OWN: [&str; 8] = [
    "profile",
    "merge",
    "trajectory",
    "schedule",
    "tune",
    "sample",
    "report",
    "man",
];

/// Refuses a command line that would write over what it must not, before it is looked at any further.
pub(crate) fn check_outputs(matches: &ArgMatches) -> Result<()> {
    let Some((name, matches)) = matches.subcommand() else {
        return Ok(());
    };
    refuse_inputs(matches)?;
    if KNOW_THEIR_OWN.contains(&name) {
        return Ok(());
    }
    let force = matches.try_get_one::<bool>(FORCE).ok().flatten();
    for (_, out) in outputs(matches) {
        refuse_to_replace(&out, force.is_some_and(|&force| force))?;
    }
    Ok(())
}

/// Refuses a command line that would write over a file which it reads, whatever names the two go by.
fn refuse_inputs(matches: &ArgMatches) -> Result<()> {
    let inputs: Vec<PathBuf> = matches
        .ids()
        .map(clap::Id::as_str)
        // A report lies in the folder that it reads.
        .filter(|id| !OUTPUTS.contains(id) && *id != "folder")
        .flat_map(|id| paths(matches, id))
        .collect();
    for (flag, out) in outputs(matches) {
        if let Some(input) = inputs.iter().find(|input| is_same(input, &out)) {
            return Err(Error::flag(
                &flag,
                format!(
                    "{} is read by this very command ({}); expected another place",
                    out.display(),
                    input.display()
                ),
            ));
        }
    }
    Ok(())
}

/// The outputs that were named, with their flags.
fn outputs(matches: &ArgMatches) -> Vec<(String, PathBuf)> {
    let known = OUTPUTS.iter().filter(|id| {
        let given = matches.try_contains_id(id);
        given.is_ok_and(|given| given)
    });
    let flag = |id: &str| format!("--{}", id.replace('_', "-"));
    known
        .flat_map(|id| {
            paths(matches, id)
                .into_iter()
                .map(move |out| (flag(id), out))
        })
        .collect()
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

/// Whether a file with something in it is where `out` would be. Devices and pipes are written into, folders are no outputs of one file.
pub(crate) fn is_in_the_way(out: &Path) -> bool {
    std::fs::metadata(out).is_ok_and(|there| there.is_file() && there.len() > 0)
}

/// Refuses an output of which nothing tells whose it is.
pub(crate) fn refuse_to_replace(out: &Path, force: bool) -> Result<()> {
    if force || !is_in_the_way(out) {
        return Ok(());
    }
    Err(in_the_way(out))
}

/// A file is there that nothing says this command made.
pub(crate) fn in_the_way(out: &Path) -> Error {
    Error::file(
        out,
        "exists, and no record in it says that this very command made it; expected a place without a file",
    )
    .advised("name another place, or replace it by --force")
}

/// Writes the result of a command that takes seconds: over a file that is there only where it holds this very result.
pub(crate) fn write_unless_in_the_way(out: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let is_this = || std::fs::read(out).is_ok_and(|there| there == bytes);
    if !force && is_in_the_way(out) && !is_this() {
        return Err(in_the_way(out));
    }
    write_file(out, bytes)
}
