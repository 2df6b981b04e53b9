//! The decoder term of one timestep as a function of one log-variance, kept on a regular grid.
//!
//! Each pixel's term has a kink where its probability meets the clamp of 1e-12, so no global polynomial converges;
//! a local one loses only what happens inside its own cell, and the kinks of many pixels average out.
//!
//! Between grid points the column is the polynomial of degree 5 through the six nearest points.

use ddpm_core::NoiseSchedule;

/// The distance of two grid points in log sigma^2.
pub(crate) const STEP: f64 = 0.1;
/// Grid points per local polynomial.
const STENCIL: usize = 6;

/// The log-variances `STEP * (first + i)`, i = 0..count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ColumnGrid {
    pub(crate) first: i64,
    pub(crate) count: usize,
}

impl ColumnGrid {
    /// The grid of timestep t. It covers every variance that a decoder at t can be given: from 1.5 below
    /// log btilde_{t+1|t}, the smallest respaced one, (but at least 4 below log(1 - abar_t), where optimal variances of
    /// late timesteps lie) up to 0.3 above log(1 - abar_t), the marginal one.
    pub(crate) fn for_timestep(schedule: &NoiseSchedule, t: usize) -> Self {
        let marginal = schedule.log_one_minus_alpha_bar(t);
        let next = (t + 1).min(schedule.train_steps());
        let smallest = if next > t {
            schedule.transition(next, t).log_posterior_variance
        } else {
            marginal
        };
        let low = smallest.min(marginal - 2.5) - 1.5;
        Self::covering(low, marginal + 0.3)
    }

    /// The grid that a file states; `None` if it is not a sensible one.
    pub(crate) fn from_parts(first: i64, count: i64) -> Option<Self> {
        let sensible = (STENCIL as i64..=4096).contains(&count) && first.abs() <= 10_000;
        sensible.then_some(Self {
            first,
            count: count as usize,
        })
    }

    fn covering(low: f64, high: f64) -> Self {
        let first = (low / STEP).floor() as i64;
        let last = (high / STEP).ceil() as i64;
        Self {
            first,
            count: ((last - first) as usize + 1).max(STENCIL),
        }
    }

    /// Grid point i.
    #[inline]
    pub(crate) fn argument(&self, i: usize) -> f64 {
        STEP * (self.first + i as i64) as f64
    }

    /// The smallest and the largest log-variance.
    pub(crate) fn range(&self) -> (f64, f64) {
        (self.argument(0), self.argument(self.count - 1))
    }

    /// The column `values` at `log_variance`, continued as a straight line outside the grid.
    #[inline]
    pub(crate) fn interpolate(&self, values: &[f64], log_variance: f64) -> f64 {
        let last = (self.count - 1) as f64;
        let position = log_variance * (1.0 / STEP) - self.first as f64;
        if position < 0.0 {
            return values[0] + position * (values[1] - values[0]);
        }
        if position > last {
            let end = values[self.count - 1];
            return end + (position - last) * (end - values[self.count - 2]);
        }
        let begin = (position as usize)
            .saturating_sub(STENCIL / 2 - 1)
            .min(self.count - STENCIL);
        let f = position - begin as f64;
        let y: &[f64; STENCIL] = values[begin..begin + STENCIL]
            .try_into()
            .unwrap_or(&[f64::NAN; STENCIL]);
        // Lagrange's weights on the points 0..5, from the products on the left and on the right of each.
        let d = [f, f - 1.0, f - 2.0, f - 3.0, f - 4.0, f - 5.0];
        let (l2, r3) = (d[0] * d[1], d[4] * d[5]);
        let (l3, r2) = (l2 * d[2], r3 * d[3]);
        let (l4, r1) = (l3 * d[3], r2 * d[2]);
        let (l5, r0) = (l4 * d[4], r1 * d[1]);
        let ends = l5 * y[5] - r0 * y[0];
        let inner = d[0] * r1 * y[1] - l4 * d[5] * y[4];
        let middle = l3 * r3 * y[3] - l2 * r2 * y[2];
        ends * (1.0 / 120.0) + inner * (1.0 / 24.0) + middle * (1.0 / 12.0)
    }
}

/// A decoder column with its grid.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) grid: ColumnGrid,
    pub(crate) values: Vec<f64>,
}

impl Column {
    /// The column at `log_variance`.
    #[inline]
    pub(crate) fn at(&self, log_variance: f64) -> f64 {
        self.grid.interpolate(&self.values, log_variance)
    }

    /// The log-variance within the grid at which the column is smallest.
    pub(crate) fn argmin(&self) -> f64 {
        let best = (0..self.values.len())
            .min_by(|&a, &b| self.values[a].total_cmp(&self.values[b]))
            .unwrap_or(0);
        let (low, high) = self.grid.range();
        let mut a = (self.grid.argument(best) - STEP).max(low);
        let mut b = (self.grid.argument(best) + STEP).min(high);
        // Golden section: the bracket shrinks below 1e-9, a relative error of the variance that costs nothing.
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
    use super::*;

    #[test]
    fn quintics_come_back_exactly() {
        let grid = ColumnGrid::covering(-3.33, 1.01);
        let f = |x: f64| 1.0 + x - 2.0 * x.powi(2) + 0.3 * x.powi(4) - 0.7 * x.powi(5);
        let values: Vec<f64> = (0..grid.count).map(|i| f(grid.argument(i))).collect();
        let (low, high) = grid.range();
        assert!(low <= -3.33 && high >= 1.01);
        for i in 0..=997 {
            let x = low + (high - low) * f64::from(i) / 997.0;
            assert!((grid.interpolate(&values, x) - f(x)).abs() < 1e-10, "{x}");
        }
        for (i, &y) in values.iter().enumerate() {
            assert!((grid.interpolate(&values, grid.argument(i)) - y).abs() < 1e-10);
        }
        let below = values[0] - 3.0 * (values[1] - values[0]);
        assert!((grid.interpolate(&values, low - 3.0 * STEP) - below).abs() < 1e-10);
    }

    #[test]
    fn the_minimum_is_found() {
        let grid = ColumnGrid::covering(-5.0, 0.0);
        let values = (0..grid.count)
            .map(|i| (grid.argument(i) + 2.123).powi(2))
            .collect();
        assert!((Column { grid, values }.argmin() + 2.123).abs() < 1e-7);
    }
}
