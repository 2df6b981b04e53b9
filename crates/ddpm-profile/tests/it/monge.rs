//! Exact O(T) tests of the Monge (quadrangle) inequality of the interior, s >= 1, from the curves alone: what the solver's
//! check of the whole table must agree with.
//!
//! For a < b < c < d the inequality L(c,a) + L(d,b) <= L(d,a) + L(c,b) of each cost below separates into a factor that depends on a and b and
//! has one sign, and the change of one function of t from c to d. With s >= 1 the smallest c is 3, so the function must be
//! monotone over t = 3..=T (up to rounding: an ideal denoiser of Gaussian data makes 1/m - SNR constant):
//! - fixed-small, and the mse objective: m non-decreasing;
//! - fixed-large: (m - (1 - abar)) / (1 - abar)^2 non-decreasing;
//! - analytic, with m frozen on these same curves: 1/m - SNR non-increasing.

use ddpm_core::{Objective, VarianceKind};
use ddpm_profile::{Curves, Frozen};

/// Whether the interior of the cost is Monge, decided from the curves; `None` where no such test is known (learned variance, or
/// analytic with an m from other images).
pub(crate) fn monge_exact(curves: &Curves, frozen: &Frozen) -> Option<bool> {
    let (schedule, mse) = (curves.schedule(), curves.mse());
    let last = schedule.train_steps();
    // Each function is a difference a - b.
    let increasing = |f: &dyn Fn(usize) -> (f64, f64)| {
        (3..last).all(|t| {
            let ((a, b), (c, d)) = (f(t), f(t + 1));
            let rounding = 8.0 * f64::EPSILON * (a.abs() + b.abs() + c.abs() + d.abs());
            // An infinite 1/m is no number to compare: written so that NaN says no.
            (c - d) - (a - b) >= -rounding
        })
    };
    let error_grows = || increasing(&|t| (mse[t], 0.0));
    if frozen.scoring.objective == Objective::Mse {
        return Some(error_grows());
    }
    match frozen.scoring.variance {
        VarianceKind::FixedSmall => Some(error_grows()),
        VarianceKind::FixedLarge => Some(increasing(&|t| {
            let noise = schedule.one_minus_alpha_bar(t);
            (mse[t] / (noise * noise), 1.0 / noise)
        })),
        VarianceKind::Analytic if frozen.mse.as_deref() == Some(mse) => {
            Some(increasing(&|t| (schedule.snr(t), 1.0 / mse[t])))
        }
        _ => None,
    }
}
