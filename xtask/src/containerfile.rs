//! `cargo xtask containerfile`: the COPY and RUN lines of deploy/Containerfile in a clean folder, without a container.
//!
//! What an image lacks is noticed so where no container can be built: every stage is a folder in a temporary one, filled with
//! nothing but what its COPY lines name. Base images stay out: programs are those of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use xtask::{check, root, show};

const FILE: &str = "deploy/Containerfile";

/// A folder that goes when it is no longer needed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("ddpm-{name}-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An image in the making.
struct Stage {
    name: String,
    /// The folder that stands for `/`.
    root: PathBuf,
    /// Where RUN and COPY work, from there.
    workdir: PathBuf,
    entrypoint: Option<String>,
}

impl Stage {
    /// Where it works, on this machine.
    fn here(&self) -> PathBuf {
        self.root.join(&self.workdir)
    }

    /// Where a path of the image lies on this machine.
    fn place(&self, path: &str) -> PathBuf {
        match path.strip_prefix('/') {
            Some(absolute) => self.root.join(absolute),
            None => self.here().join(path),
        }
    }
}

/// The instructions of a file: keyword and words, continued lines joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let split = |line: &str| {
        let (keyword, words) = line.trim().split_once(char::is_whitespace)?;
        Some((keyword.to_uppercase(), words.trim().to_owned()))
    };
    joined.lines().filter_map(split).collect()
}

/// The files that git knows at a path of the repository: an untracked one is not there in a clean clone.
fn tracked(path: &str) -> anyhow::Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root())
        .args(["ls-files", "-z", "--", path.trim_end_matches('/')]);
    let output = git
        .output()
        .with_context(|| format!("failed to start {}", show(&git)))?;
    let text = String::from_utf8(output.stdout)?;
    let files: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    if files.is_empty() {
        bail!("{FILE} copies {path}, which git does not know");
    }
    Ok(files)
}

fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    let parent = to.parent().context("expected a file in a folder")?;
    fs::create_dir_all(parent)?;
    fs::copy(from, to)
        .with_context(|| format!("failed to copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// A COPY line: files of the repository or, with `--from`, one of an earlier stage.
fn copy(earlier: &[Stage], stage: &Stage, words: &str) -> anyhow::Result<()> {
    let mut words: Vec<&str> = words.split_whitespace().collect();
    let from = words[0].strip_prefix("--from=");
    if from.is_some() {
        words.remove(0);
    }
    let Some((to, sources)) = words.split_last().filter(|(_, some)| !some.is_empty()) else {
        bail!("expected sources and a place behind COPY");
    };
    let into = sources.len() > 1 || to.ends_with('/');
    let place = stage.place(to);
    for source in sources {
        let files = match from {
            Some(name) => {
                let other = earlier.iter().find(|stage| stage.name == name);
                let other = other.with_context(|| format!("no stage is called {name}"))?;
                vec![(other.place(source), String::new())]
            }
            None => tracked(source)?
                .into_iter()
                .map(|file| {
                    // Of a folder the content is copied, not the folder.
                    let inner = file[source.trim_end_matches('/').len()..].trim_start_matches('/');
                    (root().join(&file), inner.to_owned())
                })
                .collect(),
        };
        for (file, inner) in files {
            let to = match (inner.as_str(), into) {
                ("", true) => place.join(file.file_name().unwrap_or_default()),
                ("", false) => place.clone(),
                _ => place.join(&inner),
            };
            copy_file(&file, &to)?;
        }
    }
    Ok(())
}

/// Why a RUN line is left out, if it is.
fn skipped(words: &str) -> Option<&'static str> {
    const OF_THE_SYSTEM: [&str; 6] = ["apt", "apt-get", "apk", "dnf", "useradd", "adduser"];
    let mut words = words.split_whitespace();
    words.find_map(|word| {
        if OF_THE_SYSTEM.contains(&word) {
            return Some("it changes the system and needs the image's root");
        }
        word.starts_with('/')
            .then_some("it names a path of the image, which here would be this machine's")
    })
}

/// Follows the file in a folder; RUN lines are given to `run`.
fn follow(
    text: &str,
    folder: &Path,
    mut run: impl FnMut(&Stage, &str) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Stage>> {
    let mut stages: Vec<Stage> = Vec::new();
    for (keyword, words) in instructions(text) {
        if keyword == "FROM" {
            let name = words.split_once(" AS ").map_or("", |(_, name)| name.trim());
            stages.push(Stage {
                name: name.to_owned(),
                root: folder.join(format!("{}", stages.len())),
                workdir: PathBuf::new(),
                entrypoint: None,
            });
            continue;
        }
        let Some((stage, earlier)) = stages.split_last_mut() else {
            bail!("{FILE}: expected FROM before {keyword}");
        };
        match keyword.as_str() {
            "WORKDIR" => {
                stage.workdir = words.trim_start_matches('/').into();
                fs::create_dir_all(stage.here())?;
            }
            "COPY" => {
                copy(earlier, stage, &words).with_context(|| format!("{FILE}: COPY {words}"))?;
            }
            "RUN" => run(stage, &words)?,
            "ENTRYPOINT" => stage.entrypoint = Some(words),
            // Whom the program runs as is the container's affair.
            "USER" => {}
            _ => bail!("{FILE}: {keyword} is not known here"),
        }
    }
    Ok(stages)
}

/// Follows the file, and starts the program that the image is for.
///
/// # Errors
/// A line that fails or is not known here, or an image without its program.
pub(crate) fn run() -> anyhow::Result<()> {
    let text = fs::read_to_string(root().join(FILE))?;
    let scratch = Scratch::new("containerfile")?;
    let stages = follow(&text, &scratch.0, |stage, words| {
        if let Some(why) = skipped(words) {
            println!("skipped RUN {words}: {why}");
            return Ok(());
        }
        println!("RUN {words}");
        let mut shell = Command::new("sh");
        // Cargo's place for results is the image's, whatever it is here.
        for own in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS"] {
            shell.env_remove(own);
        }
        check(shell.args(["-c", words]).current_dir(stage.here()))
    })?;
    let image = stages
        .last()
        .with_context(|| format!("{FILE} has no FROM"))?;
    let entry = image.entrypoint.as_deref().unwrap_or_default();
    let program = entry.trim_matches(['[', ']', '"', ' ']);
    let place = image.place("/usr/local/bin").join(program);
    println!("ENTRYPOINT {entry}, with --version");
    check(Command::new(place).arg("--version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cargo reads the manifest of every member, also of those that it does not build.
    #[test]
    fn the_build_stage_has_every_manifest() {
        let text = fs::read_to_string(root().join(FILE)).unwrap();
        let (text, _) = text.split_once("\nRUN ").unwrap();
        let scratch = Scratch::new("manifests").unwrap();
        let stages = follow(text, &scratch.0, |_, _| Ok(())).unwrap();
        let output = xtask::cargo()
            .current_dir(stages[0].here())
            .args(["metadata", "--no-deps", "--offline", "--locked"])
            .args(["--format-version", "1"])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }

    #[test]
    fn lines_are_joined_and_comments_left_out() {
        let text = "# a\nfrom x AS b\nRUN one \\\n  # two\n  three\n";
        let found = instructions(text);
        assert_eq!(found[0], ("FROM".to_owned(), "x AS b".to_owned()));
        assert_eq!(found[1].1.split_whitespace().last(), Some("three"));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_of_the_system_is_left_out() {
        assert!(skipped("cargo build --locked").is_none());
        assert!(skipped("apt-get install -y curl").is_some());
        assert!(skipped("mkdir /work").is_some());
    }
}
