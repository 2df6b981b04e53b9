//! Profiling: from a network and images to an [`ElboProfile`].
//!
//! The images of a run are cut into fixed blocks, in their order. For every image of a block and every evaluated
//! timestep the network predicts once, and [`ProfileLayout::measure`] reduces the estimate to its statistics; a block
//! sums them, at every timestep in the order of its images. Blocks are additive and each is computed on its own, so the bytes of
//! a profile depend on the plan alone: not on the batch, the number of threads, how the blocks were shared out between
//! shards, or where a run was interrupted and resumed.
//!
//! The profile so far, with the block in work, is saved every [`ProfilePlan::save_every`]: each save writes all that is there, so
//! that saving after every batch would cost more than measuring. Memory does not depend on the number of images: a
//! batch of them is held at a time, and as many blocks as the error bars ask for.

use std::ops::Range;
use std::time::Instant;

use ddpm_core::{Denoiser, Difference};
use ddpm_data::{ImageSet, Split};
use ddpm_profile::{Block, ElboProfile, ProfileLayout, Reconstruction};

use crate::denoising::{ForwardProcess, Noise, Point, mean_square};
use crate::error::{Error, Result};
use crate::profile_plan::ProfilePlan;
use crate::progress::Progress;

/// Evaluations that are planned at a time; a bound on memory that changes no result.
const POINTS_AT_A_TIME: usize = 1024;

/// Profiles `denoiser` on the images and timesteps of `plan`; `split` says which part of the data the images are.
///
/// `save` is given the profile so far, with the block in work, whenever [`ProfilePlan::save_every`] has passed since it was last
/// given one, at the end, and before an error is returned (unless it is its own). A process that is killed loses the evaluations
/// of that time, no more. What `save` keeps can come back as `resume`, whose evaluations are not made again; the result is
/// bit-identical to that of a run that was never interrupted.
///
/// # Errors
/// When the images or the labels do not fit the network; when the plan is impossible; when `resume` belongs to
/// another run; when an image cannot be read; when the network or `save` fails; [`Error::Interrupted`] when `progress` asks to stop.
pub fn profile(
    denoiser: &dyn Denoiser,
    data: &ImageSet,
    plan: &ProfilePlan,
    split: Split,
    resume: Option<ElboProfile>,
    progress: &dyn Progress,
    save: &mut dyn FnMut(&ElboProfile) -> Result<()>,
) -> Result<ElboProfile> {
    let process = ForwardProcess::new(
        denoiser,
        data,
        Noise::Seed {
            seed: plan.seed,
            split,
        },
        plan.clip_denoised,
        plan.batch,
    )?;
    let empty = plan.empty_profile(denoiser, data, split)?;
    let run = Run {
        process,
        data,
        plan,
        layout: empty.layout().clone(),
    };
    let own = plan.blocks(empty.provenance().total_blocks)?;
    let mut profile = match resume {
        Some(earlier) => {
            plan.check_blocks(&empty, &earlier)?;
            earlier
        }
        None => empty,
    };
    let missing: Vec<u64> = profile
        .missing_blocks()
        .into_iter()
        .filter(|id| own.contains(id))
        .collect();

    let left = run.evaluations_left(&profile, &missing);
    progress.start_again(run.evaluations(own.clone()) - left, left);
    let mut saved = Instant::now();
    let due = |saved: Instant| saved.elapsed() >= plan.save_every;
    let mut missing = missing.into_iter().peekable();
    while let Some(&id) = missing.peek() {
        let mut block = match profile.take(id) {
            Some(begun) => begun,
            None => run.begin(id)?,
        };
        let ended = run.go_on(&mut block, &|| due(saved), progress);
        profile.put(block)?;
        if matches!(ended, Ok(true)) {
            missing.next();
        }
        if ended.is_err() || missing.peek().is_none() || due(saved) {
            // Before what ended the work: what cannot be saved is lost, and whoever waits for it must know.
            save(&profile)?;
            saved = Instant::now();
        }
        ended?;
    }
    progress.finish();
    Ok(profile)
}

impl ProfilePlan {
    /// Makes sure that `earlier` holds blocks of this very run, of its shard, and no others: that going on with it loses nothing.
    ///
    /// # Errors
    /// [`Error::Resume`] names what differs; otherwise as [`ProfilePlan::provenance`].
    pub fn check_earlier(
        &self,
        denoiser: &dyn Denoiser,
        data: &ImageSet,
        split: Split,
        earlier: &ElboProfile,
    ) -> Result<()> {
        self.check_blocks(&self.empty_profile(denoiser, data, split)?, earlier)
    }

    /// The profile of the run before its first evaluation.
    fn empty_profile(
        &self,
        denoiser: &dyn Denoiser,
        data: &ImageSet,
        split: Split,
    ) -> Result<ElboProfile> {
        let schedule = denoiser.noise_schedule();
        let (timesteps, learned) = (self.timesteps.clone(), denoiser.learns_variance());
        let mut layout = ProfileLayout::new(schedule, timesteps, learned, self.nodes)?;
        if let Some(bands) = self.bands.of(&denoiser.shape())? {
            layout = layout.with_bands(bands);
        }
        let provenance = self.provenance(denoiser, data, split)?;
        Ok(ElboProfile::new(
            provenance,
            schedule.clone(),
            layout,
            Vec::new(),
        )?)
    }

    /// Blocks that an earlier run left must be of the run that `empty` begins, and of its shard.
    fn check_blocks(&self, empty: &ElboProfile, earlier: &ElboProfile) -> Result<()> {
        match empty.check_same_run(earlier) {
            Ok(()) => {}
            Err(ddpm_profile::Error::Schedule(ddpm_schedule::Error::Mismatch(Difference {
                field,
                first: expected,
                second: found,
            }))) => {
                return Err(Error::Resume {
                    field,
                    expected,
                    found,
                });
            }
            Err(other) => return Err(other.into()),
        }
        let own = self.blocks(empty.provenance().total_blocks)?;
        let mut ids = earlier.blocks().iter().map(Block::id);
        match ids.find(|id| !own.contains(id)) {
            None => Ok(()),
            Some(foreign) => Err(Error::Resume {
                field: "blocks (the shard)".into(),
                expected: format!("blocks {}..{}", own.start, own.end),
                found: format!("block {foreign}"),
            }),
        }
    }
}

struct Run<'a> {
    process: ForwardProcess<'a>,
    data: &'a ImageSet,
    plan: &'a ProfilePlan,
    layout: ProfileLayout,
}

impl Run<'_> {
    /// Positions of a block's images in the plan.
    fn rows(&self, id: u64) -> Range<usize> {
        let begin = id as usize * self.plan.images_per_block;
        begin..(begin + self.plan.images_per_block).min(self.plan.images.len())
    }

    /// Evaluations that these blocks still need.
    fn evaluations_left(&self, profile: &ElboProfile, missing: &[u64]) -> u64 {
        let unfinished = profile.blocks().iter().filter(|b| !b.is_finished());
        let done: u64 = unfinished.flat_map(|b| b.counts()).sum();
        self.evaluations(missing.iter().copied()) - done
    }

    /// Those of whole blocks.
    fn evaluations(&self, blocks: impl Iterator<Item = u64>) -> u64 {
        let images: usize = blocks.map(|id| self.rows(id).len()).sum();
        images as u64 * self.plan.timesteps.len() as u64
    }

    /// A block without evaluations.
    fn begin(&self, id: u64) -> Result<Block> {
        let mut block = Block::new(&self.layout, id);
        let mut image = vec![0.0; self.data.dims()];
        for &index in &self.plan.images[self.rows(id)] {
            self.data.read_image(index, &mut image)?;
            block.add_image(mean_square(&image));
        }
        Ok(block)
    }

    /// Works on a block until it is finished (true) or it is `due` to be saved (false). What was added before an error stays in it.
    fn go_on(
        &self,
        block: &mut Block,
        due: &dyn Fn() -> bool,
        progress: &dyn Progress,
    ) -> Result<bool> {
        let rows = self.rows(block.id());
        // As many images at a time as fill a few batches; every timestep meets its images in their order.
        let images = (POINTS_AT_A_TIME / self.plan.timesteps.len()).max(1);
        loop {
            let points = self.next_points(block, &rows, images);
            if points.is_empty() {
                return Ok(true);
            }
            let mut add = |points: &[Point], measured: Vec<ddpm_profile::Result<_>>| {
                for (point, statistics) in points.iter().zip(measured) {
                    block.add(point.term, &statistics?)?;
                }
                Ok(!due())
            };
            self.process.each(
                &points,
                progress,
                |point, denoised| {
                    let reconstruction = Reconstruction {
                        x0: denoised.x0,
                        x_t: Some(denoised.x_t),
                        xhat0: denoised.xhat0,
                        v: denoised.v,
                    };
                    self.layout.measure(point.term, &reconstruction)
                },
                &mut add,
            )?;
            if due() {
                return Ok(block.is_finished());
            }
        }
    }

    /// The evaluations that bring the block to its next multiple of `images` images, timestep by timestep; none if it is
    /// finished.
    fn next_points(&self, block: &Block, rows: &Range<usize>, images: usize) -> Vec<Point> {
        let least = block.counts().iter().min().map_or(0, |&n| n as usize);
        let end = ((least / images + 1) * images).min(rows.len());
        let timesteps = self.plan.timesteps.iter().enumerate();
        timesteps
            .zip(block.counts())
            .flat_map(|((term, &t), &done)| {
                let left = rows.start + done as usize..rows.start + end;
                left.map(move |row| (row, t, term))
            })
            .map(|(row, t, term)| Point {
                row,
                image: self.plan.images[row],
                t,
                term,
            })
            .collect()
    }
}
