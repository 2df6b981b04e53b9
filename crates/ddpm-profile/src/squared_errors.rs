//! Squared errors that another program measured, as a profile.

use ddpm_core::NoiseSchedule;
use ddpm_schedule::Provenance;

use crate::{
    block::Block,
    error::{Error, Result},
    layout::ProfileLayout,
    profile::ElboProfile,
    statistics::PointStatistics,
};

/// What a few lines in anybody's loop can sum up: squared errors of the predicted image, per block of images and timestep.
#[derive(Clone, Debug, PartialEq)]
pub struct SquaredErrors {
    /// The evaluated timesteps, strictly increasing within 1..=T; M of them.
    pub timesteps: Vec<usize>,
    /// Per block and timestep (B x M): the sum over images of the mean over dimensions of (x0 - xhat0)^2.
    pub sums: Vec<Vec<f64>>,
    /// Per block and timestep (B x M): how many images were summed.
    pub counts: Vec<Vec<u64>>,
    /// Per block: the mean over its images and dimensions of x0^2, which the prior term needs.
    pub x0_mean_square: Vec<f64>,
}

impl SquaredErrors {
    /// The profile of these errors. It serves the fixed and the analytic variances with decoder `gaussian` or `none`: it has no
    /// columns of the learned variance and none of the discretised decoder.
    ///
    /// Blocks are weighted by their numbers of images where every timestep of a block has seen as many and only the last block
    /// has fewer than the first; else all blocks weigh the same. The numbers of images in `provenance` are replaced by those found here.
    ///
    /// # Errors
    /// [`Error::Length`] for arrays of different lengths, [`Error::Timesteps`], [`Error::Empty`] without blocks, and [`Error::Value`] for
    /// a sum that is negative or not finite, or a block and timestep that no image was counted for.
    pub fn into_profile(
        self,
        schedule: &NoiseSchedule,
        mut provenance: Provenance,
    ) -> Result<ElboProfile> {
        self.check()?;
        let layout = ProfileLayout::without_decoder(schedule, self.timesteps.clone())?;
        let images = self.images();
        provenance.total_images = images.iter().sum();
        provenance.images_per_block = images[0];
        provenance.total_blocks = images.len() as u64;
        let mut blocks = Vec::with_capacity(images.len());
        for (b, &images) in images.iter().enumerate() {
            let points = (0..self.timesteps.len())
                .map(|i| {
                    let mut point = PointStatistics::zero(&layout, i);
                    let (sum, count) = (self.sums[b][i], self.counts[b][i]);
                    point.moments.mse = if count == images {
                        sum
                    } else {
                        sum / count as f64 * images as f64
                    };
                    point
                })
                .collect();
            let square = self.x0_mean_square[b] * images as f64;
            let counts = vec![images; self.timesteps.len()];
            blocks.push(Block::from_sums(b as u64, images, square, points, counts));
        }
        ElboProfile::new(provenance, schedule.clone(), layout, blocks)
    }

    /// The weight of each block, in images.
    fn images(&self) -> Vec<u64> {
        let first: Vec<u64> = self.counts.iter().map(|counts| counts[0]).collect();
        let even = self
            .counts
            .iter()
            .zip(&first)
            .all(|(counts, n)| counts.iter().all(|count| count == n));
        let (last, others) = (first[first.len() - 1], &first[..first.len() - 1]);
        if even && others.iter().all(|&n| n == first[0]) && last <= first[0] {
            return first;
        }
        // Never more images than were seen.
        let least = self.counts.iter().flatten().min().copied().unwrap_or(1);
        vec![least; first.len()]
    }

    fn check(&self) -> Result<()> {
        let (blocks, m) = (self.sums.len(), self.timesteps.len());
        if blocks == 0 || m == 0 {
            return Err(Error::Empty);
        }
        let length = |field: &str, expected: usize, found: usize| {
            if expected == found {
                return Ok(());
            }
            Err(Error::Length {
                field: field.into(),
                expected,
                found,
            })
        };
        length("blocks of counts", blocks, self.counts.len())?;
        length("x0_mean_square", blocks, self.x0_mean_square.len())?;
        for b in 0..blocks {
            length(&format!("sums of block {b}"), m, self.sums[b].len())?;
            length(&format!("counts of block {b}"), m, self.counts[b].len())?;
            let value = |field: &str, t: Option<usize>, expected: &'static str, found: f64| {
                let at = t.map_or_else(String::new, |t| format!(" at t = {t}"));
                Err(Error::Value {
                    field: format!("{field} of block {b}{at}"),
                    expected,
                    found,
                })
            };
            let usable = |x: f64| x.is_finite() && x >= 0.0;
            // First: a block without images has no mean of anything.
            for (i, &t) in self.timesteps.iter().enumerate() {
                if self.counts[b][i] == 0 {
                    return value(
                        "count",
                        Some(t),
                        "at least one image in every block at every timestep (use fewer blocks)",
                        0.0,
                    );
                }
            }
            if !usable(self.x0_mean_square[b]) {
                return value(
                    "x0_mean_square",
                    None,
                    "a finite number of at least 0",
                    self.x0_mean_square[b],
                );
            }
            for (i, &t) in self.timesteps.iter().enumerate() {
                if !usable(self.sums[b][i]) {
                    return value(
                        "sum",
                        Some(t),
                        "a finite number of at least 0",
                        self.sums[b][i],
                    );
                }
            }
        }
        Ok(())
    }
}
