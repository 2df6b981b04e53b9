//! The `ddpm` command line as a library.
//!
//! A command goes through four rooms: `args` (what was typed), `input` (what it means: opened,
//! checked and named when wrong), `commands` (what is computed, by the crates below) and `render`
//! with `output` (what is printed). Data goes to stdout and everything else to stderr; failures
//! end with the exit codes of `error`.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

mod advice;
mod args;
mod commands;
mod error;
mod input;
mod interrupt;
mod output;
mod plot;
mod render;
mod report;

use args::Command;
use error::{Error, Result};

/// Runs the command line of this process and returns its exit code.
///
/// 0 done (a closed pipe included), 1 internal error, 2 usage, 3 bad input, 4 interrupted but
/// resumable, 5 the system refused.
pub fn run() -> ExitCode {
    let known = args::Cli::command().color(colours());
    let parsed = known.try_get_matches().and_then(|matches| {
        let command = matches.subcommand_name().unwrap_or_default().to_owned();
        Ok((args::Cli::from_arg_matches(&matches)?, matches, command))
    });
    let (cli, matches, command) = match parsed {
        Ok(parsed) => parsed,
        Err(message) => {
            // Help and version go to stdout, mistakes to stderr; a closed pipe is no error.
            output::print_usage(&message);
            return ExitCode::from(if message.use_stderr() { 2 } else { 0 });
        }
    };
    let run = || input::refuse_inputs_as_outputs(&matches).and_then(|()| dispatch(cli));
    let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Error::Internal(
            "a calculation panicked (see above)".to_owned(),
        ))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::report(&error, &command);
            error.exit_code()
        }
    }
}

/// None on a terminal that shows none, which clap would overlook where `CI` is set.
fn colours() -> clap::ColorChoice {
    match std::env::var_os("TERM") {
        Some(terminal) if terminal == "dumb" => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}

/// From a parsed command to the code that runs it.
fn dispatch(cli: args::Cli) -> Result<()> {
    interrupt::report_file_size_limit_as_an_error()?;
    if let Some(threads) = cli.common.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global()
            // The system gives no more threads, or not that much memory for them.
            .map_err(|error| {
                Error::system("start the threads of --threads")(io::Error::other(error))
            })?;
    }
    let voice = output::Voice::new(cli.common.quiet);
    let outcome = match cli.command {
        Command::Inspect(args) => commands::inspect::run(&args, voice),
        Command::Predict(args) => commands::predict::run(&args, voice),
        Command::Transitions(args) => commands::transitions::run(&args),
        Command::Trajectory(args) => commands::trajectory::run(&args, voice),
        Command::Merge(args) => commands::merge::run(&args, voice),
        Command::Tune(args) => commands::tune::run(&args, voice),
        Command::Schedule(args) => commands::schedule::run(&args, voice),
        Command::Table(args) if !args.path.is_empty() => {
            commands::table_of_paths::run(&args, voice)
        }
        Command::Table(args) => commands::table::run(&args, voice),
        Command::Bpd(args) => commands::bpd::run(&args, voice),
        Command::Sample(args) => commands::sample::run(&args, voice),
        Command::Fid(args) => commands::fid::run(&args, voice),
        Command::Profile(args) => commands::profile::run(&args, voice),
        Command::Export(args) => commands::export::run(&args, voice),
        Command::Plot(args) => commands::plot::run(&args, voice),
        Command::Report(args) => report::run(&args, voice),
        Command::Bench(args) => commands::bench::run(&args, voice),
        Command::Completions(args) => commands::install::completions(&args),
        Command::Man(args) => commands::install::man(&args, voice),
        Command::Solve(args) => commands::solve::run(&args, voice),
    };
    render::timing::report();
    outcome
}
