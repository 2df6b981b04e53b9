//! Ancestral sampling, the reverse chain whose likelihood the bound scores.

use crate::{StepVariance, Transition, learned_log_variance};

/// One ancestral step of one image: `x_s = c xhat_0 + d x_t + sigma noise` into `dst`.
///
/// `variance` is the `sigma^2` of the step, the same as in [`edge_nll`](crate::edge_nll). At `s = 0` the result is the
/// mean, which is `xhat0`: no noise is added, and neither `variance` nor `noise` matters.
///
/// ```
/// use ddpm_core::{NoiseSchedule, NoiseScheduleName, StepVariance, ancestral_step};
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000)?;
/// let edge = schedule.transition(500, 250);
/// let variance = StepVariance::LogVariance(edge.log_posterior_variance);
/// let mut x_s = [0.0];
/// ancestral_step(&edge, variance, &[0.3], &[0.1], &[0.0], &mut x_s);
/// assert_eq!(x_s[0], edge.coef_x0 * 0.1 + edge.coef_xt * 0.3);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
///
/// # Panics
///
/// If the slices differ in length.
pub fn ancestral_step(
    transition: &Transition,
    variance: StepVariance<'_>,
    x_t: &[f64],
    xhat0: &[f64],
    noise: &[f32],
    dst: &mut [f64],
) {
    assert_eq!(x_t.len(), dst.len(), "x_t and x_s differ in length");
    assert_eq!(xhat0.len(), dst.len(), "estimate and x_s differ in length");
    if transition.s == 0 {
        dst.copy_from_slice(xhat0);
        return;
    }
    assert_eq!(noise.len(), dst.len(), "noise and x_s differ in length");
    let mean = |i: usize| transition.coef_x0 * xhat0[i] + transition.coef_xt * x_t[i];
    match variance {
        StepVariance::LogVariance(log_variance) => {
            let sigma = libm::exp(0.5 * log_variance);
            for i in 0..dst.len() {
                dst[i] = mean(i) + sigma * f64::from(noise[i]);
            }
        }
        StepVariance::Learned(v) => {
            assert_eq!(v.len(), dst.len(), "variances and x_s differ in length");
            for i in 0..dst.len() {
                let log_variance = learned_log_variance(
                    v[i],
                    transition.log_beta,
                    transition.log_posterior_variance,
                );
                dst[i] = mean(i) + libm::exp(0.5 * log_variance) * f64::from(noise[i]);
            }
        }
    }
}
