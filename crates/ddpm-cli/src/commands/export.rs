//! `ddpm export`: schedules in the words of other tools.

use std::io::{self, IsTerminal};

use ddpm_core::NoiseSchedule;
use serde_json::json;

use crate::args::{Export, ExportFormat};
use crate::error::{Error, Result};
use crate::export::{Exported, Listing, export};
use crate::input::{Budgets, read_schedules, write_file};
use crate::output::{self, Voice};
use crate::render::plural;

/// Runs the command.
pub(crate) fn run(args: &Export, voice: Voice) -> Result<()> {
    let schedules = read_schedules(&args.schedules)?;
    let budgets = match &args.steps {
        Some(text) => Budgets::parse("--steps", text, schedules.train_steps)?,
        None => Budgets::All,
    };
    let listing = Listing::of_schedules(&schedules, &budgets, &args.schedules)?;
    let exported = export(&listing, args.format)?;
    warn_of_losses(&exported, args.format, voice);
    if let Some(out) = &args.out {
        write_file(out, &exported.bytes)?;
    }
    if args.json {
        let schedules = listing
            .schedules
            .iter()
            .map(|s| {
                let sigmas = match &listing.chain {
                    // A list of timesteps may end where no sigma is finite.
                    Some(chain) => s.sigmas(chain).ok(),
                    None => None,
                };
                json!({"steps": s.steps, "timesteps": s.timesteps(), "sigmas": sigmas})
            })
            .collect::<Vec<_>>();
        return output::print_json(&json!({
            "format": args.format.name(),
            "T": listing.train_steps,
            "noise_schedule": listing.chain.as_ref().map(NoiseSchedule::name_or_custom),
            "variance": listing.variance.map(|v| v.to_string()),
            "decoder": listing.decoder,
            "schedules": schedules,
            "not_taken_over": exported.losses,
            "out": args.out.as_ref().map(|out| out.display().to_string()),
        }));
    }
    match &args.out {
        None => print(&exported),
        Some(out) => output::print_text(&format!(
            "{}: {} for {}\n",
            out.display(),
            plural(listing.schedules.len() as u64, "schedule"),
            args.format.name()
        )),
    }
}

/// Says on stderr what the tool will not do.
pub(crate) fn warn_of_losses(exported: &Exported, format: ExportFormat, voice: Voice) {
    for loss in &exported.losses {
        voice.warn(format_args!("{} does not take over {loss}", format.name()));
    }
}

/// Writes an export to stdout.
///
/// # Errors
/// An array for a terminal: [`Error::Usage`].
pub(crate) fn print(exported: &Exported) -> Result<()> {
    if !exported.text && io::stdout().is_terminal() {
        return Err(Error::usage(
            "an array is not for a terminal: expected --out F.npy, or a pipe",
        ));
    }
    output::print(|out| out.write_all(&exported.bytes))
}
