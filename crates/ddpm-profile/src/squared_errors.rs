//! Squared errors that another program measured, as a profile.

use ddpm_core::{Bands, NoiseSchedule};
use ddpm_schedule::Provenance;

use crate::{
    band_moments::{BandMoments, MEANS, PRODUCTS},
    block::Block,
    error::{Error, Invalid, Result},
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
    /// What calibrated kernels need, if it was summed up too.
    pub bands: Option<BandSums>,
}

/// Second moments per band of frequencies, per block of images and timestep: with U the transform of the bands, e = x0 - xhat0 and
/// epshat = (x_t - sqrt(abar_t) xhat0) / sqrt(1 - abar_t).
#[derive(Clone, Debug, PartialEq)]
pub struct BandSums {
    /// The bands, N of them, Q of which are constants.
    pub bands: Bands,
    /// Per block and timestep, of every band (B x M x N): the sums over images of the means over its coefficients of e^2, e h, e n, h^2, h n and n^2,
    /// where e, h and n stand for coefficients of U e, U xhat0 and U epshat.
    pub products: Vec<Vec<Vec<[f64; 6]>>>,
    /// Per block and timestep, of every constant (B x M x Q): the sums over images of e, h and n.
    pub means: Vec<Vec<Vec<[f64; 3]>>>,
}

/// How far the mean square of the bands may be from that of the pixels, as a share of it: an orthonormal transform in single precision.
const PARSEVAL: f64 = 1e-4;

impl BandSums {
    /// Refuses sums of other lengths, impossible ones, and those whose bands do not add up to the squared errors.
    fn check(&self, errors: &SquaredErrors) -> Result<()> {
        let (blocks, m) = (errors.sums.len(), errors.timesteps.len());
        let constants = self.bands.constants().count();
        Invalid::check_length("blocks of band products", blocks, self.products.len())?;
        Invalid::check_length("blocks of band means", blocks, self.means.len())?;
        for b in 0..blocks {
            let at = |what: &str| format!("{what} of block {b}");
            Invalid::check_length(at("band products"), m, self.products[b].len())?;
            Invalid::check_length(at("band means"), m, self.means[b].len())?;
            for i in 0..m {
                let at = |what: &str| format!("{what} of block {b} at t = {}", errors.timesteps[i]);
                let (products, means) = (&self.products[b][i], &self.means[b][i]);
                Invalid::check_length(at("band products"), self.bands.count(), products.len())?;
                Invalid::check_length(at("band means"), constants, means.len())?;
                if let Some(&found) = means.as_flattened().iter().find(|x| !x.is_finite()) {
                    return Err(Invalid::field(at("band means"), "finite numbers", found).into());
                }
                for products in products {
                    let squares = [products[0], products[3], products[5]];
                    if !products.iter().all(|x| x.is_finite()) || squares.iter().any(|&x| x < 0.0) {
                        let expected = "finite numbers, the squares of at least 0";
                        let found = format!("{products:?}");
                        return Err(Invalid::field(at("band products"), expected, found).into());
                    }
                }
                let (found, sum) = (
                    self.bands.mean(products.iter().map(|p| p[0])),
                    errors.sums[b][i],
                );
                if (found - sum).abs() > PARSEVAL * sum {
                    let expected = format!("squared errors that add up to the sum {sum}");
                    return Err(Invalid::field(at("band products"), expected, found).into());
                }
            }
        }
        Ok(())
    }

    /// Those of a block and timestep.
    fn at(&self, block: usize, i: usize) -> BandMoments {
        let products: &[[f64; PRODUCTS]] = &self.products[block][i];
        let means: &[[f64; MEANS]] = &self.means[block][i];
        BandMoments {
            products: products.to_vec(),
            means: means.to_vec(),
        }
    }
}

impl SquaredErrors {
    /// The profile of these errors. It serves the fixed and the analytic variances, with bands the spectral one and calibrated means too, with
    /// decoder `gaussian` or `none`: it has no columns of the learned variance and none of the discretised decoder.
    ///
    /// Blocks are weighted by their numbers of images where every timestep of a block has seen as many and only the last block
    /// has fewer than the first; else all blocks weigh the same. The numbers of images in `provenance` are replaced by those found here.
    ///
    /// # Errors
    /// [`Error::Empty`] without blocks; [`Error::Schedule`] for arrays of different lengths, timesteps that do not increase within 1..=T,
    /// a sum that is negative or not finite, a block and timestep that no image was counted for, or bands that do not add up to the
    /// squared errors.
    pub fn into_profile(
        self,
        schedule: &NoiseSchedule,
        mut provenance: Provenance,
    ) -> Result<ElboProfile> {
        self.check()?;
        let mut layout = ProfileLayout::without_decoder(schedule, self.timesteps.clone())?;
        if let Some(sums) = &self.bands {
            sums.check(&self)?;
            layout = layout.with_bands(sums.bands.clone());
        }
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
                    // What was summed over other numbers of images counts as if it had been over these.
                    let as_counted = |sum: f64| {
                        if count == images {
                            sum
                        } else {
                            sum / count as f64 * images as f64
                        }
                    };
                    point.moments.mse = as_counted(sum);
                    if let Some(sums) = &self.bands {
                        point.bands = sums.at(b, i);
                        point.bands.values_mut().for_each(|x| *x = as_counted(*x));
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
        Invalid::check_length("blocks of counts", blocks, self.counts.len())?;
        Invalid::check_length("x0_mean_square", blocks, self.x0_mean_square.len())?;
        for b in 0..blocks {
            Invalid::check_length(format!("sums of block {b}"), m, self.sums[b].len())?;
            Invalid::check_length(format!("counts of block {b}"), m, self.counts[b].len())?;
            // First: a block without images has no mean of anything.
            if let Some(i) = self.counts[b].iter().position(|&count| count == 0) {
                let field = format!("count of block {b} at t = {}", self.timesteps[i]);
                let expected =
                    "at least one image in every block at every timestep (use fewer blocks)";
                return Err(Invalid::field(field, expected, 0).into());
            }
            let usable = |x: f64| x.is_finite() && x >= 0.0;
            let expected = "a finite number of at least 0";
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
