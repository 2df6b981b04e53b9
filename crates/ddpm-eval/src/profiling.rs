//! Profiling: from a network and images to an [`ElboProfile`].
//!
//! The images of a run are cut into fixed blocks, in their order. For every image of a block and every evaluated
//! timestep the network predicts once, and [`ProfileLayout::measure`] reduces the estimate to its statistics; a block
//! sums them in the order of its images. Blocks are additive and each is computed on its own, so the bytes of a
//! profile depend on the plan alone: not on the batch, the number of threads, how the blocks were shared out between
//! shards, or where a run was interrupted and resumed.
//!
//! Finished blocks are put together and saved in stretches of [`ProfilePlan::save_every`]: each save writes all that is
//! there, so that saving after every one of thousands of blocks would cost more than measuring them.

use std::ops::Range;
use std::time::Instant;

use ddpm_core::{Denoiser, NoiseSchedule};
use ddpm_profile::{Block, ElboProfile, PointStatistics, ProfileLayout, Provenance};

use crate::data::ImageSet;
use crate::error::{Error, Result};
use crate::forward::{ForwardProcess, Noise, Point, mean_square};
use crate::profile_plan::{ProfileOrigin, ProfilePlan};
use crate::progress::Progress;

/// Statistics held at a time; a bound on memory that changes no result.
const POINTS_AT_A_TIME: usize = 256;

/// Profiles `denoiser` on the images and timesteps of `plan`.
///
/// `save` is given the profile so far whenever a block is finished and [`ProfilePlan::save_every`] has passed since it
/// was last given one, at the end, and before an error is returned (unless it is its own). A process that is killed
/// loses the blocks of that time and the one in work, no more. What `save` keeps can come back as `resume`, whose blocks
/// are not computed again; the result is bit-identical to that of a run that was never interrupted.
///
/// # Errors
/// When the schedule, the images or the labels do not fit the network; when the plan is impossible; when `resume` belongs to
/// another run; when an image cannot be read; when the network or `save` fails; [`Error::Interrupted`] when `progress` asks to stop.
pub fn profile(
    denoiser: &dyn Denoiser,
    schedule: &NoiseSchedule,
    data: &ImageSet,
    plan: &ProfilePlan,
    origin: &ProfileOrigin,
    resume: Option<ElboProfile>,
    progress: &dyn Progress,
    save: &mut dyn FnMut(&ElboProfile) -> Result<()>,
) -> Result<ElboProfile> {
    let process = ForwardProcess::new(
        denoiser,
        schedule,
        data,
        Noise::Seed {
            seed: plan.seed,
            split: origin.split,
        },
        plan.clip_denoised,
        plan.batch,
    )?;
    let provenance = plan.provenance(denoiser, data, origin)?;
    let layout = ProfileLayout::new(
        schedule,
        plan.timesteps.clone(),
        denoiser.learns_variance(),
        plan.nodes,
    )?;
    let run = Run {
        process,
        schedule,
        data,
        plan,
        provenance,
        layout,
    };
    let mut profile = run.resume(resume)?;
    let own = plan.blocks(run.provenance.total_blocks)?;
    if let Some(foreign) = profile
        .blocks()
        .iter()
        .map(|b| b.id())
        .find(|id| !own.contains(id))
    {
        return Err(Error::Resume {
            field: "blocks (the shard)".into(),
            expected: format!("blocks {}..{}", own.start, own.end),
            found: format!("block {foreign}"),
        });
    }
    let missing: Vec<u64> = profile
        .missing_blocks()
        .into_iter()
        .filter(|id| own.contains(id))
        .collect();

    let images: usize = missing.iter().map(|&id| run.rows(id).len()).sum();
    progress.start(images as u64 * plan.timesteps.len() as u64);
    let mut missing = missing.into_iter();
    while missing.len() > 0 {
        let (blocks, ended) = run.stretch(&mut missing, progress);
        if !blocks.is_empty() {
            profile = ElboProfile::merge(vec![profile, run.with_blocks(blocks)?])?;
            // Before what ended the stretch: blocks that cannot be saved are lost, and whoever waits for them must know.
            save(&profile)?;
        }
        ended?;
    }
    progress.finish();
    Ok(profile)
}

struct Run<'a> {
    process: ForwardProcess<'a>,
    schedule: &'a NoiseSchedule,
    data: &'a ImageSet,
    plan: &'a ProfilePlan,
    provenance: Provenance,
    layout: ProfileLayout,
}

impl Run<'_> {
    fn with_blocks(&self, blocks: Vec<Block>) -> Result<ElboProfile> {
        let profile = ElboProfile::new(
            self.provenance.clone(),
            self.schedule.clone(),
            self.layout.clone(),
            blocks,
        )?;
        Ok(profile)
    }

    /// The profile to add blocks to: an empty one, or the partial one if it is of this very run.
    fn resume(&self, partial: Option<ElboProfile>) -> Result<ElboProfile> {
        let empty = self.with_blocks(Vec::new())?;
        let Some(partial) = partial else {
            return Ok(empty);
        };
        ElboProfile::merge(vec![empty, partial]).map_err(|e| match e {
            ddpm_profile::Error::Mismatch {
                field,
                first,
                second,
            } => Error::Resume {
                field,
                expected: first,
                found: second,
            },
            other => other.into(),
        })
    }

    /// Positions of a block's images in the plan.
    fn rows(&self, id: u64) -> Range<usize> {
        let begin = id as usize * self.plan.images_per_block;
        begin..(begin + self.plan.images_per_block).min(self.plan.images.len())
    }

    /// Measures blocks until it is time to save them; with them, what ended the work early, if anything did.
    fn stretch(
        &self,
        ids: &mut dyn Iterator<Item = u64>,
        progress: &dyn Progress,
    ) -> (Vec<Block>, Result<()>) {
        let begun = Instant::now();
        let mut blocks = Vec::new();
        for id in ids {
            match self.block(id, progress) {
                Ok(block) => blocks.push(block),
                Err(error) => return (blocks, Err(error)),
            }
            if begun.elapsed() >= self.plan.save_every {
                break;
            }
        }
        (blocks, Ok(()))
    }

    fn block(&self, id: u64, progress: &dyn Progress) -> Result<Block> {
        let mut block = Block::new(&self.layout, id);
        let rows = self.rows(id);
        let mut image = vec![0.0; self.data.dims()];
        for &index in &self.plan.images[rows.clone()] {
            self.data.read_image(index, &mut image)?;
            block.add_image(mean_square(&image));
        }
        // Timestep by timestep, so that every timestep meets its images in their order.
        let points: Vec<Point> = self
            .plan
            .timesteps
            .iter()
            .enumerate()
            .flat_map(|(term, &t)| {
                rows.clone().map(move |row| Point {
                    row,
                    image: self.plan.images[row],
                    t,
                    term,
                })
            })
            .collect();
        for points in points.chunks(POINTS_AT_A_TIME) {
            let measured = self.process.map(points, progress, |point, estimate| {
                self.layout
                    .measure(point.term, estimate.x0, estimate.xhat0, estimate.v)
            })?;
            for (point, statistics) in points.iter().zip(measured) {
                let statistics: PointStatistics = statistics?;
                block.add(point.term, &statistics)?;
            }
        }
        Ok(block)
    }
}
