//! Ancestral sampling, the reverse chain whose likelihood the bound scores.

use crate::{LinearStep, StepVariance, Transition, learned_log_variance};

/// One ancestral step of one image: `x_s = c xhat_0 + d x_t + sigma noise` into `dst`.
///
/// `variance` is the `sigma^2` of the step, the same as in [`edge_nll`](crate::edge_nll), and `limit` the largest `sigma`
/// of an element, if there is to be one ([`clipped_noise_limit`]). At `s = 0` the result is the mean, which is `xhat0`: no
/// noise is added, and neither `variance` nor `noise` matters.
///
/// ```
/// use ddpm_core::{NoiseSchedule, NoiseScheduleName, StepVariance, ancestral_step};
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000)?;
/// let edge = schedule.transition(500, 250);
/// let variance = StepVariance::LogVariance(edge.log_posterior_variance);
/// let mut x_s = [0.0];
/// ancestral_step(&edge, variance, None, &[0.3], &[0.1], &[0.0], &mut x_s);
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
    limit: Option<f64>,
    x_t: &[f64],
    xhat0: &[f64],
    noise: &[f32],
    dst: &mut [f64],
) {
    let limit = limit.unwrap_or(f64::INFINITY);
    let scalar = match variance {
        StepVariance::LogVariance(log_variance) => log_variance,
        // Its noise is added below, element by element or band by band.
        _ => f64::NEG_INFINITY,
    };
    LinearStep::ancestral(transition, scalar)
        .with_noise_at_most(limit)
        .apply(x_t, xhat0, &[], noise, dst);
    if transition.s == 0 {
        return;
    }
    let learned = |v: &[f64], log_scale: f64, dst: &mut [f64]| {
        assert_eq!(noise.len(), dst.len(), "noise and x_s differ in length");
        assert_eq!(v.len(), dst.len(), "variances and x_s differ in length");
        for ((dst, &v), &noise) in dst.iter_mut().zip(v).zip(noise) {
            let log_variance =
                learned_log_variance(v, transition.log_beta, transition.log_posterior_variance)
                    + log_scale;
            *dst += libm::exp(0.5 * log_variance).min(limit) * f64::from(noise);
        }
    };
    match variance {
        StepVariance::LogVariance(_) => {}
        StepVariance::Learned(v) => learned(v, 0.0, dst),
        StepVariance::LearnedScaled(v, log_scale) => learned(v, log_scale, dst),
        StepVariance::Bands(bands, powers) => {
            let deviation = |&power: &f64| {
                let ratio = 1.0 + transition.snr_gain * power;
                (transition.posterior_variance * ratio).sqrt().min(limit)
            };
            let deviations: Vec<f64> = powers.iter().map(deviation).collect();
            let white: Vec<f64> = noise.iter().map(|&z| f64::from(z)).collect();
            let mut coloured = bands.transform(&white);
            for (z, &band) in coloured.iter_mut().zip(bands.of_coefficients()) {
                *z *= deviations[band];
            }
            for (dst, z) in dst.iter_mut().zip(bands.inverse(&coloured)) {
                *dst += z;
            }
        }
    }
}

/// The largest `sigma` of the second-to-last step, onto the path's first node, so that its noise moves a channel by no more
/// than `levels` of its 256 levels on average: `E|sigma z| <= levels 2/255`, hence `sigma <= levels (2/255) sqrt(pi/2)`.
///
/// Analytic-DPM (Bao et al. 2022, appendix) clips so, with 1 or 2 levels: the noise of that step is all noise that is left
/// in a sample, because the last step shows its mean.
pub fn clipped_noise_limit(levels: f64) -> f64 {
    levels * (2.0 / 255.0) * std::f64::consts::FRAC_PI_2.sqrt()
}
