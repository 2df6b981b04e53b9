//! Standard errors of distances, and of the differences of two that began with the same noise.

use std::ops::Range;

use ddpm_profile::{Estimate, delete_block_estimate};
use ndarray::{ArrayView2, s};
use rayon::prelude::*;

use super::frechet::FrechetReference;
use super::statistics::Moments;
use super::{check_dims, check_features};
use crate::error::{Error, Result};

/// The Frechet distance of `features` to `reference` with its standard error by the delete-one-block jackknife over `blocks`
/// blocks of consecutive images.
///
/// The reference is taken as it is: the error says how far another sample of as many images would be off, not what the bias by
/// their number is.
///
/// # Errors
/// [`Error::Request`] for less than two blocks, less than two images in each, features that are not finite or of another number than the
/// reference has.
pub fn frechet_jackknife(
    features: ArrayView2<'_, f32>,
    reference: &FrechetReference,
    blocks: usize,
) -> Result<Estimate> {
    Ok(frechet_replicates(features, reference, blocks)?.estimate())
}

/// The distances of two samples to one reference, which began with the same noise image by image.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Of the first.
    pub a: Estimate,
    /// Of the second.
    pub b: Estimate,
    /// The first minus the second; what they share does not count in its error.
    pub difference: Estimate,
}

/// The Frechet distances of `a` and `b`, two samples of equal size, to one reference, and their difference with its own standard
/// error: image i of one set is left out together with image i of the other, so that what they share (the noise they started
/// from) does not count.
///
/// # Errors
/// Those of [`frechet_jackknife`], and sets of different size.
pub fn frechet_difference(
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    reference: &FrechetReference,
    blocks: usize,
) -> Result<Pair> {
    if a.nrows() != b.nrows() {
        return Err(Error::request(
            "features",
            format!(
                "expected two sets of equally many images (the distance is biased by their number), found {} and {}",
                a.nrows(),
                b.nrows()
            ),
        ));
    }
    let a = frechet_replicates(a, reference, blocks)?;
    let b = frechet_replicates(b, reference, blocks)?;
    Ok(a.minus(&b))
}

/// The distance of all images, and without each block.
pub(super) struct Replicates {
    pub(super) value: f64,
    pub(super) sizes: Vec<u64>,
    pub(super) parts: Vec<f64>,
}

impl Replicates {
    pub(super) fn estimate(&self) -> Estimate {
        delete_block_estimate(self.value, &self.sizes, &self.parts)
    }

    /// With those of another sample of as many images: block i of one is left out together with block i of the other.
    pub(super) fn minus(&self, other: &Self) -> Pair {
        let parts = self.parts.iter().zip(&other.parts).map(|(a, b)| a - b);
        let difference = Self {
            value: self.value - other.value,
            sizes: self.sizes.clone(),
            parts: parts.collect(),
        };
        Pair {
            a: self.estimate(),
            b: other.estimate(),
            difference: difference.estimate(),
        }
    }
}

/// The images of block `i` of `blocks`.
pub(super) fn block(i: usize, images: usize, blocks: usize) -> Range<usize> {
    i * images / blocks..(i + 1) * images / blocks
}

/// Refuses blocks that a jackknife cannot leave out.
pub(super) fn check_blocks(images: usize, blocks: usize) -> Result<()> {
    if blocks < 2 || images < 2 * blocks {
        return Err(Error::request(
            "blocks",
            format!(
                "expected at least 2, and two images in each, found {blocks} for {images} images"
            ),
        ));
    }
    Ok(())
}

fn frechet_replicates(
    features: ArrayView2<'_, f32>,
    reference: &FrechetReference,
    blocks: usize,
) -> Result<Replicates> {
    let images = features.nrows();
    check_blocks(images, blocks)?;
    check_features(features, 2)?;
    check_dims(features.ncols(), reference.dims())?;
    let moments = Moments::of(features)?;
    let value = reference.distance(&moments.statistics())?;
    let block = |i: usize| block(i, images, blocks);
    let parts = (0..blocks)
        .into_par_iter()
        .map(|i| {
            let rest = moments.without(features.slice(s![block(i), ..]));
            reference.distance(&rest.statistics())
        })
        .collect::<Result<_>>()?;
    Ok(Replicates {
        value,
        sizes: (0..blocks).map(|i| block(i).len() as u64).collect(),
        parts,
    })
}
