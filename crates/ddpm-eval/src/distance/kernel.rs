//! The kernel distance (KID; Binkowski et al. 2018): the squared maximum mean discrepancy with the kernel `(x.y / d + 1)^3`.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use super::linalg::widen;
use super::{check_dims, check_features};
use crate::error::{Error, Result};

/// Mean over subsets of the unbiased estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelDistance {
    /// The mean; it may be negative where the sets are alike.
    pub value: f64,
    /// The standard deviation over subsets (dividing by their number), which other programs print.
    pub deviation: f64,
    /// The standard error of the mean; NaN unless no two subsets share an image, and for a single subset.
    pub standard_error: f64,
    /// Number of subsets.
    pub subsets: usize,
}

/// Images of one set and of the other.
pub type SubsetPair = (Vec<usize>, Vec<usize>);

/// `count` pairs of subsets of `size` images each, none of which shares an image with another: their estimates are
/// independent, and their spread gives a standard error. The order is drawn by `seed`.
///
/// # Errors
/// [`Error::Request`] if a set of `a` or of `b` images is too small.
pub fn disjoint_subsets(
    seed: u64,
    [a, b]: [usize; 2],
    size: usize,
    count: usize,
) -> Result<Vec<SubsetPair>> {
    if size < 2 || count == 0 || count.saturating_mul(size) > a.min(b) {
        return Err(Error::request(
            "subsets",
            format!(
                "expected subsets of at least 2 images, and as many as fit into {}, found {count} of {size}",
                a.min(b)
            ),
        ));
    }
    // Two orders: images with the same index in both sets may be related.
    let [a, b] = [(seed, a), (seed ^ u64::MAX, b)].map(|(seed, n)| ddpm_core::permutation(seed, n));
    Ok(a.chunks_exact(size)
        .zip(b.chunks_exact(size))
        .take(count)
        .map(|(a, b)| (a.to_vec(), b.to_vec()))
        .collect())
}

/// The estimate of every pair of subsets.
pub(super) fn kernel_distances(
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    subsets: &[SubsetPair],
) -> Result<Vec<f64>> {
    check_features(a, 2)?;
    check_features(b, 2)?;
    check_dims(a.ncols(), b.ncols())?;
    let fits = |indices: &[usize], n: usize| indices.iter().all(|&i| i < n);
    let good = |(x, y): &SubsetPair| {
        x.len() == y.len() && x.len() >= 2 && fits(x, a.nrows()) && fits(y, b.nrows())
    };
    if subsets.is_empty() || !subsets.iter().all(good) {
        return Err(Error::request(
            "subsets",
            "expected pairs of equally many images of both sets, two at least",
        ));
    }
    let values: Vec<f64> = subsets
        .par_iter()
        .map(|(x, y)| {
            let [x, y] =
                [(a, x), (b, y)].map(|(set, of)| widen(set.select(Axis(0), of).view(), None));
            discrepancy(&x, &y)
        })
        .collect();
    Ok(values)
}

/// The kernel distance of two sets of features on pairs of subsets.
///
/// # Errors
/// [`Error::Request`] for no subsets, pairs of unequal or less than two images, indices beyond the sets, features that are not
/// finite or of different number.
pub fn kernel_distance(
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    subsets: &[SubsetPair],
) -> Result<KernelDistance> {
    let values = kernel_distances(a, b, subsets)?;
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - value).powi(2)).sum::<f64>() / n;
    let disjoint = |side: fn(&SubsetPair) -> &Vec<usize>, images: usize| {
        let mut seen = vec![false; images];
        let mut indices = subsets.iter().flat_map(side);
        indices.all(|&i| !std::mem::replace(&mut seen[i], true))
    };
    let independent =
        values.len() > 1 && disjoint(|p| &p.0, a.nrows()) && disjoint(|p| &p.1, b.nrows());
    Ok(KernelDistance {
        value,
        deviation: variance.sqrt(),
        standard_error: if independent {
            (variance / (n - 1.0)).sqrt()
        } else {
            f64::NAN
        },
        subsets: values.len(),
    })
}

/// The unbiased estimate of the squared discrepancy: an image does not meet itself.
fn discrepancy(x: &Mat<f64>, y: &Mat<f64>) -> f64 {
    let m = x.nrows() as f64;
    let within = kernel_sum(x, x, true) + kernel_sum(y, y, true);
    within / (m * (m - 1.0)) - 2.0 * kernel_sum(x, y, false) / (m * m)
}

/// The sum of the kernel over all pairs of rows, without those of equal index if `distinct`.
fn kernel_sum(x: &Mat<f64>, y: &Mat<f64>, distinct: bool) -> f64 {
    let mut products = Mat::zeros(x.nrows(), y.nrows());
    let scale = 1.0 / x.ncols() as f64;
    matmul(
        &mut products,
        Accum::Replace,
        x,
        y.transpose(),
        scale,
        Par::Seq,
    );
    let column = |j: usize| -> f64 {
        let terms = products.col(j).iter().enumerate();
        terms
            .filter(|&(i, _)| !(distinct && i == j))
            .map(|(_, product)| (product + 1.0).powi(3))
            .sum()
    };
    (0..y.nrows()).map(column).sum()
}
