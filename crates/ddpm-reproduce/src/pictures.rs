//! Samples to look at, of every run: the same noise along every stride at every number of steps.

use std::fs;
use std::path::{Path, PathBuf};

use crate::stage::Runner;

/// Numbers of steps, the columns of the matrix.
const STEPS: [u64; 3] = [5, 10, 20];
/// Samples in a picture.
const COUNT: u64 = 16;
/// The variance of the paper's samples, and of its schedules.
const VARIANCE: &str = "fixed-small";

/// The rows of the matrix: a name, the stride, and the variance of the ancestral steps.
const ROWS: [(&str, &str, &str); 4] = [
    ("even", "even", VARIANCE),
    ("quadratic", "quadratic", VARIANCE),
    ("dp-elbo", "dp", VARIANCE),
    ("even-spectral", "even", "spectral"),
];

/// What the pictures are made with.
pub(crate) struct Pictures<'a> {
    pub(crate) runner: Runner<'a>,
    pub(crate) checkpoint: &'a Path,
    /// The profile of train images, which schedules are chosen on and the spectral variance is from.
    pub(crate) profile: PathBuf,
    /// Where they go.
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
}

/// Network evaluations of all pictures.
pub(crate) fn evaluations() -> u64 {
    ROWS.len() as u64 * COUNT * STEPS.iter().sum::<u64>()
}

impl Pictures<'_> {
    /// Draws them all.
    ///
    /// # Errors
    /// A command that fails.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        println!("== grids: {COUNT} samples of the same noise along every stride at K = {STEPS:?}");
        fs::create_dir_all(&self.folder)?;
        let schedules = self.folder.join("dp-elbo.schedules.json");
        let steps = STEPS.map(|k| k.to_string()).join(",");
        let mut command = self.runner.command("schedule");
        command
            .arg(&self.profile)
            .args(["--steps", &steps, "--variance", VARIANCE]);
        command
            .args(["--folds", "0", "--force", "--out"])
            .arg(&schedules);
        let inputs = vec![self.runner.ddpm.to_owned(), self.profile.clone()];
        let text = self.folder.join("dp-elbo.schedules.txt");
        self.runner
            .run("dp-elbo", inputs, schedules.clone(), command, Some(text))?;
        for (name, stride, variance) in ROWS {
            for steps in STEPS {
                let out = self.folder.join(format!("{name}.{steps}.png"));
                let mut command = self.runner.command("sample");
                command.arg(self.checkpoint);
                let mut inputs = vec![self.checkpoint.to_owned()];
                if stride == "dp" {
                    command.arg("--schedule").arg(&schedules);
                    command.args(["--steps", &steps.to_string()]);
                    inputs.push(schedules.clone());
                } else {
                    command.args([
                        "--path",
                        &format!("{stride}:{steps}"),
                        "--variance",
                        variance,
                    ]);
                }
                if variance != VARIANCE {
                    command.arg("--profile").arg(&self.profile);
                    inputs.push(self.profile.clone());
                }
                command.args([
                    "--count",
                    &COUNT.to_string(),
                    "--seed",
                    &self.seed.to_string(),
                ]);
                command.args(["--resume", "--force", "--out"]).arg(&out);
                self.runner
                    .run(&format!("{name}-{steps}"), inputs, out, command, None)?;
            }
        }
        Ok(())
    }
}
