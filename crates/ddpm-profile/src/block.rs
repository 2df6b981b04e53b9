//! Blocks of images: the unit that shards own, that merging keeps apart, and that uncertainty is estimated from.

use crate::{
    error::{Error, Invalid, Result},
    layout::{ProfileLayout, check_index},
    statistics::PointStatistics,
};

/// Sums over the images of one block: the unit that shards own and that uncertainty is estimated from.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    id: u64,
    images: u64,
    x0_mean_square: f64,
    points: Vec<PointStatistics>,
    /// How many images each timestep has seen.
    counts: Vec<u64>,
}

impl Block {
    /// An empty block, number `id` within 0..total_blocks of its run.
    pub fn new(layout: &ProfileLayout, id: u64) -> Self {
        let timesteps = layout.timesteps().len();
        Self {
            id,
            images: 0,
            x0_mean_square: 0.0,
            points: (0..timesteps)
                .map(|i| PointStatistics::zero(layout, i))
                .collect(),
            counts: vec![0; timesteps],
        }
    }

    /// A block read from a file.
    pub(crate) fn from_sums(
        id: u64,
        images: u64,
        x0_mean_square: f64,
        points: Vec<PointStatistics>,
        counts: Vec<u64>,
    ) -> Self {
        Self {
            id,
            images,
            x0_mean_square,
            points,
            counts,
        }
    }

    /// The block's number in its run.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The number of images that [`Block::add_image`] has counted.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Adds the statistics of one image at one evaluated timestep. Callers add images in their fixed order, so that sums
    /// come out the same to the last bit.
    ///
    /// # Errors
    /// [`Error::Schedule`] if the index or the statistics do not belong to the layout of this block.
    pub fn add(&mut self, timestep_index: usize, statistics: &PointStatistics) -> Result<()> {
        check_index(timestep_index, self.points.len())?;
        let sums = &mut self.points[timestep_index];
        let lengths = |p: &PointStatistics| {
            let bands = &p.bands.products;
            (p.excess.len(), p.scalar_decoder.len(), bands.len())
        };
        if lengths(sums) != lengths(statistics) {
            let field = format!("decoder column of timestep index {timestep_index}");
            let (sums, found) = (sums.scalar_decoder.len(), statistics.scalar_decoder.len());
            return Err(Invalid::length(field, sums, found).into());
        }
        sums.accumulate(statistics);
        self.counts[timestep_index] += 1;
        Ok(())
    }

    /// How many images each evaluated timestep has seen, by timestep index: where a block that was left in the middle goes on.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Whether every timestep has seen every image.
    pub fn is_finished(&self) -> bool {
        self.counts.iter().all(|&count| count == self.images)
    }

    /// Refuses a block that was left in the middle.
    pub(crate) fn check_finished(&self) -> Result<()> {
        if self.is_finished() {
            return Ok(());
        }
        Err(Error::Unfinished {
            id: self.id,
            done: self.counts.iter().sum(),
            of: self.images * self.counts.len() as u64,
        })
    }

    /// Counts one image, whose mean over dimensions of x0^2 the prior term needs.
    pub fn add_image(&mut self, x0_mean_square: f64) {
        self.images += 1;
        self.x0_mean_square += x0_mean_square;
    }

    pub(crate) fn x0_mean_square(&self) -> f64 {
        self.x0_mean_square
    }

    pub(crate) fn points(&self) -> &[PointStatistics] {
        &self.points
    }

    /// That the block is not what it must be.
    pub(crate) fn wrong<T>(&self, expected: String, found: impl ToString) -> Result<T> {
        Err(Invalid::field(format!("block {}", self.id), expected, found).into())
    }

    /// Checks that the block belongs to `layout`. It need not be finished.
    pub(crate) fn check(&self, layout: &ProfileLayout) -> Result<()> {
        let timesteps = layout.timesteps();
        if self.points.len() != timesteps.len() {
            return self.wrong(format!("{} timesteps", timesteps.len()), self.points.len());
        }
        for (i, (point, &count)) in self.points.iter().zip(&self.counts).enumerate() {
            let t = timesteps[i];
            if count > self.images {
                let expected = format!("statistics of at most {} images at t = {t}", self.images);
                return self.wrong(expected, count);
            }
            if !point.fits(layout, i) {
                let expected = format!("columns of this layout at t = {t}");
                return self.wrong(expected, "columns of another one");
            }
            if let Some(bands) = layout.bands().filter(|_| count > 0) {
                let place = format!("block {} at t = {t}", self.id);
                point.bands.check(bands, &place, count, point.moments.mse)?;
            }
            let finite = count == 0 || point.is_finite();
            if !(finite && self.x0_mean_square.is_finite()) {
                let expected = format!("finite statistics at t = {t}");
                return self.wrong(expected, "a number that is not");
            }
        }
        Ok(())
    }
}
