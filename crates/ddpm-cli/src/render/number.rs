//! Numbers for people. JSON carries them in full.

use ddpm_schedule::results::{Kid, mean_and_error, with_error};

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
