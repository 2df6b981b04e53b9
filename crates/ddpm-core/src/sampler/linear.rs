//! Sampler steps as linear combinations of what is known: ancestral, DDIM and DPM-Solver++(2M).

use crate::{Error, NoiseSchedule, Result, Transition};

/// The step from `t` down to `s` of a sampler that is linear in its estimates of the data:
///
/// `x_s = from_x_t x_t + from_xhat0 xhat0(t) + from_previous xhat0(p) + noise z`,
///
/// where `p` is the node before `t` (a noisier one), `xhat0` the network's estimate of `x_0` there and `z` standard normal.
/// At `s = 0` every sampler shows the mean, which is `xhat0(t)`: the other coefficients are 0.
///
/// ```
/// use ddpm_core::{LinearStep, NoiseSchedule, NoiseScheduleName};
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000)?;
/// let step = LinearStep::ddim(&schedule, 500, 250, 0.0)?;
/// // A perfect estimate of the data keeps the noise that x_t was made of.
/// let (x0, z) = (0.3, -1.2);
/// let noisy = |t| schedule.alpha_bar(t).sqrt() * x0 + schedule.one_minus_alpha_bar(t).sqrt() * z;
/// let mut x_s = [0.0];
/// step.apply(&[noisy(500)], &[x0], &[], &[], &mut x_s);
/// assert!((x_s[0] - noisy(250)).abs() < 1e-14);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LinearStep {
    /// Weight of `x_t`.
    pub from_x_t: f64,
    /// Weight of the estimate of `x_0` at `t`.
    pub from_xhat0: f64,
    /// Weight of the estimate of `x_0` at the node before `t`; 0 for samplers of first order.
    pub from_previous: f64,
    /// Standard deviation of the noise that is added; 0 for deterministic steps.
    pub noise: f64,
}

impl LinearStep {
    /// The ancestral step with variance `exp(log_variance)`: the posterior mean at `xhat0` and noise
    /// (Ho et al. 2020, algorithm 2, for any pair of timesteps). At `s = 0` `log_variance` plays no part.
    pub fn ancestral(transition: &Transition, log_variance: f64) -> Self {
        Self {
            from_x_t: transition.coef_xt,
            from_xhat0: transition.coef_x0,
            from_previous: 0.0,
            noise: match transition.s {
                0 => 0.0,
                _ => libm::exp(0.5 * log_variance),
            },
        }
    }

    /// The DDIM step (Song et al. 2021, eq. 12 and 16), `sigma = eta sqrt(btilde_{t|s})`:
    ///
    /// `x_s = sqrt(alpha_bar_s) xhat0 + sqrt(1 - alpha_bar_s - sigma^2) epsilon + sigma z`, where `epsilon` is the noise that
    /// goes with `xhat0`, `(x_t - sqrt(alpha_bar_t) xhat0) / sqrt(1 - alpha_bar_t)`: an estimate that was clipped changes it
    /// too, as in improved-diffusion's `ddim_sample` (and diffusers' `use_clipped_model_output = True`).
    ///
    /// `eta = 0` is deterministic; `eta = 1` is the ancestral step of variance fixed-small.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] unless `eta` is in `[0, 1]`: beyond, the noise kept can have a negative variance.
    ///
    /// # Panics
    ///
    /// If `t > T`.
    pub fn ddim(schedule: &NoiseSchedule, t: usize, s: usize, eta: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&eta) {
            return Err(Error::InvalidParameter {
                what: "eta",
                value: eta,
                expected: "a number in [0, 1]",
            });
        }
        let edge = schedule.transition(t, s);
        // (1 - alpha_bar_s - sigma^2) / (1 - alpha_bar_s), as a sum of what is not negative.
        let kept = (1.0 - eta * eta) + eta * eta * edge.alpha * libm::exp(-edge.log_variance_ratio);
        let log_kept = 0.5 * libm::log(kept);
        Ok(Self {
            from_x_t: libm::exp(log_kept - 0.5 * edge.log_variance_ratio),
            from_xhat0: schedule.alpha_bar(s).sqrt()
                * -libm::expm1(log_kept - half_log_snr_gain(schedule, &edge)),
            from_previous: 0.0,
            noise: eta * edge.posterior_variance.sqrt(),
        })
    }

    /// The step of DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): data prediction, multistep, second order, midpoint.
    /// With `lambda = log(SNR) / 2`, `h = lambda_s - lambda_t` and `r = (lambda_t - lambda_p) / h`,
    ///
    /// `x_s = (sigma_s / sigma_t) x_t + sqrt(alpha_bar_s) (1 - e^{-h}) D`,
    /// `D = (1 + 1/(2r)) xhat0(t) - 1/(2r) xhat0(p)`.
    ///
    /// The step is of first order, `D = xhat0(t)`, which is DDIM with `eta = 0`, where there is no node `previous` before `t`
    /// (the first step), where no signal is left at `previous`, so that `r` is infinite, and at `s = 0`, where `h` is. The
    /// last is what diffusers' `DPMSolverMultistepScheduler` does with `final_sigmas_type = "zero"`; the other steps are
    /// its `algorithm_type = "dpmsolver++"`, `solver_type = "midpoint"`, `solver_order = 2`, for any number of steps.
    ///
    /// # Panics
    ///
    /// If a node is above `T`. `s < t < previous` is the caller's promise, checked in debug builds.
    pub fn dpm_solver_2m(
        schedule: &NoiseSchedule,
        previous: Option<usize>,
        t: usize,
        s: usize,
    ) -> Self {
        let edge = schedule.transition(t, s);
        let h = half_log_snr_gain(schedule, &edge);
        let from_data = schedule.alpha_bar(s).sqrt() * -libm::expm1(-h);
        // 1 / (2r)
        let slope = match previous {
            Some(previous) if s > 0 => {
                0.5 * h / half_log_snr_gain(schedule, &schedule.transition(previous, t))
            }
            _ => 0.0,
        };
        Self {
            from_x_t: libm::exp(-0.5 * edge.log_variance_ratio),
            from_xhat0: from_data * (1.0 + slope),
            from_previous: 0.0 - from_data * slope,
            noise: 0.0,
        }
    }

    /// The same step with the standard deviation of its noise at most `limit`
    /// ([`clipped_noise_limit`](crate::clipped_noise_limit)); the mean stays as it is.
    #[must_use]
    pub fn with_noise_at_most(self, limit: f64) -> Self {
        Self {
            noise: self.noise.min(limit),
            ..self
        }
    }

    /// Takes the step for one image, into `dst`.
    ///
    /// `previous` and `noise` may be empty where their coefficients are 0.
    ///
    /// # Panics
    ///
    /// If slices that are used differ in length.
    pub fn apply(
        &self,
        x_t: &[f64],
        xhat0: &[f64],
        previous: &[f64],
        noise: &[f32],
        dst: &mut [f64],
    ) {
        assert_eq!(x_t.len(), dst.len(), "x_t and x_s differ in length");
        assert_eq!(xhat0.len(), dst.len(), "estimate and x_s differ in length");
        for ((dst, &x_t), &xhat0) in dst.iter_mut().zip(x_t).zip(xhat0) {
            *dst = self.from_xhat0 * xhat0 + self.from_x_t * x_t;
        }
        if self.from_previous != 0.0 {
            let n = dst.len();
            assert_eq!(
                previous.len(),
                n,
                "previous estimate and x_s differ in length"
            );
            for (dst, &previous) in dst.iter_mut().zip(previous) {
                *dst += self.from_previous * previous;
            }
        }
        if self.noise != 0.0 {
            assert_eq!(noise.len(), dst.len(), "noise and x_s differ in length");
            for (dst, &noise) in dst.iter_mut().zip(noise) {
                *dst += self.noise * f64::from(noise);
            }
        }
    }
}

/// `(log SNR_s - log SNR_t) / 2`, the `h` of DPM-Solver; infinite at `s = 0` and where no signal is left at `t`.
pub(super) fn half_log_snr_gain(schedule: &NoiseSchedule, edge: &Transition) -> f64 {
    let log_alpha = schedule.log_alpha_bar(edge.t) - schedule.log_alpha_bar(edge.s);
    0.5 * (edge.log_variance_ratio - log_alpha)
}
