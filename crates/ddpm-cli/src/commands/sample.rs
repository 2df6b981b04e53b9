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
        args.clip.clip_denoised,
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
    match target {
        Target::Folder => prepare_folder(&args.out)?,
        Target::Grid | Target::Npz => check_writable(&args.out)?,
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
            "precision": network.precision(),
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

/// Makes sure, before any time is spent, that the folder takes files and that all the samples in it will be of this run.
///
/// # Errors
/// A folder that cannot be written, or that holds PNG files already: those that are not overwritten would pass for samples
/// of this run.
fn prepare_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::write(folder, source))?;
    let entries = std::fs::read_dir(folder).map_err(|source| Error::read(folder, source))?;
    let mut pngs = 0;
    for entry in entries {
        let path = entry.map_err(|source| Error::read(folder, source))?.path();
        pngs += u64::from(
            path.extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("png")),
        );
    }
    if pngs > 0 {
        return Err(Error::file(
            folder,
            format!(
                "expected a new folder or one without images, found {}; remove them or name another --out",
                plural(pngs, "PNG file")
            ),
        ));
    }
    check_writable(&folder.join("000000.png"))
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
