//! Small functions whose obvious form loses digits.
//!
//! Transcendental functions come from `libm` here and in the whole crate, so that results do not
//! depend on the C library of the machine.

/// `r - 1 + exp(-r)`, the Kullback-Leibler excess of a variance that is `exp(r)` times too large.
///
/// Behaves as `r^2 / 2` near 0, where the three terms cancel; never negative, NaN only for NaN.
pub(crate) fn kl_excess(r: f64) -> f64 {
    if r.abs() < SERIES_BOUND {
        kl_excess_series(r)
    } else if r == f64::INFINITY {
        r
    } else {
        r - 1.0 + libm::exp(-r)
    }
}

/// `r - 1 + exp(-r) + weight * exp(-r)`: [`kl_excess`] plus a squared error seen through the same variance.
pub(crate) fn kl_excess_weighted(r: f64, weight: f64) -> f64 {
    let shrink = libm::exp(-r);
    if r.abs() < SERIES_BOUND {
        kl_excess_series(r) + weight * shrink
    } else {
        // One product, so that an overflow gives infinity even where the weight is 0.
        r - 1.0 + (1.0 + weight) * shrink
    }
}

/// Below this `|r|` the Taylor series takes over; its first omitted term is 1e-18 relative.
const SERIES_BOUND: f64 = 0.25;

fn kl_excess_series(r: f64) -> f64 {
    // sum over n >= 2 of (-r)^n / n!, by Horner from n = 14 down.
    let mut sum = 1.0;
    for n in (3..=14).rev() {
        sum = 1.0 - sum * r / f64::from(n);
    }
    0.5 * r * r * sum
}

/// `log(1 - exp(x))` for `x <= 0`.
pub(crate) fn log_one_minus_exp(x: f64) -> f64 {
    if x > -std::f64::consts::LN_2 {
        libm::log(-libm::expm1(x))
    } else {
        libm::log1p(-libm::exp(x))
    }
}

/// `1 / (1 + exp(-x))`.
pub(crate) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// A sum that carries its rounding error along (Neumaier), for the long cumulative sums of a schedule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CompensatedSum {
    sum: f64,
    compensation: f64,
}

impl CompensatedSum {
    pub(crate) fn add(&mut self, term: f64) {
        let next = self.sum + term;
        // At an infinite term the compensation would become NaN; the sum alone is exact there.
        if next.is_finite() {
            self.compensation += if self.sum.abs() >= term.abs() {
                (self.sum - next) + term
            } else {
                (term - next) + self.sum
            };
        }
        self.sum = next;
    }

    pub(crate) fn value(self) -> f64 {
        self.sum + self.compensation
    }
}
