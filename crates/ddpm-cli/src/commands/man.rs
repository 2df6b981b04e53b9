//! `ddpm man`: the manual pages.

use clap::CommandFactory;

use crate::args::{Cli, Man};
use crate::error::{Error, Result};
use crate::input::write_file;
use crate::output::{self, Voice};
use crate::render::manual::{pages, whole};

/// Runs the command.
pub(crate) fn run(args: &Man, voice: Voice) -> Result<()> {
    let Some(folder) = &args.out else {
        return output::print_text(&whole(&Cli::command()));
    };
    std::fs::create_dir_all(folder).map_err(|source| Error::write(folder, source))?;
    let pages = pages(&Cli::command());
    for (name, text) in &pages {
        write_file(&folder.join(name), text.as_bytes())?;
    }
    voice.note(format_args!(
        "{} pages in {}",
        pages.len(),
        folder.display()
    ));
    Ok(())
}
