//! How long a run will take on this machine, said before it begins.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use ddpm_schedule::results::{Bench, Inspect};

use xtask::show;

/// Seconds that everything but the network takes: choosing, tables, the page.
const BESIDES: f64 = 180.0;

/// The seconds of one network evaluation here, measured.
///
/// # Errors
/// A command that fails or prints something else.
pub(crate) fn seconds_per_evaluation(
    ddpm: &Path,
    checkpoint: &Path,
    threads: Option<u64>,
) -> anyhow::Result<f64> {
    let mut command = Command::new(ddpm);
    command.arg("bench").arg(checkpoint);
    command.args(["--rounds", "3", "--json"]);
    if let Some(threads) = threads {
        command.args(["--threads", &threads.to_string()]);
    }
    let output = command
        .output()
        .with_context(|| format!("failed to start {}", show(&command)))?;
    let found: Bench = serde_json::from_slice(&output.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("{}: {said}", show(&command))
    })?;
    Ok(found.ms_per_image / 1e3)
}

/// T of the checkpoint.
///
/// # Errors
/// A command that fails, or a checkpoint that does not say it.
pub(crate) fn train_steps(ddpm: &Path, checkpoint: &Path) -> anyhow::Result<u64> {
    let mut command = Command::new(ddpm);
    command.arg("inspect").arg(checkpoint).arg("--json");
    let output = command
        .output()
        .with_context(|| format!("failed to start {}", show(&command)))?;
    let found: Inspect = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{}: expected its description", show(&command)))?;
    let steps = found.config.train_steps;
    let steps = steps.with_context(|| format!("{}: T is not known", checkpoint.display()))?;
    Ok(steps as u64)
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
