//! `ddpm sample`: images drawn along a chosen schedule, resumable image by image.

mod record;
mod store;

use std::path::{Path, PathBuf};

use ddpm_core::{Denoiser, FlowSolver};
use ddpm_eval::{PathVariance, Sampler, SamplingPlan, sample_in_batches};
use serde_json::json;

use self::record::Record;
use self::store::Store;
use crate::args::{DecoderArg, Sample, SamplerArg, StepArgs};
use crate::error::{Error, Result};
use crate::input::{ChainChoice, Network, OutputLock, PathFlags};
use crate::interrupt::StopRequest;
use crate::output::{self, Voice};
use crate::render::{ProgressLine, clip, command_that_resumes, plural};

/// Runs the command.
pub(crate) fn run(args: &Sample, voice: Voice) -> Result<()> {
    check_flags(args)?;
    let store = Store::of(&args.out)?;
    let network = Network::open(&args.checkpoint)?;
    let choice = choose(args, &network, voice)?;
    let network = match &choice.image_shape {
        Some(shape) => network.fit_to(shape)?,
        None => network,
    };
    let channels = network.denoiser.shape()[0];
    if !matches!(channels, 1 | 3) {
        return Err(Error::Input(format!(
            "the network makes images of {channels} channels; expected 1 or 3, which PNG and .npz samples can hold"
        )));
    }
    let kind = sampler_of(args, &choice, voice);
    check_sampler(args, kind)?;
    let sampler = sampler(args, kind, &choice);
    let record = describe(args, &network, &choice, &sampler)?;
    let labels = labels(&network, &record)?;

    store.check_place()?;
    let _lock = OutputLock::take(store.out(), voice)?;
    if args.resume && store.is_done(&record) {
        voice.note(format_args!("{} is complete", store.out().display()));
        return report(args, &store, &record, record.count);
    }
    let earlier = store.earlier(&record, args.resume)?;
    let wanted = record.start_index..record.start_index + record.count;
    let missing: Vec<usize> = wanted
        .filter(|index| earlier.binary_search(index).is_err())
        .collect();
    record.write(store.out())?;
    if !missing.is_empty() {
        let plan = SamplingPlan {
            path: choice.path.clone(),
            sampler,
            clip_last_noise: args.clip_last_noise,
            labels: labels.as_ref().map(|labels| {
                let label = |&index: &usize| labels[index - record.start_index];
                missing.iter().map(label).collect()
            }),
            images: missing,
            seed: record.seed,
            clip_denoised: choice.clip_denoised,
            batch: network.batch,
        };
        let stop = StopRequest::watch().map_err(|source| Error::System {
            action: "watch for Ctrl-C".to_owned(),
            source,
        })?;
        let network = &network.denoiser;
        sample_in_batches(
            network,
            &plan,
            &ProgressLine::new(voice).stopping_on(stop),
            &mut |at, samples| store.keep(&plan.images[at..at + samples.shape()[0]], samples),
        )
        .map_err(|error| match error {
            ddpm_eval::Error::Interrupted => Error::Interrupted {
                partial: store.kept(),
                resume: command_that_resumes(),
            },
            error => error.into(),
        })?;
    }
    store.finish(&record, labels.as_deref())?;
    report(args, &store, &record, earlier.len())
}

/// Flags that say nothing together.
fn check_flags(args: &Sample) -> Result<()> {
    // clap leaves this to us: --path stands against the flag that --steps needs.
    if args.steps.is_some() && args.schedule.is_none() {
        return Err(Error::usage("--steps goes with --schedule"));
    }
    if let Some(eta) = args.eta
        && !(0.0..=1.0).contains(&eta)
    {
        return Err(Error::flag(
            "--eta",
            format!("expected a number in [0, 1], found {eta}"),
        ));
    }
    if let Some(levels) = args.clip_last_noise
        && !(levels >= 0.0 && levels.is_finite())
    {
        return Err(Error::flag(
            "--clip-last-noise",
            format!("expected a number of levels of at least 0, found {levels}"),
        ));
    }
    Ok(())
}

/// The path, from a schedules file or from flags.
fn choose(args: &Sample, network: &Network, voice: Voice) -> Result<ChainChoice> {
    match (&args.schedule, args.steps) {
        (Some(file), Some(steps)) => {
            ChainChoice::from_schedules(file, steps, network, args.clip.clip_denoised, None, voice)
        }
        (Some(_), None) => Err(Error::usage("--schedule needs --steps K")),
        (None, _) => {
            // Nothing is scored.
            let conventions = StepArgs {
                variance: args.variance,
                decoder: Some(DecoderArg::None),
                decoder_bin_width: None,
            };
            let flags = PathFlags {
                path: args.path.as_deref(),
                zero_based: args.zero_based,
                conventions: &conventions,
                profile: args.profile.as_deref(),
                clip_denoised: args.clip.clip_denoised,
            };
            ChainChoice::from_flags(&flags, network, voice)
        }
    }
}

/// The sampler asked for, or that the schedule was chosen for.
fn sampler_of(args: &Sample, choice: &ChainChoice, voice: Voice) -> SamplerArg {
    let chosen_for = choice.sampler.map(|sampler| match sampler {
        FlowSolver::Ddim => SamplerArg::Ddim,
        FlowSolver::DpmSolver2M => SamplerArg::DpmSolver,
    });
    match (args.sampler, choice.sampler) {
        (Some(asked), Some(sampler)) if chosen_for != Some(asked) => voice.warn(format_args!(
            "the schedule was chosen for the sampler {sampler}; --sampler takes another"
        )),
        _ => {}
    }
    args.sampler.or(chosen_for).unwrap_or(SamplerArg::Ddpm)
}

/// Flags that say nothing with this sampler.
fn check_sampler(args: &Sample, sampler: SamplerArg) -> Result<()> {
    if sampler != SamplerArg::Ddim && args.eta.is_some() {
        return Err(Error::usage("--eta goes with --sampler ddim"));
    }
    if sampler != SamplerArg::Ddpm && (args.variance.is_some() || args.profile.is_some()) {
        return Err(Error::usage(
            "--variance and --profile go with --sampler ddpm: the other samplers have no variance",
        ));
    }
    if sampler == SamplerArg::DpmSolver && args.clip_last_noise.is_some() {
        return Err(Error::usage(
            "--clip-last-noise goes with --sampler ddpm or ddim: dpm-solver++ adds no noise",
        ));
    }
    Ok(())
}

fn sampler(args: &Sample, kind: SamplerArg, choice: &ChainChoice) -> Sampler {
    match kind {
        SamplerArg::Ddpm => Sampler::Ancestral(choice.variance.clone()),
        SamplerArg::Ddim => Sampler::Ddim {
            eta: args.eta.unwrap_or(0.0),
        },
        SamplerArg::DpmSolver => Sampler::DpmSolver,
    }
}

/// Everything that decides the pixels, the noise of an earlier run included.
fn describe(
    args: &Sample,
    network: &Network,
    choice: &ChainChoice,
    sampler: &Sampler,
) -> Result<Record> {
    let (format, version) = Record::format();
    let denoiser = &network.denoiser;
    let image_shape = denoiser.shape();
    let mut record = Record {
        format,
        version,
        seed: args.seed,
        start_index: args.start_index as usize,
        count: args.count.unwrap_or_default() as usize,
        class: args.class,
        image_shape: image_shape.clone(),
        sampler: match sampler {
            Sampler::Ancestral(_) => "ddpm",
            Sampler::Ddim { .. } => "ddim",
            Sampler::DpmSolver => "dpm-solver++",
        }
        .to_owned(),
        eta: match sampler {
            Sampler::Ddim { eta } => Some(*eta),
            _ => None,
        },
        variance: match sampler {
            Sampler::Ancestral(_) => Some(choice.variance_name.clone()),
            _ => None,
        },
        log_variance: match sampler {
            Sampler::Ancestral(PathVariance::LogVariances(steps)) => Some(steps.clone()),
            _ => None,
        },
        clip_last_noise: args.clip_last_noise,
        clip_denoised: choice.clip_denoised,
        path: choice.path.nodes().to_vec(),
        train_steps: denoiser.train_steps(),
        noise_schedule: denoiser.noise_schedule().name_or_custom(),
        checkpoint_sha256: denoiser.checkpoint_sha256().unwrap_or_default().to_owned(),
        rescale_timesteps: denoiser.rescales_timesteps(),
        precision: denoiser.precision().to_owned(),
        network: denoiser.settings(),
    };
    let Some(from) = &args.noise_from else {
        return Ok(record);
    };
    let earlier = Record::read(from)?;
    if earlier.image_shape != image_shape {
        return Err(Error::file(
            from,
            format!(
                "image_shape: expected {image_shape:?} (the network's), found {:?}: noise of another size is other noise",
                earlier.image_shape
            ),
        ));
    }
    record.seed = earlier.seed;
    record.start_index = earlier.start_index;
    record.class = args.class.or(earlier.class);
    if args.count.is_none() {
        record.count = earlier.count;
    }
    Ok(record)
}

/// One class per image for a class-conditional network: the one asked for, or all in turn by index.
fn labels(network: &Network, record: &Record) -> Result<Option<Vec<usize>>> {
    match (network.denoiser.num_classes(), record.class) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::flag(
            "--class",
            "expected none, because the network is not class-conditional",
        )),
        (Some(classes), None) => {
            let indices = record.start_index..record.start_index + record.count;
            Ok(Some(indices.map(|i| i % classes).collect()))
        }
        (Some(classes), Some(class)) if class < classes => Ok(Some(vec![class; record.count])),
        (Some(classes), Some(class)) => Err(Error::flag(
            "--class",
            format!("expected a class below {classes}, found {class}"),
        )),
    }
}

fn report(args: &Sample, store: &Store, record: &Record, resumed: usize) -> Result<()> {
    let steps = record.path.len() - 1;
    if args.json {
        return output::print_json(&json!({
            "out": store.out().display().to_string(),
            "count": record.count,
            "resumed": resumed,
            "start_index": record.start_index,
            "steps": steps,
            "path": record.path,
            "sampler": record.sampler,
            "eta": record.eta,
            "variance": record.variance,
            "clip_last_noise": record.clip_last_noise,
            "clip_denoised": record.clip_denoised,
            "precision": record.precision,
            "class": record.class,
            "seed": record.seed,
        }));
    }
    let how = match (&record.variance, record.eta) {
        (Some(variance), _) => format!(" ({variance} variance)"),
        (None, Some(eta)) => format!(" (eta {eta})"),
        (None, None) => String::new(),
    };
    let earlier = match resumed {
        0 => String::new(),
        n => format!(", {n} of them from an earlier run"),
    };
    output::print_text(&format!(
        "{}: {} from index {} in {} of {}{how}, {}, seed {}{earlier}\n",
        store.out().display(),
        plural(record.count as u64, "sample"),
        record.start_index,
        plural(steps as u64, "step"),
        record.sampler,
        clip(Some(record.clip_denoised)),
        record.seed
    ))
}

/// `out` with another ending after its own.
fn with_ending(out: &Path, ending: &str) -> PathBuf {
    let mut name = out.components().collect::<PathBuf>().into_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}
