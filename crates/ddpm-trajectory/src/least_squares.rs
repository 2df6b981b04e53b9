//! Coefficients of one step by least squares, from the inner products of what it is made of.

use ddpm_core::{CoefficientKind, LinearStep};

/// The state, the estimate at t and the one before.
pub(crate) const MOST_TERMS: usize = 3;
/// Below this part of its square a direction that is left has nothing to say: it is what rounding made of others.
const NEGLIGIBLE: f64 = 1e-12;

/// A number per term of a step.
pub(crate) type Terms = [f64; MOST_TERMS];

/// Inner products of the fields that a step is made of and of what it should make of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Products {
    /// Of the fields.
    pub(crate) fields: [Terms; MOST_TERMS],
    /// Of the fields with the target.
    pub(crate) target: Terms,
    /// Of the target with itself.
    pub(crate) square: f64,
}

impl Products {
    pub(crate) fn plus(mut self, other: &Self, factor: f64) -> Self {
        for i in 0..MOST_TERMS {
            for j in 0..MOST_TERMS {
                self.fields[i][j] += factor * other.fields[i][j];
            }
            self.target[i] += factor * other.target[i];
        }
        self.square += factor * other.square;
        self
    }

    /// The square of what these coefficients leave of the target; what rounding makes negative is 0.
    pub(crate) fn residual(&self, coefficients: &Terms) -> f64 {
        let mut sum = self.square;
        for i in 0..MOST_TERMS {
            sum -= 2.0 * coefficients[i] * self.target[i];
            for j in 0..MOST_TERMS {
                sum += coefficients[i] * coefficients[j] * self.fields[i][j];
            }
        }
        sum.max(0.0)
    }
}

/// The coefficients of a sampler's own step.
pub(crate) fn terms_of(step: &LinearStep) -> Terms {
    [step.from_x_t, step.from_xhat0, step.from_previous]
}

/// Along which directions the coefficients of a step may leave those of the sampler; `looks_back` says whether it uses an earlier estimate.
pub(crate) fn directions(kind: CoefficientKind, looks_back: bool) -> &'static [Terms] {
    const ALL: [Terms; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    match (kind, looks_back) {
        (CoefficientKind::Solver, _) | (CoefficientKind::History, false) => &[],
        (CoefficientKind::History, true) => &[[0.0, 1.0, -1.0]],
        (_, true) => &ALL,
        (_, false) => &ALL[..2],
    }
}

/// Normal equations along some directions from a base, factored: what they say is found for one target after another.
#[derive(Clone, Debug)]
pub(crate) struct Normal<'a> {
    directions: &'a [Terms],
    /// The fields' products with the ridge.
    matrix: [Terms; MOST_TERMS],
    /// 1/sqrt of the diagonal along the directions; 0 where there is nothing.
    scale: Terms,
    /// In the order of the pivots: L below the diagonal, D on it; 0 where a direction is left out.
    factors: [Terms; MOST_TERMS],
    order: [usize; MOST_TERMS],
}

impl<'a> Normal<'a> {
    /// Of `products`, with `ridge` added to the products of the fields.
    pub(crate) fn new(
        products: &Products,
        ridge: &[Terms; MOST_TERMS],
        directions: &'a [Terms],
    ) -> Self {
        let m = directions.len();
        let mut matrix = products.fields;
        for (row, ridge) in matrix.iter_mut().zip(ridge) {
            for (x, ridge) in row.iter_mut().zip(ridge) {
                *x += ridge;
            }
        }
        let mut along = [[0.0; MOST_TERMS]; MOST_TERMS];
        for (i, a) in directions.iter().enumerate() {
            for (j, b) in directions.iter().enumerate() {
                along[i][j] = product(a, &times(&matrix, b));
            }
        }
        let mut scale = [0.0; MOST_TERMS];
        for i in 0..m {
            let square = along[i][i];
            scale[i] = if square > 0.0 {
                square.sqrt().recip()
            } else {
                0.0
            };
        }
        for i in 0..m {
            for j in 0..m {
                along[i][j] *= scale[i] * scale[j];
            }
        }
        let mut order = [0, 1, 2];
        let mut factors = [[0.0; MOST_TERMS]; MOST_TERMS];
        for k in 0..m {
            // The largest that is left: what follows of it is what others cannot say.
            let largest = (k..m).fold(k, |best, i| {
                if along[order[i]][order[i]] > along[order[best]][order[best]] {
                    i
                } else {
                    best
                }
            });
            order.swap(k, largest);
            factors.swap(k, largest);
            let pivot = along[order[k]][order[k]];
            if pivot <= NEGLIGIBLE {
                break;
            }
            factors[k][k] = pivot;
            for i in k + 1..m {
                let l = along[order[i]][order[k]] / pivot;
                factors[i][k] = l;
                for j in k + 1..m {
                    along[order[i]][order[j]] -= l * along[order[k]][order[j]];
                }
            }
        }
        Self {
            directions,
            matrix,
            scale,
            factors,
            order,
        }
    }

    /// The coefficients, from `base` along the directions, that come closest to a target of these products with the fields.
    pub(crate) fn solve(&self, base: &Terms, target: &Terms) -> Terms {
        let m = self.directions.len();
        if m == 0 {
            return *base;
        }
        let of_base = times(&self.matrix, base);
        let mut left = [0.0; MOST_TERMS];
        for (left, (target, of_base)) in left.iter_mut().zip(target.iter().zip(of_base)) {
            *left = target - of_base;
        }
        let mut w = [0.0; MOST_TERMS];
        for k in 0..m {
            let i = self.order[k];
            w[k] = self.scale[i] * product(&self.directions[i], &left);
            for j in 0..k {
                w[k] -= self.factors[k][j] * w[j];
            }
        }
        for k in 0..m {
            let pivot = self.factors[k][k];
            w[k] = if pivot > 0.0 { w[k] / pivot } else { 0.0 };
        }
        for k in (0..m).rev() {
            for j in k + 1..m {
                w[k] -= self.factors[j][k] * w[j];
            }
            // One that is left out stays out.
            if self.factors[k][k] == 0.0 {
                w[k] = 0.0;
            }
        }
        let mut found = *base;
        for k in 0..m {
            let i = self.order[k];
            for (found, direction) in found.iter_mut().zip(&self.directions[i]) {
                *found += self.scale[i] * w[k] * direction;
            }
        }
        found
    }
}

fn product(a: &Terms, b: &Terms) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn times(matrix: &[Terms; MOST_TERMS], x: &Terms) -> Terms {
    let mut result = [0.0; MOST_TERMS];
    for (result, row) in result.iter_mut().zip(matrix) {
        *result = product(row, x);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(seed: u64, n: usize) -> Vec<f64> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 33) as f64 / f64::from(1u32 << 30) - 1.0
            })
            .collect()
    }

    fn products(fields: &[Vec<f64>], target: &[f64]) -> Products {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut found = Products::default();
        for (i, a) in fields.iter().enumerate() {
            for (j, b) in fields.iter().enumerate() {
                found.fields[i][j] = dot(a, b);
            }
            found.target[i] = dot(a, target);
        }
        found.square = dot(target, target);
        found
    }

    #[test]
    fn what_is_in_the_span_is_found_exactly() {
        let fields: Vec<Vec<f64>> = (0..3).map(|k| numbers(k + 1, 40)).collect();
        let truth = [0.7, -1.3, 0.4];
        let target: Vec<f64> = (0..40)
            .map(|i| truth.iter().zip(&fields).map(|(c, f)| c * f[i]).sum())
            .collect();
        let p = products(&fields, &target);
        let all = directions(CoefficientKind::Fitted, true);
        let found = Normal::new(&p, &Default::default(), all).solve(&[1.0, 0.0, 0.0], &p.target);
        for (a, b) in found.iter().zip(truth) {
            assert!((a - b).abs() < 1e-12, "{found:?}");
        }
        assert!(p.residual(&found) < 1e-12 * p.square);
    }

    #[test]
    fn collinear_fields_leave_the_base_where_they_say_nothing() {
        let x = numbers(5, 60);
        let fields = vec![
            x.clone(),
            x.iter().map(|x| 0.3 * x).collect(),
            x.iter().map(|x| -2.0 * x).collect(),
        ];
        let target: Vec<f64> = x.iter().map(|x| 0.9 * x).collect();
        let p = products(&fields, &target);
        let all = directions(CoefficientKind::Fitted, true);
        let found = Normal::new(&p, &Default::default(), all).solve(&[0.5, 0.1, 0.0], &p.target);
        assert!(p.residual(&found) < 1e-12 * p.square, "{found:?}");
        assert!(found.iter().all(|c| c.abs() < 2.0), "{found:?}");
    }

    #[test]
    fn only_how_far_it_extrapolates_is_free_under_history() {
        let fields: Vec<Vec<f64>> = (0..3).map(|k| numbers(k + 9, 40)).collect();
        let target = numbers(77, 40);
        let p = products(&fields, &target);
        let base = [0.8, 0.6, -0.1];
        let history = directions(CoefficientKind::History, true);
        let found = Normal::new(&p, &Default::default(), history).solve(&base, &p.target);
        assert_eq!(found[0], base[0]);
        assert!((found[1] + found[2] - 0.5).abs() < 1e-14);
        let moved = |by: f64| p.residual(&[found[0], found[1] + by, found[2] - by]);
        assert!(moved(0.0) < moved(1e-3) && moved(0.0) < moved(-1e-3));
    }

    #[test]
    fn a_ridge_shrinks_towards_zero() {
        let fields: Vec<Vec<f64>> = (0..3).map(|k| numbers(k + 20, 40)).collect();
        let target = numbers(88, 40);
        let p = products(&fields, &target);
        let all = directions(CoefficientKind::Fitted, true);
        let ridge = [[1e9, 0.0, 0.0], [0.0, 1e9, 0.0], [0.0, 0.0, 1e9]];
        let found = Normal::new(&p, &ridge, all).solve(&[1.0, 1.0, 1.0], &p.target);
        assert!(found.iter().all(|c| c.abs() < 1e-6), "{found:?}");
    }
}
