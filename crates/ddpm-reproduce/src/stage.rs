//! A stage runs one command and leaves a stamp, so that a second run starts where the first
//! stopped.
//!
//! The stamp holds the command line and the hashes of every input. A stage is skipped when its stamp
//! is the same and all of its outputs are there. Inputs are hashed once per run ([`Hashes`]).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use ddpm_schedule::results::Stamp;
use sha2::{Digest, Sha256};

use xtask::show;

use crate::digest::{add_file, hexadecimal};

/// One step of a run. Its outputs lie in the folder of the run, which is its own: commands replace what is there by `--force`.
pub(crate) struct Stage<'a> {
    /// Name of the stage and of its stamp.
    pub(crate) name: &'a str,
    /// Files or folders the command reads.
    pub(crate) inputs: Vec<PathBuf>,
    /// Files the command writes.
    pub(crate) outputs: Vec<PathBuf>,
    /// The command.
    pub(crate) command: Command,
    /// Where the command's standard output goes; it is shown when there is no file for it.
    pub(crate) stdout: Option<PathBuf>,
}

impl Stage<'_> {
    /// Runs the stage unless it is up to date.
    pub(crate) fn run(mut self, stamps: &Path, hashes: &Hashes) -> anyhow::Result<()> {
        let stamp_path = stamps.join(format!("{}.json", self.name));
        let stamp = self.stamp(hashes)?;
        let mut outputs = self.outputs.clone();
        outputs.extend(self.stdout.clone());
        if outputs.iter().all(|path| path.exists())
            && read_stamp(&stamp_path).as_ref() == Some(&stamp)
        {
            println!("== {}: up to date", self.name);
            return Ok(());
        }
        println!("== {}\n   {}", self.name, show(&self.command));
        let begun = Instant::now();
        if let Some(path) = &self.stdout {
            let part = part(path);
            let file = fs::File::create(&part)
                .with_context(|| format!("failed to create {}", part.display()))?;
            self.command.stdout(file);
        }
        let status = self
            .command
            .status()
            .with_context(|| format!("failed to start {}", show(&self.command)))?;
        if !status.success() {
            bail!(
                "stage {} ended with {status}; run the same command again to resume, or a run of another size with another --out (--fresh forgets this one)",
                self.name
            );
        }
        if let Some(path) = &self.stdout {
            fs::rename(part(path), path)
                .with_context(|| format!("failed to write {}", path.display()))?;
        }
        for path in &outputs {
            if !path.exists() {
                bail!("stage {} did not write {}", self.name, path.display());
            }
        }
        write_beside(
            &stamp_path,
            serde_json::to_string_pretty(&stamp)?.as_bytes(),
        )?;
        println!("   done in {:.1} s", begun.elapsed().as_secs_f64());
        Ok(())
    }

    fn stamp(&self, hashes: &Hashes) -> anyhow::Result<Stamp> {
        let hash = |path: &PathBuf| Ok((path.display().to_string(), hashes.of(path)?));
        Ok(Stamp {
            stage: self.name.to_owned(),
            command: show(&self.command),
            inputs: self
                .inputs
                .iter()
                .map(hash)
                .collect::<anyhow::Result<_>>()?,
        })
    }
}

/// What the stages of one folder have in common.
#[derive(Clone, Copy)]
pub(crate) struct Runner<'a> {
    /// The binary.
    pub(crate) ddpm: &'a Path,
    /// Threads of every command, where they are named.
    pub(crate) threads: Option<u64>,
    /// Where stamps go.
    pub(crate) stamps: &'a Path,
    pub(crate) hashes: &'a Hashes,
    /// What the names of its stages begin with.
    pub(crate) part: &'static str,
}

impl Runner<'_> {
    /// `ddpm NAME` on these threads.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.ddpm);
        command.arg(name);
        if let Some(threads) = self.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        command
    }

    /// Runs a stage of one output.
    ///
    /// # Errors
    /// A command that fails or does not write it.
    pub(crate) fn run(
        &self,
        name: &str,
        inputs: Vec<PathBuf>,
        output: PathBuf,
        command: Command,
        stdout: Option<PathBuf>,
    ) -> anyhow::Result<()> {
        let name = format!("{}{name}", self.part);
        Stage {
            name: &name,
            inputs,
            outputs: vec![output],
            command,
            stdout,
        }
        .run(self.stamps, self.hashes)
    }
}

/// Hashes of inputs, each computed once: the images are the input of many stages.
#[derive(Default)]
pub(crate) struct Hashes(RefCell<BTreeMap<PathBuf, String>>);

impl Hashes {
    fn of(&self, path: &Path) -> anyhow::Result<String> {
        if let Some(known) = self.0.borrow().get(path) {
            return Ok(known.clone());
        }
        let computed = hash(path)?;
        self.0
            .borrow_mut()
            .insert(path.to_owned(), computed.clone());
        Ok(computed)
    }
}

fn read_stamp(path: &Path) -> Option<Stamp> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

fn part(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Writes beside the target and renames, so that no reader ever sees half a file.
pub(crate) fn write_beside(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let part = part(path);
    fs::write(&part, bytes).with_context(|| format!("failed to write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("failed to write {}", path.display()))
}

/// SHA-256 of a file, or of the sorted names and contents of a folder's files.
fn hash(path: &Path) -> anyhow::Result<String> {
    let mut hasher = Sha256::new();
    if path.is_dir() {
        let mut files: Vec<PathBuf> = fs::read_dir(path)
            .with_context(|| format!("failed to read {}", path.display()))?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<_, _>>()?;
        files.retain(|file| file.is_file());
        files.sort();
        for file in files {
            hasher.update(file.file_name().unwrap_or_default().as_encoded_bytes());
            add_file(&mut hasher, &file)?;
        }
    } else {
        add_file(&mut hasher, path)?;
    }
    Ok(hexadecimal(hasher))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(folder: &Path, word: &str) -> Stage<'static> {
        let mut command = Command::new("echo");
        command.arg(word);
        Stage {
            name: "echo",
            inputs: vec![folder.join("input")],
            outputs: vec![],
            command,
            stdout: Some(folder.join("output")),
        }
    }

    #[test]
    fn runs_once_and_again_when_an_input_changes() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        let output = folder.join("output");
        fs::write(folder.join("input"), "a").unwrap();
        stage(folder, "first")
            .run(folder, &Hashes::default())
            .unwrap();
        assert_eq!(fs::read_to_string(&output).unwrap(), "first\n");

        // Nothing changed: the output is left alone.
        fs::write(&output, "kept").unwrap();
        stage(folder, "first")
            .run(folder, &Hashes::default())
            .unwrap();
        assert_eq!(fs::read_to_string(&output).unwrap(), "kept");

        fs::write(folder.join("input"), "b").unwrap();
        stage(folder, "first")
            .run(folder, &Hashes::default())
            .unwrap();
        assert_eq!(fs::read_to_string(&output).unwrap(), "first\n");

        stage(folder, "second")
            .run(folder, &Hashes::default())
            .unwrap();
        assert_eq!(fs::read_to_string(&output).unwrap(), "second\n");
    }

    #[test]
    fn a_failing_command_leaves_no_output() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        fs::write(folder.join("input"), "a").unwrap();
        let mut failing = stage(folder, "x");
        failing.command = Command::new("false");
        assert!(failing.run(folder, &Hashes::default()).is_err());
        assert!(!folder.join("output").exists());
    }
}
