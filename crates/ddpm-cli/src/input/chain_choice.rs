//! The path to follow and the variance of each of its steps: from a schedules file, or from flags.

use std::path::Path as FilePath;

use ddpm_core::{Denoiser, FlowSolver, NoiseSchedule, Path, VarianceKind};
use ddpm_eval::{PathDecoder, PathVariance};
use ddpm_profile::{Curves, DecoderKind, Schedules};

use super::chain::parse_path;
use super::checkpoint::Network;
use super::conventions::{GaussianDecoder, default_decoder, elbo};
use super::profile::{find_budget, read_profile_to_use, read_schedules};
use crate::args::StepArgs;
use crate::error::{Error, Located, Result};
use crate::output::Voice;

const ANOTHER_CHAIN: &str =
    "take a file that was made with this checkpoint, or correct --noise-schedule and --train-steps";

/// A path with its conventions.
#[derive(Clone, Debug)]
pub(crate) struct ChainChoice {
    pub(crate) path: Path,
    pub(crate) variance: PathVariance,
    pub(crate) decoder: PathDecoder,
    pub(crate) clip_denoised: bool,
    /// `[C, H, W]` of the images that the schedule was chosen on, where the file says so.
    pub(crate) image_shape: Option<Vec<usize>>,
    /// The convention's names, for titles.
    pub(crate) variance_name: String,
    pub(crate) decoder_name: String,
    /// The decoder that a path of so many steps is scored with.
    pub(crate) scored_decoder: String,
    /// The deterministic sampler that the schedule was chosen for; `None` for the ancestral one, and where no file says so.
    pub(crate) sampler: Option<FlowSolver>,
}

/// The flags that choose a path without a schedules file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathFlags<'a> {
    /// `--path`.
    pub(crate) path: Option<&'a str>,
    /// Whether its timesteps are 0-based.
    pub(crate) zero_based: bool,
    pub(crate) conventions: &'a StepArgs,
    /// `--profile`.
    pub(crate) profile: Option<&'a FilePath>,
    pub(crate) clip_denoised: Option<bool>,
}

impl ChainChoice {
    /// The schedule of `steps` steps of a schedules file.
    ///
    /// # Errors
    /// A file that cannot be read, lacks the budget, or was made for another noise schedule or a network that learns its
    /// variance when this one does not.
    pub(crate) fn from_schedules(
        file: &FilePath,
        steps: usize,
        network: &Network,
        clip_denoised: Option<bool>,
        bin_width: Option<f64>,
        voice: Voice,
    ) -> Result<Self> {
        let schedules = read_schedules(file)?;
        let budget = find_budget(&schedules, steps, file)?;
        check_chain(&schedules, network.denoiser.noise_schedule())
            .map_err(|message| Error::file(file, message).advised(ANOTHER_CHAIN))?;
        if let Some(p) = &schedules.provenance {
            warn_of_another_checkpoint(file, &p.checkpoint_sha256, network, voice);
        }
        if let Some(origin) = &schedules.trajectories {
            warn_of_another_checkpoint(file, &origin.checkpoint_sha256, network, voice);
        }
        let clip = clip_denoised.or(schedules.clip_denoised).unwrap_or(true);
        warn_of_another_clip(file, schedules.clip_denoised, clip, voice);
        let kind: DecoderKind = schedules.decoder.parse().in_file(file)?;
        GaussianDecoder {
            bin_width,
            first_bits: None,
        }
        .check(kind)?;
        let path = Path::new(budget.path.clone(), schedules.train_steps).in_file(file)?;
        network.check_signal_at(path.end())?;
        let log_variance = budget.log_variance.clone();
        if log_variance.iter().skip(1).any(Option::is_none) && !network.denoiser.learns_variance() {
            return Err(Error::file(
                file,
                format!(
                    "its {} variance is learned per pixel; expected fixed-small, fixed-large or analytic, because the checkpoint has no variance output",
                    schedules.variance
                ),
            ));
        }
        Ok(Self {
            path,
            variance: PathVariance::LogVariances(without_gap(log_variance, kind)),
            decoder: path_decoder(kind, bin_width),
            clip_denoised: clip,
            image_shape: match (&schedules.provenance, &schedules.trajectories) {
                (Some(p), _) => Some(p.image_shape.clone()),
                (None, Some(origin)) => Some(origin.image_shape.clone()),
                (None, None) => None,
            },
            variance_name: schedules.variance.clone(),
            decoder_name: schedules.decoder.clone(),
            scored_decoder: budget.scored_decoder.clone(),
            sampler: match &schedules.sampler {
                Some(name) => Some(name.parse().in_file(file)?),
                None => None,
            },
        })
    }

    /// `--path` with `--variance`, `--decoder` and, where they need it, `--profile`.
    ///
    /// # Errors
    /// A path that is none, a convention that needs a profile without one, or one that the network cannot serve.
    pub(crate) fn from_flags(
        args: &PathFlags<'_>,
        network: &Network,
        voice: Voice,
    ) -> Result<Self> {
        let schedule = network.denoiser.noise_schedule();
        let text = args.path.ok_or_else(|| {
            Error::usage("expected --path PATH, or --schedule S.json with --steps K")
        })?;
        let path = parse_path(text, schedule, args.zero_based)?;
        network.check_signal_at(path.end())?;
        let learned = network.denoiser.learns_variance();
        let variance = args
            .conventions
            .variance
            .map_or_else(|| network.variance(), VarianceKind::from);
        if variance == VarianceKind::Learned && !learned {
            return Err(Error::flag(
                "--variance",
                "learned: the checkpoint has no variance output; expected fixed-small, fixed-large or analytic",
            ));
        }
        let kind = args
            .conventions
            .decoder
            .map_or_else(|| default_decoder(variance), DecoderKind::from);
        let gaussian = GaussianDecoder {
            bin_width: args.conventions.decoder_bin_width,
            first_bits: None,
        }
        .check(kind)?;
        let clip = args.clip_denoised.unwrap_or_else(|| network.clips());
        let (variance_of_path, decoder_of_path) = match args.profile {
            Some(file) => {
                let log_variances =
                    measured(file, variance, kind, gaussian, &path, network, clip, voice)?;
                (
                    PathVariance::LogVariances(without_gap(log_variances, kind)),
                    path_decoder(kind, gaussian.bin_width),
                )
            }
            None => (
                path_variance(variance)?,
                match kind {
                    DecoderKind::Optimal => {
                        return Err(Error::usage(
                            "--decoder optimal needs --profile P, or --schedule S.json",
                        ));
                    }
                    DecoderKind::Marginal => PathDecoder::Marginal,
                    kind => path_decoder(kind, gaussian.bin_width),
                },
            ),
        };
        Ok(Self {
            scored_decoder: kind.for_steps(path.steps()).to_string(),
            path,
            variance: variance_of_path,
            decoder: decoder_of_path,
            clip_denoised: clip,
            image_shape: None,
            variance_name: variance.to_string(),
            decoder_name: kind.to_string(),
            sampler: None,
        })
    }
}

/// The variances that need no measurement.
fn path_variance(kind: VarianceKind) -> Result<PathVariance> {
    match kind {
        VarianceKind::Learned => Ok(PathVariance::Learned),
        VarianceKind::FixedSmall => Ok(PathVariance::FixedSmall),
        VarianceKind::FixedLarge => Ok(PathVariance::FixedLarge),
        VarianceKind::Analytic => Err(Error::usage(
            "--variance analytic needs the network's measured errors: --profile P, or --schedule S.json",
        )),
    }
}

/// The decoder where the first log-variance of the path is the decoder's.
fn path_decoder(kind: DecoderKind, bin_width: Option<f64>) -> PathDecoder {
    match kind {
        DecoderKind::Gaussian => PathDecoder::Gaussian { bin_width },
        DecoderKind::None => PathDecoder::None,
        _ => PathDecoder::Respaced,
    }
}

/// Without a decoder term its step has no variance; any number keeps its place.
fn without_gap(mut log_variance: Vec<Option<f64>>, decoder: DecoderKind) -> Vec<Option<f64>> {
    if decoder == DecoderKind::None
        && let Some(first) = log_variance.first_mut()
    {
        first.get_or_insert(0.0);
    }
    log_variance
}

/// The log-variances of a path under variances or decoders that a profile supplies.
fn measured(
    file: &FilePath,
    variance: VarianceKind,
    kind: DecoderKind,
    gaussian: GaussianDecoder,
    path: &Path,
    network: &Network,
    clip: bool,
    voice: Voice,
) -> Result<Vec<Option<f64>>> {
    let profile = read_profile_to_use(file, voice)?;
    let p = profile.provenance();
    let network_schedule = network.denoiser.noise_schedule();
    if !same_chain(profile.schedule(), network_schedule) {
        return Err(Error::file(
            file,
            format!(
                "noise schedule: expected the checkpoint's {} with T={}, found {} with T={}",
                network_schedule.name_or_custom(),
                network_schedule.train_steps(),
                p.noise_schedule,
                p.train_steps
            ),
        )
        .advised(ANOTHER_CHAIN));
    }
    warn_of_another_checkpoint(file, &p.checkpoint_sha256, network, voice);
    warn_of_another_clip(file, Some(p.clip_denoised), clip, voice);
    let curves = Curves::from_profile(&profile).in_file(file)?;
    let model = elbo(&curves, variance, kind, gaussian).in_file(file)?;
    Ok(model.log_variances(path))
}

/// Refuses a schedules file made for another chain.
fn check_chain(schedules: &Schedules, network: &NoiseSchedule) -> std::result::Result<(), String> {
    let wrong = |found: String| {
        Err(format!(
            "noise schedule: expected the checkpoint's (T={}), found {found}",
            network.train_steps()
        ))
    };
    match schedules.schedule() {
        Err(error) => Err(error.to_string()),
        Ok(schedule) if same_chain(&schedule, network) => Ok(()),
        Ok(schedule) => wrong(format!(
            "{} with T={}",
            schedules.noise_schedule,
            schedule.train_steps()
        )),
    }
}

/// Whether two chains are the same up to the rounding of a stored alpha_bar.
fn same_chain(a: &NoiseSchedule, b: &NoiseSchedule) -> bool {
    a.train_steps() == b.train_steps()
        && (1..=a.train_steps()).all(|t| {
            let (x, y) = (a.log_alpha_bar(t), b.log_alpha_bar(t));
            x == y || (x - y).abs() <= 1e-9 * y.abs()
        })
}

fn warn_of_another_checkpoint(file: &FilePath, sha256: &str, network: &Network, voice: Voice) {
    let own = network.denoiser.checkpoint_sha256().unwrap_or_default();
    if sha256 != own {
        voice.warn(format_args!(
            "{} was measured on another checkpoint ({}.., this one is {}..)",
            file.display(),
            sha256.get(..12).unwrap_or(sha256),
            own.get(..12).unwrap_or(own)
        ));
    }
}

fn warn_of_another_clip(file: &FilePath, measured: Option<bool>, used: bool, voice: Voice) {
    if measured.is_some_and(|m| m != used) {
        voice.warn(format_args!(
            "{} was measured with --clip-denoised {}, this run has {used}",
            file.display(),
            !used
        ));
    }
}
