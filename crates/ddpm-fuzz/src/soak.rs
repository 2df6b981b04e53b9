//! `cargo xtask soak`: command lines of every kind, right and wrong, for as long as one likes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use ddpm_fuzz::Mutator;

use crate::bench::{Bench, LINES};

/// Runs mixed command lines on valid and broken inputs, and counts crashes and wrong exit codes
///
/// Every command in turn: as it should be, with one of its files mutated, or with a word of it replaced by an odd one. Right
/// ones must end with exit code 0; broken ones with 0, 2 or 3, or with 5 where the system refuses. Nothing may panic, be
/// killed, run for a minute, print results and an error both, or leave a temporary file. Memory is limited to 4 GiB.
#[derive(Args)]
pub(crate) struct Soak {
    /// How long
    #[arg(long, value_name = "M", default_value_t = 5.0)]
    minutes: f64,
    /// What decides the command lines
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

/// A file of the user's that a command may be pointed at.
const MINE: &str = "mine.txt";
/// The longest that a command may take.
const LONGEST: Duration = Duration::from_secs(60);

/// Words that nobody means.
const ODD: [&str; 28] = [
    "",
    "0",
    "-1",
    "1",
    "1e308",
    "NaN",
    "-inf",
    "all",
    "none",
    "99999999999999999999",
    "9223372036854775807",
    "4294967296",
    "even:0",
    "even:99999999",
    "even:2",
    "0,1,2",
    ",",
    "2,2",
    "--force",
    "--json",
    "--quiet",
    "/dev/null",
    "/dev/full",
    "/nonexistent/x",
    ".",
    "\u{1b}[2J\u{202e}",
    "é漢",
    "../mine.txt",
];

/// Runs the command; the number of findings.
pub(crate) fn run(args: &Soak) -> anyhow::Result<u64> {
    let bench = Bench::new()?;
    let begun = Instant::now();
    let mut codes: BTreeMap<(&str, String), u64> = BTreeMap::new();
    let (mut runs, mut findings) = (0u64, 0);
    let most = Duration::from_secs_f64(args.minutes * 60.0);
    while begun.elapsed() < most {
        let line = &LINES[runs as usize % LINES.len()];
        let case = Case::new(&bench, line.words, line.out, args.seed, runs)?;
        let outcome = case.run(&bench)?;
        let name = line.words.split(' ').next().unwrap_or_default();
        let code =
            outcome
                .as_ref()
                .map_or("no end".to_owned(), |output| match output.status.code() {
                    Some(code) => code.to_string(),
                    None => output.status.to_string(),
                });
        *codes.entry((name, code)).or_default() += 1;
        if let Some(what) = case.fault(outcome.as_ref()) {
            findings += 1;
            case.keep(&what, outcome.as_ref(), args.seed, runs)?;
        }
        runs += 1;
    }
    println!("{:14} exit code: runs", "command");
    let mut of: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((name, code), count) in codes {
        of.entry(name).or_default().push(format!("{code}: {count}"));
    }
    for (name, counts) in of {
        println!("{name:14} {}", counts.join(", "));
    }
    println!(
        "{runs} runs in {:.1} minutes, {findings} crashes or wrong exit codes",
        begun.elapsed().as_secs_f64() / 60.0
    );
    Ok(findings)
}

/// A command line with files of its own.
struct Case {
    folder: tempfile::TempDir,
    words: Vec<String>,
    /// Whether nothing is wrong with it.
    is_right: bool,
}

impl Case {
    fn new(
        bench: &Bench,
        words: &str,
        out: Option<&str>,
        seed: u64,
        run: u64,
    ) -> anyhow::Result<Self> {
        let mut chance = Mutator::new(seed ^ run.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(MINE), MINE)?;
        fs::create_dir(folder.path().join("run"))?;
        let out = folder.path().join("run").join(out.unwrap_or_default());
        let mut given = bench.words(words, &out);
        let files: Vec<usize> = (0..given.len())
            .filter(|&i| Path::new(&given[i]).is_file())
            .collect();
        let how = chance.below(4);
        match how {
            // As it should be.
            0 => {}
            1 => {
                let at = 1 + chance.below(given.len() - 1);
                chance.one_of(&ODD).clone_into(&mut given[at]);
            }
            2 if chance.below(2) == 0 => {
                let at = 1 + chance.below(given.len());
                given.insert(at, chance.one_of(&ODD).to_owned());
            }
            _ if files.is_empty() => {
                let at = 1 + chance.below(given.len());
                given.insert(at, chance.one_of(&ODD).to_owned());
            }
            _ => {
                let at = files[chance.below(files.len())];
                let old = Path::new(&given[at]).to_owned();
                let name = old.file_name().context("a file has a name")?;
                let new = folder.path().join("in").join(name);
                fs::create_dir(folder.path().join("in"))?;
                // What weights cannot tell lies beside them.
                let beside = old.with_extension("model.json");
                if beside.exists() {
                    fs::copy(&beside, new.with_extension("model.json"))?;
                }
                fs::write(&new, chance.input(&[fs::read(&old)?]))?;
                given[at] = new.display().to_string();
            }
        }
        Ok(Self {
            folder,
            words: given,
            is_right: how == 0,
        })
    }

    /// Runs it; `None` where it came to no end.
    fn run(&self, bench: &Bench) -> anyhow::Result<Option<Output>> {
        let limited = ["sh", "-c", "ulimit -v 4194304; exec \"$0\" \"$@\""];
        let program = if cfg!(unix) { &limited[..] } else { &[] };
        let place = self.folder.path();
        let mut command = bench.command(program, &self.words, &place.join("run"));
        let (out, err) = (place.join("said.out"), place.join("said.err"));
        command.stdout(Stdio::from(fs::File::create(&out)?));
        command.stderr(Stdio::from(fs::File::create(&err)?));
        let mut child = command.spawn()?;
        let begun = Instant::now();
        let mut wait = Duration::from_millis(2);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if begun.elapsed() > LONGEST {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_millis(50));
        };
        let (stdout, stderr) = (fs::read(&out)?, fs::read(&err)?);
        fs::remove_file(out)?;
        fs::remove_file(err)?;
        Ok(Some(Output {
            status,
            stdout,
            stderr,
        }))
    }

    /// What is wrong with how it ended.
    fn fault(&self, outcome: Option<&Output>) -> Option<String> {
        let Some(output) = outcome else {
            return Some(format!("ran for {} s", LONGEST.as_secs()));
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let acts = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
        let shown = String::from_utf8_lossy(&output.stdout);
        let mine = fs::read_to_string(self.folder.path().join(MINE));
        let forced = self.words.iter().any(|word| word == "--force");
        if !forced && !mine.is_ok_and(|mine| mine == MINE) {
            return Some("a file of the user's is not what it was".to_owned());
        }
        let left = || -> Option<String> {
            let entries = fs::read_dir(self.folder.path().join("run")).ok()?;
            let mut names = entries
                .flatten()
                .map(|e| e.file_name().to_string_lossy().into_owned());
            names.find(|name| name.ends_with(".ddpm-tmp"))
        };
        match output.status.code() {
            None => Some(format!("ended with {}", output.status)),
            Some(0) if said.contains(acts) => Some("said what acts on a terminal".to_owned()),
            Some(0) if !said.contains("panicked") => left().map(|name| format!("left {name}")),
            Some(code @ (2 | 3 | 5)) if !self.is_right => {
                if said.contains("panicked") || said.contains("internal error") {
                    return Some("panicked".to_owned());
                }
                // clap and ddpm begin alike; help that was asked for is no error.
                if !said.lines().any(|line| line.starts_with("error: ")) {
                    return Some(format!("exit code {code} without an error"));
                }
                if said.contains(acts) {
                    return Some("said what acts on a terminal".to_owned());
                }
                // What was printed before a full disk refused the rest is no result.
                if code != 5 && !shown.is_empty() {
                    return Some("results beside an error".to_owned());
                }
                left().map(|name| format!("left {name}"))
            }
            Some(code) => Some(format!("exit code {code}")),
        }
    }

    /// Keeps the files and what was said.
    fn keep(
        &self,
        what: &str,
        outcome: Option<&Output>,
        seed: u64,
        run: u64,
    ) -> anyhow::Result<()> {
        let artifacts = ddpm_fuzz::folder(None).with_file_name("artifacts");
        let folder = artifacts.join("soak").join(format!("{seed}-{run}"));
        fs::create_dir_all(&folder)?;
        let said = outcome.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        let text = format!(
            "{what}\nddpm {}\n{}",
            self.words.join(" "),
            said.unwrap_or_default()
        );
        fs::write(folder.join("what.txt"), &text)?;
        let inputs = self.folder.path().join("in");
        for entry in fs::read_dir(&inputs).into_iter().flatten() {
            let entry = entry?;
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        eprintln!("{}: {text}", folder.display());
        Ok(())
    }
}
