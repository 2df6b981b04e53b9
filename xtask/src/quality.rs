//! `cargo xtask quality`: how far samples end from the probability flow, for every way of choosing schedules.

use crate::args::Args;
use crate::cifar::{self, Data};
use crate::workspace::{cargo, check, root};

const HELP: &str = "\
cargo xtask quality [--data DIR] [--starts N] [--steps K,..]

Ranks schedules for the shipped checkpoint by the root mean square distance of samples from the end points of the
probability flow, on starts that none of them was chosen on, with DDIM and DPM-Solver++(2M). About 260,000 network
evaluations: about an hour on two cores. Goes on where it was stopped (runs/quality).

Writes docs/quality.json, which docs/quality.md shows.

  --data DIR     where CIFAR-10 is, whose train images the bound of Align Your Steps is measured on; without it
                 the stand-in images serve
  --starts N     samples to judge on [64]
  --steps K,..   numbers of steps [5,8,10,16,20,32]";

/// Runs the command.
///
/// # Errors
/// A command that fails.
pub(crate) fn run(words: Vec<String>) -> anyhow::Result<()> {
    let mut args = Args::new(words, HELP);
    if args.help_wanted() {
        return Ok(());
    }
    let data = args.value("--data")?;
    let starts = args.value("--starts")?;
    let steps = args.value("--steps")?;
    args.finish()?;
    let data = match cifar::find(data.as_deref(), false)? {
        Data::Cifar10(folder) => folder,
        _ => root().join("datasets/cifar10-stand-in"),
    };
    let mut command = cargo();
    command.args(["run", "--release", "--quiet", "--example", "quality", "--"]);
    command.arg(root().join("datasets/cifar10-small.safetensors"));
    command
        .arg("--profile")
        .arg(root().join("datasets/cifar10-small.train.profile.safetensors"));
    command.arg("--data").arg(data);
    command.arg("--work").arg(root().join("runs/quality"));
    command.arg("--out").arg(root().join("docs/quality.json"));
    for (flag, value) in [("--starts", starts), ("--steps", steps)] {
        if let Some(value) = value {
            command.args([flag, &value]);
        }
    }
    check(&mut command)
}
