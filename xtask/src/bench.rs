//! `cargo xtask bench`: the criterion benches and, on request, their peers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use xtask::{build_ddpm, cargo, check, root};

/// The criterion benches; with --peers also the programs they are compared with
///
/// Runs the criterion benches (all-budget solver, cost table from a profile). With --peers also the programs that they
/// are compared with: the paper's Algorithm 1 in NumPy and a plain triangular C loop (gcc) beside the solver; PyTorch,
/// ONNX Runtime and OpenVINO beside the network, on the shipped checkpoint and on one of the size of
/// improved-diffusion's. The Python packages, several GB, go into scratch environments under target/peers. Figures:
/// benches/README.md.
///
/// With --precision, instead: bits/dim of the optimal schedules in f32 and in bf16 on N test images, and their
/// difference.
#[derive(clap::Args)]
pub(crate) struct Bench {
    /// Also run the programs that they are compared with
    #[arg(long, conflicts_with = "precision")]
    peers: bool,
    /// Run the benches that have TEXT in their name
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Compare bits/dim in f32 and in bf16 instead
    #[arg(long)]
    precision: bool,
    /// Test images of --precision [default: 32]
    #[arg(long, value_name = "N", requires = "precision")]
    images: Option<u64>,
}

impl Bench {
    /// Fails as the first program that fails.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        if self.precision {
            let images = self.images.map(|n| format!("--images={n}").into());
            return xtask::reproduce("precision", images.as_slice());
        }
        let mut benches = cargo();
        benches.args(["bench", "--package", "ddpm-benches"]);
        if let Some(filter) = self.filter {
            benches.args(["--", &filter]);
        }
        check(&mut benches)?;
        if self.peers {
            run_peers()?;
        }
        Ok(())
    }
}

/// The script of the solver builds the C loop itself and runs every program in turn, so that the ratios of one run hold.
fn run_peers() -> anyhow::Result<()> {
    let scratch = root().join("target/peers");
    std::fs::create_dir_all(&scratch)
        .with_context(|| format!("failed to create {}", scratch.display()))?;
    let python = venv(&scratch.join("venv"), &["numpy"])?;
    for (rounds, train_steps) in [("5", "4000"), ("9", "1000")] {
        println!("\n== peers of the all-budget solver, T = {train_steps}");
        check(script(&python, "benches/peers/dp_interleaved.py").args([rounds, train_steps]))?;
    }
    let requirements = ["-r", "benches/peers/requirements-network.txt"];
    let python = venv(&scratch.join("venv-network"), &requirements)?;
    let large = scratch.join("unet-cifar10.safetensors");
    // Written anew each time, so that it is the one that the script of this commit makes.
    check(script(&python, "benches/peers/make_unet.py").arg(&large))?;
    let ddpm = build_ddpm()?;
    let shipped = root().join("datasets/cifar10-small.safetensors");
    for checkpoint in [shipped, large] {
        println!("\n== peers of the network, {}", checkpoint.display());
        let mut network = script(&python, "benches/peers/network.py");
        check(network.arg(&checkpoint).arg("--ddpm").arg(&ddpm))?;
    }
    Ok(())
}

/// A Python script of the repository, run in its root.
pub(crate) fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.current_dir(root()).arg(name);
    command
}

/// Makes a Python environment, once, installs these packages (pip's words) and returns its interpreter.
pub(crate) fn venv(at: &Path, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let python = at.join("bin/python3");
    if !python.exists() {
        check(Command::new("python3").args(["-m", "venv"]).arg(at))?;
    }
    let mut pip = script(&python, "-m");
    check(pip.args(["pip", "install", "--quiet"]).args(packages))?;
    Ok(python)
}
