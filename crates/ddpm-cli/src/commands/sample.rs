//! `ddpm sample`: images drawn along a chosen schedule.

use std::path::Path;

use ddpm_core::Denoiser;
use ddpm_eval::{Images, SamplingPlan, write_npz, write_png_folder, write_png_grid};
use serde_json::json;

use crate::args::Sample;
use crate::error::{Error, Result};
use crate::input::{ChainChoice, Network, check_writable};
use crate::output::{self, Voice};
use crate::render::{ProgressLine, clip, plural};

/// Runs the command.
pub(crate) fn run(args: &Sample, voice: Voice) -> Result<()> {
    let network = Network::open(&args.checkpoint)?;
    let choice = ChainChoice::from_schedules(
        &args.schedule,
        args.steps,
        &network,
        args.clip_denoised,
        None,
        voice,
    )?;
    let network = match choice.image_shape {
        Some(shape) => network.fit_to(shape)?,
        None => network,
    };
    let target = Target::of(&args.out)?;
    let count = args.count as usize;
    let labels = labels(args, &network, count)?;
    let plan = SamplingPlan {
        path: choice.path.clone(),
        variance: choice.variance.clone(),
        first: 0,
        count,
        seed: args.seed,
        labels: labels.clone(),
        clip_denoised: choice.clip_denoised,
        batch: network.batch,
    };
    if !matches!(target, Target::Folder) {
        check_writable(&args.out)?;
    }
    let samples = ddpm_eval::sample(
        &network.denoiser,
        network.denoiser.noise_schedule(),
        &plan,
        &ProgressLine::new(voice),
    )?;
    let images = Images::from_samples(samples.view())?;
    match target {
        Target::Grid => write_png_grid(&args.out, &images)?,
        Target::Npz => write_npz(&args.out, &images, labels.as_deref())?,
        Target::Folder => write_png_folder(&args.out, &images, 0)?,
    }
    if args.json {
        return output::print_json(&json!({
            "out": args.out.display().to_string(),
            "count": count,
            "steps": choice.path.steps(),
            "path": choice.path.nodes(),
            "variance": choice.variance_name,
            "clip_denoised": choice.clip_denoised,
            "seed": args.seed,
        }));
    }
    output::print_text(&format!(
        "{}: {} in {}, {} variance, {}, seed {}\n",
        args.out.display(),
        plural(count as u64, "sample"),
        plural(choice.path.steps() as u64, "step"),
        choice.variance_name,
        clip(Some(choice.clip_denoised)),
        args.seed
    ))
}

/// What is written where.
enum Target {
    Grid,
    Npz,
    Folder,
}

impl Target {
    /// By the ending of the path; one without an ending is a folder.
    fn of(out: &Path) -> Result<Self> {
        match out.extension().and_then(|e| e.to_str()) {
            _ if out.is_dir() => Ok(Self::Folder),
            Some("png") => Ok(Self::Grid),
            Some("npz") => Ok(Self::Npz),
            None => Ok(Self::Folder),
            Some(_) => Err(Error::flag(
                "--out",
                format!("{}: expected FILE.png, FILE.npz or a folder", out.display()),
            )),
        }
    }
}

/// One class per image for a class-conditional network: the one asked for, or all in turn.
fn labels(args: &Sample, network: &Network, count: usize) -> Result<Option<Vec<usize>>> {
    match (network.denoiser.num_classes(), args.class) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::flag(
            "--class",
            "the network is not class-conditional",
        )),
        (Some(classes), None) => Ok(Some((0..count).map(|i| i % classes).collect())),
        (Some(classes), Some(class)) if class < classes => Ok(Some(vec![class; count])),
        (Some(classes), Some(class)) => Err(Error::flag(
            "--class",
            format!("expected a class below {classes}, found {class}"),
        )),
    }
}
