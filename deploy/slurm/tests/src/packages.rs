//! Slurm and munge from Debian.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use xtask::check;

/// The daemons that a cluster of one node consists of.
const PROGRAMS: [&str; 4] = ["munged", "slurmctld", "slurmd", "sbatch"];

/// Installs what is absent.
///
/// # Errors
/// Not root (a node that runs jobs has to be), no apt-get, or packages that apt cannot install.
pub(crate) fn install() -> anyhow::Result<()> {
    if user()? != "0" {
        bail!("test-slurm: expected to run as root, which slurmd and apt-get need");
    }
    if PROGRAMS.iter().all(|program| installed(program)) {
        return Ok(());
    }
    if !installed("apt-get") {
        bail!(
            "test-slurm: {} are needed; expected to find them, or apt-get to install Debian's slurm-wlm and munge",
            PROGRAMS.join(", ")
        );
    }
    println!("== installing slurm-wlm and munge");
    check(Command::new("apt-get").args(["update", "--quiet=2"]))?;
    check(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "--quiet=2", "--yes", "--no-install-recommends"])
            .args(["slurm-wlm", "munge"]),
    )
}

fn user() -> anyhow::Result<String> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .context("failed to start id")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn installed(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", "command -v \"$0\"", program])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
