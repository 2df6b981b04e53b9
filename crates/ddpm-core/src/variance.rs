//! The variances that reverse steps can have.

use crate::{NoiseSchedule, Transition};

/// `v log_beta + (1 - v) log_posterior`, the learned range (Nichol & Dhariwal 2021, eq. 15).
///
/// `v = (output + 1) / 2` from the network's raw variance channel; it is not clamped to `[0, 1]`.
pub fn learned_log_variance(v: f64, log_beta: f64, log_posterior: f64) -> f64 {
    v * log_beta + (1.0 - v) * log_posterior
}

/// `btilde + c^2 m`, the scalar variance that minimises the expected Kullback-Leibler term of an edge when the
/// model's mean squared error per dimension is `mse`.
///
/// In the spirit of Analytic-DPM (Bao et al. 2022), but for the actual error of this model. At `s = 0` it is `mse` itself.
pub fn analytic_variance(transition: &Transition, mse: f64) -> f64 {
    transition.posterior_variance + transition.coef_x0 * transition.coef_x0 * mse
}

/// Log-variance of the decoder in a respaced chain whose first node is `t1` and second is `next`.
///
/// This is `log(btilde_{t2|t1})`, the clipped posterior variance of Ho et al. (2020) and improved-diffusion. A chain of
/// one step has no second node; `log(1 - alpha_bar_{t1})` stands in, and such a number should not be compared across K.
pub fn respaced_decoder_log_variance(
    schedule: &NoiseSchedule,
    t1: usize,
    next: Option<usize>,
) -> f64 {
    match next {
        Some(t2) => schedule.transition(t2, t1).log_posterior_variance,
        None => schedule.log_one_minus_alpha_bar(t1),
    }
}
