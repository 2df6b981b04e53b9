//! `ddpm profile`: measure a network on images, block by block, resumable.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ddpm_core::{Bands, DecoderKind, Objective};
use ddpm_eval::{ProfileBands, ProfilePlan, spend};
use ddpm_profile::{Block, ElboProfile};
use ddpm_schedule::results;

use crate::args::Profile;
use crate::error::{Error, Located, Result};
use crate::input::{
    Network, OutputLock, Partial, RunImages, check_writable, in_the_way, of_another_run,
    read_matrix, read_profile, read_squared_errors, split, write_file, write_unless_in_the_way,
};
use crate::output::{self, Voice};
use crate::render::{ProgressLine, chain_of, clip, images_of, note_on_density, plural};

/// Bytes of images that take seconds to read.
const LARGE: u64 = 1 << 30;

/// Runs the command.
pub(crate) fn run(args: &Profile, voice: Voice) -> Result<()> {
    if !args.import.is_empty() {
        return import(args, voice);
    }
    let run = Run::prepare(args, voice)?;
    // Before the first look at what an earlier run left, and until the last file is in its place.
    let _lock = OutputLock::take(&run.out, voice)?;
    run.hash_images(voice)?;
    let unfinished = run.partial.unfinished(args.resume, "blocks")?;
    let read = |out: &Path| run.earlier_result(out);
    let finished = run.partial.finished(args.existing.force, read)?;
    let resume = match unfinished {
        Some(file) => Some(read_profile(file)?),
        None => finished,
    };
    check_writable(&run.out)?;
    let (images, timesteps) = (run.plan.images.len(), run.plan.timesteps.len());
    voice.note(format_args!(
        "{} of {}, {timesteps} timesteps: {} evaluations",
        plural(images as u64, "image"),
        run.images.set.name(),
        images * timesteps
    ));
    let progress = ProgressLine::stoppable(voice)?;
    let network = run.network.denoiser();
    let outcome = ddpm_eval::profile(
        network,
        &run.images.set,
        &run.plan,
        run.images.split,
        resume,
        &progress,
        &mut |profile| run.partial.keep(&profile.to_bytes()),
    );
    let profile = outcome.map_err(|error| {
        if unfinished.is_none() && matches!(error, ddpm_eval::Error::Output(_)) {
            run.forget_unless_finished(voice);
        }
        run.partial.failure(unfinished, error)
    })?;
    write_file(&run.out, &profile.to_bytes())?;
    run.partial.remove(voice);
    report(&run.out, &profile, args.json)
}

/// Squared errors of another program.
fn import(args: &Profile, voice: Voice) -> Result<()> {
    let _lock = OutputLock::take(&args.out, voice)?;
    let split = args.images.split.map(|_| split(&args.images));
    let profile = read_squared_errors(&args.import, None, split, voice)?;
    write_unless_in_the_way(&args.out, &profile.to_bytes(), args.existing.force)?;
    report(&args.out, &profile, args.json)?;
    // Sums of errors hold no decoder, so that schedules of them are of a density.
    let data = Some(profile.provenance());
    match note_on_density(Objective::Elbo, DecoderKind::Gaussian, data) {
        Some(note) if !args.json => output::print_text(&format!("{note}\n")),
        _ => Ok(()),
    }
}

/// A run before its first evaluation.
struct Run {
    network: Network,
    images: RunImages,
    plan: ProfilePlan,
    out: PathBuf,
    /// Where finished blocks are kept while the run lasts.
    partial: Partial,
}

impl Run {
    fn prepare(args: &Profile, voice: Voice) -> Result<Self> {
        let checkpoint = args
            .checkpoint
            .as_ref()
            .ok_or_else(|| Error::usage("expected a checkpoint CKPT, or --import F.npz"))?;
        let network = Network::open(checkpoint)?;
        network.check_signal_at(network.denoiser().train_steps())?;
        let (mut images, network) =
            RunImages::open(&args.images, network, args.class, args.seed, voice)?;
        let denoiser = network.denoiser();
        let (all, asked_for) = (images.chosen.len(), args.images.limit.is_some());
        let schedule = denoiser.noise_schedule();
        let timesteps =
            spend(args.evaluations, &mut images.chosen, asked_for, schedule).map_err(|error| {
                match error {
                    ddpm_eval::Error::Request { problem, .. } => {
                        Error::flag("--evaluations", problem)
                    }
                    error => error.into(),
                }
            })?;
        let (count, paid) = (timesteps.len(), images.chosen.len());
        if let Some(evaluations) = args.evaluations
            && paid < all
            && asked_for
        {
            voice.warn(format_args!(
                "{evaluations} evaluations are fewer than {count} timesteps of {all} images; taking {paid} images"
            ));
        }
        let mut plan = ProfilePlan::new(
            timesteps,
            images.chosen.clone(),
            ProfilePlan::BLOCKS,
            args.seed,
        );
        if let Some(size) = args.images_per_block {
            plan.images_per_block = size;
        }
        let shape = network.denoiser().shape();
        plan.bands = bands(args, &shape)?;
        if plan.bands == ProfileBands::Usual
            && let Err(error) = Bands::check_size(&shape)
        {
            voice.warn(format_args!(
                "no statistics of bands of frequencies, which the spectral variance and the calibrated mean need: {error}"
            ));
        }
        plan.clip_denoised = args.clip.clip_denoised.unwrap_or_else(|| network.clips());
        plan.batch = network.batch;
        plan.save_every = Duration::from_secs(args.save_every);
        plan.shard = args.shard.as_deref().map(parse_shard).transpose()?;
        Ok(Self {
            network,
            images,
            plan,
            partial: Partial::of(&args.out),
            out: args.out.clone(),
        })
    }

    /// Reads every image once, for the hash that the profile records. While this lasts Ctrl-C ends the process, and nothing is
    /// lost.
    fn hash_images(&self, voice: Voice) -> Result<()> {
        let set = &self.images.set;
        if set.raw_bytes() >= LARGE {
            voice.note(format_args!(
                "reading all {} images of {} once for their hash ({:.1} GB)",
                set.len(),
                set.name(),
                set.raw_bytes() as f64 / 1e9
            ));
        }
        set.sha256()?;
        Ok(())
    }

    /// Of a network that fails before its first block is finished nothing is left that would be in the way of a better one.
    fn forget_unless_finished(&self, voice: Voice) {
        let kept = read_profile(&Partial::place(&self.out));
        let finished = |profile: ElboProfile| profile.blocks().iter().any(Block::is_finished);
        if !kept.is_ok_and(finished) {
            self.partial.remove(voice);
        }
    }

    /// The profile that is there, of this very run: another's is not replaced.
    fn earlier_result(&self, out: &Path) -> Result<ElboProfile> {
        let earlier = read_profile(out).map_err(|error| in_the_way(out, error))?;
        let RunImages { set, split, .. } = &self.images;
        let network = self.network.denoiser();
        let checked = self.plan.check_earlier(network, set, *split, &earlier);
        checked.map_err(|error| of_another_run(out, error))?;
        Ok(earlier)
    }
}

/// The bands that the flags tell.
fn bands(args: &Profile, shape: &[usize]) -> Result<ProfileBands> {
    if args.no_bands {
        return Ok(ProfileBands::None);
    }
    let Some(file) = &args.channel_basis else {
        return match args.bands {
            None => Ok(ProfileBands::Usual),
            Some(rings) => Bands::rings(shape, None, rings as usize)
                .map(|bands| ProfileBands::Stated(bands.into()))
                .in_flag("--bands"),
        };
    };
    let rows = read_matrix(file, "[C, C] basis of the channels")?;
    let channels = if shape.len() > 1 { shape[0] } else { 1 };
    if rows.dim() != (channels, channels) {
        let expected = format!("[{channels}, {channels}], one vector a channel");
        return Err(Error::file(
            file,
            format!("shape: expected {expected}, found {:?}", rows.shape()),
        ));
    }
    let rings = args.bands.map_or(Bands::RINGS, |rings| rings as usize);
    let basis = rows.iter().copied().collect();
    let bands = Bands::rings(shape, Some(basis), rings).in_file(file)?;
    Ok(ProfileBands::Stated(bands.into()))
}

/// Says what a profile holds.
fn report(out: &Path, profile: &ElboProfile, as_json: bool) -> Result<()> {
    let p = profile.provenance();
    let timesteps = profile.layout().timesteps();
    if as_json {
        return output::print_json(&results::Profile {
            out: out.display().to_string(),
            data_name: p.data_name.clone(),
            split: p.split.clone(),
            stand_in: p.stand_in,
            images: profile.images(),
            total_images: p.total_images,
            timesteps: timesteps.len(),
            evaluations: profile.images() * timesteps.len() as u64,
            blocks: profile.blocks().len(),
            total_blocks: p.total_blocks,
            missing_blocks: profile.missing_blocks(),
            clip_denoised: p.model.clip_denoised,
            precision: p.model.precision.clone(),
            seed: p.seed,
        });
    }
    let shard = if profile.is_complete() {
        String::new()
    } else {
        format!(
            " (a shard: {} of {} blocks)",
            profile.blocks().len(),
            p.total_blocks
        )
    };
    output::print_text(&format!(
        "{}: {}, {} of {} timesteps, {} evaluations in {}{shard}\n{}, {}, seed {}\n",
        out.display(),
        images_of(profile),
        timesteps.len(),
        p.model.train_steps,
        profile.images() * timesteps.len() as u64,
        plural(profile.blocks().len() as u64, "block"),
        chain_of(p),
        clip(Some(p.model.clip_denoised)),
        p.seed
    ))
}

/// `i/n`.
fn parse_shard(text: &str) -> Result<(usize, usize)> {
    text.split_once('/')
        .and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)))
        .filter(|(i, n)| i < n)
        .ok_or_else(|| {
            Error::flag(
                "--shard",
                format!("expected i/n with i from 0 to n-1, found {text:?}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_read() {
        assert_eq!(parse_shard("0/4").unwrap(), (0, 4));
        assert_eq!(parse_shard("3/4").unwrap(), (3, 4));
        for bad in ["4/4", "1", "a/b", "-1/2", "0/0"] {
            assert!(
                parse_shard(bad)
                    .unwrap_err()
                    .to_string()
                    .contains("--shard"),
                "{bad}"
            );
        }
    }
}
