//! `cargo xtask reproduce-cifar`: the paper's Table 3 for a real checkpoint, stage by stage.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::args::Args;
use crate::cifar::{self, Data};
use crate::stage::{Hashes, Stage};
use crate::workspace::{build_ddpm, root};

const HELP: &str = "\
cargo xtask reproduce-cifar [options]

Runs the whole job on CIFAR-10: finds the data, looks at the checkpoint, profiles it on train and
on test images, solves for the optimal schedules of every step budget, re-scores them directly and
prints the paper's Table 3 (even / quadratic / DP, for every variance, with standard errors).
A second run starts where the first stopped.

options:
  --full              all 50,000 train and 10,000 test images at 256 timesteps
  --exhaustive        every timestep instead of a subset
  --smoke             a run of a minute that exercises every stage; its numbers mean little
  --images N          images of each split           (default 128)
  --timesteps N       timesteps evaluated per image  (default 64)
  --rescored N        test images for the direct re-scoring (default 8)
  --data DIR          a folder with CIFAR-10 (else $DDPM_DATA, the cache, a download)
  --stand-in          use the repository's stand-in images even where CIFAR-10 is at hand
  --offline           do not try to download
  --checkpoint FILE   another checkpoint than the one that ships
  --seed N            seed of the image order and of all noise (default 0)
  --threads N         threads (default: all)
  --out DIR           where the results go (default runs/reproduce-cifar)
  --fresh             forget earlier results in --out";

/// The budgets of the paper's Table 3.
const STEPS: &str = "8,16,32,64,128,256";
const VARIANCES: [&str; 4] = ["learned", "fixed-small", "fixed-large", "analytic"];

struct Plan {
    out: PathBuf,
    checkpoint: PathBuf,
    images: Option<u64>,
    timesteps: Option<u64>,
    rescored: u64,
    seed: u64,
    threads: Option<u64>,
}

pub(crate) fn run(words: Vec<String>) -> anyhow::Result<()> {
    let mut args = Args::new(words, HELP);
    if args.help_wanted() {
        return Ok(());
    }
    let full = args.flag("--full");
    let exhaustive = args.flag("--exhaustive");
    let smoke = args.flag("--smoke");
    let stand_in = args.flag("--stand-in");
    let offline = args.flag("--offline");
    let fresh = args.flag("--fresh");
    let images = args.number("--images")?;
    let timesteps = args.number("--timesteps")?;
    let rescored = args.number("--rescored")?;
    let named_data = args.value("--data")?;
    let checkpoint = args.value("--checkpoint")?;
    let seed = args.number("--seed")?.unwrap_or(0);
    let threads = args.number("--threads")?;
    let out = args.value("--out")?;
    args.conflict(full && smoke, "--full and --smoke")?;
    args.conflict(
        exhaustive && timesteps.is_some(),
        "--exhaustive and --timesteps",
    )?;
    args.conflict(stand_in && named_data.is_some(), "--stand-in and --data")?;
    args.finish()?;

    let begun = Instant::now();
    let (default_images, default_timesteps, default_rescored) =
        if smoke { (32, 20, 2) } else { (128, 64, 8) };
    let plan = Plan {
        out: out.map_or_else(|| root().join("runs/reproduce-cifar"), PathBuf::from),
        checkpoint: checkpoint.map_or_else(
            || root().join("datasets/cifar10-small.safetensors"),
            PathBuf::from,
        ),
        images: images.or((!full).then_some(default_images)),
        timesteps: if exhaustive {
            None
        } else {
            Some(timesteps.unwrap_or(if full { 256 } else { default_timesteps }))
        },
        rescored: rescored.unwrap_or(default_rescored),
        seed,
        threads,
    };
    if fresh && plan.out.exists() {
        fs::remove_dir_all(&plan.out)
            .with_context(|| format!("failed to remove {}", plan.out.display()))?;
    }
    let stamps = plan.out.join("stamps");
    fs::create_dir_all(&stamps)
        .with_context(|| format!("failed to create {}", stamps.display()))?;

    println!("== build");
    let ddpm = build_ddpm()?;

    println!("== data");
    let data = if stand_in {
        Data::StandIn("--stand-in was given".into())
    } else {
        cifar::find(named_data.as_deref(), !offline)?
    };
    let (folder, what) = match &data {
        Data::Cifar10(folder) => (folder.clone(), "real CIFAR-10".to_owned()),
        Data::StandIn(why) => (
            root().join("datasets/cifar10-stand-in"),
            format!(
                "NOT CIFAR-10 but the stand-in set of this repository (samples of the shipped checkpoint), because {why}"
            ),
        ),
    };
    println!("   {what}\n   {}", folder.display());
    if let Data::StandIn(_) = data {
        println!(
            "   bits/dim on samples of a model are lower than on photographs: compare strides, not papers"
        );
    }
    let splits = SplitSizes::of(&data, &plan);

    let job = Job {
        ddpm: &ddpm,
        plan: &plan,
        data: &folder,
        stamps: &stamps,
        hashes: Hashes::default(),
    };
    job.inspect()?;
    job.profile("train", splits.train)?;
    job.profile("test", splits.test)?;
    for variance in VARIANCES {
        for start in ["full", "free"] {
            job.schedule(variance, start)?;
        }
    }
    job.table()?;
    job.rescore(smoke)?;

    println!("\nData: {what}\n");
    print!("{}", fs::read_to_string(plan.out.join("table.txt"))?);
    println!("\nUnder one decoder:\n");
    print!(
        "{}",
        fs::read_to_string(plan.out.join("table-one-decoder.txt"))?
    );
    println!("\nChecks");
    let holds = summary(&plan.out)?;
    if let Data::StandIn(_) = data {
        job.shipped_table()?;
    }
    println!(
        "\nResults in {} ({:.1} minutes)",
        plan.out.display(),
        begun.elapsed().as_secs_f64() / 60.0
    );
    // A smoke run has too few images and timesteps to be held to the paper's findings.
    if !holds && !smoke {
        bail!("the table does not show what the paper found: see the checks above");
    }
    Ok(())
}

/// Images per split: what was asked for, but not more than the stand-in has.
struct SplitSizes {
    train: u64,
    test: u64,
}

impl SplitSizes {
    /// Half of the stand-in set is its train split, half its test split.
    const STAND_IN: u64 = 256;

    fn of(data: &Data, plan: &Plan) -> Self {
        let limit = |available: u64| plan.images.unwrap_or(available).min(available);
        match data {
            Data::Cifar10(_) => Self {
                train: limit(50_000),
                test: limit(10_000),
            },
            Data::StandIn(_) => Self {
                train: limit(Self::STAND_IN),
                test: limit(Self::STAND_IN),
            },
        }
    }
}

struct Job<'a> {
    ddpm: &'a Path,
    plan: &'a Plan,
    data: &'a Path,
    stamps: &'a Path,
    hashes: Hashes,
}

impl Job<'_> {
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.ddpm);
        command.arg(name);
        command
    }

    fn out(&self, name: &str) -> PathBuf {
        self.plan.out.join(name)
    }

    fn profile_path(&self, split: &str) -> PathBuf {
        self.out(&format!("{split}.profile.safetensors"))
    }

    fn schedule_path(&self, variance: &str, start: &str) -> PathBuf {
        self.out(&format!("{variance}.{start}.schedules.json"))
    }

    fn threads(&self, command: &mut Command) {
        if let Some(threads) = self.plan.threads {
            command.args(["--threads", &threads.to_string()]);
        }
    }

    fn inspect(&self) -> anyhow::Result<()> {
        let mut command = self.command("inspect");
        command.arg(&self.plan.checkpoint);
        Stage {
            name: "checkpoint",
            inputs: vec![self.ddpm.to_owned(), self.plan.checkpoint.clone()],
            outputs: vec![],
            command,
            stdout: Some(self.out("checkpoint.txt")),
        }
        .run(self.stamps, &self.hashes)?;
        print!(
            "{}",
            indent(&fs::read_to_string(self.out("checkpoint.txt"))?)
        );
        Ok(())
    }

    fn profile(&self, split: &str, images: u64) -> anyhow::Result<()> {
        let out = self.profile_path(split);
        let mut command = self.command("profile");
        command
            .arg(&self.plan.checkpoint)
            .arg("--data")
            .arg(self.data);
        command.args(["--split", split, "--seed", &self.plan.seed.to_string()]);
        command.args(["--limit", &images.to_string()]);
        if let Some(timesteps) = self.plan.timesteps {
            command.args(["--evaluations", &(images * timesteps).to_string()]);
        }
        self.threads(&mut command);
        // A profile that was interrupted goes on from its finished blocks.
        command.arg("--resume").arg("--out").arg(&out);
        Stage {
            name: &format!("profile-{split}"),
            // Not the binary: a rebuild must not throw hours of network evaluations away. Use --fresh.
            inputs: vec![self.plan.checkpoint.clone(), self.data.to_owned()],
            outputs: vec![out],
            command,
            stdout: None,
        }
        .run(self.stamps, &self.hashes)
    }

    fn schedule(&self, variance: &str, start: &str) -> anyhow::Result<()> {
        let profile = self.profile_path("train");
        let out = self.schedule_path(variance, start);
        let mut command = self.command("schedule");
        command
            .arg(&profile)
            .args(["--steps", STEPS, "--variance", variance]);
        command
            .args(["--start", start, "--json", "--out"])
            .arg(&out);
        Stage {
            name: &format!("solve-{variance}-{start}"),
            inputs: vec![self.ddpm.to_owned(), profile],
            outputs: vec![out],
            command,
            stdout: Some(self.out(&format!("{variance}.{start}.solve.json"))),
        }
        .run(self.stamps, &self.hashes)
    }

    fn table(&self) -> anyhow::Result<()> {
        self.one_table("table.txt", &[])?;
        self.one_table("table.json", &["--json"])?;
        // Under the default decoders the variances differ in two ways; under one decoder, in one.
        let shared = [
            "--decoder",
            "optimal",
            "--variance",
            "fixed-small,fixed-large,analytic",
        ];
        self.one_table("table-one-decoder.txt", &shared)?;
        self.one_table(
            "table-one-decoder.json",
            &[&shared[..], &["--json"]].concat(),
        )
    }

    fn one_table(&self, name: &str, options: &[&str]) -> anyhow::Result<()> {
        let (train, test) = (self.profile_path("train"), self.profile_path("test"));
        let mut command = self.command("table");
        command
            .arg(&train)
            .arg(&test)
            .args(["--steps", STEPS])
            .args(options);
        Stage {
            name,
            inputs: vec![self.ddpm.to_owned(), train, test],
            outputs: vec![],
            command,
            stdout: Some(self.out(name)),
        }
        .run(self.stamps, &self.hashes)
    }

    /// Scores the schedules without the profile: the network runs along each path.
    fn rescore(&self, smoke: bool) -> anyhow::Result<()> {
        let budgets: &[&str] = if smoke {
            &["8"]
        } else {
            &["8", "16", "32", "64", "128", "256"]
        };
        for variance in VARIANCES {
            let schedule = self.schedule_path(variance, "full");
            for steps in budgets {
                let mut command = self.command("bpd");
                command
                    .arg(&self.plan.checkpoint)
                    .arg("--data")
                    .arg(self.data);
                command.args([
                    "--split",
                    "test",
                    "--limit",
                    &self.plan.rescored.to_string(),
                ]);
                command.args(["--seed", &self.plan.seed.to_string(), "--steps", steps]);
                command.arg("--schedule").arg(&schedule).arg("--json");
                self.threads(&mut command);
                Stage {
                    name: &format!("rescore-{variance}-{steps}"),
                    inputs: vec![
                        self.ddpm.to_owned(),
                        self.plan.checkpoint.clone(),
                        self.data.to_owned(),
                        schedule.clone(),
                    ],
                    outputs: vec![],
                    command,
                    stdout: Some(self.out(&format!("{variance}.{steps}.bpd.json"))),
                }
                .run(self.stamps, &self.hashes)?;
            }
        }
        Ok(())
    }

    /// The table of the profiles that ship with the repository, measured on real CIFAR-10.
    fn shipped_table(&self) -> anyhow::Result<()> {
        let shipped = |split: &str| {
            root().join(format!(
                "datasets/cifar10-small.{split}.profile.safetensors"
            ))
        };
        let mut command = self.command("table");
        command
            .arg(shipped("train"))
            .arg(shipped("test"))
            .args(["--steps", STEPS]);
        println!("\nFor comparison, the same from the profiles that ship with the repository:\n");
        crate::workspace::check(&mut command)
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("   {line}\n")).collect()
}

/// One row of a table's JSON.
struct Row {
    stride: String,
    variance: String,
    steps: u64,
    bpd: f64,
    /// DP minus this row and its paired standard error, for rows of other strides.
    dp_minus_this: Option<(f64, f64)>,
}

fn rows(path: &Path) -> anyhow::Result<Vec<Row>> {
    let table = read_json(path)?;
    let expected = |what: &str| format!("{}: expected {what} in every row", path.display());
    table["rows"]
        .as_array()
        .with_context(|| format!("{}: expected an array 'rows'", path.display()))?
        .iter()
        .map(|row| {
            let text = |key: &str| {
                row[key]
                    .as_str()
                    .map(str::to_owned)
                    .with_context(|| expected(key))
            };
            let difference = &row["dp_minus_this"];
            Ok(Row {
                stride: text("stride")?,
                variance: text("variance")?,
                steps: row["steps"].as_u64().with_context(|| expected("steps"))?,
                bpd: row["bpd"].as_f64().with_context(|| expected("bpd"))?,
                dp_minus_this: difference["bpd"]
                    .as_f64()
                    .zip(difference["stderr"].as_f64()),
            })
        })
        .collect()
}

/// Says whether the table shows what the paper found, and returns whether all of it holds.
fn summary(out: &Path) -> anyhow::Result<bool> {
    let table = rows(&out.join("table.json"))?;
    let strides = table
        .iter()
        .filter(|row| row.stride == "even" || row.stride == "quadratic");
    let expected = 2 * VARIANCES.len() * STEPS.split(',').count();
    let compared = strides.filter(|row| row.dp_minus_this.is_some()).count();
    if compared != expected {
        bail!(
            "table.json: expected {expected} rows of even and quadratic with a paired difference, found {compared}"
        );
    }
    let mut strictly_below = true;
    let mut never_above = true;
    for row in &table {
        if let Some((difference, error)) = row.dp_minus_this {
            if row.steps <= 64 {
                strictly_below &= difference < 0.0;
            }
            never_above &= difference <= 2.0 * error;
        }
    }
    println!(
        "  DP below even and quadratic at every K <= 64, every variance: {}",
        yes(strictly_below)
    );
    println!(
        "  DP nowhere above them by more than two paired standard errors: {}",
        yes(never_above)
    );

    let shared = rows(&out.join("table-one-decoder.json"))?;
    let bpd = |variance: &str, like: &Row| {
        shared
            .iter()
            .find(|r| r.variance == variance && r.stride == like.stride && r.steps == like.steps)
            .map(|r| r.bpd)
    };
    if !shared.iter().any(|row| row.variance == "analytic") {
        bail!("table-one-decoder.json: expected rows of the analytic variance");
    }
    let analytic_best = shared
        .iter()
        .filter(|row| row.variance == "analytic")
        .all(|row| {
            ["fixed-small", "fixed-large"]
                .iter()
                .all(|fixed| bpd(fixed, row).is_some_and(|other| row.bpd < other))
        });
    println!(
        "  analytic variance below both fixed ones under one decoder, every stride and K: {}",
        yes(analytic_best)
    );

    let mut free_never_above = true;
    for variance in VARIANCES {
        let full = costs(&out.join(format!("{variance}.full.schedules.json")))?;
        let free = costs(&out.join(format!("{variance}.free.schedules.json")))?;
        free_never_above &= full
            .iter()
            .zip(&free)
            .all(|((_, full), (_, free))| free <= full);
        let gains: Vec<String> = full
            .iter()
            .zip(&free)
            .map(|((steps, a), (_, b))| format!("K={steps} {:+.5}", b - a))
            .collect();
        println!(
            "  {variance:<12} --start free minus full, on the choosing set: {}",
            gains.join("  ")
        );
    }
    println!(
        "  --start free never above full on the choosing set: {}",
        yes(free_never_above)
    );
    for variance in VARIANCES {
        let mut shown = Vec::new();
        for steps in STEPS.split(',') {
            let path = out.join(format!("{variance}.{steps}.bpd.json"));
            if path.exists() {
                shown.push(format!("K={steps} {:.3}", mean_total(&path)?));
            }
        }
        println!(
            "  {variance:<12} DP re-scored directly on a few test images: {}",
            shown.join("  ")
        );
    }
    Ok(strictly_below && never_above && analytic_best && free_never_above)
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "NO" }
}

/// Mean of `total_bpd` over the images of a direct evaluation.
fn mean_total(path: &Path) -> anyhow::Result<f64> {
    let evaluation = read_json(path)?;
    let totals: Vec<f64> = evaluation["total_bpd"]
        .as_array()
        .with_context(|| format!("{}: expected an array 'total_bpd'", path.display()))?
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    if totals.is_empty() {
        bail!("{}: expected numbers in 'total_bpd'", path.display());
    }
    Ok(totals.iter().sum::<f64>() / totals.len() as f64)
}

/// Steps and cost with the prior of every budget of a schedules file.
fn costs(path: &Path) -> anyhow::Result<Vec<(u64, f64)>> {
    let schedules = read_json(path)?;
    schedules["budgets"]
        .as_array()
        .with_context(|| format!("{}: expected an array 'budgets'", path.display()))?
        .iter()
        .map(|budget| {
            let number = |key: &str| {
                budget[key]
                    .as_f64()
                    .with_context(|| format!("{}: expected a number '{key}'", path.display()))
            };
            Ok((
                number("steps")? as u64,
                number("cost")? + number("prior_bpd")?,
            ))
        })
        .collect()
}

fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}
