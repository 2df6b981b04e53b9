//! The profile of one network on one image set: provenance, noise schedule, layout and blocks of statistics.

use std::collections::BTreeSet;

use ddpm_core::{Bands, Difference, NoiseSchedule, VarianceKind};
use ddpm_schedule::Provenance;

use crate::{
    band_moments::{IMAGES, IMAGES_OF_A_CONSTANT},
    block::Block,
    error::{Error, Invalid, Result},
    layout::ProfileLayout,
};

/// Additive sufficient statistics of the evidence lower bound.
///
/// Everything that any path, variance, decoder or objective costs is rebuilt from here without the network.
/// Invariants: the blocks fit the layout and the plan in the provenance, and are kept in ascending order of their numbers, each
/// once. A block may be unfinished, so that a run can be saved at any moment; nothing is computed from such a block, and it is
/// not merged.
#[derive(Clone, Debug, PartialEq)]
pub struct ElboProfile {
    provenance: Provenance,
    schedule: NoiseSchedule,
    layout: ProfileLayout,
    blocks: Vec<Block>,
}

impl ElboProfile {
    /// From so many images the mean of every band can be corrected; fewer leave the constants of the channels as they are.
    pub const IMAGES_FOR_MEANS: u64 = IMAGES_OF_A_CONSTANT;
    /// From so many images the means of bands can be corrected that are no constants; fewer leave every mean as it is.
    pub const IMAGES_FOR_SOME_MEANS: u64 = IMAGES;

    /// Assembles a profile from blocks, in any order.
    ///
    /// # Errors
    /// [`Error::Schedule`] if the provenance contradicts the schedule or itself, if the layout belongs to another T, and for a block
    /// that does not fit; [`Error::DuplicateBlock`].
    pub fn new(
        provenance: Provenance,
        schedule: NoiseSchedule,
        layout: ProfileLayout,
        mut blocks: Vec<Block>,
    ) -> Result<Self> {
        provenance.check(schedule.train_steps())?;
        if layout.train_steps() != schedule.train_steps() {
            let found = format!("a layout for 1..={}", layout.train_steps());
            return Err(Invalid::timesteps(schedule.train_steps(), found).into());
        }
        blocks.sort_by_key(Block::id);
        if let Some(pair) = blocks.windows(2).find(|pair| pair[0].id() == pair[1].id()) {
            return Err(Error::DuplicateBlock { id: pair[0].id() });
        }
        for block in &blocks {
            check_block(&provenance, &layout, block)?;
        }
        Ok(Self {
            provenance,
            schedule,
            layout,
            blocks,
        })
    }

    /// Adds a block, or puts it in the place of the one of its number.
    ///
    /// # Errors
    /// [`Error::Schedule`] for a block that does not fit.
    pub fn put(&mut self, block: Block) -> Result<()> {
        check_block(&self.provenance, &self.layout, &block)?;
        match self.blocks.binary_search_by_key(&block.id(), Block::id) {
            Ok(place) => self.blocks[place] = block,
            Err(place) => self.blocks.insert(place, block),
        }
        Ok(())
    }

    /// Takes the block of this number out, to go on with it.
    pub fn take(&mut self, id: u64) -> Option<Block> {
        let place = self.blocks.binary_search_by_key(&id, Block::id).ok()?;
        Some(self.blocks.remove(place))
    }

    /// Where the numbers come from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The noise schedule of the network.
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    /// What is stored.
    pub fn layout(&self) -> &ProfileLayout {
        &self.layout
    }

    /// The blocks of images, ascending by number.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The number of images in the blocks.
    pub fn images(&self) -> u64 {
        self.blocks.iter().map(Block::images).sum()
    }

    /// The same with its finished blocks alone: what can be computed from while a run goes on.
    pub fn finished_part(&self) -> Self {
        let mut part = self.clone();
        part.blocks.retain(Block::is_finished);
        part
    }

    /// Whether every block of the run is present and finished.
    pub fn is_complete(&self) -> bool {
        self.missing_blocks().is_empty()
    }

    /// The numbers of the blocks that are missing or unfinished, ascending.
    pub fn missing_blocks(&self) -> Vec<u64> {
        let finished = self.blocks.iter().filter(|block| block.is_finished());
        let present: BTreeSet<u64> = finished.map(Block::id).collect();
        (0..self.provenance.total_blocks)
            .filter(|id| !present.contains(id))
            .collect()
    }

    /// Puts the blocks of several profiles of one run together.
    ///
    /// The result does not depend on the order or the grouping of the parts, to the last bit: blocks are only concatenated
    /// in the order of their numbers, sums over blocks are taken later and always in that order.
    ///
    /// # Errors
    /// [`Error::Schedule`] names the first field of the provenance, schedule or layout that differs;
    /// [`Error::DuplicateBlock`] names a block present twice, [`Error::Unfinished`] one that was left in the middle; [`Error::Empty`]
    /// if there are no parts.
    pub fn merge(parts: Vec<ElboProfile>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let Some(mut merged) = parts.next() else {
            return Err(Error::Empty);
        };
        let mut blocks = std::mem::take(&mut merged.blocks);
        for part in parts {
            merged.check_same_run(&part)?;
            blocks.extend(part.blocks);
        }
        blocks.iter().try_for_each(Block::check_finished)?;
        Self::new(merged.provenance, merged.schedule, merged.layout, blocks)
    }

    /// The variances that costs can be had under.
    pub fn variances(&self) -> Vec<VarianceKind> {
        let (learned, bands) = (self.layout.learned(), self.layout.bands().is_some());
        let served = |variance: &VarianceKind| {
            (bands || !variance.is_per_band()) && (learned || !variance.needs_learned())
        };
        VarianceKind::ALL.iter().copied().filter(served).collect()
    }

    /// Checks that both profiles are parts of one run.
    ///
    /// # Errors
    /// [`Error::Schedule`] names the first field of the provenance, schedule or layout that differs.
    pub fn check_same_run(&self, other: &Self) -> Result<()> {
        self.provenance.check_same(&other.provenance)?;
        let differs = |field: String, first: String, second: String| {
            Err(Invalid::Mismatch(Difference {
                field,
                first,
                second,
            })
            .into())
        };
        let (a, b) = (&self.layout, &other.layout);
        if a.timesteps() != b.timesteps() {
            let show = |l: &ProfileLayout| {
                format!("{} timesteps {:?}", l.timesteps().len(), l.timesteps())
            };
            return differs("timesteps".into(), show(a), show(b));
        }
        if a.learned() != b.learned() {
            let show = |l: &ProfileLayout| format!("{}", l.learned());
            return differs("learned variance".into(), show(a), show(b));
        }
        if a.nodes() != b.nodes() {
            let show = |l: &ProfileLayout| format!("{}", l.nodes());
            return differs("chebyshev nodes".into(), show(a), show(b));
        }
        match (a.bands(), b.bands()) {
            (Some(first), Some(second)) => {
                if let Some(found) = first.difference(second) {
                    return Err(Invalid::Mismatch(found).into());
                }
            }
            (None, None) => {}
            (first, second) => {
                let show =
                    |bands: Option<&Bands>| bands.map_or_else(|| "none".into(), Bands::to_string);
                return differs("bands".into(), show(first), show(second));
            }
        }
        for t in 0..=self.schedule.train_steps() {
            let (x, y) = (
                self.schedule.log_alpha_bar(t),
                other.schedule.log_alpha_bar(t),
            );
            if x.to_bits() != y.to_bits() {
                return differs(
                    format!("log_alpha_bar at t = {t}"),
                    format!("{x:?}"),
                    format!("{y:?}"),
                );
            }
        }
        for (i, (x, y)) in a.points().iter().zip(b.points()).enumerate() {
            if x.knots != y.knots {
                let field = format!("decoder knots at t = {}", a.timesteps()[i]);
                return differs(field, format!("{:?}", x.knots), format!("{:?}", y.knots));
            }
        }
        Ok(())
    }
}

/// Checks that a block fits the plan of the run and the layout.
fn check_block(provenance: &Provenance, layout: &ProfileLayout, block: &Block) -> Result<()> {
    match provenance.block_images(block.id()) {
        None => {
            let last = provenance.total_blocks - 1;
            block.wrong(format!("a number within 0..={last}"), block.id())
        }
        Some(images) if images != block.images() => {
            block.wrong(format!("{images} images"), block.images())
        }
        Some(_) => block.check(layout),
    }
}
