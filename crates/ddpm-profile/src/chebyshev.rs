//! Chebyshev interpolation on [0, 1]: values at the extreme points to a polynomial, and the polynomial to values.
//!
//! The nodes are u_j = (1 - cos(pi j / (n-1))) / 2, j = 0..n-1, both ends included, so that what is known exactly at
//! an end stays exact. Evaluation is by Clenshaw's recurrence in x = 1 - 2u. Every step is linear in the values.

use std::f64::consts::PI;

/// The nodes, the hold-out points between them and the transform of one order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chebyshev {
    nodes: Vec<f64>,
    /// Row k holds the weights that turn node values into coefficient k (the halves of the ends included).
    transform: Vec<f64>,
}

/// How many points between the nodes are kept to measure the interpolation error.
pub(crate) const HOLDOUTS: usize = 3;

impl Chebyshev {
    /// The rule with `n` >= 4 nodes.
    pub(crate) fn new(n: usize) -> Self {
        let last = n - 1;
        // Angles are reduced by hand so that the ends and the middle come out exact.
        let cosine = |i: usize| {
            let i = i % (2 * last);
            let i = i.min(2 * last - i);
            if 2 * i == last {
                0.0
            } else {
                (PI * i as f64 / last as f64).cos()
            }
        };
        let half = |i: usize| if i == 0 || i == last { 0.5 } else { 1.0 };
        let nodes = (0..n).map(|j| 0.5 - 0.5 * cosine(j)).collect();
        let transform = (0..n * n)
            .map(|kj| {
                let (k, j) = (kj / n, kj % n);
                2.0 / last as f64 * half(k) * half(j) * cosine(k * j)
            })
            .collect();
        Self { nodes, transform }
    }

    /// n, the number of nodes.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes in [0, 1], ascending from 0 to 1.
    pub(crate) fn nodes(&self) -> &[f64] {
        &self.nodes
    }

    /// The hold-out points in (0, 1): half-way (in angle) between two nodes, where the node polynomial is largest, at an
    /// eighth, a half and seven eighths of the range of angles.
    pub(crate) fn holdouts(&self) -> [f64; HOLDOUTS] {
        let last = (self.len() - 1) as f64;
        [0.125, 0.5, 0.875].map(|part: f64| {
            let gap = (part * last).floor().min(last - 1.0) + 0.5;
            0.5 - 0.5 * (PI * gap / last).cos()
        })
    }

    /// The coefficients of the polynomial through `values` (one per node), in Chebyshev polynomials of 1 - 2u.
    pub(crate) fn coefficients(&self, values: &[f64]) -> Vec<f64> {
        let n = self.len();
        self.transform
            .chunks_exact(n)
            .map(|row| row.iter().zip(values).map(|(w, y)| w * y).sum())
            .collect()
    }
}

/// The value at u in [0, 1] of the polynomial with these coefficients.
#[inline(always)]
pub(crate) fn clenshaw(coefficients: &[f64], u: f64) -> f64 {
    let x = 1.0 - 2.0 * u;
    let twice = 2.0 * x;
    let (mut b1, mut b2) = (0.0, 0.0);
    for &c in coefficients[1..].iter().rev() {
        let b0 = twice.mul_add(b1, c - b2);
        b2 = b1;
        b1 = b0;
    }
    x.mul_add(b1, coefficients[0] - b2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_come_back_exactly() {
        let rule = Chebyshev::new(9);
        let f = |u: f64| 3.0 - u + 2.0 * u.powi(3) - 7.0 * u.powi(8);
        let values: Vec<f64> = rule.nodes().iter().map(|&u| f(u)).collect();
        let c = rule.coefficients(&values);
        for i in 0..=1000 {
            let u = f64::from(i) / 1000.0;
            assert!((clenshaw(&c, u) - f(u)).abs() < 1e-13, "{u}");
        }
    }

    #[test]
    fn nodes_ascend_from_zero_to_one_and_holdouts_lie_between() {
        for n in 4..80 {
            let rule = Chebyshev::new(n);
            assert_eq!(rule.nodes()[0], 0.0);
            assert_eq!(rule.nodes()[n - 1], 1.0);
            assert!(rule.nodes().windows(2).all(|w| w[0] < w[1]));
            for h in rule.holdouts() {
                assert!(0.0 < h && h < 1.0);
                assert!(
                    rule.nodes().iter().all(|&u| (u - h).abs() > 1e-5),
                    "{n} {h}"
                );
            }
        }
    }

    #[test]
    fn exponentials_converge() {
        // Range 11.6 as for the cosine schedule with 4000 steps.
        for (n, bound) in [(16, 1e-4), (24, 1e-9), (32, 1e-13)] {
            let rule = Chebyshev::new(n);
            let f = |u: f64| (-1.3 * 11.6 * u).exp();
            let values: Vec<f64> = rule.nodes().iter().map(|&u| f(u)).collect();
            let c = rule.coefficients(&values);
            let worst = (0..=1000)
                .map(|i| f64::from(i) / 1000.0)
                .map(|u| (clenshaw(&c, u) - f(u)).abs())
                .fold(0.0, f64::max);
            assert!(worst < bound, "{n}: {worst}");
        }
    }
}
