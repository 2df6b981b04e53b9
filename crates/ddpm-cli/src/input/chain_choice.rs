//! The path to follow and the kernel of each of its steps: from a schedules file, or from flags.

use std::path::Path;

use ddpm_core::{DecoderKind, MeanKind, ModelId, Sampler, TimePath, VarianceKind};
use ddpm_profile::{CostModel, Curves, ElboProfile};
use ddpm_schedule::{Kernel, Schedule, Scoring};

use super::chain::{gaussian_decoder, parse_path};
use super::checkpoint::Network;
use super::files::{about_schedules, read_profile_to_use, read_schedules, warn_of_few_images};
use crate::args::StepArgs;
use crate::error::{Error, Located, Result};
use crate::output::Voice;

const ANOTHER_CHAIN: &str =
    "take a file that was made with this checkpoint, or correct --noise-schedule and --train-steps";

/// A schedule with its conventions.
#[derive(Clone, Debug)]
pub(crate) struct ChainChoice {
    pub(crate) schedule: Schedule,
    /// What it was chosen or is scored under, for titles.
    pub(crate) scoring: Scoring,
    pub(crate) clip_denoised: bool,
    /// `[C, H, W]` of the images that the schedule was chosen on, where the file says so.
    pub(crate) image_shape: Option<Vec<usize>>,
    /// The deterministic sampler that the schedule was chosen for; `None` for the ancestral one, and where no file says so.
    pub(crate) sampler: Option<Sampler>,
    /// Whether the kernels are frozen numbers of a file and not just names of variances.
    pub(crate) frozen: bool,
}

/// The flags that choose a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathFlags<'a> {
    pub(crate) schedule: Option<&'a Path>,
    pub(crate) steps: Option<usize>,
    pub(crate) path: Option<&'a str>,
    /// Whether timesteps are 0-based.
    pub(crate) zero_based: bool,
    pub(crate) conventions: &'a StepArgs,
    pub(crate) profile: Option<&'a Path>,
    pub(crate) clip_denoised: Option<bool>,
}

impl ChainChoice {
    /// `--schedule` with `--steps`, or `--path` with the conventions.
    pub(crate) fn of(args: &PathFlags<'_>, network: &Network, voice: Voice) -> Result<Self> {
        match (args.schedule, args.steps) {
            (Some(file), Some(steps)) => Self::from_schedules(file, steps, args, network, voice),
            (Some(_), None) => Err(Error::usage("--schedule needs --steps K")),
            (None, _) => Self::from_flags(args, network, voice),
        }
    }

    /// The schedule of `steps` steps of a schedules file, which has to be for this noise schedule, and for a network that learns
    /// its variance only if this one does.
    fn from_schedules(
        file: &Path,
        steps: usize,
        args: &PathFlags<'_>,
        network: &Network,
        voice: Voice,
    ) -> Result<Self> {
        let schedules = read_schedules(file)?;
        let found = schedules.schedule(steps);
        let mut schedule = found.map_err(|e| about_schedules(e, file))?.clone();
        let (noise, own) = (
            &schedules.noise_schedule,
            network.denoiser().noise_schedule(),
        );
        if !noise.is_close(own) {
            let found = format!(
                "noise schedule: expected the checkpoint's (T={}), found {} with T={}",
                own.train_steps(),
                noise.name_or_custom(),
                noise.train_steps()
            );
            return Err(Error::file(file, found).advised(ANOTHER_CHAIN));
        }
        let model = schedules.model();
        if let Some(model) = model {
            warn_of_another_checkpoint(file, model, network, voice);
        }
        let told = args.clip_denoised.or(schedules.clip_denoised);
        let clip = told.unwrap_or(true);
        warn_of_another_clip(file, schedules.clip_denoised, clip, voice);
        let mut scoring = schedules.scoring;
        let told = args.conventions.decoder_bin_width;
        let bin_width = told.or(scoring.gaussian.bin_width);
        scoring.gaussian = gaussian_decoder(bin_width, None, scoring.decoder)?;
        schedule.bin_width = bin_width;
        network.check_signal_at(schedule.path.end())?;
        let mut steps = schedule.kernels.iter().skip(1);
        if steps.any(Kernel::is_learned) && !network.denoiser().learns_variance() {
            return Err(Error::file(
                file,
                format!(
                    "its {} variance is learned per pixel; expected fixed-small, fixed-large or analytic, because the checkpoint has no variance output",
                    scoring.variance
                ),
            ));
        }
        Ok(Self {
            image_shape: model.map(|model| model.shape.clone()),
            schedule,
            scoring,
            clip_denoised: clip,
            sampler: schedules.sampler,
            frozen: true,
        })
    }

    /// `--path` with `--variance`, `--decoder` and, where they need it, `--profile`.
    fn from_flags(args: &PathFlags<'_>, network: &Network, voice: Voice) -> Result<Self> {
        let noise = network.denoiser().noise_schedule();
        let text = args.path.ok_or_else(|| {
            Error::usage("expected --path PATH, or --schedule S.json with --steps K")
        })?;
        let path = parse_path(text, noise, args.zero_based)?;
        network.check_signal_at(path.end())?;
        let conventions = args.conventions;
        let usual = VarianceKind::of_mean(network.variance(), conventions.mean);
        let variance = conventions.variance.unwrap_or(usual);
        if variance.needs_learned() && !network.denoiser().learns_variance() {
            return Err(Error::flag(
                "--variance",
                format!(
                    "{variance}: the checkpoint has no variance output; expected fixed-small, fixed-large, analytic or spectral"
                ),
            ));
        }
        let mut scoring = Scoring::new(variance);
        if let Some(mean) = conventions.mean {
            scoring = scoring.with_mean(mean);
        }
        if let Some(decoder) = conventions.decoder {
            scoring = scoring.with_decoder(decoder);
        }
        let bin_width = conventions.decoder_bin_width;
        scoring.gaussian = gaussian_decoder(bin_width, None, scoring.decoder)?;
        let clip = args.clip_denoised.unwrap_or_else(|| network.clips());
        scoring.check().map_err(|e| Error::usage(e.to_string()))?;
        let schedule = match args.profile {
            Some(_) if !scoring.is_measured() => {
                // Samples have no decoder to speak of.
                let decoder = match scoring.decoder {
                    DecoderKind::None => String::new(),
                    decoder => format!(" with the {decoder} decoder"),
                };
                return Err(Error::usage(format!(
                    "--profile: nothing of the {}{decoder} is measured; leave it out, or name conventions that need it, such as --variance spectral",
                    scoring.kernel(),
                )));
            }
            Some(file) => measured(file, &scoring, path, network, clip, voice)?,
            None if scoring.is_measured() => {
                let flag = if conventions.mean == Some(MeanKind::Calibrated) {
                    "--mean calibrated".to_owned()
                } else if variance.is_measured() {
                    format!("--variance {variance}")
                } else {
                    format!("--decoder {}", scoring.decoder)
                };
                return Err(Error::usage(format!(
                    "{flag} needs the network's measured errors: --profile P, or --schedule S.json"
                )));
            }
            None => Schedule::of_path(noise, path, &scoring).or_internal()?,
        };
        Ok(Self {
            schedule,
            scoring,
            clip_denoised: clip,
            image_shape: None,
            sampler: None,
            frozen: args.profile.is_some(),
        })
    }
}

/// The path with the kernels that a profile supplies.
pub(crate) fn measured(
    file: &Path,
    scoring: &Scoring,
    path: TimePath,
    network: &Network,
    clip: bool,
    voice: Voice,
) -> Result<Schedule> {
    let profile = profile_of(file, network, scoring.mean, clip, voice)?;
    let curves = Curves::from_profile(&profile).in_file(file)?;
    let frozen = curves.freeze(scoring).in_file(file)?;
    let costs = CostModel::new(&curves, frozen).in_file(file)?;
    Ok(costs.schedule_of(path))
}

/// Reads a profile of this network's process, and says where it is one of another network.
pub(crate) fn profile_of(
    file: &Path,
    network: &Network,
    mean: MeanKind,
    clip: bool,
    voice: Voice,
) -> Result<ElboProfile> {
    let profile = read_profile_to_use(file, voice)?;
    let model = &profile.provenance().model;
    let own = network.denoiser().noise_schedule();
    if !profile.schedule().is_close(own) {
        return Err(Error::file(
            file,
            format!(
                "noise schedule: expected the checkpoint's {} with T={}, found {} with T={}",
                own.name_or_custom(),
                own.train_steps(),
                model.noise_schedule_text(),
                model.train_steps
            ),
        )
        .advised(ANOTHER_CHAIN));
    }
    warn_of_another_checkpoint(file, model, network, voice);
    warn_of_another_clip(file, Some(model.clip_denoised), clip, voice);
    warn_of_few_images(file, &profile, mean, voice);
    Ok(profile)
}

fn warn_of_another_checkpoint(file: &Path, model: &ModelId, network: &Network, voice: Voice) {
    let (theirs, own) = (&model.network, network.denoiser().network_id());
    if *theirs != own {
        voice.warn(format_args!(
            "{} was measured on another checkpoint ({}.., this one is {}..)",
            file.display(),
            theirs.short(),
            own.short()
        ));
    }
}

fn warn_of_another_clip(file: &Path, measured: Option<bool>, used: bool, voice: Voice) {
    if measured.is_some_and(|m| m != used) {
        voice.warn(format_args!(
            "{} was measured with --clip-denoised {}, this run has {used}",
            file.display(),
            !used
        ));
    }
}
