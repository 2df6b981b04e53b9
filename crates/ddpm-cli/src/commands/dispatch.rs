//! From a parsed command to the code that runs it.

use crate::args::{Cli, Command};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::output::Voice;
use crate::render::timing;

use super::{
    bench, bpd, completions, export, fid, inspect, man, merge, plot, predict, profile, report,
    sample, schedule, solve, table, trajectory, transitions,
};

/// Runs one command line.
pub(crate) fn run(cli: Cli) -> Result<()> {
    interrupt::report_file_size_limit_as_an_error().map_err(|source| Error::System {
        action: "install a signal handler".to_owned(),
        source,
    })?;
    if let Some(threads) = cli.common.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(usize::from(threads))
            .build_global()
            .map_err(|error| Error::Internal(error.to_string()))?;
    }
    let voice = Voice::new(cli.common.quiet);
    let outcome = run_command(cli.command, voice);
    timing::report();
    outcome
}

fn run_command(command: Command, voice: Voice) -> Result<()> {
    match command {
        Command::Inspect(args) => inspect::run(&args),
        Command::Predict(args) => predict::run(&args, voice),
        Command::Transitions(args) => transitions::run(&args),
        Command::Trajectory(args) => trajectory::run(&args, voice),
        Command::Merge(args) => merge::run(&args, voice),
        Command::Schedule(args) => schedule::run(&args, voice),
        Command::Table(args) => table::run(&args, voice),
        Command::Bpd(args) => bpd::run(&args, voice),
        Command::Sample(args) => sample::run(&args, voice),
        Command::Fid(args) => fid::run(&args, voice),
        Command::Profile(args) => profile::run(&args, voice),
        Command::Export(args) => export::run(&args, voice),
        Command::Plot(args) => plot::run(&args, voice),
        Command::Report(args) => report::run(&args, voice),
        Command::Bench(args) => bench::run(&args, voice),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args, voice),
        Command::Solve(args) => solve::run(&args, voice),
    }
}
