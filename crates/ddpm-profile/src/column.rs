//! The decoder term of one timestep as a function of one log-variance, kept at chosen knots.
//!
//! Each pixel's term has a kink where its probability meets the clamp of 1e-12. No global polynomial converges, and between two
//! knots even a local one is off by what the kinks of a few pixels do there (up to 0.3 nats each, divided by the number of
//! pixels). So the knots are the very log-variances that paths over evaluated timesteps ask for, log btilde_{t2|t1} of every
//! evaluated t2 and the marginal log(1 - abar_{t1}): there the column is exact. Where these lie closer than
//! [`MIN_GAP`] they are thinned, and wider gaps than [`MAX_GAP`] are filled; in between, the column is the cubic through the four
//! nearest knots.

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

/// A decoder column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) knots: Vec<f64>,
    pub(crate) values: Vec<f64>,
}

impl Column {
    /// The column at `log_variance`, continued as a straight line outside the knots.
    #[inline]
    pub(crate) fn at(&self, log_variance: f64) -> f64 {
        let (x, y) = (&self.knots[..], &self.values[..]);
        let after = x.partition_point(|&knot| knot <= log_variance);
        if after == 0 || after == x.len() {
            let (a, b) = if after == 0 {
                (0, 1)
            } else {
                (x.len() - 1, x.len() - 2)
            };
            return y[a] + (log_variance - x[a]) / (x[b] - x[a]) * (y[b] - y[a]);
        }
        let begin = after.saturating_sub(STENCIL / 2).min(x.len() - STENCIL);
        let (x, y) = (&x[begin..begin + STENCIL], &y[begin..begin + STENCIL]);
        // Newton's divided differences.
        let d01 = (y[1] - y[0]) / (x[1] - x[0]);
        let d12 = (y[2] - y[1]) / (x[2] - x[1]);
        let d23 = (y[3] - y[2]) / (x[3] - x[2]);
        let d012 = (d12 - d01) / (x[2] - x[0]);
        let d123 = (d23 - d12) / (x[3] - x[1]);
        let d0123 = (d123 - d012) / (x[3] - x[0]);
        let z = log_variance;
        y[0] + (z - x[0]) * (d01 + (z - x[1]) * (d012 + (z - x[2]) * d0123))
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
                b = y
            } else {
                a = x
            }
        }
        0.5 * (a + b)
    }
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
        let column = Column { knots, values };
        for i in 0..=997 {
            let x = -3.0 + 1.8 * f64::from(i) / 997.0;
            assert!((column.at(x) - f(x)).abs() < 1e-12, "{x}");
        }
        let (slope, end) = ((f(-2.9) - f(-3.0)) / 0.1, f(-3.0));
        assert!((column.at(-3.5) - (end - 0.5 * slope)).abs() < 1e-10);
    }

    #[test]
    fn the_minimum_is_found() {
        let knots: Vec<f64> = (0..40).map(|i| -4.0 + 0.1 * f64::from(i)).collect();
        let values = knots.iter().map(|x| (x + 2.123).powi(2)).collect();
        assert!((Column { knots, values }.argmin() + 2.123).abs() < 1e-7);
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
