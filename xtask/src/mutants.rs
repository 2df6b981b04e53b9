//! `cargo xtask mutants`: would the tests notice?

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, bail};

use xtask::{cargo, root, show};

/// Survivors that are known, with the reason why no test can tell them from the program.
const LIST: &str = "docs/mutants.txt";

/// Small changes to a crate's code, each of which its tests should notice (cargo-mutants)
///
/// Runs `cargo mutants` (`cargo install --locked cargo-mutants`) over a crate in shards, and keeps each shard's outcome in
/// target/mutants: a shard that has been run on the same sources and tests is not run again. What the quick tests do not notice is
/// tried again with all. Fails where a mutant survives that docs/mutants.txt does not list with the reason why it changes nothing.
/// A mutant takes four to six seconds of one core.
#[derive(clap::Args)]
pub(crate) struct Mutants {
    /// The crates
    #[arg(long, default_values = ["ddpm-dp", "ddpm-core"])]
    package: Vec<String>,

    /// Into how many shards the mutants of a crate are dealt out
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    shards: u32,

    /// Only these shards, from 0
    #[arg(long, value_delimiter = ',')]
    shard: Vec<u32>,
}

/// How a shard is tried, in its outcome's stamp: to be changed with what [`missed`] does.
const METHOD: &str = "quick tests, then survivors by name with all tests";

/// Tests that take seconds, by crate: only what the others do not notice is tried with them.
const SLOW: [(&str, &str); 1] = [("ddpm-core", "gaussian_samplers::")];

impl Mutants {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let known = listed(&fs::read_to_string(root().join(LIST)).context(LIST)?);
        let shards: Vec<u32> = match self.shard.is_empty() {
            true => (0..self.shards).collect(),
            false => self.shard,
        };
        if let Some(shard) = shards.iter().find(|&&shard| shard >= self.shards) {
            bail!(
                "--shard: expected numbers from 0 to {}, found {shard}",
                self.shards - 1
            );
        }
        let mut survivors = Counts::new();
        for package in &self.package {
            let state = state_of(package)?;
            let _held = held(package)?;
            for shard in &shards {
                let of = format!("{shard}/{}", self.shards);
                let folder = root().join(format!(
                    "target/mutants/{package}-{shard}-of-{}",
                    self.shards
                ));
                let missed = missed(package, &of, &folder, &state)?;
                println!(
                    "{package}, shard {of}: {} survive",
                    missed.values().sum::<usize>()
                );
                for (name, count) in missed {
                    *survivors.entry(name).or_default() += count;
                }
            }
        }
        let mut new = 0;
        for (name, &count) in &survivors {
            let more = count.saturating_sub(known.get(name).copied().unwrap_or_default());
            if more > 0 {
                println!("  {more} x {name}");
            }
            new += more;
        }
        println!(
            "{} survivors, {new} of them not in {LIST}",
            survivors.values().sum::<usize>()
        );
        match new {
            0 => Ok(()),
            _ => bail!(
                "{new} mutants survive that {LIST} does not list; expected a test that notices each, or a reason"
            ),
        }
    }
}

/// Mutants by name, and how many have it: one function may have several places for the same change.
type Counts = BTreeMap<String, usize>;

fn counted(names: impl Iterator<Item = String>) -> Counts {
    let mut counts = Counts::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// The survivors of a shard, as `crate: change`; from an earlier run where sources and tests are the same.
fn missed(package: &str, shard: &str, folder: &Path, state: &str) -> anyhow::Result<Counts> {
    let (stamp, list) = (folder.join("state"), folder.join("missed.txt"));
    let is_done = fs::read_to_string(&stamp).is_ok_and(|kept| kept == state);
    if !is_done {
        let dealt = ["--shard".to_owned(), shard.to_owned()];
        let slow = SLOW.iter().filter(|(of, _)| *of == package);
        let quick: Vec<&str> = ["--tests", "--"]
            .into_iter()
            .chain(slow.flat_map(|(_, tests)| ["--skip", tests]))
            .collect();
        let mut left = round(package, &folder.join("quick"), &dealt, &quick)?;
        if !left.is_empty() {
            // By their names: what else cargo-mutants can leave out, it leaves out before it deals.
            let named = left.lines().map(|name| format!("--re=^{}$", escaped(name)));
            left = round(
                package,
                &folder.join("all"),
                &named.collect::<Vec<_>>(),
                &[],
            )?;
        }
        for (path, text) in [(&list, left.as_str()), (&stamp, state)] {
            fs::write(path, text).with_context(|| path.display().to_string())?;
        }
    }
    let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let changes = text.lines().map(without_place);
    Ok(counted(
        changes.map(|change| format!("{package}: {change}")),
    ))
}

/// One run of cargo-mutants over `which` mutants; the names of those that no test notices, a line each.
fn round(package: &str, folder: &Path, which: &[String], tests: &[&str]) -> anyhow::Result<String> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut mutants = cargo();
    mutants
        .args(["mutants", "--package", package])
        .args(which)
        .args(["--profile", "mutants", "--no-shuffle"])
        .args(["--minimum-test-timeout", "10", "--output"])
        .arg(folder)
        // Every run copies the tree to a new place; the dependencies need not be compiled for each.
        .arg(format!(
            "--cargo-arg=--target-dir={}",
            products(package).display()
        ));
    if !tests.is_empty() {
        mutants.arg("--").args(tests);
    }
    let status = mutants.status();
    let status = status.context("failed to start cargo mutants")?;
    match status.code() {
        // 2: some survive. 3: some did not end, which a test notices.
        Some(0 | 2 | 3) => {}
        Some(4) => bail!("the tests of {package} fail as they are; expected them to pass"),
        _ => bail!(
            "cargo mutants ended with {status}; is it installed? cargo install --locked cargo-mutants"
        ),
    }
    let list = folder.join("mutants.out/missed.txt");
    fs::read_to_string(&list).with_context(|| list.display().to_string())
}

/// Where a crate and its tests are compiled, changed and unchanged.
fn products(package: &str) -> PathBuf {
    root().join(format!("target/mutants/{package}"))
}

/// Keeps everybody else away from a crate's products as long as the file is held: two runs would test each other's changes.
fn held(package: &str) -> anyhow::Result<fs::File> {
    let folder = products(package);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let path = folder.join("held");
    let file = fs::File::create(&path).with_context(|| path.display().to_string())?;
    file.try_lock()
        .map_err(|_| anyhow!("the mutants of {package} are being tested; wait for that run"))?;
    Ok(file)
}

/// A text as a regular expression of itself.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// `src/a.rs:12:3: replace ..` without line and column, which other changes move.
fn without_place(line: &str) -> String {
    let mut parts = line.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(change)) => {
            let file = file.split_once("src/").map_or(file, |(_, name)| name);
            format!("{file}:{change}")
        }
        _ => line.to_owned(),
    }
}

/// The names in the list, each as often as it stands there: lines that neither are empty nor begin with `#`, as the reasons do.
fn listed(text: &str) -> Counts {
    let names = text.lines().map(str::trim_end);
    let names = names.filter(|line| !line.is_empty() && !line.starts_with('#'));
    counted(names.map(str::to_owned))
}

/// What a shard's outcome depends on: the method, the crate's folder as it is committed, and what is not committed of it.
fn state_of(package: &str) -> anyhow::Result<String> {
    let folder = format!("crates/{package}");
    let git = |words: &[&str]| -> anyhow::Result<String> {
        let mut command = Command::new("git");
        command.args(words).arg(&folder).current_dir(root());
        let found = command.output().context("failed to start git")?;
        if !found.status.success() {
            bail!("{} ended with {}", show(&command), found.status);
        }
        Ok(String::from_utf8_lossy(&found.stdout).into_owned())
    };
    let committed = git(&["ls-tree", "HEAD"])?;
    if committed.is_empty() {
        bail!("--package: expected a crate in crates/, found {package}");
    }
    let mut state = format!("{METHOD} {SLOW:?}\n{committed}") + &git(&["diff", "HEAD", "--"])?;
    for name in git(&["ls-files", "--others", "--exclude-standard", "--"])?.lines() {
        let text = fs::read_to_string(root().join(name)).with_context(|| name.to_owned())?;
        state += &format!("{name}\n{text}");
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survivors_are_known_by_file_and_change() {
        let line = "crates/ddpm-dp/src/budgets.rs:44:9: replace == with != in Budgets::wanted";
        let name = without_place(line);
        assert_eq!(name, "budgets.rs: replace == with != in Budgets::wanted");
        let text = format!("# because of this\nddpm-dp: {name}\n\n# and that\n");
        assert_eq!(listed(&text)[&format!("ddpm-dp: {name}")], 1);
        assert_eq!(escaped("a[i] + (b)"), r"a\[i\] \+ \(b\)");
        let twice = format!("{text}ddpm-dp: {name}\n");
        assert_eq!(listed(&twice).into_values().collect::<Vec<_>>(), [2]);
    }
}
