//! `ddpm schedule --objective quality|klub`: schedules from trajectories.

use ddpm_core::{CoefficientKind, Objective, Sampler, StartRule};
use ddpm_schedule::{Budgets, Schedules};
use ddpm_trajectory::{
    Trajectories, choose_fitted, choose_klub, choose_quality, closest_coefficients, usual_steps,
};

use super::export::print_schedules;
use crate::args::Schedule;
use crate::error::{Advice, Error, Located, Result};
use crate::input::{priced_sampler, read_trajectories_to_use, steps_or};
use crate::output::Voice;
use crate::render::{
    Indices, TextTable, and_coefficients, and_mean, clip, join, or_dash, plural, shorten,
};

/// Runs the command for one of its objectives.
pub(super) fn run(args: &Schedule, voice: Voice) -> Result<()> {
    refuse_what_does_not_apply(args)?;
    let Some(file) = &args.profile else {
        return Err(Error::usage(
            "nothing to choose from: expected the trajectories R that `ddpm trajectory CKPT --out R` writes",
        ));
    };
    let trajectories = read_trajectories_to_use(file)?;
    let (most, train_steps) = (
        trajectories.nodes().len(),
        trajectories.schedule().train_steps(),
    );
    let sampler = args.sampler.as_deref().map(priced_sampler);
    let sampler = sampler.transpose()?.unwrap_or(Sampler::DpmSolver2M);
    let asked = steps_or(args.steps.as_deref(), train_steps, Budgets::All)?;
    let coefficients = match args.objective {
        Objective::Klub => CoefficientKind::Solver,
        _ => args
            .coefficients
            .unwrap_or_else(|| closest_coefficients(&trajectories, sampler, &asked)),
    };
    if args.coefficients.is_none() && coefficients == CoefficientKind::Solver {
        warn_of_what_was_taught(&trajectories, sampler, &asked, voice);
    }
    // Of fitted coefficients there is what was tried.
    let budgets = match (args.steps.is_some(), coefficients) {
        (false, CoefficientKind::Solver) => Budgets::Only(usual_steps(most)),
        _ => asked,
    };
    if let Budgets::Only(list) = &budgets
        && let Some(k) = list.iter().find(|&&k| k > most)
    {
        return Err(Error::flag(
            "--steps",
            format!(
                "K={k}: expected at most {most}, the number of timesteps in {}",
                file.display()
            ),
        ));
    }
    let schedules = match args.objective {
        Objective::Klub => choose_klub(&trajectories, &budgets),
        _ => match coefficients {
            CoefficientKind::Solver => choose_quality(&trajectories, sampler, &budgets),
            kind => choose_fitted(&trajectories, sampler, kind, &budgets),
        },
    }
    .in_file(file)
    .advised("`ddpm trajectory` measures and teaches what its --sampler, --steps and --coefficients name")?;
    print_schedules(args, &schedules, file, voice, |indices| {
        Ok(table(&trajectories, &schedules, indices))
    })
}

/// Says so where coefficients were taught, but not for all of the steps that are asked for.
fn warn_of_what_was_taught(
    trajectories: &Trajectories,
    sampler: Sampler,
    asked: &Budgets,
    voice: Voice,
) {
    let taught = trajectories.taught_steps(sampler);
    let Budgets::Only(list) = asked else {
        return;
    };
    if !taught.is_empty() && list.iter().any(|k| !taught.contains(k)) {
        voice.warn(format_args!(
            "fitted coefficients were taught for K = {} alone, so that all of these have the sampler's own; choose with --steps of these, or teach others by ddpm trajectory --steps",
            join(&taught, ", ")
        ));
    }
}

/// Flags of the other objectives are not silently ignored.
fn refuse_what_does_not_apply(args: &Schedule) -> Result<()> {
    let chain = &args.chain;
    let given = [
        (args.mse.is_some(), "--mse"),
        (args.conventions.variance.is_some(), "--variance"),
        (args.conventions.mean.is_some(), "--mean"),
        (args.conventions.decoder.is_some(), "--decoder"),
        (
            args.conventions.decoder_bin_width.is_some(),
            "--decoder-bin-width",
        ),
        (args.decoder_first_bits.is_some(), "--decoder-first-bits"),
        (args.start != StartRule::Full, "--start free"),
        (args.folds.is_some_and(|n| n > 0), "--folds"),
        (chain.noise_schedule.is_some(), "--noise-schedule"),
        (chain.alpha_bar.is_some(), "--alpha-bar"),
        (chain.process.is_some(), "--process"),
        (chain.train_steps.is_some(), "--train-steps"),
        (chain.zero_terminal_snr, "--zero-terminal-snr"),
        (
            args.objective == Objective::Klub && args.sampler.is_some(),
            "--sampler",
        ),
        (
            args.objective == Objective::Klub && args.coefficients.is_some(),
            "--coefficients",
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
    let mean = and_mean(schedules.scoring.mean);
    let fitted = and_coefficients(schedules.coefficients);
    let mut text = TextTable::new(&format!(
        "steps: | cost [{}]: | distance: | path",
        schedules.scoring.objective.unit()
    ))
    .title(format!(
        "Optimal schedules{for_sampler}{fitted}: objective {}{mean}, {}",
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
        let starts = match schedules.coefficients {
            CoefficientKind::Solver => "these are the starts that the schedule was chosen on",
            // Samples take those of all.
            _ => "every start is judged by coefficients that were fitted to others",
        };
        text.note(format!(
            "Distance: root mean square, per dimension of an image in [-1, 1], from the end of the reference at the same starts; \
             {starts}. Costs rank schedules of one number of steps.",
        ));
    }
    text.to_string()
}
