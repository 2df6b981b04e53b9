//! The task runner: `cargo xtask <command>`.
//!
//! Every command spawns programs (`cargo`, the `ddpm` binary) and checks what they return; none
//! of them computes anything about diffusion models itself.

// A task runner talks to the person who started it.
#![allow(clippy::print_stdout)]

mod bench;
mod book;
mod checks;
mod ci;
mod containerfile;
#[cfg(test)]
mod links;
mod markdown;
mod memory;
mod mutants;
mod newcomer;
mod release;
#[cfg(test)]
mod tidy;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use xtask::{reproduce, start};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "The task runner of this repository")]
struct Cli {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// The whole job on CIFAR-10: data, checkpoint, profiles, schedules, tables
    #[command(disable_help_flag = true)]
    ReproduceCifar(Words),
    Bench(bench::Bench),
    /// What schedules lose that are chosen on few network evaluations
    #[command(disable_help_flag = true)]
    Evaluations(Words),
    CheckExports(checks::CheckExports),
    CheckPython(checks::CheckPython),
    CheckReport(checks::CheckReport),
    /// How far samples end from the probability flow, for every way of choosing schedules
    #[command(disable_help_flag = true)]
    Quality(Words),
    /// Mutated inputs for every reader, in processes of their own
    #[command(disable_help_flag = true)]
    Fuzz(Words),
    /// Right and wrong command lines for minutes: crashes and wrong exit codes
    #[command(disable_help_flag = true)]
    Soak(Words),
    /// Kills at every system call that writes, full disks, two writers
    #[command(disable_help_flag = true)]
    Faults(Words),
    Memory(memory::Memory),
    Mutants(mutants::Mutants),
    /// The job files of deploy/slurm on a real Slurm of one node
    ///
    /// Starts a Slurm of one node in target/slurm (installing Debian's slurm-wlm and munge if they are absent, which
    /// needs root and apt), submits the array of deploy/slurm on the stand-in images, kills one task, runs one out of
    /// time, lets the node crash under the rest, and compares the bytes of the merged profile with those of a single
    /// run. Takes minutes. Stops the daemons that it has started.
    TestSlurm,
    /// The public paths of the library crates, compared with docs/public-api.txt
    #[command(disable_help_flag = true)]
    PublicApi(Words),
    Book(book::Book),
    Newcomer(newcomer::Newcomer),
    /// The COPY and RUN lines of deploy/Containerfile in a clean folder, without a container
    ///
    /// Fills a temporary folder with what the COPY lines name and builds there, from nothing, with this machine's programs;
    /// says which lines it leaves out. Takes as long as a release build.
    Containerfile,
    /// The crates of a release, one a line, each after those that it needs
    PublishOrder,
    /// What must be green: fmt, clippy, tests, docs, public paths, a smoke run, cargo-deny
    ///
    /// fmt --check, clippy with warnings as errors, every test in release mode, docs with warnings as errors, the list
    /// of public paths, a smoke run of reproduce-cifar, and cargo-deny (skipped with a line where it is not installed).
    Ci,
}

/// The words of another program, which parses them itself.
#[derive(clap::Args)]
struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Starts a command of `ddpm-fuzz`.
fn robustness(command: &str, words: Words) -> anyhow::Result<()> {
    let words = [&[command.into()], &words.words[..]].concat();
    start(["--package", "ddpm-fuzz"], &words)
}

fn main() -> ExitCode {
    xtask::exit_code(match Cli::parse().task {
        Some(Task::Bench(bench)) => bench.run(),
        Some(Task::CheckExports(exports)) => exports.run(),
        Some(Task::CheckPython(python)) => python.run(),
        Some(Task::CheckReport(report)) => report.run(),
        Some(Task::ReproduceCifar(w)) => reproduce("reproduce-cifar", &w.words),
        Some(Task::Evaluations(w)) => reproduce("evaluations", &w.words),
        Some(Task::Quality(w)) => reproduce("quality", &w.words),
        Some(Task::Fuzz(w)) => robustness("fuzz", w),
        Some(Task::Soak(w)) => robustness("soak", w),
        Some(Task::Faults(w)) => robustness("faults", w),
        Some(Task::Memory(memory)) => memory.run(),
        Some(Task::Mutants(mutants)) => mutants.run(),
        Some(Task::TestSlurm) => start(["--bin", "test-slurm"], &[]),
        Some(Task::PublicApi(w)) => start(["--package", "ddpm-public-api"], &w.words),
        Some(Task::Book(book)) => book.run(),
        Some(Task::Newcomer(newcomer)) => newcomer.run(),
        Some(Task::Containerfile) => containerfile::run(),
        Some(Task::PublishOrder) => release::print_order(),
        Some(Task::Ci) => ci::run(),
        None => Cli::command()
            .print_help()
            .context("failed to print the help"),
    })
}
