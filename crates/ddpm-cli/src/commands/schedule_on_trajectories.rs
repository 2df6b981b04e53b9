//! `ddpm schedule --objective quality|klub`: schedules from trajectories.

use ddpm_core::{Objective, Sampler, StartRule};
use ddpm_schedule::export::export;
use ddpm_schedule::{Budgets, Schedules};
use ddpm_trajectory::{Trajectories, choose_klub, choose_quality};

use crate::args::Schedule;
use crate::commands::export::print_export;
use crate::error::{Error, Located, Result};
use crate::input::{parse_budgets, read_trajectories_to_use, write_file};
use crate::output::{self, Voice};
use crate::render::{Indices, TextTable, clip, or_dash, plural, shorten};

/// Numbers of steps where `--steps` is not given.
const STEPS: [usize; 6] = [5, 8, 10, 16, 20, 32];

/// Runs the command for one of its objectives.
pub(super) fn run(args: &Schedule, voice: Voice) -> Result<()> {
    refuse_what_does_not_apply(args)?;
    let Some(file) = &args.profile else {
        return Err(Error::usage(
            "nothing to choose from: expected the trajectories R that `ddpm trajectory CKPT --out R` writes",
        ));
    };
    let trajectories = read_trajectories_to_use(file)?;
    let train_steps = trajectories.schedule().train_steps();
    let budgets = match &args.steps {
        Some(text) => parse_budgets("--steps", text, train_steps)?,
        None => {
            let possible = STEPS
                .into_iter()
                .filter(|&k| k <= trajectories.nodes().len());
            Budgets::Only(possible.collect())
        }
    };
    if let Budgets::Only(list) = &budgets
        && let Some(k) = list.iter().find(|&&k| k > trajectories.nodes().len())
    {
        return Err(Error::flag(
            "--steps",
            format!(
                "K={k}: expected at most {}, the number of timesteps in {}",
                trajectories.nodes().len(),
                file.display()
            ),
        ));
    }
    let schedules = match args.objective {
        Objective::Klub => choose_klub(&trajectories, &budgets),
        _ => choose_quality(&trajectories, sampler(args)?, &budgets),
    }
    .in_file(file)?;
    if let Some(out) = &args.out {
        write_file(out, schedules.to_json().or_internal()?.as_bytes())?;
    }
    if let Some(format) = args.export {
        let exported = export(&schedules, &Budgets::All, format);
        return print_export(exported, file, voice);
    }
    let indices = Indices::from_flag(args.zero_based);
    if args.json {
        return match indices {
            Indices::Nodes => output::print_text(&schedules.to_json().or_internal()?),
            Indices::ZeroBased => {
                output::print_text(&schedules.to_json_zero_based().or_internal()?)
            }
        };
    }
    output::print_text(&table(&trajectories, &schedules, indices))
}

fn sampler(args: &Schedule) -> Result<Sampler> {
    match &args.sampler {
        Some(name) => {
            let sampler: Sampler = name.parse().in_flag("--sampler")?;
            sampler.check_of_the_flow().in_flag("--sampler")?;
            Ok(sampler)
        }
        None => Ok(Sampler::DpmSolver2M),
    }
}

/// Flags of the other objectives are not silently ignored.
fn refuse_what_does_not_apply(args: &Schedule) -> Result<()> {
    let chain = &args.chain;
    let given = [
        (args.mse.is_some(), "--mse"),
        (args.conventions.variance.is_some(), "--variance"),
        (args.conventions.decoder.is_some(), "--decoder"),
        (
            args.conventions.decoder_bin_width.is_some(),
            "--decoder-bin-width",
        ),
        (args.decoder_first_bits.is_some(), "--decoder-first-bits"),
        (args.start != StartRule::Full, "--start free"),
        (chain.noise_schedule.is_some(), "--noise-schedule"),
        (chain.alpha_bar.is_some(), "--alpha-bar"),
        (chain.train_steps.is_some(), "--train-steps"),
        (chain.zero_terminal_snr, "--zero-terminal-snr"),
        (
            args.objective == Objective::Klub && args.sampler.is_some(),
            "--sampler",
        ),
    ];
    match given.iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, flag)) => Err(Error::usage(format!(
            "{flag} does not go with --objective {}, which is chosen on trajectories",
            args.objective
        ))),
    }
}

fn table(trajectories: &Trajectories, schedules: &Schedules, indices: Indices) -> String {
    let for_sampler = schedules
        .sampler
        .as_ref()
        .map_or_else(String::new, |name| format!(" for {name}"));
    let mut text = TextTable::new(&format!(
        "steps: | cost [{}]: | distance: | path",
        schedules.scoring.objective.unit()
    ))
    .title(format!(
        "Optimal schedules{for_sampler}: objective {}, {}",
        schedules.scoring.objective,
        clip(schedules.clip_denoised)
    ))
    .title(format!(
        "Chosen on trajectories of {} at {} timesteps (T={} {})",
        plural(trajectories.images() as u64, "image"),
        trajectories.nodes().len(),
        schedules.train_steps(),
        schedules.noise_schedule.name_or_custom()
    ));
    for budget in &schedules.budgets {
        text.row([
            budget.steps().to_string(),
            format!("{:.3e}", budget.cost),
            or_dash(budget.distance.map(|d| format!("{d:.4}"))),
            shorten(&indices.show_path(budget.nodes())),
        ]);
    }
    if schedules.budgets.iter().any(|b| b.distance.is_some()) {
        text.note(
            "Distance: root mean square, per dimension of an image in [-1, 1], from the end of the reference at the same starts; \
             these are the starts that the schedule was chosen on. Costs rank schedules of one number of steps.",
        );
    }
    text.to_string()
}
