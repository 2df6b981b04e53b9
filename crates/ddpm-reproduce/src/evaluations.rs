//! `cargo xtask evaluations`: how much is lost by choosing schedules on few network evaluations.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use xtask::{build_ddpm, cargo, check, root};

use crate::cifar;

/// What schedules lose that are chosen on few network evaluations
///
/// Measures the shipped checkpoint on CIFAR-10 with 8,192 evaluations for each of the seeds 1 to 20 and with 65,536 for
/// seed 21, chooses schedules on each profile and on its first blocks (which are the runs of fewer evaluations), and
/// scores them on the exhaustive reference datasets/cifar10-small.reference.safetensors, those of few steps once more on
/// 1,024 other images, at the nodes of their paths alone. Takes three quarters of an hour on two cores and goes on where it
/// was stopped (runs/evaluations).
///
/// Then it spreads the same evaluations in other ways over images and timesteps, with and without a smoother.
///
/// Writes crates/ddpm-profile/tests/fixtures/evaluations-8192.json, docs/evaluations.json, docs/evaluations.svg and
/// docs/evaluations-layouts.md.
#[derive(clap::Args)]
pub(crate) struct Evaluations {
    /// Where CIFAR-10 is
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Measure the reference anew first: 128 train images at all 4000 timesteps, an hour more
    #[arg(long)]
    reference: bool,
}

/// The seeds of 8,192 evaluations, fixed before the first of them was measured.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=20;
const EVALUATIONS: usize = 8_192;
/// The seed of the long run.
const LONG_SEED: u64 = 21;
const LONG_EVALUATIONS: usize = 65_536;
/// Timesteps of an image where `ddpm profile --evaluations` is told no number of images.
const TIMESTEPS: usize = 32;
/// The seed of the reference, its images, and the shards that it is measured in.
const REFERENCE_SEED: u64 = 2106;
const REFERENCE_IMAGES: usize = 128;
const REFERENCE_SHARDS: usize = 8;

/// Runs the command.
///
/// # Errors
/// CIFAR-10 that cannot be had, or a command that fails.
pub(crate) fn run(args: Evaluations) -> anyhow::Result<()> {
    let data = cifar::find(args.data.as_deref(), false)?;
    if data.is_stand_in() {
        bail!("expected CIFAR-10 in --data or DDPM_DATA: the reference is measured on it");
    }
    let run = Run {
        ddpm: build_ddpm()?,
        data: data.folder(),
        out: root().join("runs/evaluations"),
    };
    std::fs::create_dir_all(&run.out)?;
    let reference = root().join("datasets/cifar10-small.reference.safetensors");
    if args.reference {
        run.reference(&reference)?;
    }
    let mut profiles = Vec::new();
    for seed in SEEDS {
        profiles.push(run.profile(EVALUATIONS, seed)?);
    }
    profiles.push(run.profile(LONG_EVALUATIONS, LONG_SEED)?);
    let losses = root().join("docs/evaluations.json");
    let fixture = root().join("crates/ddpm-profile/tests/fixtures/evaluations-8192.json");
    check(
        example()
            .arg("curve")
            .args([&reference, &fixture, &losses])
            .args(&profiles),
    )?;
    let larger = run.out.join("larger.safetensors");
    let runs = SEEDS
        .map(|seed| (seed, EVALUATIONS))
        .chain([(LONG_SEED, LONG_EVALUATIONS)]);
    let seen = runs
        .map(|(seed, evaluations)| (seed, evaluations / TIMESTEPS))
        .chain([(REFERENCE_SEED, REFERENCE_IMAGES)])
        .map(|(seed, images)| format!("{seed}:{images}"));
    check(
        example()
            .arg("larger")
            .args([
                &losses,
                &larger,
                &reference,
                &fixture,
                &checkpoint(),
                &run.data,
            ])
            .args(seen),
    )?;
    let picture = root().join("docs/evaluations.svg");
    check(example().arg("picture").args([&losses, &picture]))?;
    let layouts = root().join("docs/evaluations-layouts.md");
    check(
        example()
            .arg("layouts")
            .args([&reference, &layouts])
            .args(&profiles),
    )
}

/// The program that computes.
fn example() -> Command {
    let mut command = cargo();
    command.args(["run", "--release", "--quiet", "--example", "evaluations"]);
    command.arg("--");
    command
}

fn checkpoint() -> PathBuf {
    root().join("datasets/cifar10-small.safetensors")
}

struct Run {
    ddpm: PathBuf,
    data: PathBuf,
    out: PathBuf,
}

impl Run {
    /// A profile of so many evaluations, measured if it is not there yet.
    fn profile(&self, evaluations: usize, seed: u64) -> anyhow::Result<PathBuf> {
        let out = self.out.join(format!("{evaluations}-{seed}.safetensors"));
        let (evaluations, seed) = (evaluations.to_string(), seed.to_string());
        let flags = ["--evaluations", &evaluations, "--seed", &seed];
        self.measure(&flags, &out)?;
        Ok(out)
    }

    fn reference(&self, reduced: &Path) -> anyhow::Result<()> {
        let mut shards = Vec::new();
        for i in 0..REFERENCE_SHARDS {
            let out = self.out.join(format!("reference-{i}.safetensors"));
            let (shard, seed) = (
                format!("{i}/{REFERENCE_SHARDS}"),
                REFERENCE_SEED.to_string(),
            );
            let images = REFERENCE_IMAGES.to_string();
            let flags = ["--limit", &images, "--images-per-block", "1"];
            let flags = [&flags[..], &["--seed", &seed, "--shard", &shard]].concat();
            self.measure(&flags, &out)?;
            shards.push(out);
        }
        check(example().arg("reduce").arg(reduced).args(&shards))
    }

    fn measure(&self, flags: &[&str], out: &Path) -> anyhow::Result<()> {
        if out.exists() {
            return Ok(());
        }
        check(
            Command::new(&self.ddpm)
                .arg("profile")
                .arg(checkpoint())
                .arg("--data")
                .arg(&self.data)
                .args(["--split", "train", "--resume"])
                .args(flags)
                .arg("--out")
                .arg(out),
        )
    }
}
