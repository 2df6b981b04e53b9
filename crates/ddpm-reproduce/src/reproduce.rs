//! `cargo xtask reproduce-cifar`: the paper's Tables 3 and 5 for a real checkpoint, stage by stage.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use ddpm_schedule::results::Headline;

use xtask::{build_ddpm, check, root};

use crate::cifar::{self, Data};
use crate::estimate;
use crate::findings::{self, STEPS, VARIANCES};
use crate::headline;
use crate::pictures::{self, Pictures};
use crate::rescoring::{Rescoring, STRIDES};
use crate::results::read;
use crate::samples::{self, Samples};
use crate::samples_size::{self, Size, Steps};
use crate::samples_table::SamplesTable;
use crate::stage::{Hashes, Runner, Stage};

/// The whole job on CIFAR-10: data, checkpoint, profiles, schedules, tables
///
/// Runs the whole job on CIFAR-10: finds the data, looks at the checkpoint, profiles it on train and on test images,
/// solves for the optimal schedules of every step budget, prints the paper's Table 3 (even / quadratic / DP, for every
/// variance, with standard errors) and scores every schedule in it once more without the profiles, by running the
/// network along each path. Then it draws samples with the schedules and prints the paper's Table 5 (even / quadratic /
/// DP for the ELBO and for the reweighted error, DDPM and DDIM, Frechet distances with jackknife standard errors) and
/// pictures of the same noise along every schedule. report.html shows it all. A second run starts where the first
/// stopped.
///
/// Table 5 needs a feature network: the weights of --features, of DDPM_FEATURES, or
/// ../shared/features/cifar-resnet56.safetensors beside the repository; without one it is left out. By default it is
/// 1,024 samples of each of 8 schedules at K = 5 and 10: 123,000 network evaluations, 18 minutes on two cores at 9 ms
/// each.
#[derive(clap::Args)]
pub(crate) struct Reproduce {
    /// All 50,000 train and 10,000 test images at 256 timesteps; 50,000 samples at K = 8 to 256, which are 200 million
    /// evaluations (see --no-samples, --samples)
    #[arg(long)]
    full: bool,
    /// Every timestep instead of a subset
    #[arg(long)]
    exhaustive: bool,
    /// A run of some minutes that exercises every stage; its numbers mean little
    #[arg(long, conflicts_with = "full")]
    smoke: bool,
    /// Images of each split (default 128)
    #[arg(long, value_name = "N")]
    images: Option<u64>,
    /// Timesteps evaluated per image (default 64)
    #[arg(long, value_name = "N", conflicts_with = "exhaustive")]
    timesteps: Option<u64>,
    /// Test images for the direct re-scoring (default 2)
    #[arg(long, value_name = "N")]
    rescored: Option<u64>,
    /// Leave Table 5 out
    #[arg(long)]
    no_samples: bool,
    /// Samples of each schedule (default 1024); distances of different N do not compare
    #[arg(long, value_name = "N", value_parser = samples_size::images)]
    samples: Option<u64>,
    /// Numbers of steps of Table 5 (default 5,10)
    #[arg(long, value_name = "K,..")]
    sample_steps: Option<Steps>,
    /// Weights of the feature network
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Only Table 5, with schedules chosen on the profile P, such as datasets/cifar10-small.train.profile.safetensors
    #[arg(long, value_name = "P", conflicts_with = "no_samples")]
    only_samples: Option<PathBuf>,
    /// A folder with CIFAR-10 (else $DDPM_DATA, the cache, a download)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Use the repository's stand-in images even where CIFAR-10 is at hand
    #[arg(long, conflicts_with = "data")]
    stand_in: bool,
    /// Do not try to download
    #[arg(long)]
    offline: bool,
    /// Another checkpoint than the one that ships
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Seed of the image order and of all noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Threads (default: all)
    #[arg(long, value_name = "N")]
    threads: Option<u64>,
    /// Where the results go (default runs/reproduce-cifar, of --smoke runs/reproduce-cifar-smoke)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Forget earlier results in --out
    #[arg(long)]
    fresh: bool,
}

/// Where the results of a run go.
const RUN: &str = "runs/reproduce-cifar";
/// Those of a smoke run, whose profiles no other run can take.
const SMOKE: &str = "runs/reproduce-cifar-smoke";

const NO_FEATURES: &str = "needs a feature network: expected --features FILE, DDPM_FEATURES, or \
    ../shared/features/cifar-resnet56.safetensors beside the repository";

struct Plan {
    out: PathBuf,
    checkpoint: PathBuf,
    images: Option<u64>,
    timesteps: Option<u64>,
    rescored: u64,
    seed: u64,
    threads: Option<u64>,
}

impl Plan {
    fn of(args: &Reproduce) -> Self {
        let (images, timesteps, rescored) = if args.smoke {
            (32, 20, 1)
        } else {
            (128, 64, 2)
        };
        let timesteps = if args.full { 256 } else { timesteps };
        Self {
            out: args
                .out
                .clone()
                .unwrap_or_else(|| root().join(if args.smoke { SMOKE } else { RUN })),
            checkpoint: args
                .checkpoint
                .clone()
                .unwrap_or_else(|| root().join("datasets/cifar10-small.safetensors")),
            images: args.images.or((!args.full).then_some(images)),
            timesteps: (!args.exhaustive).then(|| args.timesteps.unwrap_or(timesteps)),
            rescored: args.rescored.unwrap_or(rescored),
            seed: args.seed,
            threads: args.threads,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A stage that fails, or a table that does not show what the paper found.
pub(crate) fn run(args: Reproduce) -> anyhow::Result<()> {
    let plan = Plan::of(&args);
    let size = Size::new(args.full, args.smoke, args.samples, args.sample_steps);
    // A file that is not there is better known now than after the first hour.
    let features = if args.no_samples {
        None
    } else {
        samples::find_features(args.features.as_deref())?
    };
    if args.only_samples.is_some() && features.is_none() {
        bail!("--only-samples: {NO_FEATURES}");
    }

    let begun = Instant::now();
    if args.fresh && plan.out.exists() {
        fs::remove_dir_all(&plan.out)
            .with_context(|| format!("failed to remove {}", plan.out.display()))?;
    }
    let stamps = plan.out.join("stamps");
    fs::create_dir_all(&stamps)
        .with_context(|| format!("failed to create {}", stamps.display()))?;

    println!("== build");
    let ddpm = build_ddpm()?;

    println!("== data");
    let data = if args.stand_in {
        Data::StandIn("--stand-in was given".into())
    } else {
        cifar::find(args.data.as_deref(), !args.offline)?
    };
    let folder = data.folder();
    let what = match &data {
        Data::Cifar10(_) => "real CIFAR-10".to_owned(),
        Data::StandIn(why) => format!(
            "NOT CIFAR-10 but the stand-in set of this repository (samples of the shipped checkpoint), because {why}"
        ),
    };
    println!("   {what}\n   {}", folder.display());
    if data.is_stand_in() {
        println!(
            "   bits/dim on it are not those of photographs (32 steps: 4.28 instead of 3.85): compare strides, not papers"
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
    let runner = Runner {
        ddpm: &ddpm,
        threads: plan.threads,
        stamps: &stamps,
        hashes: &job.hashes,
        part: "",
    };
    let of_table5 = features.as_ref().map_or(0, |_| size.evaluations());
    let samples = |profile: PathBuf| {
        features.map(|features| Samples {
            runner: Runner {
                part: "samples-",
                ..runner
            },
            checkpoint: &plan.checkpoint,
            profile,
            data: &folder,
            stand_in: data.is_stand_in(),
            features,
            folder: plan.out.join("samples"),
            size,
            seed: plan.seed,
        })
    };
    if let Some(profile) = args.only_samples {
        if let Some(samples) = samples(profile) {
            let table = samples.run()?;
            table.publish(&plan.out, samples.seed)?;
            print_samples(&table);
        }
        job.report()?;
        finish(&plan.out, begun);
        return Ok(());
    }
    let rescored = Rescoring {
        folder: plan.out.clone(),
        images: plan.rescored,
        stand_in: data.is_stand_in(),
        budgets: if args.smoke {
            vec!["8"]
        } else {
            vec!["8", "16", "32", "64"]
        },
        long_budgets: if args.smoke {
            vec![]
        } else {
            vec!["128", "256"]
        },
    };
    println!("== estimate");
    let timesteps = match plan.timesteps {
        Some(timesteps) => timesteps,
        None => estimate::train_steps(&runner, &plan.checkpoint)?,
    };
    let of_profiles = (splits.train + splits.test) * timesteps;
    let all = of_profiles + rescored.evaluations() + pictures::evaluations() + of_table5;
    let each = estimate::seconds_per_evaluation(&runner, &plan.checkpoint)?;
    println!("   {}", estimate::text(all, each));
    job.profile("train", splits.train)?;
    job.profile("test", splits.test)?;
    for variance in VARIANCES {
        for start in ["full", "free"] {
            job.schedule(variance, start)?;
        }
    }
    job.table()?;
    job.rescore(&rescored)?;
    Pictures {
        runner: Runner {
            part: "grid-",
            ..runner
        },
        checkpoint: &plan.checkpoint,
        profile: job.profile_path("train"),
        folder: plan.out.join("grids"),
        seed: plan.seed,
    }
    .run()?;
    let samples = match samples(job.profile_path("train")) {
        Some(samples) => {
            let table = samples.run()?;
            table.publish(&plan.out, samples.seed)?;
            Some(table)
        }
        None if args.no_samples => None,
        None => {
            println!("== samples: skipped: {NO_FEATURES}");
            None
        }
    };
    job.report()?;

    println!("\nData: {what}\n");
    print!("{}", fs::read_to_string(plan.out.join("table.txt"))?);
    print!("\n{}", findings::METHODS);
    println!("\nUnder one decoder:\n");
    print!(
        "{}",
        fs::read_to_string(plan.out.join("table-one-decoder.txt"))?
    );
    println!("\n{rescored}", rescored = rescored.table()?);
    println!("{}", headline::text(&plan.out)?);
    println!("Checks");
    let in_table = findings::print(&plan.out)?;
    let directly = rescored.print_findings()?;
    let holds = in_table && directly;
    if data.is_stand_in() {
        job.shipped_table()?;
    }
    if let Some(samples) = &samples {
        print_samples(samples);
    }
    finish(&plan.out, begun);
    print_card(&plan.out)?;
    // A smoke run has too few images and timesteps to be held to the paper's findings.
    if !holds && !args.smoke {
        bail!("the table does not show what the paper found: see the checks above");
    }
    Ok(())
}

fn print_samples(table: &SamplesTable) {
    println!("\n{}\nSamples", table.markdown());
    print!("{}", table.findings());
}

/// What was found, in five lines.
fn print_card(out: &Path) -> anyhow::Result<()> {
    let found: Headline = read(&out.join("report.files/card.json"))?;
    let page = out.join("report.html").display().to_string();
    println!("\n{}", found.lines(&page).join("\n"));
    Ok(())
}

fn finish(out: &Path, begun: Instant) {
    println!(
        "\nResults in {} ({:.1} minutes)",
        out.display(),
        begun.elapsed().as_secs_f64() / 60.0
    );
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
            .args(["--start", start, "--json", "--force", "--out"])
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
        self.one_table("table.txt", STEPS, &["--start", "free"])?;
        self.one_table("table.json", STEPS, &["--start", "free", "--json"])?;
        // Under the default decoders the variances differ in two ways; under one decoder, in one.
        let shared = ["--decoder", "optimal"];
        self.one_table("table-one-decoder.txt", STEPS, &shared)?;
        let json = [&shared[..], &["--json"]].concat();
        self.one_table("table-one-decoder.json", STEPS, &json)?;
        for table in &headline::TABLES {
            self.one_table(table.file, &headline::steps(), table.options)?;
        }
        Ok(())
    }

    fn one_table(&self, name: &str, steps: &str, options: &[&str]) -> anyhow::Result<()> {
        let (train, test) = (self.profile_path("train"), self.profile_path("test"));
        let mut command = self.command("table");
        command
            .arg(&train)
            .arg(&test)
            .args(["--steps", steps])
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
    fn rescore(&self, rescoring: &Rescoring) -> anyhow::Result<()> {
        println!(
            "== re-scoring: every schedule of the table on {} (all steps at once would take hours and is left out)",
            rescoring.what()
        );
        for variance in VARIANCES {
            for stride in STRIDES {
                for steps in rescoring.budgets_of(variance) {
                    self.rescore_one(rescoring, variance, stride, steps)?;
                }
            }
        }
        Ok(())
    }

    fn rescore_one(
        &self,
        rescoring: &Rescoring,
        variance: &str,
        stride: &str,
        steps: &str,
    ) -> anyhow::Result<()> {
        let mut inputs = vec![
            self.ddpm.to_owned(),
            self.plan.checkpoint.clone(),
            self.data.to_owned(),
        ];
        let mut command = self.command("bpd");
        command
            .arg(&self.plan.checkpoint)
            .arg("--data")
            .arg(self.data);
        command.args(["--split", "test", "--limit", &rescoring.images.to_string()]);
        command.args(["--seed", &self.plan.seed.to_string()]);
        let start = match stride {
            "dp" => Some("full"),
            "dp-free" => Some("free"),
            _ => None,
        };
        match start {
            Some(start) => {
                let schedule = self.schedule_path(variance, start);
                command.arg("--schedule").arg(&schedule);
                command.args(["--steps", steps]);
                inputs.push(schedule);
            }
            None => {
                command.args(["--path", &format!("{stride}:{steps}")]);
                command.args(["--variance", variance]);
                if !["learned", "fixed-small", "fixed-large"].contains(&variance) {
                    let profile = self.profile_path("train");
                    command.arg("--profile").arg(&profile);
                    inputs.push(profile);
                }
            }
        }
        command.arg("--json");
        self.threads(&mut command);
        Stage {
            name: &format!("rescore-{variance}-{stride}-{steps}"),
            inputs,
            outputs: vec![],
            command,
            stdout: Some(rescoring.file(variance, stride, steps)),
        }
        .run(self.stamps, &self.hashes)
    }

    /// One page of everything that lies in the folder by now.
    fn report(&self) -> anyhow::Result<()> {
        let out = self.out("report.html");
        let mut inputs = fs::read_dir(&self.plan.out)
            .with_context(|| format!("failed to read {}", self.plan.out.display()))?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<Vec<_>, _>>()?;
        inputs.retain(|path| path.is_file() && *path != out);
        let grids = self.out("grids");
        if grids.is_dir() {
            inputs.push(grids);
        }
        inputs.push(self.ddpm.to_owned());
        inputs.sort();
        let mut command = self.command("report");
        command.arg(&self.plan.out);
        Stage {
            name: "report",
            inputs,
            outputs: vec![out, self.out("report.files/card.json")],
            command,
            stdout: None,
        }
        .run(self.stamps, &self.hashes)
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
        check(&mut command)
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("   {line}\n")).collect()
}
