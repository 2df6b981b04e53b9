//! Commands that talk to the cluster.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use xtask::show;

/// Runs Slurm's commands with the configuration in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    folder: PathBuf,
}

impl Client {
    /// For the cluster whose slurm.conf lies in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Where the cluster's daemons and jobs write.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `program`, talking to this cluster and no other.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for (key, _) in std::env::vars_os() {
            let name = key.to_string_lossy();
            if name.starts_with("SLURM_") || name.starts_with("SBATCH_") {
                command.env_remove(&key);
            }
        }
        command
            .current_dir(&self.folder)
            .env("SLURM_CONF", self.folder.join("slurm.conf"));
        command
    }

    /// What `program` prints.
    ///
    /// # Errors
    /// As [`captured`].
    pub(crate) fn ask(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        captured(self.command(program).args(arguments))
    }
}

/// What a command prints.
///
/// # Errors
/// A command that fails; the message holds what it wrote to standard error.
pub(crate) fn captured(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {}", show(command)))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            show(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks again and again until the answer is yes.
///
/// # Errors
/// No yes within `patience`, or a question that fails.
pub(crate) fn wait_until(
    patience: Duration,
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is_so()? {
        if begun.elapsed() > patience {
            bail!("waited {} s until {what}, in vain", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
