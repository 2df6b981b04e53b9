//! Standard errors of Frechet distances.

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
    let set = Replicates::new(features, reference, blocks)?;
    Ok(delete_block_estimate(set.value, &set.sizes, &set.parts))
}

/// The Frechet distances of two samples to one reference, and how much farther the first is.
#[derive(Clone, Copy, Debug)]
pub struct FrechetDifference {
    /// Of the first, as [`frechet_jackknife`] gives it.
    pub a: Estimate,
    /// Of the second.
    pub b: Estimate,
    /// The first minus the second, with the error of paired samples.
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
) -> Result<FrechetDifference> {
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
    let a = Replicates::new(a, reference, blocks)?;
    let b = Replicates::new(b, reference, blocks)?;
    let parts: Vec<f64> = a.parts.iter().zip(&b.parts).map(|(a, b)| a - b).collect();
    let estimate = |value: f64, parts: &[f64]| delete_block_estimate(value, &a.sizes, parts);
    Ok(FrechetDifference {
        a: estimate(a.value, &a.parts),
        b: estimate(b.value, &b.parts),
        difference: estimate(a.value - b.value, &parts),
    })
}

/// The distance of all images, and without each block.
struct Replicates {
    value: f64,
    sizes: Vec<u64>,
    parts: Vec<f64>,
}

impl Replicates {
    fn new(
        features: ArrayView2<'_, f32>,
        reference: &FrechetReference,
        blocks: usize,
    ) -> Result<Self> {
        let images = features.nrows();
        if blocks < 2 || images < 2 * blocks {
            return Err(Error::request(
                "blocks",
                format!(
                    "expected at least 2, and two images in each, found {blocks} for {images} images"
                ),
            ));
        }
        check_features(features, 2)?;
        check_dims(features.ncols(), reference.dims())?;
        let moments = Moments::of(features)?;
        let value = reference.distance(&moments.statistics())?;
        let block = |i: usize| -> Range<usize> { i * images / blocks..(i + 1) * images / blocks };
        let parts = (0..blocks)
            .into_par_iter()
            .map(|i| {
                let rest = moments.without(features.slice(s![block(i), ..]));
                reference.distance(&rest.statistics())
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            value,
            sizes: (0..blocks).map(|i| block(i).len() as u64).collect(),
            parts,
        })
    }
}
