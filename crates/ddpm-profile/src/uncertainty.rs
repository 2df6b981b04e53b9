//! How far a number may be off because the images are a sample: the delete-one-block jackknife.

use rayon::prelude::*;
use statrs::function::beta::beta_reg;

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

impl Estimate {
    /// Half the width of the two-sided confidence interval (Student's t with blocks - 1 degrees of freedom); `confidence` in 0..1.
    ///
    /// With 32 blocks of two small images, intervals of 95% hold the true value in 93 to 96% of runs on Gaussian data and on a mixture
    /// (the tests count them). They are too short where few images carry the number, and a sample that lacks such images cannot tell:
    /// differences of paths whose contributions of single images have a skewness of 3.3, 4.4 and 6.5 are held in 92, 89 and 82% with
    /// 64 images; the last one in 89% with 256 images and 92% with 1024. The standard error is right there too, on average; it is the
    /// shape of the distribution that Student's t does not know.
    pub fn half_width(&self, confidence: f64) -> f64 {
        student_t_quantile(0.5 + 0.5 * confidence, self.blocks.saturating_sub(1) as f64)
            * self.standard_error
    }
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

/// The quantile of Student's t distribution: the t below which a share `probability` (in 0..1) of it lies, with `freedom` > 0
/// degrees of freedom. NaN for arguments outside these ranges.
pub fn student_t_quantile(probability: f64, freedom: f64) -> f64 {
    let valid = probability > 0.0 && probability < 1.0 && freedom > 0.0;
    if !valid {
        return f64::NAN;
    }
    if probability < 0.5 {
        return -student_t_quantile(1.0 - probability, freedom);
    }
    // The upper tail is I_x(freedom/2, 1/2) / 2 at x = freedom / (freedom + t^2): bisect for x, in its logarithm. (The quantile of
    // statrs itself is off by up to 0.4% at a million degrees of freedom.)
    let tail = 1.0 - probability;
    let upper = |log_x: f64| 0.5 * beta_reg(0.5 * freedom, 0.5, log_x.exp());
    let (mut low, mut high) = (-700.0, 0.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if upper(middle) > tail {
            high = middle
        } else {
            low = middle
        }
    }
    let log_x = 0.5 * (low + high);
    (freedom * (-log_x).exp_m1()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_t_quantiles_are_those_of_the_tables() {
        let table = [
            (0.975, 1.0, 12.706_204_736),
            (0.975, 2.0, 4.302_652_730),
            (0.975, 10.0, 2.228_138_852),
            (0.975, 31.0, 2.039_513_446),
            (0.995, 5.0, 4.032_142_984),
            (0.95, 120.0, 1.657_650_899),
            (0.84, 1e6, 0.994_458),
        ];
        for (p, freedom, expected) in table {
            let found = student_t_quantile(p, freedom);
            assert!(
                (found / expected - 1.0).abs() < 1e-6,
                "{p} {freedom}: {found}"
            );
            assert!((student_t_quantile(1.0 - p, freedom) + found).abs() < 1e-9 * found);
        }
        assert!(student_t_quantile(0.5, 3.0).abs() < 1e-6);
        assert!(student_t_quantile(1.0, 3.0).is_nan());
        assert!(student_t_quantile(0.9, 0.0).is_nan());
    }
}
