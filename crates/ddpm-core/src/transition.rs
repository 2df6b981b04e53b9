//! The Gaussians along one edge of a path, and the constants of a whole respaced chain.

use crate::variance::respaced_decoder_log_variance;
use crate::{NoiseSchedule, Path};

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
    /// `log(beta / btilde) = log((1 - alpha_bar_t) / (1 - alpha_bar_s))`; infinity at `s = 0`.
    pub lambda: f64,
}

impl Transition {
    pub(crate) fn between(schedule: &NoiseSchedule, t: usize, s: usize) -> Self {
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
        let lambda = libm::log1p(signal_lost / noise_s);
        let log_beta = libm::log(beta);
        Self {
            t,
            s,
            alpha,
            beta,
            log_beta,
            posterior_variance: beta * noise_s / noise_t,
            log_posterior_variance: log_beta - lambda,
            coef_x0: alpha_bar_s.sqrt() * beta / noise_t,
            coef_xt: alpha.sqrt() * noise_s / noise_t,
            snr_gain: signal_lost / noise_t / noise_s,
            lambda,
        }
    }
}

/// All constants of the chain respaced to a path, one entry per step in ascending `t`; entry 0 is the step to clean data.
///
/// The arrays have the names of improved-diffusion's `GaussianDiffusion`, of which this is the state after respacing.
///
/// ```
/// use ddpm_core::{NoiseSchedule, NoiseScheduleName, Path, RespacedChain};
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000)?;
/// let chain = RespacedChain::new(&schedule, &Path::new([1, 10, 100, 1000], 1000)?);
/// assert_eq!(chain.betas.len(), 4);
/// assert_eq!(chain.posterior_mean_coef1[0], 1.0);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RespacedChain {
    /// `beta_{t_k|t_{k-1}}`.
    pub betas: Vec<f64>,
    /// `alpha_bar_{t_k}`.
    pub alphas_cumprod: Vec<f64>,
    /// `btilde_{t_k|t_{k-1}}`; 0 at entry 0.
    pub posterior_variance: Vec<f64>,
    /// `log(btilde)`, with entry 0 replaced by entry 1, the variance that the decoder uses
    /// ([`respaced_decoder_log_variance`]); a chain of one step has `log(1 - alpha_bar_{t_1})` instead.
    pub posterior_log_variance_clipped: Vec<f64>,
    /// `c`, the weight of `x_0` in the posterior mean.
    pub posterior_mean_coef1: Vec<f64>,
    /// `d`, the weight of `x_t` in the posterior mean.
    pub posterior_mean_coef2: Vec<f64>,
}

impl RespacedChain {
    /// The constants of `schedule` along `path`.
    ///
    /// # Panics
    ///
    /// If the path was made for a longer schedule and ends beyond this one.
    pub fn new(schedule: &NoiseSchedule, path: &Path) -> Self {
        let steps: Vec<Transition> = path
            .edges()
            .map(|(t, s)| schedule.transition(t, s))
            .collect();
        let of = |f: fn(&Transition) -> f64| steps.iter().map(f).collect::<Vec<f64>>();
        let mut log_variance = of(|step| step.log_posterior_variance);
        log_variance[0] =
            respaced_decoder_log_variance(schedule, steps[0].t, steps.get(1).map(|step| step.t));
        Self {
            betas: of(|step| step.beta),
            alphas_cumprod: steps
                .iter()
                .map(|step| schedule.alpha_bar(step.t))
                .collect(),
            posterior_variance: of(|step| step.posterior_variance),
            posterior_log_variance_clipped: log_variance,
            posterior_mean_coef1: of(|step| step.coef_x0),
            posterior_mean_coef2: of(|step| step.coef_xt),
        }
    }
}
