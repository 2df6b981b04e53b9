//! The decoder term of one timestep as a function of one log-variance, kept at chosen knots.
//!
//! Each pixel's term has a kink where its probability meets the clamp of 1e-12. No global polynomial converges, and between two
//! knots even a local one is off by what the kinks of a few pixels do there (up to 0.3 nats each, divided by the number of
//! pixels). So the knots are the very log-variances that paths over evaluated timesteps ask for, log btilde_{t2|t1} of every
//! evaluated t2 and the marginal log(1 - abar_{t1}): there the column is exact. Where these lie closer than
//! [`MIN_GAP`] they are thinned, and wider gaps than [`MAX_GAP`] are filled; in between, the column is the cubic through the four
//! nearest knots.
//!
//! Measured on 3072 pixels within 2 bits/dim of the column's minimum: at knots 1e-12; between thinned ones 5e-8 bits/dim;
//! between knots [`MAX_GAP`] apart 7e-4 with one image, 2e-4 to 4e-4 with eight. A polynomial of degree 5 is no better there (the
//! kinks decide, not the order); a gap of 0.05 gives 2e-4 with one image, at a file half as large again.

use ddpm_core::NoiseSchedule;

/// Requested log-variances closer than this share a knot.
const MIN_GAP: f64 = 0.02;
/// The widest gap between two knots.
const MAX_GAP: f64 = 0.1;
/// Knots per local polynomial.
const STENCIL: usize = 4;

/// The log-variances at which the decoder term of timestep `t` is kept, ascending: exact ones for the second nodes `next`
/// (ascending; those above t count), and enough others to cover every variance that a decoder at t can be given.
///
/// That is from 1.5 below log btilde_{t+1|t}, the smallest respaced one (and at least 4 below log(1 - abar_t), where optimal
/// variances of late timesteps lie), up to 0.3 above log(1 - abar_t), the marginal one.
pub(crate) fn knots(schedule: &NoiseSchedule, t: usize, next: &[usize]) -> Vec<f64> {
    let marginal = schedule.log_one_minus_alpha_bar(t);
    let respaced = |t2: usize| schedule.transition(t2, t).log_posterior_variance;
    let smallest = if t < schedule.train_steps() {
        respaced(t + 1)
    } else {
        marginal
    };
    let mut anchors = vec![smallest.min(marginal - 2.5) - 1.5];
    let requested = next.iter().filter(|&&t2| t2 > t).map(|&t2| respaced(t2));
    // They ascend towards the marginal one.
    for anchor in requested.take_while(|anchor| marginal - anchor >= MIN_GAP) {
        if anchor - anchors[anchors.len() - 1] >= MIN_GAP {
            anchors.push(anchor);
        }
    }
    anchors.extend([marginal, marginal + 0.3]);
    let mut knots = vec![anchors[0]];
    for pair in anchors.windows(2) {
        let parts = ((pair[1] - pair[0]) / MAX_GAP).ceil().max(1.0);
        let between =
            (1..parts as usize).map(|i| pair[0] + (pair[1] - pair[0]) * (i as f64 / parts));
        knots.extend(between.chain([pair[1]]));
    }
    knots
}

/// Whether a file's knots can be used: at least a stencil of finite, strictly increasing numbers.
pub(crate) fn usable(knots: &[f64]) -> bool {
    knots.len() >= STENCIL
        && knots.iter().all(|k| k.abs() < 1e4)
        && knots.windows(2).all(|w| w[0] < w[1])
}

/// A decoder column, ready to be read: a cubic for each gap between two knots.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    knots: Vec<f64>,
    values: Vec<f64>,
    /// Per gap, the cubic in the distance from its left knot, lowest power first.
    cubics: Vec<[f64; 4]>,
    /// For each stretch of [`STRETCH`] the last knot at or before its beginning.
    index: Vec<u32>,
    least: f64,
}

/// Width of the stretches by which the gap of a log-variance is looked up.
const STRETCH: f64 = 0.05;

impl Column {
    /// The column through `values` at usable `knots`.
    pub(crate) fn new(knots: Vec<f64>, values: Vec<f64>) -> Self {
        let last = knots.len() - 1;
        let cubics: Vec<[f64; 4]> = (0..last).map(|gap| cubic(&knots, &values, gap)).collect();
        let stretches = ((knots[last] - knots[0]) / STRETCH) as usize + 1;
        let index = (0..stretches)
            .map(|i| {
                let begin = knots[0] + STRETCH * i as f64;
                knots[..last]
                    .partition_point(|&knot| knot <= begin)
                    .saturating_sub(1) as u32
            })
            .collect();
        let gaps = knots.windows(2).map(|w| w[1] - w[0]);
        let least = cubics
            .iter()
            .zip(gaps)
            .map(|(c, gap)| lower_bound(c, gap))
            .fold(f64::INFINITY, f64::min);
        Self {
            knots,
            values,
            cubics,
            index,
            least,
        }
    }

    /// The column at `log_variance`, continued as a straight line outside the knots.
    #[inline]
    pub(crate) fn at(&self, log_variance: f64) -> f64 {
        let (x, y) = (&self.knots[..], &self.values[..]);
        let last = x.len() - 1;
        let from_first = log_variance - x[0];
        if from_first >= 0.0 && log_variance <= x[last] {
            let stretch = ((from_first * (1.0 / STRETCH)) as usize).min(self.index.len() - 1);
            let mut gap = self.index[stretch] as usize;
            // Rounding may have put the stretch one too far.
            while gap > 0 && x[gap] > log_variance {
                gap -= 1;
            }
            while gap + 1 < last && x[gap + 1] <= log_variance {
                gap += 1;
            }
            let [c0, c1, c2, c3] = self.cubics[gap];
            let z = log_variance - x[gap];
            return c0 + z * (c1 + z * (c2 + z * c3));
        }
        let (a, b) = if from_first < 0.0 {
            (0, 1)
        } else {
            (last, last - 1)
        };
        y[a] + (log_variance - x[a]) / (x[b] - x[a]) * (y[b] - y[a])
    }

    /// A number that [`Column::at`] does not go below between the knots.
    pub(crate) fn lower_bound(&self) -> f64 {
        self.least
    }

    /// The smallest and the largest log-variance.
    pub(crate) fn range(&self) -> (f64, f64) {
        (self.knots[0], self.knots[self.knots.len() - 1])
    }

    /// The log-variance within the knots at which the column is smallest.
    pub(crate) fn argmin(&self) -> f64 {
        let last = self.knots.len() - 1;
        let best = (0..=last)
            .min_by(|&a, &b| self.values[a].total_cmp(&self.values[b]))
            .unwrap_or(0);
        let (mut a, mut b) = (
            self.knots[best.saturating_sub(1)],
            self.knots[(best + 1).min(last)],
        );
        // Golden section: the bracket shrinks below 1e-8, a relative error of the variance that costs nothing.
        let ratio = (5f64.sqrt() - 1.0) / 2.0;
        for _ in 0..40 {
            let (x, y) = (b - ratio * (b - a), a + ratio * (b - a));
            if self.at(x) <= self.at(y) {
                b = y;
            } else {
                a = x;
            }
        }
        0.5 * (a + b)
    }
}

/// The cubic through the four knots nearest to a gap, in powers of the distance from the gap's left knot.
fn cubic(knots: &[f64], values: &[f64], gap: usize) -> [f64; 4] {
    let begin = (gap + 1)
        .saturating_sub(STENCIL / 2)
        .min(knots.len() - STENCIL);
    let (x, y) = (
        &knots[begin..begin + STENCIL],
        &values[begin..begin + STENCIL],
    );
    // Newton's divided differences, beginning at the left knot so that it is met exactly.
    let left = gap - begin;
    let mut order = [0, 1, 2, 3];
    order.swap(0, left);
    let (mut d, z) = (order.map(|i| y[i]), order.map(|i| x[i]));
    for level in 1..STENCIL {
        for i in (level..STENCIL).rev() {
            d[i] = (d[i] - d[i - 1]) / (z[i] - z[i - level]);
        }
    }
    // d0 + w (d1 + (w - a) (d2 + (w - b) d3)) with w the distance from z0.
    let (a, b) = (z[1] - z[0], z[2] - z[0]);
    [
        d[0],
        d[1] - a * d[2] + a * b * d[3],
        d[2] - (a + b) * d[3],
        d[3],
    ]
}

/// The smallest of the cubic's Bernstein coefficients on 0..=gap, which bounds it from below.
fn lower_bound([c0, c1, c2, c3]: &[f64; 4], gap: f64) -> f64 {
    let (p1, p2, p3) = (c1 * gap, c2 * gap * gap, c3 * gap * gap * gap);
    let coefficients = [
        *c0,
        c0 + p1 / 3.0,
        c0 + (2.0 * p1 + p2) / 3.0,
        c0 + p1 + p2 + p3,
    ];
    coefficients.into_iter().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use ddpm_core::NoiseScheduleName;

    use super::*;

    #[test]
    fn cubics_come_back_exactly() {
        let knots = vec![-3.0, -2.9, -2.88, -2.5, -2.0, -1.9, -1.85, -1.2];
        let f = |x: f64| 1.0 + x - 2.0 * x.powi(2) + 0.3 * x.powi(3);
        let values = knots.iter().map(|&x| f(x)).collect();
        let column = Column::new(knots, values);
        for i in 0..=997 {
            let x = -3.0 + 1.8 * f64::from(i) / 997.0;
            assert!((column.at(x) - f(x)).abs() < 1e-12, "{x}");
        }
        let (slope, end) = ((f(-2.9) - f(-3.0)) / 0.1, f(-3.0));
        assert!((column.at(-3.5) - (end - 0.5 * slope)).abs() < 1e-10);
    }

    #[test]
    fn knots_are_met_and_the_lower_bound_holds() {
        let knots: Vec<f64> = (0..60)
            .map(|i| -5.0 + 0.06 * f64::from(i) + 0.02 * f64::from(i % 3))
            .collect();
        let values: Vec<f64> = (0..60).map(|i| 3.0 + f64::from(i * 37 % 11)).collect();
        let column = Column::new(knots.clone(), values.clone());
        for (x, y) in knots.iter().zip(&values) {
            assert!((column.at(*x) - y).abs() < 1e-12);
        }
        let (low, high) = column.range();
        for i in 0..=5000 {
            let x = low + (high - low) * f64::from(i) / 5000.0;
            assert!(column.at(x) >= column.lower_bound() - 1e-12);
        }
    }

    #[test]
    fn the_minimum_is_found() {
        let knots: Vec<f64> = (0..40).map(|i| -4.0 + 0.1 * f64::from(i)).collect();
        let values = knots.iter().map(|x| (x + 2.123).powi(2)).collect();
        assert!((Column::new(knots, values).argmin() + 2.123).abs() < 1e-7);
    }

    #[test]
    fn requested_variances_are_knots_and_gaps_are_small() {
        for (name, steps) in [
            (NoiseScheduleName::Linear, 1000),
            (NoiseScheduleName::Cosine, 4000),
        ] {
            let schedule = NoiseSchedule::named(name, steps).expect("valid");
            let all: Vec<usize> = (1..=steps).collect();
            let sparse: Vec<usize> = (1..=16)
                .chain((20..=steps).step_by(steps / 50))
                .chain([steps])
                .collect();
            for t in [1, 2, 16, 100, steps / 2, steps - 1, steps] {
                for next in [&all, &sparse, &Vec::new()] {
                    let knots = knots(&schedule, t, next);
                    assert!(usable(&knots));
                    assert!(
                        knots
                            .windows(2)
                            .all(|w| w[1] - w[0] <= MAX_GAP * (1.0 + 1e-9))
                    );
                    assert!(knots.contains(&schedule.log_one_minus_alpha_bar(t)));
                    assert!(knots.len() < 400, "{}", knots.len());
                    for &t2 in next.iter().filter(|&&t2| t2 > t) {
                        let wanted = schedule.transition(t2, t).log_posterior_variance;
                        let nearest = knots
                            .iter()
                            .map(|k| (k - wanted).abs())
                            .fold(f64::INFINITY, f64::min);
                        assert!(nearest < MIN_GAP);
                    }
                }
            }
        }
    }
}
