//! The Gaussians along one edge of a path, and the variances that reverse steps can have.

use crate::NoiseSchedule;

/// Every constant of the edge from `t` down to `s < t`.
///
/// The forward transition is `q(x_t | x_s) = N(sqrt(alpha) x_s, beta I)` and the posterior
/// `q(x_s | x_t, x_0) = N(coef_x0 x_0 + coef_xt x_t, posterior_variance I)`
/// (Watson et al. 2021, eq. 13 and 14; Ho et al. 2020, eq. 6 and 7, for any pair of timesteps). Made by [`NoiseSchedule::transition`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// The noisier timestep, in `1..=T`.
    pub t: usize,
    /// The cleaner timestep, below `t`; 0 is clean data.
    pub s: usize,
    /// `alpha_{t|s} = alpha_bar_t / alpha_bar_s`.
    pub alpha: f64,
    /// `beta_{t|s} = 1 - alpha_{t|s}`, the `fixed-large` variance.
    pub beta: f64,
    /// `log(beta)`.
    pub log_beta: f64,
    /// `btilde_{t|s} = beta (1 - alpha_bar_s) / (1 - alpha_bar_t)`, the `fixed-small` variance; 0 at `s = 0`.
    pub posterior_variance: f64,
    /// `log(btilde)`; minus infinity at `s = 0`.
    pub log_posterior_variance: f64,
    /// `c = sqrt(alpha_bar_s) beta / (1 - alpha_bar_t)`; 1 at `s = 0`.
    pub coef_x0: f64,
    /// `d = sqrt(alpha) (1 - alpha_bar_s) / (1 - alpha_bar_t)`; 0 at `s = 0`.
    pub coef_xt: f64,
    /// `c^2 / btilde = SNR_s - SNR_t`; infinity at `s = 0`.
    pub snr_gain: f64,
    /// `log(beta / btilde) = log((1 - alpha_bar_t) / (1 - alpha_bar_s))`, the range of the learned log-variance; infinity at `s = 0`.
    pub log_variance_ratio: f64,
}

impl NoiseSchedule {
    /// The constants of the edge from `t` down to `s`.
    ///
    /// # Panics
    ///
    /// If `t > T`. `s < t` is the caller's promise (a [`TimePath`](crate::TimePath) keeps it), checked in debug builds.
    pub fn transition(&self, t: usize, s: usize) -> Transition {
        debug_assert!(s < t, "transition from {t} to {s} does not go down");
        Transition::between(self, t, s)
    }
}

impl Transition {
    fn between(schedule: &NoiseSchedule, t: usize, s: usize) -> Self {
        let log_alpha = schedule.log_alpha_bar(t) - schedule.log_alpha_bar(s);
        let beta = -libm::expm1(log_alpha);
        let alpha = if beta < 0.5 {
            1.0 - beta
        } else {
            libm::exp(log_alpha)
        };
        let alpha_bar_s = schedule.alpha_bar(s);
        let noise_t = schedule.one_minus_alpha_bar(t);
        let noise_s = schedule.one_minus_alpha_bar(s);
        // alpha_bar_s - alpha_bar_t = alpha_bar_s beta, and so SNR_s - SNR_t and the ratio of noises need no difference.
        let signal_lost = alpha_bar_s * beta;
        let log_variance_ratio = libm::log1p(signal_lost / noise_s);
        let log_beta = libm::log(beta);
        Self {
            t,
            s,
            alpha,
            beta,
            log_beta,
            posterior_variance: beta * noise_s / noise_t,
            log_posterior_variance: log_beta - log_variance_ratio,
            coef_x0: alpha_bar_s.sqrt() * beta / noise_t,
            coef_xt: alpha.sqrt() * noise_s / noise_t,
            snr_gain: signal_lost / noise_t / noise_s,
            log_variance_ratio,
        }
    }
}

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
