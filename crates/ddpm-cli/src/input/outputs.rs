//! An input is never an output.

use std::path::{Path, PathBuf};

use clap::ArgMatches;

use crate::error::{Error, Result};

/// The arguments that name what is written.
const OUTPUTS: [&str; 3] = ["out", "output", "save_statistics"];

/// Refuses a command line that would write over a file which it reads, whatever names the two go by.
pub(crate) fn refuse_inputs_as_outputs(matches: &ArgMatches) -> Result<()> {
    let Some((_, matches)) = matches.subcommand() else {
        return Ok(());
    };
    let paths = |id: &str| -> Vec<PathBuf> {
        let found = matches.try_get_many::<PathBuf>(id).ok().flatten();
        found.map_or_else(Vec::new, |paths| paths.cloned().collect())
    };
    let is_output = |id: &str| OUTPUTS.contains(&id);
    let ids: Vec<&str> = matches.ids().map(clap::Id::as_str).collect();
    // A report lies in the folder that it reads.
    let inputs: Vec<PathBuf> = ids
        .iter()
        .filter(|id| !is_output(id) && **id != "folder")
        .flat_map(|id| paths(id))
        .collect();
    for id in ids.iter().filter(|id| is_output(id)) {
        for out in paths(id) {
            if let Some(input) = inputs.iter().find(|input| is_same(input, &out)) {
                let flag = format!("--{}", id.replace('_', "-"));
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
    }
    Ok(())
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
