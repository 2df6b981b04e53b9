//! `ddpm completions`: what a shell needs to complete commands, flags and values.

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::error::Result;
use crate::output;

/// Runs the command.
pub(crate) fn run(args: &Completions) -> Result<()> {
    // The generator panics where it cannot write: it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ddpm", &mut script);
    output::print(|out| out.write_all(&script))
}
