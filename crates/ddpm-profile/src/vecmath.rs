//! Elementary functions in f64 that a compiler can vectorise: no tables, no branches, no library calls.
//!
//! Each is a plain inlined function of one number, so that a loop over a slice becomes vector code wherever
//! [`vectorized`] has switched on the instructions of the machine. They are built from additions, fused
//! multiplications, one division and integer shifts only, all of which IEEE 754 defines to the last bit: the result
//! does not depend on the width of the vectors, nor on the platform's mathematical library.

use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// Adding this number rounds to an integer and leaves that integer in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
/// log 2 in two parts; the first has so many trailing zeros that its product with an exponent is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// The arguments outside which `exp` would leave the normal numbers; [`exp`] and [`expm1`] saturate there.
const EXP_MIN: f64 = -708.0;
const EXP_MAX: f64 = 709.0;

/// A loop to be compiled for every instruction set. `run` and everything hot that it calls must be `#[inline(always)]`: what is
/// not inlined is compiled for the oldest machine, where even a fused multiplication is a library call.
pub(crate) trait Kernel {
    fn run(self);
}

/// Runs a kernel with the widest vector instructions of this machine (AVX-512, AVX2 with FMA, or what the target has).
#[inline]
pub(crate) fn vectorized(kernel: impl Kernel) {
    struct Dispatched<K>(K);
    impl<K: Kernel> pulp::NullaryFnOnce for Dispatched<K> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            self.0.run();
        }
    }
    pulp::Arch::new().dispatch(Dispatched(kernel));
}

/// The polynomial with these coefficients, highest power first.
#[inline(always)]
fn horner<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    coefficients.iter().fold(0.0, |p, &c| p.mul_add(x, c))
}

/// 1/n! for N successive n down to `least`, whose factorials (up to 18!) are exact.
const fn inverse_factorials<const N: usize>(least: usize) -> [f64; N] {
    let mut terms = [0.0; N];
    let (mut n, mut factorial) = (0, 1.0);
    while n < least + N {
        if n > 0 {
            factorial *= n as f64;
        }
        if n >= least {
            terms[least + N - 1 - n] = 1.0 / factorial;
        }
        n += 1;
    }
    terms
}

/// Splits e^x into (2^k, e^r - 1) with |r| <= log(2)/2.
#[inline(always)]
fn exp_parts(x: f64) -> (f64, f64) {
    let shifted = x.mul_add(LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = k.mul_add(-LN_2_LOW, k.mul_add(-LN_2_HIGH, x));
    // Taylor's series of (e^r - 1 - r) / r^2: the first term left out is below 1e-17 of e^r.
    let p = horner(r, const { inverse_factorials::<12>(2) });
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    (power, (p * r).mul_add(r, r))
}

/// e^x, within 1e-15 relative; saturates below -708 and above 709. NaN gives NaN.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    let (power, p) = exp_parts(x.clamp(EXP_MIN, EXP_MAX));
    power.mul_add(p, power)
}

/// e^x of |x| <= 708 within 1e-11 relative: for where a tenth of the time matters and the last digits do not.
#[inline(always)]
pub(crate) fn exp_coarse(x: f64) -> f64 {
    let shifted = x.mul_add(LOG2_E, ROUND);
    let r = (shifted - ROUND).mul_add(-LN_2, x);
    let p = horner(r, const { inverse_factorials::<10>(0) });
    f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52) * p
}

/// e^x - 1, within 1e-15 relative, also near 0; saturates as [`exp`] does.
#[inline(always)]
pub(crate) fn expm1(x: f64) -> f64 {
    let (power, p) = exp_parts(x.clamp(EXP_MIN, EXP_MAX));
    power.mul_add(p, power - 1.0)
}

/// log x of a positive normal number, within 1e-15 relative, also near 1.
#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    // x = 2^e m with sqrt(1/2) <= m < sqrt(2); log m = 2 artanh(s), s = (m - 1) / (m + 1).
    const HALF_SQRT_2: u64 = (SQRT_2 / 2.0).to_bits();
    const BIAS: u64 = 1024 << 52;
    const TWO_52: u64 = 0x4330_0000_0000_0000;
    let above = x.to_bits().wrapping_sub(HALF_SQRT_2).wrapping_add(BIAS);
    let e = f64::from_bits((above >> 52) | TWO_52) - (4_503_599_627_370_496.0 + 1024.0);
    let m = f64::from_bits((above & 0x000f_ffff_ffff_ffff).wrapping_add(HALF_SQRT_2));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    // 1/23, 1/21, .. 1/3.
    const INVERSE_ODD: [f64; 11] = {
        let mut terms = [0.0; 11];
        let mut i = 0;
        while i < terms.len() {
            terms[i] = 1.0 / (23 - 2 * i) as f64;
            i += 1;
        }
        terms
    };
    let p = horner(z, INVERSE_ODD);
    let twice = 2.0 * s;
    let tail = (twice * z).mul_add(p, e * LN_2_LOW);
    e.mul_add(LN_2_HIGH, twice + tail)
}

/// log(1 + x) of x >= 0, within 1e-15 relative, also near 0.
#[inline(always)]
pub(crate) fn ln_1p(x: f64) -> f64 {
    let u = 1.0 + x;
    // What rounding lost in 1 + x comes back as a first-order correction.
    ln(u) + (x - (u - 1.0)) / u
}

/// e^{-x} - 1 + x, the excess of the exponential over its tangent, within 1e-14 relative for every x: never negative.
#[inline(always)]
pub(crate) fn exp_excess(x: f64) -> f64 {
    // The sum cancels near 0; there its series takes over: x^2 (1/2 - x/6 + x^2/24 - ...).
    let p = horner(-x, const { inverse_factorials::<15>(2) });
    let series = x * x * p;
    let direct = expm1(-x) + x;
    if x.abs() < 0.75 { series } else { direct }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(low: f64, high: f64) -> impl Iterator<Item = f64> {
        let n = 200_003;
        (0..=n).map(move |i| low + (high - low) * i as f64 / n as f64)
    }

    fn relative(found: f64, expected: f64) -> f64 {
        if expected == 0.0 {
            found.abs()
        } else {
            ((found - expected) / expected).abs()
        }
    }

    #[test]
    fn exponentials_are_within_1e15() {
        for x in sweep(-707.9, 708.9).chain(sweep(-2.0, 2.0)) {
            assert!(relative(exp(x), x.exp()) < 1e-15, "exp({x})");
            assert!(relative(expm1(x), x.exp_m1()) < 1e-15, "expm1({x})");
        }
        for x in sweep(-707.9, 707.9).chain(sweep(-2.0, 2.0)) {
            assert!(relative(exp_coarse(x), x.exp()) < 1e-11, "exp_coarse({x})");
        }
        for power in -300..0 {
            let x = 10f64.powi(power);
            assert!(relative(expm1(x), x.exp_m1()) < 1e-15, "expm1({x})");
            assert!(relative(expm1(-x), (-x).exp_m1()) < 1e-15, "expm1(-{x})");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(expm1(0.0), 0.0);
        assert!(exp(f64::NEG_INFINITY) < 1e-300);
        assert_eq!(expm1(f64::NEG_INFINITY), -1.0);
        assert!(exp(f64::NAN).is_nan());
    }

    #[test]
    fn logarithms_are_within_1e15() {
        for x in sweep(1e-3, 4.0)
            .chain(sweep(0.999, 1.001))
            .chain(sweep(1.0, 1e9))
        {
            assert!(relative(ln(x), x.ln()) < 1e-15, "ln({x})");
            assert!(relative(ln_1p(x), x.ln_1p()) < 1e-15, "ln_1p({x})");
        }
        for power in -300..300 {
            let x = 10f64.powi(power);
            assert!(relative(ln(x), x.ln()) < 1e-15, "ln({x})");
            assert!(relative(ln_1p(x), x.ln_1p()) < 1e-15, "ln_1p({x})");
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn excess_keeps_its_digits_near_zero() {
        for x in sweep(-20.0, 40.0) {
            let direct = (-x).exp_m1() + x;
            let tolerance = 1e-14 + 4e-16 / x.abs().max(1e-300);
            assert!(relative(exp_excess(x), direct) < tolerance, "{x}");
        }
        for power in -100..-6 {
            let x = 10f64.powi(power);
            assert!(
                relative(exp_excess(x), x * x / 2.0 * (1.0 - x / 3.0)) < 1e-13,
                "{x}"
            );
        }
    }

    #[test]
    fn vector_code_gives_the_same_bits() {
        let xs: Vec<f64> = sweep(-30.0, 30.0).collect();
        let plain: Vec<f64> = xs
            .iter()
            .map(|&x| exp(x) + ln(x.abs() + 1e-9) + exp_excess(x))
            .collect();
        struct Sum<'a>(&'a [f64], &'a mut [f64]);
        impl Kernel for Sum<'_> {
            #[inline(always)]
            fn run(self) {
                for (y, &x) in self.1.iter_mut().zip(self.0) {
                    *y = exp(x) + ln(x.abs() + 1e-9) + exp_excess(x);
                }
            }
        }
        let mut vector = vec![0.0; xs.len()];
        vectorized(Sum(&xs, &mut vector));
        assert!(
            plain
                .iter()
                .zip(&vector)
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
    }
}
