//! `cargo xtask bench`: the criterion benches and, on request, their peers.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::args::Args;
use crate::workspace::{build_ddpm, cargo, check, root};

const HELP: &str = "\
cargo xtask bench [--peers] [--filter TEXT]
cargo xtask bench --precision [--images N]

Runs the criterion benches (all-budget solver, cost table from a profile). With --peers also the
programs that they are compared with: the paper's Algorithm 1 in NumPy and a plain triangular C loop
(gcc) beside the solver; PyTorch, ONNX Runtime and OpenVINO beside the network, on the shipped
checkpoint and on one of the size of improved-diffusion's. The Python packages, several GB, go into
scratch environments under target/peers. Figures: benches/README.md.

With --precision, instead: bits/dim of the optimal schedules in f32 and in bf16 on N test images
(default 32), and their difference.";

pub(crate) fn run(words: Vec<String>) -> anyhow::Result<()> {
    let mut args = Args::new(words, HELP);
    if args.help_wanted() {
        return Ok(());
    }
    let peers = args.flag("--peers");
    let filter = args.value("--filter")?;
    let precision = args.flag("--precision");
    let images = args.number("--images")?;
    args.conflict(peers && precision, "--peers and --precision")?;
    args.conflict(
        images.is_some() && !precision,
        "--images and benches that use none (it belongs to --precision)",
    )?;
    args.finish()?;

    if precision {
        return crate::precision::run(images.unwrap_or(32));
    }

    let mut benches = cargo();
    benches.args(["bench", "--package", "ddpm-benches"]);
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
    solver_peers(&scratch)?;
    network_peers(&scratch)
}

fn solver_peers(scratch: &Path) -> anyhow::Result<()> {
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

fn network_peers(scratch: &Path) -> anyhow::Result<()> {
    let requirements = ["-r", "benches/peers/requirements-network.txt"];
    let python = venv(&scratch.join("venv-network"), &requirements)?;
    let large = scratch.join("unet-cifar10.safetensors");
    // Written anew each time, so that it is the one that the script of this commit makes.
    check(
        Command::new(&python)
            .current_dir(root())
            .arg("benches/peers/make_unet.py")
            .arg(&large),
    )?;
    let ddpm = build_ddpm()?;
    let shipped = root().join("datasets/cifar10-small.safetensors");
    for checkpoint in [shipped, large] {
        println!("\n== peers of the network, {}", checkpoint.display());
        check(
            Command::new(&python)
                .current_dir(root())
                .arg("benches/peers/network.py")
                .arg(&checkpoint)
                .arg("--ddpm")
                .arg(&ddpm),
        )?;
    }
    Ok(())
}

/// Makes a Python environment, once, installs these packages (pip's words) and returns its interpreter.
pub(crate) fn venv(at: &Path, packages: &[&str]) -> anyhow::Result<std::path::PathBuf> {
    let python = at.join("bin/python3");
    if !python.exists() {
        check(Command::new("python3").args(["-m", "venv"]).arg(at))?;
    }
    check(
        Command::new(at.join("bin/pip"))
            .current_dir(root())
            .args(["install", "--quiet"])
            .args(packages),
    )?;
    Ok(python)
}
