//! The words and digits that tables, figures, pages and cards share.

/// The stride of a row in words: one thing has one name wherever a person reads it.
///
/// ```
/// use ddpm_schedule::results::stride_in_words;
///
/// assert_eq!(["dp", "dp-free", "even"].map(stride_in_words), ["optimal", "optimal, free end", "even"]);
/// ```
pub fn stride_in_words(stride: &str) -> &str {
    match stride {
        "dp" => "optimal",
        "dp-free" => "optimal, free end",
        "all" => "all timesteps",
        "dp-elbo" => "optimal for the ELBO",
        "dp-mse" => "optimal for the reweighted error",
        other => other,
    }
}

/// A value with its standard error, as many digits as the error leaves meaningful (3 to 5).
///
/// ```
/// use ddpm_schedule::results::with_error;
///
/// assert_eq!(with_error(4.87654, Some(0.0123)), "4.877 ± 0.012");
/// assert_eq!(with_error(4.87654, Some(0.00123)), "4.8765 ± 0.0012");
/// assert_eq!(with_error(4.87654, None), "4.8765");
/// assert_eq!(with_error(4.87654, Some(f64::NAN)), "4.8765");
/// ```
pub fn with_error(value: f64, standard_error: Option<f64>) -> String {
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
