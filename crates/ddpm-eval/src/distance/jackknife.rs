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
    Ok(frechet_judged(features, reference, blocks)?.estimate())
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

impl Pair {
    pub(super) fn of(a: &Judged, b: &Judged) -> Result<Self> {
        Ok(Self {
            a: a.estimate(),
            b: b.estimate(),
            difference: a.minus(b)?,
        })
    }
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
    let a = frechet_judged(a, reference, blocks)?;
    Pair::of(&a, &frechet_judged(b, reference, blocks)?)
}

/// The distance of a sample to a reference, and those of its parts: what an error bar, and that of a difference, are made of.
#[derive(Clone, Debug)]
pub struct Judged {
    value: f64,
    images: usize,
    /// Of blocks of the sample that were left out, their sizes; none of parts that are independent.
    sizes: Vec<u64>,
    parts: Vec<f64>,
    /// The same of blocks of the reference, where it is a sample too.
    of_reference: Option<(Vec<u64>, Vec<f64>)>,
}

impl Judged {
    /// Of all images, and without each block.
    pub(super) fn left_out(value: f64, sizes: Vec<u64>, parts: Vec<f64>) -> Self {
        Self {
            value,
            images: sizes.iter().sum::<u64>() as usize,
            sizes,
            parts,
            of_reference: None,
        }
    }

    /// The same, with the distances without each block of the reference.
    pub(super) fn with_reference(self, sizes: Vec<u64>, parts: Vec<f64>) -> Self {
        Self {
            of_reference: Some((sizes, parts)),
            ..self
        }
    }

    /// Of so many images in parts that share nothing.
    pub(super) fn independent(images: usize, parts: Vec<f64>) -> Self {
        Self {
            value: parts.iter().sum::<f64>() / parts.len() as f64,
            images,
            sizes: Vec::new(),
            parts,
            of_reference: None,
        }
    }

    /// The distance with its standard error.
    pub fn estimate(&self) -> Estimate {
        if !self.sizes.is_empty() {
            let found = delete_block_estimate(self.value, &self.sizes, &self.parts);
            let Some((sizes, parts)) = &self.of_reference else {
                return found;
            };
            // Two samples that know nothing of one another: their variances add up.
            let other = delete_block_estimate(self.value, sizes, parts);
            return Estimate {
                standard_error: found.standard_error.hypot(other.standard_error),
                ..found
            };
        }
        let n = self.parts.len() as f64;
        let squares: f64 = self.parts.iter().map(|v| (v - self.value).powi(2)).sum();
        Estimate {
            value: self.value,
            standard_error: if self.parts.len() > 1 {
                (squares / (n * (n - 1.0))).sqrt()
            } else {
                f64::NAN
            },
            blocks: self.parts.len(),
        }
    }

    /// This minus the distance of another sample that began with the same noise, image by image: a part of one goes with the same part of the other.
    ///
    /// # Errors
    /// [`Error::Request`] for samples of different size.
    pub fn minus(&self, other: &Self) -> Result<Estimate> {
        let (images, parts) = (self.images, self.parts.len());
        if (images, parts) != (other.images, other.parts.len()) {
            let problem = format!(
                "expected two sets of equally many images, found {images} and {} (in {parts} and {} parts)",
                other.images,
                other.parts.len()
            );
            return Err(Error::request("samples", problem));
        }
        let minus = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let of_reference = match (&self.of_reference, &other.of_reference) {
            (Some((sizes, a)), Some((_, b))) => Some((sizes.clone(), minus(a, b))),
            _ => None,
        };
        let difference = Self {
            value: self.value - other.value,
            images,
            sizes: self.sizes.clone(),
            parts: minus(&self.parts, &other.parts),
            of_reference,
        };
        Ok(difference.estimate())
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

pub(super) fn frechet_judged(
    features: ArrayView2<'_, f32>,
    reference: &FrechetReference,
    blocks: usize,
) -> Result<Judged> {
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
    let sizes = (0..blocks).map(|i| block(i).len() as u64).collect();
    Ok(Judged::left_out(value, sizes, parts))
}
