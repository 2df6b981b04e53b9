//! The samples of a run: the paper's Table 5, schedule by schedule.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use xtask::root;

use crate::samples_size::{SAMPLERS, STRIDES, Size};
use crate::samples_table::SamplesTable;
use crate::stage::Runner;

/// Of the ancestral sampler and of the objective: the paper's networks of Table 5 learn no variance.
const VARIANCE: &str = "fixed-small";
/// Samples in a picture.
const IN_GRID: u64 = 16;

/// The weights of the feature network: of `--features`, of `DDPM_FEATURES`, or those beside the repository.
///
/// # Errors
/// A file that was named but is not there: leaving the stage out silently would be worse.
pub(crate) fn find_features(named: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    let from_environment = std::env::var_os("DDPM_FEATURES").filter(|value| !value.is_empty());
    let (path, flag) = match (named, from_environment) {
        (Some(named), _) => (named.to_owned(), "--features"),
        (None, Some(value)) => (PathBuf::from(value), "DDPM_FEATURES"),
        (None, None) => {
            let beside = root().join("../shared/features/cifar-resnet56.safetensors");
            return Ok(beside.is_file().then_some(beside));
        }
    };
    if !path.is_file() {
        bail!(
            "{flag} {}: expected the weights of a feature network, found no file",
            path.display()
        );
    }
    Ok(Some(path))
}

/// Everything that the stage needs.
pub(crate) struct Samples<'a> {
    pub(crate) runner: Runner<'a>,
    pub(crate) checkpoint: &'a Path,
    /// The profile of train images that the schedules are chosen on.
    pub(crate) profile: PathBuf,
    /// The images that samples are compared with.
    pub(crate) data: &'a Path,
    /// Whether these stand in for CIFAR-10.
    pub(crate) stand_in: bool,
    pub(crate) features: PathBuf,
    /// Where everything goes.
    pub(crate) folder: PathBuf,
    pub(crate) size: Size,
    pub(crate) seed: u64,
}

impl Samples<'_> {
    /// Runs every stage, and writes table.md, table.json and grids.md.
    ///
    /// # Errors
    /// A command that fails, or writes something else than expected.
    pub(crate) fn run(&self) -> anyhow::Result<SamplesTable> {
        println!(
            "== samples: {} of each of {} schedules at K = {:?}, {} network evaluations",
            self.size.images,
            SAMPLERS.len() * STRIDES.len(),
            self.size.steps,
            self.size.evaluations()
        );
        fs::create_dir_all(&self.folder)?;
        self.schedules("dp-elbo", "elbo")?;
        self.schedules("dp-mse", "mse")?;
        self.reference()?;
        for &steps in &self.size.steps {
            for sampler in SAMPLERS {
                for stride in STRIDES {
                    let name = format!("{sampler}.{stride}.{steps}");
                    self.draw(&name, sampler, stride, steps)?;
                    self.picture(&name, sampler, stride, steps)?;
                    self.distance(&name)?;
                }
            }
        }
        let table = SamplesTable::read(&self.folder, &self.size, self.stand_in)?;
        table.write(&self.folder, self.seed)?;
        Ok(table)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn schedules_file(&self, stride: &str) -> PathBuf {
        self.path(&format!("{stride}.schedules.json"))
    }

    /// The optimal schedules of one objective.
    fn schedules(&self, stride: &str, objective: &str) -> anyhow::Result<()> {
        let steps: Vec<String> = self.size.steps.iter().map(u64::to_string).collect();
        let out = self.schedules_file(stride);
        let mut command = self.runner.command("schedule");
        command.arg(&self.profile);
        command.args(["--steps", &steps.join(","), "--variance", VARIANCE]);
        // How stable the choice is takes nine times as long, and Table 3's stages say it.
        command.args(["--objective", objective, "--folds", "0"]);
        command.args(["--force", "--out"]);
        command.arg(&out);
        let stdout = Some(self.path(&format!("{stride}.schedules.txt")));
        let inputs = vec![self.runner.ddpm.to_owned(), self.profile.clone()];
        self.runner.run(stride, inputs, out, command, stdout)
    }

    fn reference_file(&self) -> PathBuf {
        self.path("reference.npz")
    }

    /// The statistics of the real images, of the split that distances are published against.
    fn reference(&self) -> anyhow::Result<()> {
        let out = self.reference_file();
        let mut command = self.runner.command("fid");
        command.arg(self.data).args(["--split-a", "train"]);
        command.arg("--features").arg(&self.features);
        if let Some(limit) = self.size.reference {
            command.args(["--limit", &limit.to_string()]);
        }
        command.args(["--allow-few", "--json", "--force", "--save-statistics"]);
        command.arg(&out);
        let inputs = vec![self.data.to_owned(), self.features.clone()];
        let stdout = Some(self.path("reference.json"));
        self.runner.run("reference", inputs, out, command, stdout)
    }

    /// `ddpm sample` on one path; the noise of an image depends on the seed and its index alone.
    fn sample(&self, sampler: &str, stride: &str, steps: u64) -> (Command, Vec<PathBuf>) {
        let mut command = self.runner.command("sample");
        command.arg(self.checkpoint).args(["--sampler", sampler]);
        // Not the binary: a rebuild must not throw hours of network evaluations away. Use --fresh.
        let mut inputs = vec![self.checkpoint.to_owned()];
        if stride.starts_with("dp-") {
            let schedules = self.schedules_file(stride);
            command.arg("--schedule").arg(&schedules);
            command.args(["--steps", &steps.to_string()]);
            inputs.push(schedules);
        } else {
            command.args(["--path", &format!("{stride}:{steps}")]);
            if sampler == "ddpm" {
                command.args(["--variance", VARIANCE]);
            }
        }
        (command, inputs)
    }

    fn samples_file(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.npz"))
    }

    fn draw(&self, name: &str, sampler: &str, stride: &str, steps: u64) -> anyhow::Result<()> {
        let out = self.samples_file(name);
        let (mut command, inputs) = self.sample(sampler, stride, steps);
        command.args(["--count", &self.size.images.to_string()]);
        command.args(["--seed", &self.seed.to_string()]);
        // Samples that an interrupted run has left are kept.
        command.args(["--resume", "--force", "--out"]).arg(&out);
        self.runner.run(name, inputs, out, command, None)
    }

    /// The first samples side by side: the same places have the same noise in every picture.
    fn picture(&self, name: &str, sampler: &str, stride: &str, steps: u64) -> anyhow::Result<()> {
        let samples = self.samples_file(name);
        let out = self.path(&format!("{name}.png"));
        let (mut command, mut inputs) = self.sample(sampler, stride, steps);
        let count = IN_GRID.min(self.size.images);
        command.arg("--noise-from").arg(&samples);
        command.args(["--count", &count.to_string()]);
        command.args(["--resume", "--force", "--out"]).arg(&out);
        inputs.push(samples);
        self.runner
            .run(&format!("{name}-grid"), inputs, out, command, None)
    }

    fn distance(&self, name: &str) -> anyhow::Result<()> {
        let samples = self.samples_file(name);
        let reference = self.reference_file();
        let out = self.path(&format!("{name}.json"));
        let mut command = self.runner.command("fid");
        command.arg(&samples).arg(&reference);
        command.arg("--features").arg(&self.features);
        command.args(["--allow-few", "--json"]);
        let inputs = vec![
            self.runner.ddpm.to_owned(),
            samples,
            reference,
            self.features.clone(),
        ];
        let name = format!("{name}-distance");
        self.runner
            .run(&name, inputs, out.clone(), command, Some(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_features_that_are_not_there_are_an_error() {
        let error = find_features(Some(Path::new("/nonexistent/net.pth"))).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/net.pth"));
    }
}
