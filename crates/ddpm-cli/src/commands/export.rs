//! `ddpm export`: schedules in the words of other programs.

use std::io::{self, IsTerminal};
use std::path::Path;

use ddpm_schedule::export::{Export, export};
use ddpm_schedule::{Budgets, Schedules, results};

use crate::args;
use crate::error::{Error, Located, Result};
use crate::input::{about_schedules, read_schedules, steps_or, write_unless_in_the_way};
use crate::output::{self, Voice};
use crate::render::{Indices, note_on_density_of, note_on_pictures, plural};

/// Runs the command.
pub(crate) fn run(args: &args::Export, voice: Voice) -> Result<()> {
    let mut schedules = read_schedules(&args.schedules)?;
    if let Some(sampler) = args.sampler {
        let found = schedules.for_sampler(sampler);
        schedules = found.map_err(|error| about_schedules(error, &args.schedules))?;
    }
    let (steps, most) = (args.steps.as_deref(), schedules.train_steps());
    let budgets = steps_or(steps, most, Budgets::All)?;
    let export = export(&schedules, &budgets, args.format);
    let export = told(export, &args.schedules, voice)?;
    say_what_it_is_not(&schedules, voice);
    if let Some(out) = &args.out {
        write_unless_in_the_way(out, &export.bytes, args.existing.force)?;
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
pub(super) fn print_export(
    export: ddpm_schedule::Result<Export>,
    file: &Path,
    voice: Voice,
) -> Result<()> {
    print(&told(export, file, voice)?)
}

/// Writes and prints schedules that were chosen from `source`.
pub(super) fn print_schedules(
    args: &args::Schedule,
    schedules: &Schedules,
    source: &Path,
    voice: Voice,
    table: impl FnOnce(Indices) -> Result<String>,
) -> Result<()> {
    if let Some(out) = &args.out {
        let json = schedules.to_json().or_internal()?;
        write_unless_in_the_way(out, json.as_bytes(), args.existing.force)?;
    }
    if let Some(format) = args.export {
        let exported = export(schedules, &Budgets::All, format);
        say_what_it_is_not(schedules, voice);
        return print_export(exported, source, voice);
    }
    let indices = Indices::from_flag(args.zero_based);
    match (args.json, indices) {
        // What is printed is a schedules file too.
        (true, Indices::Nodes) => output::print_json_text(&schedules.to_json().or_internal()?),
        (true, Indices::ZeroBased) => {
            output::print_json_text(&schedules.to_json_zero_based().or_internal()?)
        }
        (false, indices) => output::print_text(&table(indices)?),
    }
}

/// Says on stderr what the schedules are not the best of, where they may be taken for it.
fn say_what_it_is_not(schedules: &Schedules, voice: Voice) {
    if let Some(note) = note_on_density_of(schedules) {
        voice.warn(note);
    }
    if let Some(note) = note_on_pictures(schedules.scoring.objective) {
        voice.note(note);
    }
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
