//! `cargo xtask quality`: how far samples end from the probability flow, for every way of choosing schedules.

use std::path::PathBuf;

use xtask::{cargo, check, root};

use crate::cifar;

/// How far samples end from the probability flow, for every way of choosing schedules
///
/// Ranks schedules for the shipped checkpoint by the root mean square distance of samples from the end points of the
/// probability flow, on starts that none of them was chosen on, with DDIM and DPM-Solver++(2M). About 260,000 network
/// evaluations: about an hour on two cores. Goes on where it was stopped (runs/quality).
///
/// Writes docs/quality.json, which docs/quality-flow.md shows; with --calibrated docs/quality-calibrated.json.
#[derive(clap::Args)]
pub(crate) struct Quality {
    /// Where CIFAR-10 is, whose train images the bound of Align Your Steps is measured on; without it the stand-in
    /// images serve
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Samples to judge on [64]
    #[arg(long, value_name = "N")]
    starts: Option<String>,
    /// Numbers of steps [5,8,10,16,20,32]
    #[arg(long, value_name = "K,..")]
    steps: Option<String>,
    /// The flow of the network whose estimates are corrected on the shipped profile
    #[arg(long)]
    calibrated: bool,
}

/// Runs the command.
///
/// # Errors
/// A command that fails.
pub(crate) fn run(args: Quality) -> anyhow::Result<()> {
    let data = cifar::find(args.data.as_deref(), false)?.folder();
    let datasets = root().join("datasets");
    let mut command = cargo();
    command.args(["run", "--release", "--quiet", "--example", "quality", "--"]);
    command.arg(datasets.join("cifar10-small.safetensors"));
    command
        .arg("--profile")
        .arg(datasets.join("cifar10-small.train.profile.safetensors"));
    command.arg("--data").arg(std::path::absolute(data)?);
    command.arg("--work").arg(root().join("runs/quality"));
    let of_network = root().join("docs/quality.json");
    if args.calibrated {
        command.args(["--mean", "calibrated", "--earlier"]);
        command.arg(of_network);
        command.arg("--out");
        command.arg(root().join("docs/quality-calibrated.json"));
    } else {
        command.arg("--out").arg(of_network);
    }
    for (flag, value) in [("--starts", args.starts), ("--steps", args.steps)] {
        if let Some(value) = value {
            command.args([flag, &value]);
        }
    }
    check(&mut command)
}
