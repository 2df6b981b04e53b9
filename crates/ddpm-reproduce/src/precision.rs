//! `cargo xtask bench --precision`: what bf16 does to the bits/dim of the optimal schedules.

use std::process::Command;

use anyhow::{Context, bail};

use xtask::{build_ddpm, check, root};

use crate::cifar;
use crate::findings::STEPS;
use crate::results::mean_total;

/// How much bits/dim may change.
const LIMIT: f64 = 0.01;

/// What bf16 does to the bits/dim of the optimal schedules (`cargo xtask bench --precision`)
///
/// Evaluates the shipped checkpoint along its optimal schedules in f32 and in bf16, on the same images and noise.
#[derive(clap::Args)]
pub(crate) struct Precision {
    /// Test images
    #[arg(long, value_name = "N", default_value_t = 32)]
    images: u64,
}

/// Runs the command.
///
/// # Errors
/// A command that fails, or a difference beyond the limit.
pub(crate) fn run(Precision { images }: Precision) -> anyhow::Result<()> {
    let ddpm = build_ddpm()?;
    let data = cifar::find(None, false)?;
    let what = if data.is_stand_in() {
        "images of the STAND-IN, not CIFAR-10"
    } else {
        "CIFAR-10 test images"
    };
    let datasets = root().join("datasets");
    let schedules = root().join("target/precision.schedules.json");
    check(
        Command::new(&ddpm)
            .args(["schedule", "--quiet", "--steps", STEPS])
            .arg(datasets.join("cifar10-small.train.profile.safetensors"))
            .args(["--force", "--out"])
            .arg(&schedules),
    )?;
    println!("\nbits/dim of the optimal schedules (learned variance), mean over {images} {what}");
    println!("{:>5} {:>9} {:>9} {:>10}", "K", "f32", "bf16", "bf16 - f32");
    let mut worst = 0f64;
    for steps in STEPS.split(',') {
        let mut means = [0.0; 2];
        for (mean, precision) in means.iter_mut().zip(["f32", "bf16"]) {
            let output = Command::new(&ddpm)
                .arg("bpd")
                .arg(datasets.join("cifar10-small.safetensors"))
                .arg("--data")
                .arg(data.folder())
                .args(["--split", "test", "--limit", &images.to_string()])
                .arg("--schedule")
                .arg(&schedules)
                .args([
                    "--steps",
                    steps,
                    "--precision",
                    precision,
                    "--json",
                    "--quiet",
                ])
                .output()
                .context("failed to start ddpm bpd")?;
            if !output.status.success() {
                bail!("ddpm bpd: {}", String::from_utf8_lossy(&output.stderr));
            }
            *mean = mean_total(&serde_json::from_slice(&output.stdout)?, images)?;
        }
        let [f32, bf16] = means;
        println!("{steps:>5} {f32:>9.4} {bf16:>9.4} {:>+10.5}", bf16 - f32);
        worst = worst.max((bf16 - f32).abs());
    }
    println!("largest difference {worst:.5}, at most {LIMIT} allowed");
    if worst > LIMIT {
        bail!("bf16 changes bits/dim by {worst:.5}, more than {LIMIT}");
    }
    Ok(())
}
