//! Where a number lies on an axis, and which numbers are written beside it.

/// How numbers are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Ticks at the values themselves where they are few, else at powers of two.
    Log2,
    /// Ticks at powers of ten, with 2 and 5 between them where they are few.
    Log10,
}

impl Scale {
    /// Whether the axis has a place for this number.
    pub(super) fn shows(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }

    fn map(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log2 => value.log2(),
            Self::Log10 => value.log10(),
        }
    }
}

/// An axis from one end to the other.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Places of the ends, in pixels.
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// An axis that shows all of these numbers, with ticks at its ends or within.
    pub(super) fn new(
        scale: Scale,
        values: impl Iterator<Item = f64>,
        from: f64,
        to: f64,
        room_for_ticks: usize,
    ) -> Self {
        let shown: Vec<f64> = values.filter(|&v| scale.shows(v)).collect();
        let places = || shown.iter().map(|&v| scale.map(v));
        let mut low = places().fold(f64::INFINITY, f64::min);
        let mut high = places().fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low < 1e-9 * low.abs().max(1e-3) {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let room = 0.03 * (high - low);
        let (low, high) = (low - room, high + room);
        let mut axis = Self {
            scale,
            low,
            high,
            from,
            to,
            ticks: ticks(scale, low, high, room_for_ticks),
        };
        if scale == Scale::Log2
            && let Some(own) = axis.own_ticks(shown, room_for_ticks)
        {
            axis.ticks = own;
        }
        axis
    }

    /// The values themselves as ticks, where they are few and far between.
    fn own_ticks(&self, mut values: Vec<f64>, room: usize) -> Option<Vec<f64>> {
        values.sort_by(f64::total_cmp);
        values.dedup();
        // Half of the usual distance still keeps labels apart.
        let least = 0.5 * (self.to - self.from).abs() / room as f64;
        let apart = |pair: &[f64]| (self.place(pair[1]) - self.place(pair[0])).abs() >= least;
        let fit = (2..=room).contains(&values.len()) && values.windows(2).all(apart);
        fit.then_some(values)
    }

    /// The place of a number, in pixels.
    pub(super) fn place(&self, value: f64) -> f64 {
        let part = (self.scale.map(value) - self.low) / (self.high - self.low);
        self.from + (self.to - self.from) * part.clamp(0.0, 1.0)
    }

    /// The numbers to write, ascending.
    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }
}

/// Round numbers between two ends, which are logarithms on a logarithmic scale.
fn ticks(scale: Scale, low: f64, high: f64, room: usize) -> Vec<f64> {
    let whole = |low: f64, high: f64| (low.ceil() as i64)..=(high.floor() as i64);
    match scale {
        Scale::Log2 => {
            let all: Vec<f64> = whole(low, high).map(|i| (i as f64).exp2()).collect();
            thin(all, room)
        }
        Scale::Log10 => {
            let few = whole(low, high).count() <= 3;
            let multiples: &[f64] = if few { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let all: Vec<f64> = whole(low - 1.0, high)
                .flat_map(|i| multiples.iter().map(move |m| m * 10f64.powi(i as i32)))
                .filter(|t| (low..=high).contains(&t.log10()))
                .collect();
            thin(all, room)
        }
        Scale::Linear => {
            let rough = (high - low) / room as f64;
            let decade = 10f64.powf(rough.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0]
                .map(|m| m * decade)
                .into_iter()
                .find(|step| *step >= rough)
                .unwrap_or(10.0 * decade);
            whole(low / step, high / step)
                .map(|i| i as f64 * step)
                .collect()
        }
    }
}

/// Every n-th, so that they have room.
fn thin(ticks: Vec<f64>, room: usize) -> Vec<f64> {
    let every = ticks.len().div_ceil(room.max(1)).max(1);
    ticks.into_iter().step_by(every).collect()
}

/// The ticks of one axis, all in one form: with the same digits after the point, or all as powers of ten.
pub(super) fn labels(scale: Scale, ticks: &[f64]) -> Vec<String> {
    let sizes = || ticks.iter().map(|t| t.abs()).filter(|&size| size > 0.0);
    let large = sizes().any(|size| size >= 1e6);
    let small = scale == Scale::Log10 && sizes().any(|size| size < 0.999e-3);
    if large || small {
        return ticks.iter().map(|&tick| power(tick)).collect();
    }
    let digits = match scale {
        Scale::Linear => ticks.iter().map(|&t| digits(t)).max().unwrap_or(0),
        _ => 0,
    };
    let own = |&tick: &f64| format!("{tick:.*}", digits.max(self::digits(tick)));
    ticks.iter().map(own).collect()
}

/// The digits after the point that a number needs; 0.3 is no 0.30000000000000004.
fn digits(value: f64) -> usize {
    let needs = |digits: &usize| {
        let unit = 10f64.powi(*digits as i32);
        ((value * unit).round() - value * unit).abs() <= 1e-6 * (value * unit).abs().max(1e-6)
    };
    (0..9).find(needs).unwrap_or(9)
}

/// `2×10⁻⁵`.
fn power(value: f64) -> String {
    // As many digits as tell it from its neighbours.
    let exact = |digits: &usize| {
        let read: f64 = format!("{value:.digits$e}").parse().unwrap_or(value);
        (read - value).abs() <= 1e-9 * value.abs()
    };
    let digits = (0..6).find(exact).unwrap_or(6);
    let text = format!("{value:.digits$e}");
    let Some((front, exponent)) = text.split_once('e') else {
        return text;
    };
    if value == 0.0 {
        return "0".to_owned();
    }
    let raised = |c: char| match c.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    };
    let exponent: String = exponent.chars().map(raised).collect();
    match front {
        "1" => format!("10{exponent}"),
        _ => format!("{front}×10{exponent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_ends() {
        assert_eq!(
            ticks(Scale::Linear, -0.2, 4.1, 5),
            [0.0, 1.0, 2.0, 3.0, 4.0]
        );
        assert_eq!(
            ticks(Scale::Log2, 2.9, 8.1, 9),
            [8.0, 16.0, 32.0, 64.0, 128.0, 256.0]
        );
        let decades = ticks(Scale::Log10, -4.2, 0.1, 9);
        assert_eq!(decades.len(), 5);
        assert!((decades[0] - 1e-4).abs() < 1e-16);
        assert_eq!(ticks(Scale::Log10, 0.0, 1.0, 9), [1.0, 2.0, 5.0, 10.0]);
        assert!(ticks(Scale::Log2, 0.0, 12.0, 7).len() <= 7);
    }

    #[test]
    fn few_values_are_their_own_ticks_on_a_scale_of_powers_of_two() {
        let ticks = |values: &[f64], scale| {
            Axis::new(scale, values.iter().copied(), 0.0, 560.0, 12)
                .ticks()
                .to_vec()
        };
        assert_eq!(
            ticks(&[10.0, 5.0, 20.0, 10.0, 0.0], Scale::Log2),
            [5.0, 10.0, 20.0]
        );
        assert_eq!(
            ticks(&[8.0, 256.0, 4000.0], Scale::Log2),
            [8.0, 256.0, 4000.0]
        );
        // Too close to each other, too many, or one alone.
        assert_eq!(
            ticks(&[8.0, 255.0, 256.0], Scale::Log2),
            [8.0, 16.0, 32.0, 64.0, 128.0, 256.0]
        );
        let all: Vec<f64> = (1..=64).map(f64::from).collect();
        assert_eq!(
            ticks(&all, Scale::Log2),
            [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
        );
        assert_eq!(ticks(&[0.3, 0.7], Scale::Log10), [0.5]);
    }

    #[test]
    fn places_run_from_end_to_end() {
        let axis = Axis::new(Scale::Log10, [1.0, 100.0, -3.0].into_iter(), 0.0, 106.0, 9);
        assert!((axis.place(10.0) - 53.0).abs() < 1e-9);
        assert!((axis.place(1.0) - 3.0).abs() < 0.01);
        let one = Axis::new(Scale::Linear, [5.0].into_iter(), 0.0, 10.0, 5);
        assert!((one.place(5.0) - 5.0).abs() < 1e-9);
        assert!(
            !Axis::new(Scale::Linear, std::iter::empty(), 0.0, 10.0, 5)
                .ticks()
                .is_empty()
        );
    }

    #[test]
    fn the_labels_of_an_axis_have_one_form() {
        let cases: [(Scale, &[f64], &[&str]); 5] = [
            (Scale::Linear, &[3.5, 4.0, 4.5], &["3.5", "4.0", "4.5"]),
            (Scale::Linear, &[0.0, 0.1 + 0.2], &["0.0", "0.3"]),
            (Scale::Linear, &[-2e6, 0.0], &["-2×10⁶", "0"]),
            (
                Scale::Log10,
                &[1e-5, 2e-3, 0.1],
                &["10⁻⁵", "2×10⁻³", "10⁻¹"],
            ),
            (Scale::Log10, &[0.001, 0.05, 1.0], &["0.001", "0.05", "1"]),
        ];
        for (scale, ticks, expected) in cases {
            assert_eq!(labels(scale, ticks), expected);
        }
        assert_eq!(labels(Scale::Log2, &[8.0, 4000.0]), ["8", "4000"]);
    }
}
