//! `ddpm export`: schedules in the words of other programs.

use std::io::{self, IsTerminal};
use std::path::Path;

use ddpm_schedule::export::{Export, export};
use ddpm_schedule::{Budgets, results};

use crate::args;
use crate::error::{Error, Result};
use crate::input::{about_schedules, read_schedules, steps_or, write_file};
use crate::output::{self, Voice};
use crate::render::plural;

/// Runs the command.
pub(crate) fn run(args: &args::Export, voice: Voice) -> Result<()> {
    let schedules = read_schedules(&args.schedules)?;
    let (steps, most) = (args.steps.as_deref(), schedules.train_steps());
    let budgets = steps_or(steps, most, Budgets::All)?;
    let export = export(&schedules, &budgets, args.format);
    let export = told(export, &args.schedules, voice)?;
    if let Some(out) = &args.out {
        write_file(out, &export.bytes)?;
    }
    let out = args.out.as_ref().map(|out| out.display().to_string());
    if args.json {
        return output::print_json(&results::Exported { export, out });
    }
    match out {
        None => print(&export),
        Some(out) => output::print_text(&format!(
            "{out}: {} for {}\n",
            plural(export.lists.len() as u64, "schedule"),
            export.format
        )),
    }
}

/// Prints instead of a table what `ddpm export` would write of the schedules or the cost table in `file`.
pub(crate) fn print_export(
    export: ddpm_schedule::Result<Export>,
    file: &Path,
    voice: Voice,
) -> Result<()> {
    print(&told(export, file, voice)?)
}

/// Says on stderr what the program will not do.
fn told(export: ddpm_schedule::Result<Export>, file: &Path, voice: Voice) -> Result<Export> {
    let export = export.map_err(|error| about_schedules(error, file))?;
    for loss in &export.losses {
        voice.warn(format_args!("{} does not take over {loss}", export.format));
    }
    Ok(export)
}

/// Writes an export to stdout; an array is not for a terminal.
fn print(export: &Export) -> Result<()> {
    if !export.format.is_text() && io::stdout().is_terminal() {
        return Err(Error::usage(
            "an array is not for a terminal: expected --out F.npy, or a pipe",
        ));
    }
    output::print(|out| out.write_all(&export.bytes))
}
