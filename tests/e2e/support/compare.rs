//! Numbers out of JSON, and how close they have to be.

use serde_json::Value;

/// An array of numbers.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("expected an array, found {value}"))
        .iter()
        .map(|x| {
            x.as_f64()
                .unwrap_or_else(|| panic!("expected a number, found {x}"))
        })
        .collect()
}

/// Asserts |found - expected| <= tolerance, absolute where the value is below 1 and relative above; returns the largest
/// error.
pub(crate) fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) -> f64 {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let mut worst = 0.0f64;
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f - e).abs() / e.abs().max(1.0);
        assert!(
            error <= tolerance,
            "{what}[{i}]: found {f}, expected {e} (error {error:e})"
        );
        worst = worst.max(error);
    }
    worst
}
