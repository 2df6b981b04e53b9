//! `cargo xtask fuzz`: mutated inputs for every reader, in processes of their own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use ddpm_fuzz::{Campaign, Limits, Meter, TARGETS, Target, seeds, target};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Shows mutated inputs to every reader and keeps what breaks one
///
/// A reader may refuse an input. It may not panic, abort, take ten seconds, or hold more than four times the input and
/// 64 MiB. What does is kept in fuzz/artifacts/TARGET; put it into fuzz/corpus/TARGET with the mend, where `cargo test`
/// reads it from then on. The same seed shows the same inputs.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// Readers to show inputs to [default: all]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    target: Vec<String>,
    /// Inputs for every reader
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    executions: Option<u64>,
    /// Minutes for all readers together
    #[arg(long, value_name = "M", default_value_t = 5.0)]
    minutes: f64,
    /// What decides the inputs
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Readers at a time [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// One reader, in this process: the number of the first input
    #[arg(long, hide = true)]
    child: Option<u64>,
    /// Where the next input is written before it is shown
    #[arg(long, hide = true)]
    trace: Option<PathBuf>,
}

/// Inputs between two notes of how far a process has come.
const NOTED: u64 = 128;
/// The longest that a process may take for that many.
const STUCK: Duration = Duration::from_secs(120);
/// Memory of a process in KiB: what is asked for beyond it fails, and that must be said in words.
const PROCESS_KIB: u64 = 4 << 20;

/// Runs the command; the number of findings.
pub(crate) fn run(args: &Fuzz) -> anyhow::Result<u64> {
    let targets = chosen(&args.target)?;
    if let (Some(first), [target]) = (args.child, &targets[..]) {
        return child(args, target, first);
    }
    let jobs = args
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let jobs = jobs.clamp(1, targets.len());
    let seconds = args.minutes * 60.0 * jobs as f64 / targets.len() as f64;
    println!(
        "{:24} {:>10} {:>9} {:>9} {:>9} {:>9}",
        "reader", "inputs", "taken", "per s", "MiB", "findings"
    );
    let queue = Mutex::new(targets.iter());
    let total = Mutex::new(Total::default());
    let work = || -> anyhow::Result<()> {
        loop {
            let next = queue.lock().expect("no job panics").next();
            let Some(target) = next else {
                return Ok(());
            };
            let begun = Instant::now();
            let done = campaign(args, target, seconds)?;
            let per_second = done.executions as f64 / begun.elapsed().as_secs_f64();
            println!(
                "{:24} {:>10} {:>8.1}% {per_second:>9.0} {:>9.1} {:>9}",
                target.name,
                done.executions,
                100.0 * done.accepted as f64 / done.executions.max(1) as f64,
                done.most_memory as f64 / f64::from(1 << 20),
                done.findings
            );
            total.lock().expect("no job panics").add(&done);
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        all.into_iter()
            .try_for_each(|job| job.join().expect("a job does not panic"))
    })?;
    let total = total.into_inner().expect("no job panics");
    println!(
        "{:24} {:>10} {:>41}",
        "all", total.executions, total.findings
    );
    Ok(total.findings)
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let known = || {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        names.join(", ")
    };
    let find = |name: &String| {
        target(name).with_context(|| format!("--target {name}: expected some of {}", known()))
    };
    names.iter().map(find).collect()
}

/// What a process says of itself when it ends.
#[derive(Default)]
struct Total {
    executions: u64,
    accepted: u64,
    most_memory: usize,
    findings: u64,
}

impl Total {
    fn add(&mut self, other: &Self) {
        self.executions += other.executions;
        self.accepted += other.accepted;
        self.most_memory = self.most_memory.max(other.most_memory);
        self.findings += other.findings;
    }

    fn line(&self) -> String {
        let Self {
            executions,
            accepted,
            most_memory,
            findings,
        } = self;
        format!("{executions} {accepted} {most_memory} {findings}")
    }

    fn parse(line: &str) -> Option<Self> {
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        let &[executions, accepted, most_memory, findings] = &numbers[..] else {
            return None;
        };
        Some(Self {
            executions,
            accepted,
            most_memory: most_memory as usize,
            findings,
        })
    }
}

/// One reader in processes of its own, a new one after each that died.
fn campaign(args: &Fuzz, target: &Target, seconds: f64) -> anyhow::Result<Total> {
    let begun = Instant::now();
    let mut total = Total::default();
    let mut first = 0;
    loop {
        let left = seconds - begun.elapsed().as_secs_f64();
        let inputs = args.executions.map(|all| all.saturating_sub(first));
        if inputs.map_or(left <= 0.0, |inputs| inputs == 0) {
            return Ok(total);
        }
        let noted = scratch(target, "noted")?;
        let ended = process(args, target, first, (inputs, left), &noted, None)?;
        total.add(&ended.said);
        if ended.whole {
            return Ok(total);
        }
        // It died: once more from where it last noted, with every input written down before it is shown.
        let from = read_number(&noted).unwrap_or(first);
        let trace = scratch(target, "trace")?;
        let again = process(
            args,
            target,
            from,
            (Some(NOTED), left),
            &noted,
            Some(&trace),
        )?;
        let reached = read_number(&noted).unwrap_or(from);
        total.executions += from - first;
        total.findings += 1;
        first = from + NOTED;
        if again.whole {
            // Something beside the input: memory that others held, a signal.
            eprintln!(
                "{}: {} from input {from} on, and not again",
                target.name, ended.how
            );
            continue;
        }
        let what = format!("{} at input {reached} or after it", again.how);
        keep(target, &fs::read(&trace)?, &what)?;
    }
}

struct Ended {
    /// Whether it came to its own end.
    whole: bool,
    /// How it ended otherwise.
    how: String,
    said: Total,
}

/// Shows inputs in a process with a limit on its memory.
fn process(
    args: &Fuzz,
    target: &Target,
    first: u64,
    (inputs, seconds): (Option<u64>, f64),
    noted: &Path,
    trace: Option<&Path>,
) -> anyhow::Result<Ended> {
    let program = std::env::current_exe()?;
    let mut command = if cfg!(unix) {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("ulimit -v {PROCESS_KIB}; exec \"$0\" \"$@\""),
        ]);
        shell.arg(program);
        shell
    } else {
        Command::new(program)
    };
    command.args([
        "fuzz",
        "--target",
        target.name,
        "--child",
        &first.to_string(),
    ]);
    command.args(["--seed", &args.seed.to_string()]);
    match inputs {
        Some(inputs) => command.args(["--executions", &inputs.to_string()]),
        None => command.args(["--minutes", &(seconds / 60.0).to_string()]),
    };
    if let Some(trace) = trace {
        command.arg("--trace").arg(trace);
    }
    command
        .env("DDPM_FUZZ_NOTED", noted)
        .env("RAYON_NUM_THREADS", "1");
    let said = noted.with_extension("said");
    command.stdout(fs::File::create(&said)?);
    let mut child = command.spawn().context("failed to start itself")?;
    // One that comes no further is as bad as one that dies.
    let (mut reached, mut since) = (None, Instant::now());
    let how = loop {
        if let Some(status) = child.try_wait()? {
            break format!("ended with {status}");
        }
        let now = read_number(noted);
        if now != reached {
            (reached, since) = (now, Instant::now());
        }
        if since.elapsed() > STUCK {
            child.kill()?;
            child.wait()?;
            break format!("came no further in {} s", STUCK.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = fs::read_to_string(&said)?;
    let said = text.lines().last().and_then(Total::parse);
    Ok(Ended {
        whole: said.is_some(),
        how,
        said: said.unwrap_or_default(),
    })
}

/// The inputs from number `first` on, in this process.
fn child(args: &Fuzz, target: &Target, first: u64) -> anyhow::Result<u64> {
    let noted = std::env::var_os("DDPM_FUZZ_NOTED").map(PathBuf::from);
    let seeds = seeds(target).with_context(|| format!("the corpus of {}", target.name))?;
    let campaign = Campaign {
        target,
        seeds: &seeds,
        seed: args.seed,
        limits: Limits::default(),
        meter: Some(Meter {
            reset: || ALLOCATOR.reset_peak_usage(),
            held: || ALLOCATOR.current_usage(),
            peak: || ALLOCATOR.peak_usage(),
        }),
    };
    std::panic::set_hook(Box::new(|_| ()));
    let mut total = Total::default();
    let begun = Instant::now();
    let most = Duration::from_secs_f64((args.minutes * 60.0).max(0.0));
    let mut refused = None;
    let mut next = first;
    loop {
        // A finding is kept before the next inputs are shown: one of them may end the process.
        let until = next + NOTED;
        let mut goes_on = true;
        let report = campaign.run(next, &mut |number, input| {
            let note = || -> std::io::Result<()> {
                if number % NOTED == 0
                    && let Some(noted) = &noted
                {
                    fs::write(noted, number.to_string())?;
                }
                let trace = args.trace.as_ref();
                trace.map_or(Ok(()), |trace| fs::write(trace, input))
            };
            refused = note().err();
            goes_on = match args.executions {
                Some(inputs) => number < first + inputs,
                None => begun.elapsed() < most,
            };
            number < until && goes_on && refused.is_none()
        });
        if let Some(error) = refused {
            return Err(error).context("cannot note how far it came");
        }
        for finding in &report.findings {
            keep(target, &finding.input, &finding.what)?;
        }
        total.add(&Total {
            executions: report.executions,
            accepted: report.accepted,
            most_memory: report.most_memory,
            findings: report.findings.len() as u64,
        });
        if !goes_on {
            println!("{}", total.line());
            return Ok(0);
        }
        next = until;
    }
}

/// Keeps an input that broke a reader, once for every kind of fault.
fn keep(target: &Target, input: &[u8], what: &str) -> anyhow::Result<()> {
    let corpus = ddpm_fuzz::folder(None);
    let folder = corpus.with_file_name("artifacts").join(target.name);
    fs::create_dir_all(&folder)?;
    let kinds = folder.join("kinds.txt");
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    for line in fs::read_to_string(&kinds).unwrap_or_default().lines() {
        if let Some((count, kind)) = line.split_once(' ') {
            known.insert(kind.to_owned(), count.parse().unwrap_or(0));
        }
    }
    // Numbers differ from input to input.
    let kind = what.replace(|c: char| c.is_ascii_digit(), "");
    let count = known.entry(kind.clone()).or_default();
    *count += 1;
    if *count <= 3 {
        let name = ddpm_fuzz::name_of(input);
        fs::write(folder.join(&name), input)?;
        eprintln!(
            "{}: {what}: fuzz/artifacts/{}/{name}",
            target.name, target.name
        );
    }
    let lines: Vec<String> = known
        .iter()
        .map(|(kind, n)| format!("{n} {kind}\n"))
        .collect();
    fs::write(kinds, lines.concat())?;
    Ok(())
}

/// A file of this process and this reader.
fn scratch(target: &Target, what: &str) -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("ddpm-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder.join(format!("{}.{what}", target.name)))
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.parse().ok()
}
