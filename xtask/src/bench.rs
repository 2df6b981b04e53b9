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
    let sources = root().join("benches/peers");

    println!("\n== peer: plain triangular C loop");
    let program = scratch.join("dp_triangular");
    check(
        Command::new("gcc")
            .args(["-O3", "-march=native", "-o"])
            .arg(&program)
            .arg(sources.join("dp_triangular.c"))
            .arg("-lm"),
    )?;
    check(&mut Command::new(&program))?;

    println!("\n== peer: Algorithm 1 in NumPy");
    let python = venv(&scratch.join("venv"), &["numpy"])?;
    check(Command::new(python).arg(sources.join("dp_numpy.py")))
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
