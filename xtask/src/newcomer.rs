//! `cargo xtask newcomer`: the README in a fresh clone, followed by a program. CI runs the blocks that need no more than a build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use xtask::{check, root};

use crate::book::pages;
use crate::markdown::{Block, Document};

/// The languages of blocks that are run.
const LANGUAGES: [&str; 3] = ["sh", "python", "rust"];
/// The marks of blocks that CI does not run.
pub(crate) const MARKS: [&str; 2] = ["slow", "torch"];

/// The blocks of the README and of docs/ that are marked slow or torch, in a fresh clone
///
/// Clones this repository at HEAD into target/newcomer/clone and runs, from top to bottom, every block whose fence is
/// marked `slow` (it builds, or takes minutes) or `torch` (it needs PyTorch and diffusers), as it is printed: `sh` in the
/// root of the clone, `python` by an environment in target/newcomer/venv, into which PyTorch and diffusers, several GB,
/// are installed first. Programs are installed into target/newcomer/installed. Prints every block with its time, and how
/// many were run and how many are left to CI, which runs all others (`tests/e2e/transcripts.rs`,
/// `python/tests/test_readme.py`, doctests). All of it takes an hour.
#[derive(clap::Args)]
pub(crate) struct Newcomer {
    /// Print the blocks and their numbers, and run nothing
    #[arg(long)]
    list: bool,
    /// Run the blocks alone whose place, marks or text contain TEXT; the others count as passed over
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// An interpreter that has PyTorch and diffusers; an environment of its own is not made
    #[arg(long)]
    python: Option<PathBuf>,
}

/// The blocks of one document.
struct Read {
    name: String,
    blocks: Vec<Block>,
}

impl Read {
    fn of(name: String) -> anyhow::Result<Self> {
        let path = root().join(&name);
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("failed to read {}", path.display()))?;
        let mut blocks = Document::parse(&text).blocks;
        // CI runs Python and Rust of the README alone.
        let everywhere = name == "README.md";
        let is_run = |block: &Block| match block.language() {
            "sh" => true,
            language => LANGUAGES.contains(&language) && (everywhere || is_marked(block)),
        };
        blocks.retain(is_run);
        Ok(Self { name, blocks })
    }

    fn marked(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| is_marked(block))
    }

    /// How many blocks CI runs and how many it leaves.
    fn counts(&self) -> String {
        let left = self.marked().count();
        let ours: Vec<&Block> = self.blocks.iter().filter(|b| !is_marked(b)).collect();
        let of_language = |language: &str| {
            let n = ours.iter().filter(|b| b.language() == language).count();
            (n > 0).then(|| format!("{n} {language}"))
        };
        let with = |mark: &str| {
            let n = self.marked().filter(|block| block.has(mark)).count();
            (n > 0).then(|| format!("{n} {mark}"))
        };
        let join = |words: Vec<String>| match words.join(", ") {
            words if words.is_empty() => words,
            words => format!(" ({words})"),
        };
        format!(
            "{}: {} blocks run by CI{}, {left} left to cargo xtask newcomer{}",
            self.name,
            ours.len(),
            join(LANGUAGES.into_iter().filter_map(of_language).collect()),
            join(MARKS.into_iter().filter_map(with).collect()),
        )
    }
}

fn is_marked(block: &Block) -> bool {
    MARKS.iter().any(|mark| block.has(mark))
}

/// The README, then the pages that have blocks.
fn documents() -> anyhow::Result<Vec<Read>> {
    let names = ["README.md".to_owned()].into_iter();
    let names = names.chain(pages().into_iter().map(|page| format!("docs/{page}")));
    let mut documents = names.map(Read::of).collect::<anyhow::Result<Vec<_>>>()?;
    documents.retain(|document| !document.blocks.is_empty());
    Ok(documents)
}

/// One line for every document: what CI ran and what it left.
///
/// # Errors
/// A document that cannot be read.
pub(crate) fn print_counts() -> anyhow::Result<()> {
    for document in documents()? {
        println!("{}", document.counts());
    }
    Ok(())
}

impl Newcomer {
    /// Fails at the end where a block failed.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let documents = documents()?;
        if self.list {
            for document in &documents {
                for block in document.marked() {
                    println!("{}", title(document, block));
                }
                println!("{}", document.counts());
            }
            return Ok(());
        }
        let chosen = |document: &Read, block: &Block| {
            self.only.as_ref().is_none_or(|text| {
                title(document, block).contains(text) || block.text.contains(text)
            })
        };
        let any = documents.iter().any(|d| d.marked().any(|b| chosen(d, b)));
        ensure!(
            any,
            "no block contains {:?}: expected one of --list",
            self.only
        );
        let place = Place::prepare(self.python.as_deref())?;
        let (mut run, mut failed, mut passed_over) = (0, Vec::new(), 0);
        for document in &documents {
            for block in document.marked() {
                let title = title(document, block);
                if !chosen(document, block) {
                    passed_over += 1;
                    continue;
                }
                println!("\n== {title}\n{}", block.text);
                let start = Instant::now();
                let outcome = place.run(block);
                let seconds = start.elapsed().as_secs();
                run += 1;
                match outcome {
                    Ok(()) => println!("== {title}: done in {seconds} s"),
                    Err(error) => {
                        println!("== {title}: failed after {seconds} s: {error:#}");
                        failed.push(title);
                    }
                }
            }
        }
        println!();
        for document in &documents {
            println!("{}", document.counts());
        }
        println!(
            "newcomer: {run} blocks run, {} failed, {passed_over} passed over",
            failed.len()
        );
        if !failed.is_empty() {
            bail!(
                "{} of {run} blocks failed: {}",
                failed.len(),
                failed.join("; ")
            );
        }
        Ok(())
    }
}

fn title(document: &Read, block: &Block) -> String {
    format!("{}:{} {}", document.name, block.line, block.words.join(" "))
}

/// A fresh clone and what a newcomer has beside it.
struct Place {
    clone: PathBuf,
    installed: PathBuf,
    python: PathBuf,
}

impl Place {
    fn prepare(python: Option<&Path>) -> anyhow::Result<Self> {
        let work = root().join("target/newcomer");
        let clone = work.join("clone");
        if clone.exists() {
            fs::remove_dir_all(&clone)
                .with_context(|| format!("failed to remove {}", clone.display()))?;
        }
        fs::create_dir_all(&work)
            .with_context(|| format!("failed to create {}", work.display()))?;
        check(
            Command::new("git")
                .args(["clone", "--quiet"])
                .arg(root())
                .arg(&clone),
        )?;
        let python = match python {
            Some(python) => std::path::absolute(python)?,
            None => {
                let packages = ["-r", "python/tests/requirements.txt"];
                crate::bench::venv(&work.join("venv"), &packages)?
            }
        };
        let installed = work.join("installed");
        Ok(Self {
            clone,
            installed,
            python,
        })
    }

    /// Runs a block as a newcomer pastes it, with programs where a newcomer finds them.
    fn run(&self, block: &Block) -> anyhow::Result<()> {
        let folder = self
            .python
            .parent()
            .context("expected a folder of the interpreter")?;
        let before = [folder.to_owned(), self.installed.join("bin")];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(before.into_iter().chain(std::env::split_paths(&path)))?;
        let mut command = match block.language() {
            "sh" => Command::new("sh"),
            "python" => Command::new(&self.python),
            other => bail!("expected sh or python, found {other}"),
        };
        if block.language() == "sh" {
            command.arg("-e");
        }
        command.args(["-c", &block.text]);
        command
            .env("PATH", path)
            .env("CARGO_INSTALL_ROOT", &self.installed);
        // Cargo tells what it starts of this repository, not of the clone.
        for (name, _) in std::env::vars_os() {
            let name_in_words = name.to_string_lossy();
            if name_in_words.starts_with("CARGO_PKG_")
                || name_in_words.starts_with("CARGO_MANIFEST")
            {
                command.env_remove(name);
            }
        }
        let status = command.current_dir(&self.clone).status();
        let status = status.with_context(|| format!("failed to start {}", block.language()))?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every block of the README is run by somebody, and CI runs what is not marked as it is printed.
    #[test]
    fn blocks_of_the_readme_are_run() {
        let readme = Read::of("README.md".to_owned()).unwrap();
        let text = fs::read_to_string(root().join("README.md")).unwrap();
        assert_eq!(Document::parse(&text).blocks.len(), readme.blocks.len());
        let slow = readme.blocks.iter().filter(|block| block.has("slow"));
        let torch = readme.blocks.iter().filter(|block| block.has("torch"));
        assert!(slow.count() > 0 && torch.count() > 0);
        for block in readme.blocks.iter().filter(|block| !is_marked(block)) {
            // `tests/e2e/transcripts.rs` has a built program and starts no Cargo.
            let cargo = block.text.lines().any(|line| line.starts_with("cargo "));
            assert!(!cargo, "README.md:{}: mark it slow", block.line);
        }
    }

    #[test]
    fn counts_tell_languages_and_marks() {
        let text = "```sh\na\n```\n```rust\nb\n```\n```sh slow\nc\n```\n```python torch\nd\n```\n```text\ne\n```\n";
        let mut blocks = Document::parse(text).blocks;
        blocks.retain(|block| LANGUAGES.contains(&block.language()));
        let read = Read {
            name: "X.md".to_owned(),
            blocks,
        };
        assert_eq!(
            read.counts(),
            "X.md: 2 blocks run by CI (1 sh, 1 rust), 2 left to cargo xtask newcomer (1 slow, 1 torch)"
        );
    }
}
