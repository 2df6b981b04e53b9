//! The task runner: `cargo xtask <command>`.
//!
//! Every command spawns programs (`cargo`, the `ddpm` binary) and checks what they return; none
//! of them computes anything about diffusion models itself.

// A task runner talks to the person who started it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod bench;
mod ci;
mod cifar;
mod digest;
mod evaluations;
mod exports;
mod findings;
mod precision;
mod quality;
mod report;
mod reproduce;
mod rescoring;
mod samples;
mod samples_table;
mod slurm;
mod stage;
#[cfg(test)]
mod tidy;
mod workspace;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

commands:
  reproduce-cifar   the whole job on CIFAR-10: data, checkpoint, profiles, schedules, tables
  bench             the criterion benches; with --peers also the programs they are compared with
  evaluations       what schedules lose that are chosen on few network evaluations
  check-exports     what `ddpm export` writes, run by diffusers, k-diffusion and improved-diffusion
  check-report      the page of `ddpm report`, clicked through in Chromium
  quality           how far samples end from the probability flow, for every way of choosing schedules
  test-slurm        the job files of deploy/slurm on a real Slurm of one node
  ci                fmt, clippy, tests, docs, cargo-deny

`cargo xtask <command> --help` tells more.";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let outcome = match command.as_deref() {
        Some("reproduce-cifar") => reproduce::run(rest),
        Some("bench") => bench::run(rest),
        Some("evaluations") => evaluations::run(rest),
        Some("check-exports") => exports::run(rest),
        Some("check-report") => report::run(rest),
        Some("quality") => quality::run(rest),
        Some("test-slurm") => slurm::run(rest),
        Some("ci") => ci::run(rest),
        None | Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("error: unknown command '{other}'\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let code = error.downcast_ref::<args::UsageError>().map_or(1, |_| 2);
            ExitCode::from(code)
        }
    }
}
