//! `ddpm completions` and `ddpm man`: the command line written down for shells and for `man`.

use clap::{Command, CommandFactory};

use crate::args::{Cli, Completions, Man};
use crate::error::{Error, Located, Result};
use crate::input::{refuse_to_replace, write_file};
use crate::output::{self, Voice};

/// What every page calls the book that it is of.
const MANUAL: &str = "ddpm manual";

/// What a shell needs to complete commands, flags and values.
pub(crate) fn completions(args: &Completions) -> Result<()> {
    // The generator panics where it cannot write: it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ddpm", &mut script);
    output::print(|out| out.write_all(&script))
}

/// The manual pages, as clap_mangen makes them from the data of `--help`.
pub(crate) fn man(args: &Man, voice: Voice) -> Result<()> {
    let mut cli = Cli::command();
    // With the flags of every command in every command.
    cli.build();
    let pages = std::iter::once(&cli)
        .chain(cli.get_subcommands())
        .map(page)
        .collect::<Result<Vec<_>>>()?;
    let Some(folder) = &args.out else {
        let texts: Vec<String> = pages.into_iter().map(|(_, text)| text).collect();
        return output::print_text(&texts.concat());
    };
    for (name, _) in &pages {
        let file = folder.join(name);
        // Pages of another version of this program are its own.
        if !std::fs::read_to_string(&file).is_ok_and(|there| is_page(&there)) {
            refuse_to_replace(&file, args.existing.force)?;
        }
    }
    std::fs::create_dir_all(folder).map_err(|source| Error::write(folder, source))?;
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

/// Whether a text is a page of this book, of any version.
fn is_page(text: &str) -> bool {
    let mut lines = text.lines();
    lines.any(|line| line.starts_with(".TH ddpm") && line.contains(MANUAL))
}

/// The name and the text of a page.
fn page(command: &Command) -> Result<(String, String)> {
    let page = clap_mangen::Man::new(command.clone())
        // No date, so that the same program always writes the same page; an empty one would be lost.
        .date(" ")
        .source(concat!("ddpm ", env!("CARGO_PKG_VERSION")))
        .manual(MANUAL);
    let mut text = Vec::new();
    page.render(&mut text).or_internal()?;
    let text = String::from_utf8(text).or_internal()?;
    // Examples keep their lines, to be pasted.
    let text = text.replacen(".SH EXTRA\n", ".SH EXAMPLES\n.nf\n", 1);
    Ok((page.get_filename(), text))
}
