//! How long a run will take on this machine, said before it begins.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use ddpm_schedule::results::{Bench, Inspect};
use serde::de::DeserializeOwned;

use xtask::show;

use crate::stage::Runner;

/// Seconds that everything but the network takes: choosing, tables, the page.
const BESIDES: f64 = 180.0;

/// The seconds of one network evaluation here, measured.
///
/// # Errors
/// A command that fails or prints something else.
pub(crate) fn seconds_per_evaluation(
    runner: &Runner<'_>,
    checkpoint: &Path,
) -> anyhow::Result<f64> {
    let mut command = runner.command("bench");
    command.arg(checkpoint).args(["--rounds", "3", "--json"]);
    let found: Bench = answer(&mut command)?;
    Ok(found.ms_per_image / 1e3)
}

/// T of the checkpoint.
///
/// # Errors
/// A command that fails, or a checkpoint that does not say it.
pub(crate) fn train_steps(runner: &Runner<'_>, checkpoint: &Path) -> anyhow::Result<u64> {
    let mut command = runner.command("inspect");
    command.arg(checkpoint).arg("--json");
    let found: Inspect = answer(&mut command)?;
    let steps = found.config.train_steps;
    let steps = steps.with_context(|| format!("{}: T is not known", checkpoint.display()))?;
    Ok(steps as u64)
}

/// What a command prints with `--json`.
fn answer<T: DeserializeOwned>(command: &mut Command) -> anyhow::Result<T> {
    let output = command
        .output()
        .with_context(|| format!("failed to start {}", show(command)))?;
    serde_json::from_slice(&output.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("{}: {said}", show(command))
    })
}

/// The estimate in words.
pub(crate) fn text(evaluations: u64, seconds: f64) -> String {
    let minutes = (evaluations as f64 * seconds + BESIDES) / 60.0;
    format!(
        "about {:.0} minutes: {evaluations} network evaluations at {:.1} ms each, as just measured here, and {:.1} minutes besides (an earlier run's results are taken)",
        minutes.ceil(),
        1e3 * seconds,
        BESIDES / 60.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_rounded_up() {
        let said = text(6000, 0.01);
        assert!(
            said.starts_with("about 4 minutes: 6000 network evaluations at 10.0 ms"),
            "{said}"
        );
    }
}
