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
    } else if r.is_infinite() {
        f64::INFINITY
    } else {
        r - 1.0 + libm::exp(-r)
    }
}

/// `r - 1 + exp(-r) + weight * exp(-r)`: [`kl_excess`] plus a squared error seen through the same variance.
pub(crate) fn kl_excess_weighted(r: f64, weight: f64) -> f64 {
    let shrink = libm::exp(-r);
    if r.abs() < SERIES_BOUND {
        kl_excess_series(r) + weight * shrink
    } else if r.is_infinite() {
        f64::INFINITY
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excess_keeps_its_digits() {
        // Correctly rounded, from 40-digit arithmetic.
        let cases = [
            (1e-8, 4.999999983333334e-17),
            (-1e-8, 5.0000000166666667e-17),
            (1e-3, 4.998333749916681e-07),
            (0.249, 0.028579973384700395),
            (-0.249, 0.03374203306981134),
            (0.251, 0.029022371558957313),
            (-0.251, 0.03431008433119532),
            (11.6, 10.600009166087736),
        ];
        for (r, expected) in cases {
            let found = kl_excess(r);
            assert!(
                (found / expected - 1.0).abs() < 1e-14,
                "excess of {r}: {found:e}, expected {expected:e}"
            );
            assert_eq!(kl_excess_weighted(r, 0.0), found);
        }
        assert_eq!(kl_excess(0.0), 0.0);
        assert_eq!(kl_excess(f64::INFINITY), f64::INFINITY);
        assert_eq!(kl_excess(f64::NEG_INFINITY), f64::INFINITY);
        assert_eq!(kl_excess_weighted(f64::NEG_INFINITY, 0.5), f64::INFINITY);
        assert!(kl_excess(f64::NAN).is_nan());
        assert!(kl_excess_weighted(f64::NAN, 0.5).is_nan());
    }

    #[test]
    fn logarithm_of_the_complement_keeps_its_digits() {
        // log(1 - exp(-1e-10)) and log(1 - exp(-40)).
        let small = log_one_minus_exp(-1e-10);
        assert!((small - (1e-10_f64.ln() - 0.5e-10)).abs() < 1e-14);
        let large = log_one_minus_exp(-40.0);
        assert!((large / -(-40.0_f64).exp() - 1.0).abs() < 1e-15);
        assert_eq!(log_one_minus_exp(0.0), f64::NEG_INFINITY);
        assert_eq!(log_one_minus_exp(f64::NEG_INFINITY), 0.0);
    }

    #[test]
    fn compensated_sums_lose_nothing_small() {
        let mut sum = CompensatedSum::default();
        for term in [1.0, 1e100, 1.0, -1e100] {
            sum.add(term);
        }
        assert_eq!(sum.value(), 2.0);
        sum.add(f64::NEG_INFINITY);
        assert_eq!(sum.value(), f64::NEG_INFINITY);
    }
}
