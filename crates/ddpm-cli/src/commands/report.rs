//! `ddpm report`: a folder of results as one HTML page.

use crate::args::Report;
use crate::error::{Error, Result};
use crate::input::write_file;
use crate::output::{self, Voice};
use crate::report::{Found, Page};

/// Runs the command.
pub(crate) fn run(args: &Report, voice: Voice) -> Result<()> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => args.folder.join("report.html"),
    };
    if out.is_dir() {
        return Err(Error::usage(format!(
            "--out {}: is a folder; expected the name of a file",
            out.display()
        )));
    }
    let found = Found::in_folder(&args.folder, voice)?;
    let page = Page::of(&found, voice)?;
    write_file(&out, page.html().as_bytes())?;
    if !args.json {
        let mut text = format!("{}: {}\n", out.display(), found.summary());
        for missing in page.missing() {
            text.push_str(&format!("left out: {missing}\n"));
        }
        return output::print_text(&text);
    }
    output::print_json(&found.result(&out, &page))
}
