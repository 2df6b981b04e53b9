//! The paper's experiments and ours on the shipped checkpoint: `cargo xtask reproduce-cifar` and its kin start it.
//!
//! Every command spawns the `ddpm` binary stage by stage and reads what it prints; none of them computes anything about
//! diffusion models itself.

// A program for the person who started it.
#![allow(clippy::print_stdout)]

mod cifar;
mod digest;
mod estimate;
mod evaluations;
mod findings;
mod headline;
mod pictures;
mod precision;
mod quality;
mod reproduce;
mod rescoring;
mod results;
mod samples;
mod samples_size;
mod samples_table;
mod stage;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Experiments on CIFAR-10")]
enum Cli {
    ReproduceCifar(reproduce::Reproduce),
    Evaluations(evaluations::Evaluations),
    Quality(quality::Quality),
    Precision(precision::Precision),
}

fn main() -> ExitCode {
    xtask::exit_code(match Cli::parse() {
        Cli::ReproduceCifar(args) => reproduce::run(args),
        Cli::Evaluations(args) => evaluations::run(args),
        Cli::Quality(args) => quality::run(args),
        Cli::Precision(args) => precision::run(args),
    })
}
