//! Monotone piecewise cubic interpolation (PCHIP; Fritsch and Butland 1984, Fritsch and Carlson 1980).
//!
//! The curve passes through every knot, is monotone between two knots that are, never overshoots, and has a continuous
//! slope. It is local: a value depends on the two knots around it and one more on either side.

/// The abscissae of the knots, strictly increasing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Knots {
    x: Vec<f64>,
}

/// Where a point lies among the knots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    /// On knot i, or outside the knots with i the nearest: the curve is continued as a constant.
    At(usize),
    /// At `fraction` in (0, 1) of the way from knot `left` to the next.
    Between { left: usize, fraction: f64 },
}

impl Knots {
    /// Takes at least one, strictly increasing, finite abscissae.
    pub(crate) fn new(x: Vec<f64>) -> Self {
        debug_assert!(!x.is_empty() && x.windows(2).all(|w| w[0] < w[1]));
        Self { x }
    }

    /// Locates `x`.
    pub(crate) fn place(&self, x: f64) -> Place {
        let last = self.x.len() - 1;
        let after = self.x.partition_point(|&knot| knot <= x);
        match after {
            0 => Place::At(0),
            _ if after > last || self.x[after - 1] == x => Place::At(after - 1),
            _ => {
                let (a, b) = (self.x[after - 1], self.x[after]);
                Place::Between {
                    left: after - 1,
                    fraction: (x - a) / (b - a),
                }
            }
        }
    }

    /// The interpolant at `place` of the ordinates `y(i)` of the knots.
    #[inline]
    pub(crate) fn interpolate(&self, place: Place, y: impl Fn(usize) -> f64) -> f64 {
        let (left, f) = match place {
            Place::At(i) => return y(i),
            Place::Between { left, fraction } => (left, fraction),
        };
        let last = self.x.len() - 1;
        let h = |i: usize| self.x[i + 1] - self.x[i];
        let (y0, y1) = (y(left), y(left + 1));
        let (step, rise) = (h(left), (y1 - y0) / h(left));
        let before = (left > 0).then(|| (h(left - 1), (y0 - y(left - 1)) / h(left - 1)));
        let after = (left + 1 < last).then(|| (h(left + 1), (y(left + 2) - y1) / h(left + 1)));
        let d0 = match (before, after) {
            (Some((hb, rb)), _) => inner_slope(hb, rb, step, rise),
            (None, Some((ha, ra))) => end_slope(step, rise, ha, ra),
            (None, None) => rise,
        };
        let d1 = match (after, before) {
            (Some((ha, ra)), _) => inner_slope(step, rise, ha, ra),
            (None, Some((hb, rb))) => end_slope(step, rise, hb, rb),
            (None, None) => rise,
        };
        // Hermite's cubic, written as a correction of the chord.
        let g = 1.0 - f;
        y0 + f * (y1 - y0) + f * g * step * (g * (d0 - rise) - f * (d1 - rise))
    }
}

/// The slope at a knot between two intervals of widths h and secant slopes r: a weighted harmonic mean, or 0 at a
/// local extremum.
fn inner_slope(h0: f64, r0: f64, h1: f64, r1: f64) -> f64 {
    if r0 * r1 <= 0.0 {
        return 0.0;
    }
    let (w0, w1) = (2.0 * h1 + h0, h1 + 2.0 * h0);
    (w0 + w1) / (w0 / r0 + w1 / r1)
}

/// The slope at an end knot from the nearest interval (h0, r0) and the one behind it, limited so that the shape stays.
fn end_slope(h0: f64, r0: f64, h1: f64, r1: f64) -> f64 {
    let d = ((2.0 * h0 + h1) * r0 - h0 * r1) / (h0 + h1);
    if d * r0 <= 0.0 {
        0.0
    } else if r0 * r1 <= 0.0 && d.abs() > 3.0 * r0.abs() {
        3.0 * r0
    } else {
        d
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn curve(x: &[f64], y: &[f64], at: f64) -> f64 {
        let knots = Knots::new(x.to_vec());
        knots.interpolate(knots.place(at), |i| y[i])
    }

    #[test]
    fn agrees_with_scipy() {
        // scipy.interpolate.PchipInterpolator: its slopes on these knots are worked out by hand from the same papers:
        // d = [8.25, 3.6923.., 0, 0] would be hard to check, so the values at the quarter points of one interval are.
        let (x, y) = ([0.0, 1.0, 3.0, 4.0], [0.0, 1.0, 2.0, 2.0]);
        // Slopes: end (2*1+2)/(3)*1 - 1/3*0.5 = 7/6; inner 1: w0 = 5, w1 = 4 -> 9/(5/1 + 4/0.5) = 9/13; inner 2: 0.
        let hermite = |f: f64, h: f64, y0: f64, y1: f64, d0: f64, d1: f64| {
            (1.0 + 2.0 * f) * (1.0 - f).powi(2) * y0
                + f * (1.0 - f).powi(2) * h * d0
                + f * f * (3.0 - 2.0 * f) * y1
                + f * f * (f - 1.0) * h * d1
        };
        for i in 1..4 {
            let f = f64::from(i) / 4.0;
            let first = hermite(f, 1.0, 0.0, 1.0, 7.0 / 6.0, 9.0 / 13.0);
            assert!((curve(&x, &y, f) - first).abs() < 1e-15);
            let second = hermite(f, 2.0, 1.0, 2.0, 9.0 / 13.0, 0.0);
            assert!((curve(&x, &y, 1.0 + 2.0 * f) - second).abs() < 1e-15);
            assert_eq!(curve(&x, &y, 3.0 + f), 2.0);
        }
    }

    #[test]
    fn one_and_two_knots_are_a_constant_and_a_line() {
        assert_eq!(curve(&[2.0], &[5.0], 7.0), 5.0);
        assert_eq!(curve(&[0.0, 2.0], &[1.0, 3.0], 0.5), 1.5);
        assert_eq!(curve(&[0.0, 2.0], &[1.0, 3.0], -4.0), 1.0);
        assert_eq!(curve(&[0.0, 2.0], &[1.0, 3.0], 9.0), 3.0);
    }

    proptest! {
        #[test]
        fn stays_between_the_knots(
            steps in prop::collection::vec((0.01f64..3.0, -2.0f64..2.0), 2..9),
            f in 0.0f64..1.0,
        ) {
            let x: Vec<f64> = steps.iter().scan(0.0, |a, s| { *a += s.0; Some(*a) }).collect();
            let y: Vec<f64> = steps.iter().map(|s| s.1).collect();
            for i in 0..x.len() - 1 {
                let value = curve(&x, &y, x[i] + f * (x[i + 1] - x[i]));
                let (low, high) = (y[i].min(y[i + 1]), y[i].max(y[i + 1]));
                prop_assert!(value >= low - 1e-12 && value <= high + 1e-12);
                prop_assert_eq!(curve(&x, &y, x[i]), y[i]);
            }
        }
    }
}
