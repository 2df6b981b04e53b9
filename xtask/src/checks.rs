//! `cargo xtask check-exports`, `check-python` and `check-report`: what `ddpm` writes, in the programs that it is written for.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use xtask::{build_ddpm, check, root};

use crate::bench::{script, venv};

/// What `ddpm export` writes, run by diffusers, k-diffusion and improved-diffusion
///
/// Exports schedules of several noise schedules and variances, samples a small random UNet2DModel with them and checks
/// that the schedulers of diffusers, k-diffusion and improved-diffusion visit exactly these timesteps with exactly the
/// constants of `ddpm transitions` (tests/peers/check_exports.py); runs the hook of examples/python in a loop of
/// diffusers and imports what it measured (tests/peers/check_hook.py, check_hook_bands.py); recomputes the bits/dim of calibrated kernels in NumPy
/// from the outputs of `ddpm predict` (tests/peers/check_spectral.py). Takes some minutes. The Python packages, several
/// GB, go into a scratch environment under target/peers.
///
/// improved-diffusion is not on PyPI: the environment variable IMPROVED_DIFFUSION names a folder with its source.
#[derive(clap::Args)]
pub(crate) struct CheckExports {
    /// An interpreter that has the packages of tests/peers/requirements.txt; nothing is installed
    #[arg(long)]
    python: Option<PathBuf>,
}

impl CheckExports {
    /// Fails as the first program that fails.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let packages = ["-r", "tests/peers/requirements.txt"];
        let (work, python) = prepare("exports", self.python, &packages)?;
        let ddpm = build_ddpm()?;
        let profile = root().join("datasets/cifar10-small.train.profile.safetensors");
        for name in [
            "tests/peers/check_exports.py",
            "tests/peers/check_hook.py",
            "tests/peers/check_hook_bands.py",
        ] {
            println!("\n== {name}");
            let mut command = script(&python, name);
            command.arg("--ddpm").arg(&ddpm);
            command.arg("--profile").arg(&profile);
            check(command.arg("--work").arg(&work))?;
        }
        let name = "tests/peers/check_spectral.py";
        println!("\n== {name}");
        let mut command = script(&python, name);
        command.arg("--ddpm").arg(&ddpm);
        check(command.arg("--repo").arg(root()))
    }
}

/// The Python package with PyTorch and diffusers
///
/// Builds the wheel and runs its tests with the packages of python/tests/requirements.txt beside NumPy: torch networks, tiny random pipelines
/// of diffusers, and notebooks that need them; then compares docs/pipelines.md, the table of all pipelines, with the installed diffusers. CI runs the
/// tests with NumPy alone (.ci/python). Takes some minutes. The packages, several GB, go into target/peers.
#[derive(clap::Args)]
pub(crate) struct CheckPython {
    /// The tests to run, in pytest's words
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl CheckPython {
    /// Fails as the first program that fails.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let packages = ["-r", "python/tests/requirements.txt"];
        let (_, python) = prepare("python", None, &packages)?;
        let environment = root().join("target/peers/venv-python");
        build_ddpm()?;
        let mut tests = Command::new(root().join(".ci/python"));
        tests.env("DDPM_PYTHON_VENV", environment).args(self.words);
        check(&mut tests)?;
        check(script(&python, "python/tools/pipelines.py").arg("--check"))
    }
}

/// The page of `ddpm report`, clicked through in Chromium
///
/// Writes a report of the files in datasets/ and opens it in Chromium on a desktop and on a phone, light and dark:
/// clicks everything that can be clicked, and fails on a message of the console, a request, a page wider than its
/// window, faint text, or what would be wrong on paper (tests/peers/check_report.py). Takes about two minutes.
/// Screenshots and printed pages are left in target/peers/report/shots for a look.
#[derive(clap::Args)]
pub(crate) struct CheckReport {
    /// The browser [default: playwright's own, which is downloaded]
    #[arg(long, value_name = "PATH")]
    chromium: Option<PathBuf>,
    /// Check this page instead
    #[arg(long, value_name = "F.html")]
    report: Option<PathBuf>,
    /// An interpreter that has playwright; nothing is installed
    #[arg(long)]
    python: Option<PathBuf>,
}

impl CheckReport {
    /// Fails as the first program that fails.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (work, python) = prepare("report", self.python, &["playwright==1.56.0"])?;
        if self.chromium.is_none() {
            check(Command::new(&python).args(["-m", "playwright", "install", "chromium"]))?;
        }
        let report = match self.report {
            Some(report) => std::path::absolute(report)?,
            None => {
                let run = work.join("run");
                let mut make = script(&python, "tests/peers/make_report.py");
                make.arg("--ddpm").arg(build_ddpm()?);
                check(make.arg("--work").arg(&run))?;
                run.join("report.html")
            }
        };
        let mut browser = script(&python, "tests/peers/check_report.py");
        browser.arg("--report").arg(report);
        browser.arg("--shots").arg(work.join("shots"));
        if let Some(chromium) = self.chromium {
            browser.arg("--chromium").arg(chromium);
        }
        check(&mut browser)
    }
}

/// A folder to work in, and an interpreter: the named one, or one in an environment with these packages (pip's words).
fn prepare(
    name: &str,
    python: Option<PathBuf>,
    packages: &[&str],
) -> anyhow::Result<(PathBuf, PathBuf)> {
    let scratch = root().join("target/peers");
    let work = scratch.join(name);
    std::fs::create_dir_all(&work)
        .with_context(|| format!("failed to create {}", work.display()))?;
    let python = match python {
        Some(python) => python,
        None => venv(&scratch.join(format!("venv-{name}")), packages)?,
    };
    Ok((work, python))
}
