//! How far a number may be off because the images are a sample: the delete-one-block jackknife.

use rayon::prelude::*;

use crate::{
    block::Block,
    curves::Curves,
    error::{Invalid, Result},
    profile::ElboProfile,
};

/// A number with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate from all blocks.
    pub value: f64,
    /// Its standard error by the jackknife; NaN if there are fewer than two blocks.
    pub standard_error: f64,
    /// The number of blocks.
    pub blocks: usize,
}

/// Estimates every number that `f` computes from curves, with standard errors.
///
/// `f` is called once with all blocks and once without each of them, always with the whole estimate to redo: what `f` computes
/// need not be linear in the statistics. For the error bar of a difference let `f` return the difference. Blocks of unequal size are
/// weighted (Busing, Meijer & van der Leeden 1999, the delete-m_j jackknife), which for equal blocks is the plain jackknife, and
/// for linear statistics the standard error of the mean of the blocks.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) without blocks, [`Error::Schedule`](crate::Error::Schedule) if `f` returns lists of different lengths, and the errors of `f`.
pub fn jackknife(
    profile: &ElboProfile,
    f: impl Fn(&Curves) -> Result<Vec<f64>> + Sync,
) -> Result<Vec<Estimate>> {
    let whole = f(&Curves::from_profile(profile)?)?;
    let blocks = profile.blocks();
    let n = blocks.len();
    if n < 2 {
        let estimate = |&value: &f64| Estimate {
            value,
            standard_error: f64::NAN,
            blocks: n,
        };
        return Ok(whole.iter().map(estimate).collect());
    }
    let parts = (0..n)
        .into_par_iter()
        .map(|i| f(&Curves::without_block(profile, i)?))
        .collect::<Result<Vec<_>>>()?;
    for part in &parts {
        Invalid::check_length("estimates without a block", whole.len(), part.len())?;
    }
    let images: Vec<u64> = blocks.iter().map(Block::images).collect();
    let estimate = |(i, &value): (usize, &f64)| {
        let parts: Vec<f64> = parts.iter().map(|part| part[i]).collect();
        delete_block_estimate(value, &images, &parts)
    };
    Ok(whole.iter().enumerate().map(estimate).collect())
}

/// The delete-m_j jackknife of one number (Busing, Meijer & van der Leeden 1999).
///
/// # Arguments
/// `value`: from all blocks. `images`: of each block, all above 0. `parts`: from all blocks but one, in the same order.
///
/// # Panics
/// If `images` and `parts` differ in length.
pub fn delete_block_estimate(value: f64, images: &[u64], parts: &[f64]) -> Estimate {
    assert_eq!(images.len(), parts.len(), "one estimate without each block");
    let n = parts.len();
    let total: f64 = images.iter().map(|&images| images as f64).sum();
    // With h = images / images of the block: pseudo-values h value - (h - 1) part, relative to the value.
    let pseudo = |(&images, part): (&u64, &f64)| {
        let h = total / images as f64;
        (h, (h - 1.0) * (value - part))
    };
    let pseudo: Vec<(f64, f64)> = images.iter().zip(parts).map(pseudo).collect();
    let mean: f64 = pseudo.iter().map(|(h, p)| p / h).sum();
    let sum: f64 = pseudo
        .iter()
        .map(|(h, p)| (p - mean).powi(2) / (h - 1.0))
        .sum();
    let standard_error = if n < 2 {
        f64::NAN
    } else {
        (sum / n as f64).sqrt()
    };
    Estimate {
        value,
        standard_error,
        blocks: n,
    }
}
