//! `ddpm sample`: images drawn along a chosen schedule, resumable image by image.

mod floats;
mod record;
mod store;

use ddpm_core::{DecoderKind, MeanKind, ModelId, Sampler};
use ddpm_eval::{SamplingPlan, sample_in_batches};
use ddpm_schedule::{Kernel, SampleRecord, results};
use ndarray::ArrayViewD;

use self::store::Store;
use crate::args::{Sample, StepArgs};
use crate::error::{Error, Result};
use crate::input::{ChainChoice, Network, OutputLock, PathFlags};
use crate::output::{self, Voice};
use crate::render::{
    ProgressLine, and_coefficients, and_mean, clip, command_that_resumes, note_on_pictures, plural,
};

/// The noise that the samples at a path began with, as their record tells: the seed and the first index. `None` for images of others.
pub(super) fn noise_of(samples: &std::path::Path) -> Option<(u64, usize)> {
    let record = record::of_output(samples).ok()?;
    Some((record.seed, record.start_index))
}

/// Runs the command.
pub(crate) fn run(args: &Sample, voice: Voice) -> Result<()> {
    check_flags(args)?;
    if let Some(sampler) = args.sampler {
        check_sampler(args, sampler)?;
    }
    let mut store = Store::of(&args.out)?;
    let network = Network::open(&args.checkpoint)?;
    let mut choice = choose(args, &network, voice)?;
    let network = match &choice.image_shape {
        Some(shape) => network.fit_to(shape, voice)?,
        None => network,
    };
    store.check_shape(&network.denoiser().shape())?;
    if network.is_test_bed() && !store.keeps_floats() {
        voice.warn(format_args!(
            "samples of a test bed are clipped to [-1, 1] and rounded to 8 bits here; to judge them keep them as they are: --out FILE.safetensors"
        ));
    }
    let sampler = sampler_of(args, &choice, voice);
    if sampler != choice.schedule.sampler {
        if let Some(words) = choice.schedule.coefficients.in_words() {
            voice.warn(format_args!(
                "the schedule's {words} are for {}; --sampler {sampler} takes its own steps",
                choice.schedule.sampler
            ));
        }
        choice.schedule = choice.schedule.for_sampler(sampler);
    }
    check_sampler(args, choice.schedule.sampler)?;
    let record = describe(args, &network, &choice)?;
    let wanted = record.start_index..record.start_index + record.count;
    let labels = network.labels(record.class, wanted.clone())?;

    store.check_replaces(&record, args.resume, args.existing.force)?;
    store.check_place()?;
    let _lock = OutputLock::take(store.out(), voice)?;
    store.make_folder()?;
    if args.resume && store.is_done(&record) {
        voice.note(format_args!("{} is complete", store.out().display()));
        return report(args, &store, &record, record.count);
    }
    let earlier = store.earlier(&record, args.resume)?;
    let missing: Vec<usize> = wanted
        .filter(|index| earlier.binary_search(index).is_err())
        .collect();
    let plan = SamplingPlan {
        schedule: choice.schedule.clone(),
        eta: args.eta.unwrap_or(0.0),
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
    if !plan.images.is_empty() {
        plan.check(network.denoiser())
            .map_err(|error| match &args.schedule {
                Some(file) => Error::file(file, error),
                None => error.into(),
            })?;
        let drawn = store
            .begin(&record)
            .and_then(|()| draw(&plan, earlier.len(), &network, &store, voice));
        drawn.inspect_err(|_| store.forget_unless_kept())?;
    }
    store.finish(&record, labels.as_deref())?;
    report(args, &store, &record, earlier.len())
}

/// Samples the images of the plan into the store, which holds `earlier` others.
fn draw(
    plan: &SamplingPlan,
    earlier: usize,
    network: &Network,
    store: &Store,
    voice: Voice,
) -> Result<()> {
    let done = (earlier * plan.schedule.path.steps()) as u64;
    let progress = ProgressLine::stoppable(voice)?.after(done);
    let keep = &mut |at: usize, samples: ArrayViewD<'_, f32>| {
        store.keep(&plan.images[at..at + samples.shape()[0]], samples)
    };
    sample_in_batches(network.denoiser(), plan, &progress, keep).map_err(|error| match error {
        ddpm_eval::Error::Interrupted => Error::Interrupted {
            partial: store.kept(),
            resume: command_that_resumes(),
        },
        error => error.into(),
    })
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
    // Nothing is scored.
    let conventions = StepArgs {
        variance: args.variance,
        mean: args.mean,
        decoder: Some(DecoderKind::None),
        decoder_bin_width: None,
    };
    let flags = PathFlags {
        schedule: args.schedule.as_deref(),
        steps: args.steps,
        path: args.path.as_deref(),
        zero_based: args.zero_based,
        conventions: &conventions,
        profile: args.profile.as_deref(),
        clip_denoised: args.clip.clip_denoised,
    };
    ChainChoice::of(&flags, network, voice)
}

/// The sampler asked for, or that the schedule was chosen for.
fn sampler_of(args: &Sample, choice: &ChainChoice, voice: Voice) -> Sampler {
    if let (Some(asked), Some(sampler)) = (args.sampler, choice.sampler)
        && !asked.follows(sampler)
    {
        voice.warn(format_args!(
            "the schedule was chosen for the sampler {sampler}; --sampler takes another"
        ));
    }
    let sampler = args.sampler.or(choice.sampler).unwrap_or(Sampler::Ddpm);
    // A path of the user's own was chosen for whatever they chose it for.
    let note = note_on_pictures(choice.scoring.objective).filter(|_| args.schedule.is_some());
    match (note, sampler) {
        (None, _) => {}
        (Some(note), Sampler::Ddpm) => voice.note(note),
        (Some(_), sampler) => voice.warn(format_args!(
            "the schedule was chosen for the likelihood of ancestral steps; for --sampler {sampler} choose one by ddpm schedule --objective quality --sampler {}",
            sampler.schedules_of()
        )),
    }
    sampler
}

/// Flags that say nothing with this sampler.
fn check_sampler(args: &Sample, sampler: Sampler) -> Result<()> {
    if sampler != Sampler::Ddim && args.eta.is_some() {
        return Err(Error::usage("--eta goes with --sampler ddim"));
    }
    let calibrated = args.mean == Some(MeanKind::Calibrated);
    if sampler != Sampler::Ddpm
        && (args.variance.is_some() || (args.profile.is_some() && !calibrated))
    {
        return Err(Error::usage(
            "--variance and --profile go with --sampler ddpm: the other samplers have no variance (--mean calibrated --profile goes with every sampler)",
        ));
    }
    if !sampler.adds_noise() && args.clip_last_noise.is_some() {
        return Err(Error::usage(format!(
            "--clip-last-noise goes with --sampler ddpm or ddim: {sampler} adds no noise"
        )));
    }
    Ok(())
}

/// Everything that decides the pixels, the noise of an earlier run included.
fn describe(args: &Sample, network: &Network, choice: &ChainChoice) -> Result<SampleRecord> {
    let denoiser = network.denoiser();
    let (schedule, sampler) = (&choice.schedule, choice.schedule.sampler);
    let ancestral = sampler == Sampler::Ddpm;
    // Any number keeps the place of a step that has no density.
    let number = |kernel: &Kernel| match kernel {
        Kernel::None => Some(0.0),
        kernel => kernel.log_variance(),
    };
    let mut record = SampleRecord {
        model: ModelId::of(denoiser, choice.clip_denoised),
        seed: args.seed,
        start_index: args.start_index as usize,
        count: args.count.unwrap_or_default() as usize,
        class: args.class,
        sampler,
        eta: (sampler == Sampler::Ddim).then(|| args.eta.unwrap_or(0.0)),
        variance: ancestral.then_some(choice.scoring.variance),
        mean: schedule.mean(),
        kernels_sha256: schedule.calibration_sha256(ancestral),
        log_variance: (ancestral && choice.frozen)
            .then(|| schedule.kernels.iter().map(number).collect()),
        clip_last_noise: args.clip_last_noise,
        path: schedule.path.clone(),
        coefficients: schedule.coefficients,
        output_sha256: None,
    };
    let Some(from) = &args.noise_from else {
        return Ok(record);
    };
    let earlier = record::of_output(from)?;
    if earlier.model.shape != record.model.shape {
        return Err(Error::file(
            from,
            format!(
                "image_shape: expected {:?} (the network's), found {:?}: noise of another size is other noise",
                record.model.shape, earlier.model.shape
            ),
        ));
    }
    record.seed = earlier.seed;
    record.start_index = earlier.start_index;
    record.class = args.class.or(earlier.class);
    if let (None, Some(class)) = (args.class, earlier.class) {
        let of_network = network.check_class(class);
        of_network.map_err(|_| {
            let classes = network.denoiser().num_classes().unwrap_or(0);
            let problem = format!(
                "class: expected one of the network's {classes}, found {class}; name one by --class"
            );
            Error::file(from, problem)
        })?;
    }
    if args.count.is_none() {
        record.count = earlier.count;
    }
    Ok(record)
}

fn report(args: &Sample, store: &Store, record: &SampleRecord, resumed: usize) -> Result<()> {
    let steps = record.path.steps();
    if args.json {
        return output::print_json(&results::Sample {
            out: store.out().display().to_string(),
            count: record.count,
            resumed,
            start_index: record.start_index,
            steps,
            path: record.path.nodes().to_vec(),
            sampler: record.sampler,
            eta: record.eta,
            variance: record.variance,
            mean: record.mean,
            clip_last_noise: record.clip_last_noise,
            clip_denoised: record.model.clip_denoised,
            precision: record.model.precision.clone(),
            class: record.class,
            seed: record.seed,
            coefficients: record.coefficients,
        });
    }
    let how = match (&record.variance, record.eta) {
        (Some(variance), _) => format!(" ({variance} variance)"),
        (None, Some(eta)) => format!(" (eta {eta})"),
        (None, None) => String::new(),
    };
    let mean = and_coefficients(record.coefficients) + &and_mean(record.mean);
    let earlier = match resumed {
        0 => String::new(),
        n => format!(", {n} of them from an earlier run"),
    };
    output::print_text(&format!(
        "{}: {} from index {} in {} of {}{how}{mean}, {}, seed {}{earlier}\n",
        store.out().display(),
        plural(record.count as u64, "sample"),
        record.start_index,
        plural(steps as u64, "step"),
        record.sampler,
        clip(Some(record.model.clip_denoised)),
        record.seed
    ))
}
