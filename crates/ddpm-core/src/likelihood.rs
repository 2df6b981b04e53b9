//! The terms of the negative evidence lower bound, in nats per dimension.
//!
//! For a path, `-ELBO = prior_KL(t_K) + decoder(t_1) + sum over k >= 2 of L(t_k, t_{k-1})`
//! (Watson et al. 2021, eq. 16 and 17). The model replaces `x_0` by its estimate in the posterior mean, so that an
//! interior term depends on the data through the squared error of that estimate alone.

use crate::numeric::{kl_excess, kl_excess_weighted, logistic};
use crate::{Bands, NoiseSchedule, Transition, learned_log_variance};

/// Interior term of an edge with one scalar variance, for a mean squared error `mse` per dimension:
/// `1/2 [-1 + log s2 - log btilde + btilde/s2 + c^2 mse / s2]` with `s2 = exp(log_variance)`.
///
/// Infinity at `s = 0`, where the posterior is a point and the decoder term belongs.
///
/// ```
/// use ddpm_core::{NoiseSchedule, NoiseScheduleName, interior_fixed};
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000)?;
/// let edge = schedule.transition(500, 250);
/// let small = interior_fixed(&edge, edge.log_posterior_variance, 0.01);
/// let snr_form = 0.5 * (schedule.snr(250) - schedule.snr(500)) * 0.01;
/// assert!((small - snr_form).abs() < 1e-15);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
pub fn interior_fixed(transition: &Transition, log_variance: f64, mse: f64) -> f64 {
    interior(
        transition,
        log_variance - transition.log_posterior_variance,
        mse,
    )
}

/// Interior term of one pixel under the learned range: the variance is `btilde (beta / btilde)^v`, `sq_err` the squared error
/// of the estimate of `x_0`.
///
/// Infinity at `s = 0`.
pub fn interior_learned_pixel(transition: &Transition, v: f64, sq_err: f64) -> f64 {
    interior(transition, v * transition.log_variance_ratio, sq_err)
}

/// `log_ratio = log(s2 / btilde)`.
fn interior(transition: &Transition, log_ratio: f64, sq_err: f64) -> f64 {
    if transition.s == 0 {
        return f64::INFINITY;
    }
    0.5 * kl_excess_weighted(log_ratio, transition.snr_gain * sq_err)
}

/// `-log P(x0)` under a Gaussian with this mean and `log_scale = log(standard deviation)`, discretised to bins of
/// half-width 1/255 on `[-1, 1]`.
///
/// The rules are those of improved-diffusion's `discretized_gaussian_log_likelihood`: the outermost bins
/// (`x0 < -0.999`, `x0 > 0.999`) are open, the cumulative distribution is
/// `(1 + tanh(sqrt(2/pi) (y + 0.044715 y^3))) / 2`, probabilities are clamped at 1e-12.
pub fn discretized_gaussian_nll(x0: f64, mean: f64, log_scale: f64) -> f64 {
    const HALF_BIN: f64 = 1.0 / 255.0;
    // sqrt(8 / pi): (1 + tanh(u)) / 2 is the logistic function of 2 u.
    const SLOPE: f64 = 1.595_769_121_605_730_7;
    const CUBIC: f64 = 0.044715;
    const FLOOR: f64 = 1e-12;
    // Beyond this everything is saturated, and the cubes below would overflow.
    const STEEPEST: f64 = 1e90;

    // Comparisons and not `min` and `max`, which would hide a NaN.
    let inverse = match libm::exp(-log_scale) {
        steeper if steeper > STEEPEST => STEEPEST,
        inverse => inverse,
    };
    let centre = inverse * (x0 - mean);
    let half = inverse * HALF_BIN;
    let logit = |y: f64| SLOPE * y * (1.0 + CUBIC * y * y);
    let probability = if x0 < -0.999 {
        logistic(logit(centre + half))
    } else if x0 > 0.999 {
        logistic(-logit(centre - half))
    } else {
        // logistic(a) - logistic(b) = logistic(a) logistic(-b) (1 - exp(b - a)), with a - b from the cubic's
        // own difference: both hold their digits where the two distributions nearly agree.
        let difference = 2.0 * SLOPE * half * (1.0 + CUBIC * (3.0 * centre * centre + half * half));
        logistic(logit(centre + half)) * logistic(-logit(centre - half)) * -libm::expm1(-difference)
    };
    if probability < FLOOR {
        -libm::log(FLOOR)
    } else {
        -libm::log(probability)
    }
}

/// `-log N` of a continuous Gaussian: `1/2 [log(2 pi) + log_variance + sq_err / exp(log_variance)]`.
pub fn gaussian_nll(sq_err: f64, log_variance: f64) -> f64 {
    const LOG_TWO_PI: f64 = 1.837_877_066_409_345_5;
    0.5 * (LOG_TWO_PI + log_variance + sq_err * libm::exp(-log_variance))
}

/// `KL(q(x_t | x_0) || N(0, I))` per dimension, for data with this mean square per dimension.
///
/// What a path that ends at `t` pays for starting from pure noise; infinity at `t = 0`.
pub fn prior_kl(schedule: &NoiseSchedule, t: usize, x0_mean_square: f64) -> f64 {
    let log_noise = schedule.log_one_minus_alpha_bar(t);
    0.5 * (kl_excess(-log_noise) + schedule.alpha_bar(t) * x0_mean_square)
}

/// Nats to bits.
pub fn nats_to_bits(nats: f64) -> f64 {
    nats / std::f64::consts::LN_2
}

/// The variance of one reverse step of one image.
#[derive(Clone, Copy, Debug)]
pub enum StepVariance<'a> {
    /// The learned range: `v = (output + 1) / 2` of each pixel.
    Learned(&'a [f64]),
    /// The learned range times a scalar, given as its logarithm. The range itself at `s = 0`.
    LearnedScaled(&'a [f64], f64),
    /// One scalar, given as the logarithm of the variance.
    LogVariance(f64),
    /// `btilde (1 + (SNR_s - SNR_t) S_b)` of the coefficients of every band, given the powers S_b; S_b at `s = 0`.
    Bands(&'a Bands, &'a [f64]),
}

/// The term of one edge for one image, the mean over its dimensions in nats: the Kullback-Leibler term if
/// `s > 0`, the discretised decoder if `s = 0`. A variance per band has the continuous density there: no pixel has a variance
/// of its own under it.
///
/// `decoder_log_posterior` is used at `s = 0` under a learned variance only, where `v` interpolates between it and
/// `log(beta_{t|0})`; see [`respaced_decoder_log_variance`](crate::respaced_decoder_log_variance).
/// Sums run in index order; NaN if there are no dimensions.
///
/// # Panics
///
/// If the slices differ in length.
pub fn edge_nll(
    transition: &Transition,
    decoder_log_posterior: f64,
    variance: StepVariance<'_>,
    x0: &[f64],
    xhat0: &[f64],
) -> f64 {
    assert_eq!(
        x0.len(),
        xhat0.len(),
        "x0 and its estimate differ in length"
    );
    if let StepVariance::Learned(v) | StepVariance::LearnedScaled(v, _) = variance {
        assert_eq!(x0.len(), v.len(), "x0 and its variances differ in length");
    }
    let pixels = x0.iter().zip(xhat0);
    let sum: f64 = match (variance, transition.s) {
        (StepVariance::LogVariance(log_variance), 0) => pixels
            .map(|(&x, &estimate)| discretized_gaussian_nll(x, estimate, 0.5 * log_variance))
            .sum(),
        (StepVariance::Learned(v) | StepVariance::LearnedScaled(v, _), 0) => pixels
            .zip(v)
            .map(|((&x, &estimate), &v)| {
                let log_variance =
                    learned_log_variance(v, transition.log_beta, decoder_log_posterior);
                discretized_gaussian_nll(x, estimate, 0.5 * log_variance)
            })
            .sum(),
        (StepVariance::LogVariance(log_variance), _) => {
            let squares: f64 = pixels.map(|(&x, &estimate)| (x - estimate).powi(2)).sum();
            return interior_fixed(transition, log_variance, squares / x0.len() as f64);
        }
        (StepVariance::Learned(v), _) => pixels
            .zip(v)
            .map(|((&x, &estimate), &v)| {
                interior_learned_pixel(transition, v, (x - estimate).powi(2))
            })
            .sum(),
        (StepVariance::LearnedScaled(v, log_scale), _) => pixels
            .zip(v)
            .map(|((&x, &estimate), &v)| {
                let log_ratio = v * transition.log_variance_ratio + log_scale;
                interior(transition, log_ratio, (x - estimate).powi(2))
            })
            .sum(),
        (StepVariance::Bands(bands, powers), s) => {
            let residual: Vec<f64> = pixels.map(|(x, estimate)| x - estimate).collect();
            // At s = 0 the logarithm of the variance, else that of its ratio to btilde.
            let log = |&power: &f64| match s {
                0 => libm::log(power),
                _ => libm::log1p(transition.snr_gain * power),
            };
            let logs: Vec<f64> = powers.iter().map(log).collect();
            let coefficients = bands.transform(&residual).into_iter();
            coefficients
                .zip(bands.of_coefficients())
                .map(|(r, &band)| match s {
                    0 => gaussian_nll(r * r, logs[band]),
                    _ => interior(transition, logs[band], r * r),
                })
                .sum()
        }
    };
    sum / x0.len() as f64
}
