//! Where the workspace lies, and how its programs are built and started: shared by `cargo xtask` and what it starts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context, bail};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies inside the workspace")
        .to_owned()
}

/// `cargo`, as the one that started us, in the root of the workspace.
///
/// Commands name programs and not packages: what is built for all of the workspace serves them as it is, whereas a
/// package alone would have its dependencies compiled anew with fewer features.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command with the terminal attached.
///
/// # Errors
/// A command that cannot be started, or fails.
pub fn check(command: &mut Command) -> anyhow::Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} ended with {status}", show(command));
    }
    Ok(())
}

fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    let status = command.status();
    status.with_context(|| format!("failed to start {}", show(command)))
}

/// A command as one would type it.
pub fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Builds the `ddpm` binary in release mode and returns its path.
///
/// # Errors
/// A build that fails.
pub fn build_ddpm() -> anyhow::Result<PathBuf> {
    check(cargo().args(["build", "--release", "--bin", "ddpm"]))?;
    // This program lies in Cargo's target folder too, in the folder of its profile.
    let program = std::env::current_exe().context("failed to find this program")?;
    let name = format!("ddpm{}", std::env::consts::EXE_SUFFIX);
    program
        .ancestors()
        .nth(2)
        .map(|target| target.join("release").join(name))
        .filter(|ddpm| ddpm.is_file())
        .with_context(|| format!("expected ddpm beside {}", program.display()))
}

/// Starts an experiment of `ddpm-reproduce`.
///
/// # Errors
/// As [`start`].
pub fn reproduce(experiment: &str, words: &[OsString]) -> anyhow::Result<()> {
    let words = [&[experiment.into()], words].concat();
    start(["--bin", "ddpm-reproduce"], &words)
}

/// Builds another program of the workspace, runs it where we were started, and ends as it ends.
///
/// # Errors
/// A program that cannot be started, or is killed.
pub fn start(program: [&str; 2], words: &[OsString]) -> anyhow::Result<()> {
    let mut command = Command::new(cargo().get_program());
    command
        .args(["run", "--quiet", "--release", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .args(program)
        .arg("--")
        .args(words);
    match status(&mut command)?.code() {
        Some(0) => Ok(()),
        // It has said what went wrong.
        Some(code) => std::process::exit(code),
        None => bail!("{} was killed", show(&command)),
    }
}

/// How a program ends, which says what went wrong.
#[allow(clippy::print_stderr)]
pub fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
