//! Squared errors that another program measured, as a profile.

use std::collections::BTreeSet;

use ddpm_core::NoiseSchedule;
use ddpm_schedule::Provenance;

use crate::{
    band_sums::BandSums,
    block::Block,
    error::{Error, Invalid, Result},
    layout::ProfileLayout,
    profile::ElboProfile,
    statistics::PointStatistics,
};

/// What a few lines in anybody's loop can sum up: squared errors of the predicted image, per block of images and timestep.
#[derive(Clone, Debug, PartialEq)]
pub struct SquaredErrors {
    /// The evaluated timesteps within 1..=T, in any order; M of them. Equal ones are added up.
    pub timesteps: Vec<usize>,
    /// Per block and timestep (B x M): the sum over images of the mean over dimensions of (x0 - xhat0)^2.
    pub sums: Vec<Vec<f64>>,
    /// Per block and timestep (B x M): how many images were summed.
    pub counts: Vec<Vec<u64>>,
    /// Per block: the mean over its images and dimensions of x0^2, which the prior term needs.
    pub x0_mean_square: Vec<f64>,
    /// The same images per band of frequencies.
    pub bands: Option<BandSums>,
}

impl SquaredErrors {
    /// The profile of these errors. It serves the fixed and the analytic variances, and those of bands where there are bands, with
    /// decoder `gaussian` or `none`: it has no columns of the learned variance and none of the discretised decoder.
    ///
    /// Blocks without images are left out, and neighbouring blocks are pooled until each has an image at every timestep: a recording at random
    /// timesteps has fewer blocks afterwards. A block weighs as many images as its scarcest timestep has seen. The numbers of images in
    /// `provenance` are replaced by those found here, block by block where they are not of one size ([`Provenance::IMAGES_OF_BLOCKS`]).
    ///
    /// # Errors
    /// [`Error::Empty`] without blocks; [`Error::Schedule`] for arrays of different lengths, timesteps outside 1..=T, a sum that is negative
    /// or not finite, a timestep that no image was counted for, or sums of bands that no images have or that contradict the squared errors.
    pub fn into_profile(
        self,
        schedule: &NoiseSchedule,
        provenance: Provenance,
    ) -> Result<ElboProfile> {
        self.check()?;
        let gathered = self.gathered();
        gathered.into_blocks(schedule, provenance)
    }

    /// The profile of blocks that have images at every timestep.
    fn into_blocks(
        self,
        schedule: &NoiseSchedule,
        mut provenance: Provenance,
    ) -> Result<ElboProfile> {
        let mut layout = ProfileLayout::without_decoder(schedule, self.timesteps.clone())?;
        if let Some(sums) = &self.bands {
            layout = layout.with_bands(sums.bands.clone());
        }
        let images = self.images();
        provenance.total_images = images.iter().sum();
        provenance.images_per_block = images.iter().copied().max().unwrap_or(1);
        if !of_one_size(&images) {
            let words: Vec<String> = images.iter().map(u64::to_string).collect();
            let key = Provenance::IMAGES_OF_BLOCKS.to_owned();
            provenance.extra.insert(key, words.join(","));
        }
        provenance.total_blocks = images.len() as u64;
        let mut blocks = Vec::with_capacity(images.len());
        for (b, &images) in images.iter().enumerate() {
            let points = (0..self.timesteps.len())
                .map(|i| {
                    let mut point = PointStatistics::zero(&layout, i);
                    let count = self.counts[b][i];
                    let weighted = |sum: f64| {
                        if count == images {
                            sum
                        } else {
                            sum / count as f64 * images as f64
                        }
                    };
                    point.moments.mse = weighted(self.sums[b][i]);
                    if let Some(sums) = &self.bands {
                        point.bands = sums.point(b * self.timesteps.len() + i);
                        point.bands.values_mut().for_each(|x| *x = weighted(*x));
                    }
                    point
                })
                .collect();
            let square = self.x0_mean_square[b] * images as f64;
            let counts = vec![images; self.timesteps.len()];
            blocks.push(Block::from_sums(b as u64, images, square, points, counts));
        }
        ElboProfile::new(provenance, schedule.clone(), layout, blocks)
    }

    /// The weight of each block: the images that it has at its scarcest timestep, never more than were seen.
    fn images(&self) -> Vec<u64> {
        let least = |counts: &Vec<u64>| counts.iter().min().copied().unwrap_or(1);
        self.counts.iter().map(least).collect()
    }

    /// Refuses arrays that are not of as many blocks and timesteps.
    pub(crate) fn check_lengths(&self) -> Result<()> {
        let (blocks, m) = (self.sums.len(), self.timesteps.len());
        Invalid::check_length("blocks of counts", blocks, self.counts.len())?;
        Invalid::check_length("x0_mean_square", blocks, self.x0_mean_square.len())?;
        for b in 0..blocks {
            Invalid::check_length(format!("sums of block {b}"), m, self.sums[b].len())?;
            Invalid::check_length(format!("counts of block {b}"), m, self.counts[b].len())?;
        }
        match &self.bands {
            Some(bands) => bands.check_lengths(blocks * m),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<()> {
        self.check_lengths()?;
        if self.counts.iter().flatten().all(|&count| count == 0) {
            return Err(Error::Empty);
        }
        let is_seen = |i: &usize| self.counts.iter().any(|counts| counts[*i] > 0);
        let seen = (0..self.timesteps.len()).filter(is_seen);
        let seen: BTreeSet<usize> = seen.map(|i| self.timesteps[i]).collect();
        if let Some(t) = self.timesteps.iter().find(|t| !seen.contains(t)) {
            let field = format!("count at t = {t}");
            let expected = "at least one image at every timestep";
            return Err(Invalid::field(field, expected, 0).into());
        }
        let usable = |x: f64| x.is_finite() && x >= 0.0;
        let expected = "a finite number of at least 0";
        for (b, counts) in self.counts.iter().enumerate() {
            // A block without images has no mean of anything.
            if counts.iter().all(|&count| count == 0) {
                continue;
            }
            let square = self.x0_mean_square[b];
            if !usable(square) {
                let field = format!("x0_mean_square of block {b}");
                return Err(Invalid::field(field, expected, square).into());
            }
            if let Some(i) = self.sums[b].iter().position(|&sum| !usable(sum)) {
                let field = format!("sum of block {b} at t = {}", self.timesteps[i]);
                return Err(Invalid::field(field, expected, self.sums[b][i]).into());
            }
        }
        Ok(())
    }
}

/// Whether only the last block has fewer images than the first, as blocks of one run have them.
fn of_one_size(images: &[u64]) -> bool {
    match images {
        [first, others @ .., last] => others.iter().all(|n| n == first) && last <= first,
        _ => true,
    }
}
