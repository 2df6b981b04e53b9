//! What would break `ddpm`: inputs that nobody meant, command lines that nobody meant, and ends in the middle of a write.

// It talks to the person who started it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod faults;
mod fuzz;
mod soak;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Fuzz(fuzz::Fuzz),
    Soak(soak::Soak),
    Faults(faults::Faults),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Soak(args) => soak::run(&args),
        Task::Faults(args) => faults::run(&args),
    };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(findings) => {
            eprintln!("{findings} findings, see fuzz/artifacts");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
