//! `cargo xtask check-exports`: what `ddpm export` writes, run by the programs it is written for.

use std::process::Command;

use anyhow::Context;

use crate::args::Args;
use crate::bench::venv;
use crate::workspace::{build_ddpm, check, root};

const HELP: &str = "\
cargo xtask check-exports [--python PYTHON]

Exports schedules of several noise schedules and variances, samples a small random UNet2DModel with them and checks
that the schedulers of diffusers, k-diffusion and improved-diffusion visit exactly these timesteps with exactly the
constants of `ddpm transitions` (tests/peers/check_exports.py); runs the hook of examples/python in a loop of diffusers
and imports what it measured (tests/peers/check_hook.py). Takes some minutes. The Python packages, several GB, go into a
scratch environment under target/peers.

  --python PYTHON    an interpreter that has the packages of tests/peers/requirements.txt; nothing is installed

improved-diffusion is not on PyPI: the environment variable IMPROVED_DIFFUSION names a folder with its source.";

pub(crate) fn run(words: Vec<String>) -> anyhow::Result<()> {
    let mut args = Args::new(words, HELP);
    if args.help_wanted() {
        return Ok(());
    }
    let python = args.value("--python")?;
    args.finish()?;

    let scratch = root().join("target/peers");
    let work = scratch.join("exports");
    std::fs::create_dir_all(&work)
        .with_context(|| format!("failed to create {}", work.display()))?;
    let python = match python {
        Some(python) => python.into(),
        None => venv(
            &scratch.join("venv-exports"),
            &["-r", "tests/peers/requirements.txt"],
        )?,
    };
    let ddpm = build_ddpm()?;
    for script in ["tests/peers/check_exports.py", "tests/peers/check_hook.py"] {
        println!("\n== {script}");
        check(
            Command::new(&python)
                .current_dir(root())
                .arg(script)
                .arg("--ddpm")
                .arg(&ddpm)
                .arg("--profile")
                .arg(root().join("datasets/cifar10-small.train.profile.safetensors"))
                .arg("--work")
                .arg(&work),
        )?;
    }
    Ok(())
}
