//! Coefficients of one step by least squares, from the inner products of what it is made of.

use ddpm_core::{CoefficientKind, LinearStep};

/// The state, the estimate at t, and what is remembered of two nodes before.
pub(crate) const MOST_TERMS: usize = 4;
/// Below this part of its square a direction that is left has nothing to say: it is what rounding made of others.
const NEGLIGIBLE: f64 = 1e-12;

/// A number per term of a step.
pub(crate) type Terms = [f64; MOST_TERMS];

/// The same for several targets side by side, which the processor computes together: every one gets the numbers that it would get alone.
pub(crate) type Lanes<const L: usize> = [[f64; L]; MOST_TERMS];

/// One target as a lane.
pub(crate) fn lane(terms: &Terms) -> Lanes<1> {
    terms.map(|x| [x])
}

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
        let (c, target) = (lane(coefficients), lane(&self.target));
        residual(&self.fields, &target, &[self.square], &c)[0]
    }
}

/// [`Products::residual`] of several targets of the same fields.
pub(crate) fn residual<const L: usize>(
    fields: &[Terms; MOST_TERMS],
    target: &Lanes<L>,
    square: &[f64; L],
    coefficients: &Lanes<L>,
) -> [f64; L] {
    let mut sum = *square;
    for i in 0..MOST_TERMS {
        for l in 0..L {
            sum[l] -= 2.0 * coefficients[i][l] * target[i][l];
        }
        for j in 0..MOST_TERMS {
            for l in 0..L {
                sum[l] += coefficients[i][l] * coefficients[j][l] * fields[i][j];
            }
        }
    }
    sum.map(|sum| sum.max(0.0))
}

/// The coefficients of a sampler's own step.
pub(crate) fn terms_of(step: &LinearStep) -> Terms {
    let [near, far] = step.from_history;
    [step.from_x_t, step.from_xhat0, near, far]
}

/// Along which directions the coefficients of a step may leave those of the sampler.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Directions {
    of: [Terms; MOST_TERMS],
    count: usize,
}

impl Directions {
    /// Those of a step that uses so many nodes before its own; `remembered` are the weights of the state and the estimate in what the
    /// sampler would remember of the node where the step begins.
    pub(crate) fn new(kind: CoefficientKind, looks_back: usize, remembered: [f64; 2]) -> Self {
        let mut found = Self::default();
        match kind {
            CoefficientKind::Solver => {}
            CoefficientKind::History => {
                // As much of what is known at t as is taken away from a node before.
                for j in 0..looks_back {
                    let mut direction = [remembered[0], remembered[1], 0.0, 0.0];
                    direction[2 + j] = -1.0;
                    found.push(direction);
                }
            }
            CoefficientKind::Fitted | CoefficientKind::FittedBands => {
                for i in 0..2 + looks_back {
                    let mut direction = [0.0; MOST_TERMS];
                    direction[i] = 1.0;
                    found.push(direction);
                }
            }
        }
        found
    }

    fn push(&mut self, direction: Terms) {
        self.of[self.count] = direction;
        self.count += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn all(&self) -> &[Terms] {
        &self.of[..self.count]
    }
}

/// Normal equations along some directions from a base, factored: what they say is found for one target after another.
#[derive(Clone, Debug)]
pub(crate) struct Normal {
    directions: Directions,
    /// The fields' products with the ridge.
    matrix: [Terms; MOST_TERMS],
    /// 1/sqrt of the diagonal along the directions; 0 where there is nothing.
    scale: Terms,
    /// In the order of the pivots: L below the diagonal, D on it; 0 where a direction is left out.
    factors: [Terms; MOST_TERMS],
    order: [usize; MOST_TERMS],
}

impl Normal {
    /// Of `products`, with `ridge` added to the products of the fields.
    pub(crate) fn new(
        products: &Products,
        ridge: &[Terms; MOST_TERMS],
        directions: Directions,
    ) -> Self {
        let m = directions.count;
        let mut matrix = products.fields;
        for (row, ridge) in matrix.iter_mut().zip(ridge) {
            for (x, ridge) in row.iter_mut().zip(ridge) {
                *x += ridge;
            }
        }
        let mut along = [[0.0; MOST_TERMS]; MOST_TERMS];
        for (i, a) in directions.all().iter().enumerate() {
            for (j, b) in directions.all().iter().enumerate() {
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
        let mut order = [0, 1, 2, 3];
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
        self.solve_all(&lane(base), &lane(target)).map(|[x]| x)
    }

    /// [`solve`](Self::solve) for several targets.
    pub(crate) fn solve_all<const L: usize>(&self, base: &Lanes<L>, target: &Lanes<L>) -> Lanes<L> {
        let m = self.directions.count;
        if m == 0 {
            return *base;
        }
        let mut left = *target;
        for (left, row) in left.iter_mut().zip(&self.matrix) {
            let mut of_base = [0.0; L];
            add_all(&mut of_base, row, base);
            for l in 0..L {
                left[l] -= of_base[l];
            }
        }
        let mut w = [[0.0; L]; MOST_TERMS];
        for k in 0..m {
            let i = self.order[k];
            let mut along = [0.0; L];
            add_all(&mut along, &self.directions.of[i], &left);
            for l in 0..L {
                w[k][l] = self.scale[i] * along[l];
            }
            for j in 0..k {
                for l in 0..L {
                    w[k][l] -= self.factors[k][j] * w[j][l];
                }
            }
        }
        for (k, w) in w.iter_mut().enumerate().take(m) {
            let pivot = self.factors[k][k];
            for w in w {
                *w = if pivot > 0.0 { *w / pivot } else { 0.0 };
            }
        }
        for k in (0..m).rev() {
            for j in k + 1..m {
                for l in 0..L {
                    w[k][l] -= self.factors[j][k] * w[j][l];
                }
            }
            // One that is left out stays out.
            if self.factors[k][k] == 0.0 {
                w[k] = [0.0; L];
            }
        }
        let mut found = *base;
        for k in 0..m {
            let i = self.order[k];
            for (found, direction) in found.iter_mut().zip(&self.directions.of[i]) {
                for l in 0..L {
                    found[l] += self.scale[i] * w[k][l] * direction;
                }
            }
        }
        found
    }
}

/// Adds lanes with these weights.
fn add_all<const L: usize>(sum: &mut [f64; L], weights: &Terms, lanes: &Lanes<L>) {
    for (weight, lane) in weights.iter().zip(lanes) {
        for l in 0..L {
            sum[l] += weight * lane[l];
        }
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

    const ESTIMATES: [f64; 2] = [0.0, 1.0];

    #[test]
    fn what_is_in_the_span_is_found_exactly() {
        for looks_back in 0..=2 {
            let fields: Vec<Vec<f64>> = (0..2 + looks_back)
                .map(|k| numbers(k as u64 + 1, 40))
                .collect();
            let truth = &[0.7, -1.3, 0.4, 2.1][..fields.len()];
            let target: Vec<f64> = (0..40)
                .map(|i| truth.iter().zip(&fields).map(|(c, f)| c * f[i]).sum())
                .collect();
            let p = products(&fields, &target);
            let all = Directions::new(CoefficientKind::Fitted, looks_back, ESTIMATES);
            let found =
                Normal::new(&p, &Default::default(), all).solve(&[1.0, 0.0, 0.0, 0.0], &p.target);
            for (a, b) in found.iter().zip(truth) {
                assert!((a - b).abs() < 1e-12, "{found:?}");
            }
            assert!(found[fields.len()..].iter().all(|&c| c == 0.0), "{found:?}");
            assert!(p.residual(&found) < 1e-12 * p.square);
        }
    }

    #[test]
    fn collinear_fields_leave_the_base_where_they_say_nothing() {
        let x = numbers(5, 60);
        let of = |factor: f64| -> Vec<f64> { x.iter().map(|x| factor * x).collect() };
        let fields = vec![x.clone(), of(0.3), of(-2.0), of(0.7)];
        let target = of(0.9);
        let p = products(&fields, &target);
        let all = Directions::new(CoefficientKind::Fitted, 2, ESTIMATES);
        let found =
            Normal::new(&p, &Default::default(), all).solve(&[0.5, 0.1, 0.0, 0.0], &p.target);
        assert!(p.residual(&found) < 1e-12 * p.square, "{found:?}");
        assert!(found.iter().all(|c| c.abs() < 2.0), "{found:?}");
    }

    #[test]
    fn only_how_far_it_extrapolates_is_free_under_history() {
        let fields: Vec<Vec<f64>> = (0..4).map(|k| numbers(k + 9, 40)).collect();
        let target = numbers(77, 40);
        let p = products(&fields, &target);
        let base = [0.8, 0.6, -0.1, 0.05];
        let history = Directions::new(CoefficientKind::History, 2, ESTIMATES);
        let found = Normal::new(&p, &Default::default(), history).solve(&base, &p.target);
        assert_eq!(found[0], base[0]);
        assert!((found[1] + found[2] + found[3] - 0.55).abs() < 1e-14);
        let moved = |j: usize, by: f64| {
            let mut moved = found;
            moved[1] += by;
            moved[j] -= by;
            p.residual(&moved)
        };
        for j in [2, 3] {
            assert!(moved(j, 0.0) < moved(j, 1e-3) && moved(j, 0.0) < moved(j, -1e-3));
        }
    }

    #[test]
    fn what_is_exchanged_under_history_is_what_the_sampler_remembers() {
        // Noise: (x - 0.6 D) / 0.8.
        let noise = [1.0 / 0.8, -0.6 / 0.8];
        let fields: Vec<Vec<f64>> = (0..4).map(|k| numbers(k + 31, 40)).collect();
        let target = numbers(5, 40);
        let p = products(&fields, &target);
        let base = [0.8, 0.6, -0.1, 0.05];
        let history = Directions::new(CoefficientKind::History, 2, noise);
        let found = Normal::new(&p, &Default::default(), history).solve(&base, &p.target);
        let given = (base[2] - found[2]) + (base[3] - found[3]);
        for (j, weight) in noise.into_iter().enumerate() {
            assert!((found[j] - base[j] - given * weight).abs() < 1e-13);
        }
    }

    #[test]
    fn a_ridge_shrinks_towards_zero() {
        let fields: Vec<Vec<f64>> = (0..4).map(|k| numbers(k + 20, 40)).collect();
        let target = numbers(88, 40);
        let p = products(&fields, &target);
        let all = Directions::new(CoefficientKind::Fitted, 2, ESTIMATES);
        let mut ridge = [[0.0; MOST_TERMS]; MOST_TERMS];
        for (i, row) in ridge.iter_mut().enumerate() {
            row[i] = 1e9;
        }
        let found = Normal::new(&p, &ridge, all).solve(&[1.0; 4], &p.target);
        assert!(found.iter().all(|c| c.abs() < 1e-6), "{found:?}");
    }
}
