//! Sampler steps as linear combinations of what is known: ancestral, DDIM and DPM-Solver++(2M).

use crate::{Error, NoiseSchedule, Result, Sampler, Transition};

/// The step from `t` down to `s` of a sampler that is linear in its estimates of the data:
///
/// `x_s = from_x_t x_t + from_xhat0 xhat0(t) + from_history[0] h(p) + from_history[1] h(q) + noise z`,
///
/// where `xhat0` is the network's estimate of `x_0`, `z` standard normal and `h` what the sampler remembers of the nodes `p` and `q` before
/// `t` (noisier ones, the nearest first): the estimate there, or for iPNDM the noise that goes with it ([`Sampler::remembered`]).
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
    /// Weights of what is remembered of the nodes before `t`, the nearest first; 0 where the sampler does not look back so far.
    pub from_history: [f64; 2],
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
            from_history: [0.0; 2],
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
            from_history: [0.0; 2],
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
        Sampler::DpmSolver2M.flow_step(schedule, previous.as_slice(), t, s)
    }

    /// The weights of what is remembered of the nodes before, as far as they are used.
    pub fn history(&self) -> &[f64] {
        let used = self.from_history.iter().rposition(|&weight| weight != 0.0);
        &self.from_history[..used.map_or(0, |last| last + 1)]
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
    /// `history` is what is remembered of the nodes before `t`, the nearest first; it may end, and `noise` may be empty, where the coefficients
    /// are 0.
    ///
    /// # Panics
    ///
    /// If slices that are used differ in length.
    pub fn apply(
        &self,
        x_t: &[f64],
        xhat0: &[f64],
        history: &[&[f64]],
        noise: &[f32],
        dst: &mut [f64],
    ) {
        assert_eq!(x_t.len(), dst.len(), "x_t and x_s differ in length");
        assert_eq!(xhat0.len(), dst.len(), "estimate and x_s differ in length");
        for ((dst, &x_t), &xhat0) in dst.iter_mut().zip(x_t).zip(xhat0) {
            *dst = self.from_xhat0 * xhat0 + self.from_x_t * x_t;
        }
        for (j, &weight) in self.from_history.iter().enumerate() {
            if weight == 0.0 {
                continue;
            }
            let remembered = history.get(j).copied().unwrap_or_default();
            assert_eq!(
                remembered.len(),
                dst.len(),
                "what is remembered and x_s differ in length"
            );
            for (dst, &remembered) in dst.iter_mut().zip(remembered) {
                *dst += weight * remembered;
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
