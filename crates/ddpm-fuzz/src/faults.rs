//! `cargo xtask faults`: ends in the middle of a write, and disks that refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Args;
use tempfile::TempDir;

use crate::bench::{Bench, LINES, Line};

/// Kills every command that writes at each of its system calls that write, and makes each of those fail
///
/// What is at --out must be absent, the old file or the whole new one; the same command (with --resume where there is one)
/// must then give the same bytes as a run that nothing disturbed, and leave nothing else behind. The same with a disk that
/// is full from that call on, and with a folder that is mounted read-only, both of which must be told with exit code 5. Two
/// runs of one output at a time: one of them says so, or both write the same. Needs strace; the read-only folder needs unshare
/// and the right to mount, and is left out without.
#[derive(Args)]
pub(crate) struct Faults {
    /// Only commands that begin so
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
}

/// System calls that change what is on the disk.
const CALLS: [&str; 12] = [
    "write",
    "writev",
    "pwrite64",
    "fsync",
    "ftruncate",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "mkdir",
    "fchmod",
    "flock",
];
/// Moments of one call; a folder of samples has many.
const MOST: usize = 40;

/// Mounts the folder that follows read-only for the command after it, which alone sees it so and works in it.
const READ_ONLY: &str =
    r#"mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@""#;

#[derive(Default)]
struct Counts {
    kills: u64,
    refusals: u64,
    read_only: u64,
    races: u64,
    findings: u64,
}

/// Runs the command; the number of findings.
pub(crate) fn run(args: &Faults) -> anyhow::Result<u64> {
    let tracer = Command::new("strace").arg("--version").output();
    if !tracer.is_ok_and(|output| output.status.success()) {
        bail!("needs strace, which is not there: apt install strace");
    }
    let can_mount = can_mount()?;
    if !can_mount {
        println!("no folder is mounted read-only: the system does not let unshare mount");
    }
    let bench = Bench::new()?;
    println!(
        "{:64} {:>6} {:>8} {:>9}",
        "command", "kills", "refusals", "findings"
    );
    let mut all = Counts::default();
    let only = args.only.as_deref().unwrap_or_default();
    for line in LINES
        .iter()
        .filter(|line| line.out.is_some() && line.words.starts_with(only))
    {
        let mut counts = Counts::default();
        let writer = Writer::new(&bench, line)?;
        for old in [false, true] {
            if can_mount {
                writer.read_only(old, &mut counts)?;
            }
            for call in CALLS {
                writer.killed(call, old, &mut counts)?;
                writer.refused(call, old, &mut counts)?;
            }
        }
        writer.race(&mut counts)?;
        let shown: String = line
            .words
            .replace(['{', '}'], "")
            .chars()
            .take(64)
            .collect();
        println!(
            "{shown:64} {:>6} {:>8} {:>9}",
            counts.kills, counts.refusals, counts.findings
        );
        all.kills += counts.kills;
        all.refusals += counts.refusals;
        all.read_only += counts.read_only;
        all.races += counts.races;
        all.findings += counts.findings;
    }
    if all.kills == 0 || all.refusals == 0 {
        bail!("strace injects nothing on this system");
    }
    println!(
        "{} kills, {} refusals of the disk, {} folders mounted read-only, {} races: {} findings",
        all.kills, all.refusals, all.read_only, all.races, all.findings
    );
    Ok(all.findings)
}

/// What runs a command in a folder that is mounted read-only.
fn mounted(folder: &str) -> [&str; 6] {
    ["unshare", "-rm", "sh", "-c", READ_ONLY, folder]
}

/// Whether this system lets a folder be mounted so.
fn can_mount() -> anyhow::Result<bool> {
    let place = tempfile::tempdir()?;
    let folder = place.path().to_string_lossy();
    let [program, words @ ..] = mounted(&folder);
    let ended = Command::new(program).args(words).arg("true").output();
    Ok(ended.is_ok_and(|output| output.status.success()))
}

/// A command and what it writes when nothing disturbs it.
struct Writer<'a> {
    bench: &'a Bench,
    line: &'a Line,
    whole: Vec<u8>,
}

/// Something of the user's.
const OLD: &[u8] = b"something old";

impl<'a> Writer<'a> {
    fn new(bench: &'a Bench, line: &'a Line) -> anyhow::Result<Self> {
        let mut writer = Self {
            bench,
            line,
            whole: Vec::new(),
        };
        let place = writer.place(false)?;
        let output = writer.command(&place, false, false, &[]).output()?;
        if !output.status.success() {
            bail!(
                "{}: {}",
                line.words,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        writer.whole = fs::read(writer.out(&place))?;
        Ok(writer)
    }

    /// A folder with nothing in it, or with an old file where the output goes.
    fn place(&self, old: bool) -> anyhow::Result<TempDir> {
        let place = tempfile::tempdir()?;
        if old {
            fs::write(self.out(&place), OLD)?;
        }
        Ok(place)
    }

    fn out(&self, place: &TempDir) -> PathBuf {
        place.path().join(self.line.out.unwrap_or_default())
    }

    fn command(&self, place: &TempDir, old: bool, resume: bool, tracer: &[&str]) -> Command {
        let mut words = self.bench.words(self.line.words, &self.out(place));
        words.extend(old.then(|| "--force".to_owned()));
        words.extend((resume && self.line.resumes).then(|| "--resume".to_owned()));
        self.bench.command(tracer, &words, place.path())
    }

    fn traced(&self, place: &TempDir, old: bool, call: &str, what: &str) -> anyhow::Result<Output> {
        let trace = format!("trace={call}");
        let inject = format!("inject={call}:{what}");
        let tracer = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &trace,
            "-e",
            &inject,
        ];
        Ok(self.command(place, old, false, &tracer).output()?)
    }

    /// Kills it at the first, the second, .. of a system call, until it comes to its end.
    fn killed(&self, call: &str, old: bool, counts: &mut Counts) -> anyhow::Result<()> {
        for n in 1..=MOST {
            let place = self.place(old)?;
            let ended = self.traced(&place, old, call, &format!("signal=KILL:when={n}"))?;
            if ended.status.success() {
                return Ok(());
            }
            counts.kills += 1;
            let moment = format!(
                "killed at {call} number {n}{}",
                if old { " over an old file" } else { "" }
            );
            self.check(&place, old, &moment, counts)?;
        }
        Ok(())
    }

    /// Lets a system call and all that follow fail as on a full disk.
    fn refused(&self, call: &str, old: bool, counts: &mut Counts) -> anyhow::Result<()> {
        // A lock that is refused is another matter: some file systems know none.
        if call == "flock" {
            return Ok(());
        }
        for n in 1..=MOST {
            let place = self.place(old)?;
            let ended = self.traced(&place, old, call, &format!("error=ENOSPC:when={n}+"))?;
            let moment = format!("no space from {call} number {n} on");
            let code = ended.status.code();
            let made = fs::read(self.out(&place)).is_ok_and(|made| made == self.whole);
            if code == Some(0) && made {
                return Ok(());
            }
            counts.refusals += 1;
            if !matches!(code, Some(5)) {
                let said = String::from_utf8_lossy(&ended.stderr);
                self.found(
                    &format!("{moment}: ended with {}: {said}", ended.status),
                    counts,
                );
            }
            self.check(&place, old, &moment, counts)?;
        }
        Ok(())
    }

    /// Nothing can be written where the output goes.
    fn read_only(&self, old: bool, counts: &mut Counts) -> anyhow::Result<()> {
        let place = self.place(old)?;
        let folder = place.path().to_string_lossy().into_owned();
        let mounted = mounted(&folder);
        let ended = self.command(&place, old, false, &mounted).output()?;
        counts.read_only += 1;
        let said = String::from_utf8_lossy(&ended.stderr);
        if ended.status.code() != Some(5) || !said.contains("Read-only file system") {
            let over = if old { ", over an old file" } else { "" };
            let status = ended.status;
            let what =
                format!("in a folder that is mounted read-only{over}: ended with {status}: {said}");
            self.found(&what, counts);
        }
        Ok(())
    }

    /// What is there after a fault, and after the same command once more.
    fn check(
        &self,
        place: &TempDir,
        old: bool,
        moment: &str,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        let out = self.out(place);
        let there = fs::read(&out).ok();
        let before = old.then(|| OLD.to_vec());
        if there != before && there.as_ref() != Some(&self.whole) {
            self.found(
                &format!("{moment}: the output is neither old nor whole"),
                counts,
            );
        }
        age(place.path())?;
        // `tune` and `fid` cannot tell whose a whole file is.
        let knows = !["tune", "fid"]
            .iter()
            .any(|name| self.line.words.starts_with(name));
        let force = old || (!knows && there.as_ref() == Some(&self.whole));
        let again = self.command(place, force, true, &[]).output()?;
        if !again.status.success() {
            let said = String::from_utf8_lossy(&again.stderr);
            self.found(&format!("{moment}: the same command again: {said}"), counts);
            return Ok(());
        }
        if fs::read(&out)? != self.whole {
            self.found(&format!("{moment}: another result"), counts);
        }
        for entry in fs::read_dir(place.path())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let known = out.file_name().is_some_and(|out| {
                let out = out.to_string_lossy();
                name == *out || name == format!("{out}.run.json")
            });
            if !known {
                self.found(&format!("{moment}: {name} is left"), counts);
            }
        }
        Ok(())
    }

    /// Two at a time.
    fn race(&self, counts: &mut Counts) -> anyhow::Result<()> {
        for _ in 0..4 {
            let place = self.place(false)?;
            let run = || self.command(&place, false, false, &[]).output();
            let ended = std::thread::scope(|scope| {
                let both = [scope.spawn(run), scope.spawn(run)];
                both.map(|one| one.join().expect("a thread that waits does not panic"))
            });
            counts.races += 1;
            let mut won = 0;
            for one in ended {
                let one = one.context("failed to start ddpm")?;
                match one.status.code() {
                    Some(0) => won += 1,
                    Some(3) => {}
                    _ => {
                        let said = String::from_utf8_lossy(&one.stderr);
                        self.found(&format!("two at a time: {}: {said}", one.status), counts);
                    }
                }
            }
            if won == 0 || fs::read(self.out(&place)).ok().as_ref() != Some(&self.whole) {
                self.found("two at a time: not the result of one", counts);
            }
        }
        Ok(())
    }

    fn found(&self, what: &str, counts: &mut Counts) {
        counts.findings += 1;
        println!("FOUND {}\n      {what}", self.line.words);
    }
}

/// Makes what a dead writer left old enough to be known for that.
fn age(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            age(&entry.path())?;
        } else if entry.file_name().to_string_lossy().ends_with(".ddpm-tmp") {
            let file = fs::OpenOptions::new().write(true).open(entry.path())?;
            file.set_modified(SystemTime::now() - Duration::from_secs(60))?;
        }
    }
    Ok(())
}
