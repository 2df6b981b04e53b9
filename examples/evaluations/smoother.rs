//! Penalised smoothing over irregular abscissae (Whittaker 1923; Reinsch 1967 for the roughness of splines).
//!
//! The smoothed values z minimise sum_i w_i (y_i - z_i)^2 + penalty sum_i (x_{i+2} - x_i) z\[x_i, x_{i+1}, x_{i+2}\]^2, the second a
//! sum over divided differences. The weights are relative (their mean is 1), so that a penalty means the same whatever the number of
//! images.

/// A linear smoother of values at fixed abscissae with fixed weights: the same for every statistic, so that sums of statistics are
/// smoothed to the sums of their smoothed values.
#[derive(Clone, Debug)]
pub(crate) struct Smoother {
    /// Row i: what each value contributes to the i-th smoothed one.
    rows: Vec<Vec<f64>>,
}

impl Smoother {
    /// `x`: strictly increasing. `weights`: as many, positive. `penalty`: at least 0; with 0 nothing is changed.
    pub(crate) fn new(x: &[f64], weights: &[f64], penalty: f64) -> Self {
        let n = x.len();
        let mean = weights.iter().sum::<f64>() / n as f64;
        // The normal equations; symmetric, positive definite, two bands on either side.
        let mut matrix = vec![vec![0.0; n]; n];
        for (i, w) in weights.iter().enumerate() {
            matrix[i][i] = w / mean;
        }
        for i in 0..n.saturating_sub(2) {
            let (a, b, c) = (x[i], x[i + 1], x[i + 2]);
            let difference = [
                1.0 / ((a - b) * (a - c)),
                1.0 / ((b - a) * (b - c)),
                1.0 / ((c - a) * (c - b)),
            ];
            for (j, dj) in difference.iter().enumerate() {
                for (k, dk) in difference.iter().enumerate() {
                    matrix[i + j][i + k] += penalty * (c - a) * dj * dk;
                }
            }
        }
        let mut rows: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                (0..n)
                    .map(|j| if i == j { weights[i] / mean } else { 0.0 })
                    .collect()
            })
            .collect();
        // Gaussian elimination; positive definite, so no pivoting.
        for pivot in 0..n {
            for i in pivot + 1..n.min(pivot + 3) {
                let factor = matrix[i][pivot] / matrix[pivot][pivot];
                for j in pivot..n.min(pivot + 3) {
                    matrix[i][j] -= factor * matrix[pivot][j];
                }
                for j in 0..n {
                    rows[i][j] -= factor * rows[pivot][j];
                }
            }
        }
        for i in (0..n).rev() {
            for k in i + 1..n.min(i + 3) {
                for j in 0..n {
                    rows[i][j] -= matrix[i][k] * rows[k][j];
                }
            }
            for j in 0..n {
                rows[i][j] /= matrix[i][i];
            }
        }
        Self { rows }
    }

    /// The i-th smoothed value.
    pub(crate) fn at(&self, i: usize, y: impl Fn(usize) -> f64) -> f64 {
        let terms = self.rows[i].iter().enumerate();
        terms.map(|(j, weight)| weight * y(j)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const X: [f64; 6] = [-3.0, -2.5, -1.0, 0.0, 2.0, 2.25];
    const W: [f64; 6] = [1.0, 2.0, 1.0, 4.0, 1.0, 3.0];
    const Y: [f64; 6] = [0.3, -1.0, 2.0, 0.5, 0.1, 4.0];

    fn all(smoother: &Smoother, y: &[f64]) -> Vec<f64> {
        (0..y.len()).map(|i| smoother.at(i, |j| y[j])).collect()
    }

    #[test]
    fn no_penalty_changes_nothing_and_a_huge_one_leaves_the_line_of_regression() {
        let same = all(&Smoother::new(&X, &W, 0.0), &Y);
        assert!(same.iter().zip(&Y).all(|(a, b)| (a - b).abs() < 1e-14));
        let line = all(&Smoother::new(&X, &W, 1e7), &Y);
        let sum = |f: &dyn Fn(usize) -> f64| (0..6).map(|i| W[i] * f(i)).sum::<f64>();
        let total = sum(&|_| 1.0);
        let (mx, my) = (sum(&|i| X[i]) / total, sum(&|i| Y[i]) / total);
        let slope = sum(&|i| (X[i] - mx) * (Y[i] - my)) / sum(&|i| (X[i] - mx).powi(2));
        for i in 0..6 {
            assert!((line[i] - (my + slope * (X[i] - mx))).abs() < 1e-4);
        }
    }

    proptest! {
        #[test]
        fn minimises_the_penalised_sum(
            y in prop::collection::vec(-2.0f64..2.0, 6),
            nudge in prop::collection::vec(-0.1f64..0.1, 6),
            penalty in 0.001f64..10.0,
        ) {
            let mean = W.iter().sum::<f64>() / 6.0;
            let objective = |z: &[f64]| {
                let fit: f64 = (0..6).map(|i| W[i] / mean * (y[i] - z[i]).powi(2)).sum();
                let rough: f64 = (0..4)
                    .map(|i| {
                        let slope = |i: usize| (z[i + 1] - z[i]) / (X[i + 1] - X[i]);
                        let second = (slope(i + 1) - slope(i)) / (X[i + 2] - X[i]);
                        (X[i + 2] - X[i]) * second * second
                    })
                    .sum();
                fit + penalty * rough
            };
            let z = all(&Smoother::new(&X, &W, penalty), &y);
            let moved: Vec<f64> = z.iter().zip(&nudge).map(|(a, b)| a + b).collect();
            prop_assert!(objective(&z) <= objective(&moved) + 1e-12);
        }
    }
}
