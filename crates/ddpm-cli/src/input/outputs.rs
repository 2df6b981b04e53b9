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
    let inputs: Vec<PathBuf> = ids
        .iter()
        .filter(|id| !is_output(id))
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

/// Whether two paths are one file that exists.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
