//! Numbers for people. JSON carries them in full.

use ddpm_schedule::results::mean_and_error;

use ddpm_schedule::results::Kid;

/// A value with its standard error, as many digits as the error leaves meaningful (3 to 5).
pub(crate) fn with_error(value: f64, standard_error: Option<f64>) -> String {
    match standard_error {
        Some(error) if error.is_finite() => {
            let digits = if error > 0.0 {
                (1.0 - error.log10().floor()).clamp(3.0, 5.0) as usize
            } else {
                3
            };
            format!("{value:.digits$} ± {error:.digits$}")
        }
        _ => format!("{value:.4}"),
    }
}

/// A number that may be unknown.
pub(crate) fn or_dash(number: Option<String>) -> String {
    number.unwrap_or_else(|| "-".to_owned())
}

/// A kernel distance in the unit that papers print.
pub(crate) fn kid_times_1000(kid: &Kid) -> String {
    with_error(1e3 * kid.value, kid.standard_error.map(|e| 1e3 * e))
}

/// Mean over images with its standard error.
pub(crate) fn mean_with_error(values: &[f64]) -> String {
    let (mean, error) = mean_and_error(values);
    with_error(mean, error)
}

/// A count with its noun.
pub(crate) fn plural(count: u64, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_decides_the_digits() {
        assert_eq!(with_error(4.87654, Some(0.0123)), "4.877 ± 0.012");
        assert_eq!(with_error(4.87654, Some(0.00123)), "4.8765 ± 0.0012");
        assert_eq!(with_error(4.87654, None), "4.8765");
        assert_eq!(with_error(4.87654, Some(f64::NAN)), "4.8765");
    }
}
