//! The exponential function as straight-line code, so that loops over it become vector code.

/// e^x for |x| up to about 87, clamped beyond; NaN stays NaN.
///
/// Relative error below 2e-7. Plain additions and multiplications only: the result is the same on every machine.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Beyond these, 2^n has no normal representation.
    let x = x.clamp(-87.0, 88.0);
    // n = round(x / ln 2): adding 1.5 2^23 leaves the integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, the first with few enough bits that its products with n are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    // Minimax polynomial of e^r on |r| <= ln 2 / 2 (Cephes, expf).
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    let exponent = shifted.to_bits().wrapping_add(127) << 23;
    p * f32::from_bits(exponent)
}

/// x / (1 + e^-x).
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_error_is_below_2e_7() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) / exact - 1.0).abs();
            assert!(error < 2e-7, "{x}: {error:e}");
        }
    }

    #[test]
    fn special_values_are_kept() {
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::INFINITY) > 1e38);
        assert!(silu(f32::NAN).is_nan());
        assert_eq!(silu(0.0), 0.0);
        assert_eq!(silu(100.0), 100.0);
        assert!(silu(-100.0).abs() < 1e-30);
    }
}
