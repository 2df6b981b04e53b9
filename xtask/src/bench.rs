//! `cargo xtask bench`: the criterion benches and, on request, their peers.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::args::Args;
use crate::workspace::{cargo, check, root};

const HELP: &str = "\
cargo xtask bench [--peers] [--filter TEXT]

Runs the criterion benches (all-budget solver, cost table from a profile). With --peers also the
programs that they are compared with: the paper's Algorithm 1 in NumPy (installed into a scratch
environment under target/) and a plain triangular C loop (gcc). Figures: benches/README.md.";

pub(crate) fn run(words: Vec<String>) -> anyhow::Result<()> {
    let mut args = Args::new(words, HELP);
    if args.help_wanted() {
        return Ok(());
    }
    let peers = args.flag("--peers");
    let filter = args.value("--filter")?;
    args.finish()?;

    let mut benches = cargo();
    benches.args(["bench", "--package", "ddpm"]);
    if let Some(filter) = filter {
        benches.args(["--", &filter]);
    }
    check(&mut benches)?;
    if peers {
        run_peers()?;
    }
    Ok(())
}

fn run_peers() -> anyhow::Result<()> {
    let scratch = root().join("target/peers");
    std::fs::create_dir_all(&scratch)
        .with_context(|| format!("failed to create {}", scratch.display()))?;
    let python = venv(&scratch.join("venv"), &["numpy"])?;
    // The script builds the C loop itself and runs every program in turn, so that the ratios of one run hold.
    for (rounds, train_steps) in [("5", "4000"), ("9", "1000")] {
        println!("\n== peers of the all-budget solver, T = {train_steps}");
        check(
            Command::new(&python)
                .current_dir(root())
                .arg("benches/peers/dp_interleaved.py")
                .args([rounds, train_steps]),
        )?;
    }
    Ok(())
}

/// Makes a Python environment with these packages, once, and returns its interpreter.
fn venv(at: &Path, packages: &[&str]) -> anyhow::Result<std::path::PathBuf> {
    let python = at.join("bin/python3");
    if !python.exists() {
        check(Command::new("python3").args(["-m", "venv"]).arg(at))?;
    }
    check(
        Command::new(at.join("bin/pip"))
            .args(["install", "--quiet"])
            .args(packages),
    )?;
    Ok(python)
}
