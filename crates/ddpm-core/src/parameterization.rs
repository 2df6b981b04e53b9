//! What the network predicts, and the way back to the clean data.

use crate::names::names;
use crate::{Error, NoiseSchedule, Result};

/// What the mean channels of a network hold. Parsed from and printed as `epsilon`, `x0` and `v`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Parameterization {
    /// The noise (Ho et al. 2020).
    Epsilon,
    /// The clean data.
    X0,
    /// `sqrt(alpha_bar) epsilon - sqrt(1 - alpha_bar) x_0` (Salimans & Ho 2022).
    V,
}

names!(Parameterization, "parameterization", Epsilon => "epsilon", X0 => "x0", V => "v");

impl Parameterization {
    /// `x_0 = from_x_t * x_t + from_out * out`; not finite for epsilon-prediction where `alpha_bar_t = 0`.
    fn x0_coefficients(self, schedule: &NoiseSchedule, t: usize) -> (f64, f64) {
        let signal = libm::exp(0.5 * schedule.log_alpha_bar(t));
        let noise = schedule.one_minus_alpha_bar(t).sqrt();
        match self {
            Self::Epsilon => (1.0 / signal, -noise / signal),
            Self::X0 => (0.0, 1.0),
            Self::V => (signal, -noise),
        }
    }
}

/// The estimate of `x_0` of one image: `dst[i]` from the noisy `x_t[i]` and the network's output `out[i]`.
///
/// With `clip`, estimates are clamped to `[-1, 1]` as improved-diffusion's `clip_denoised` does.
///
/// # Errors
///
/// [`Error::TimestepOutOfRange`] unless `t` is in `1..=T`, [`Error::LengthMismatch`] for slices of different lengths,
/// [`Error::EpsilonWithoutSignal`] for epsilon-prediction where `alpha_bar_t = 0`.
pub fn predict_x0(
    parameterization: Parameterization,
    schedule: &NoiseSchedule,
    t: usize,
    x_t: &[f64],
    out: &[f32],
    clip: bool,
    dst: &mut [f64],
) -> Result<()> {
    let train_steps = schedule.train_steps();
    if t == 0 || t > train_steps {
        return Err(Error::TimestepOutOfRange { t, train_steps });
    }
    if out.len() != x_t.len() {
        return Err(Error::LengthMismatch {
            what: "network output",
            expected: x_t.len(),
            found: out.len(),
        });
    }
    if dst.len() != x_t.len() {
        return Err(Error::LengthMismatch {
            what: "estimate of x0",
            expected: x_t.len(),
            found: dst.len(),
        });
    }
    if parameterization == Parameterization::Epsilon && schedule.alpha_bar(t) == 0.0 {
        return Err(Error::EpsilonWithoutSignal { t });
    }
    let (from_x_t, from_out) = parameterization.x0_coefficients(schedule, t);
    for ((dst, &x_t), &out) in dst.iter_mut().zip(x_t).zip(out) {
        let estimate = from_x_t * x_t + from_out * f64::from(out);
        *dst = if clip {
            estimate.clamp(-1.0, 1.0)
        } else {
            estimate
        };
    }
    Ok(())
}

/// `x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise` of one image, for `t` in `0..=T`.
///
/// Kept in `f64`: the likelihood terms use this value, the network is fed its `f32` rounding.
///
/// ```
/// use ddpm_core::{NoiseSchedule, NoiseScheduleName, Parameterization, diffuse, predict_x0};
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 100)?;
/// let (x0, noise) = ([0.5_f32, -1.0], [1.5_f32, 0.25]);
/// let mut x_t = [0.0; 2];
/// diffuse(&schedule, 40, &x0, &noise, &mut x_t);
/// // A network that predicts the noise exactly recovers the data.
/// let mut estimate = [0.0; 2];
/// predict_x0(Parameterization::Epsilon, &schedule, 40, &x_t, &noise, true, &mut estimate)?;
/// assert!((estimate[0] - 0.5).abs() < 1e-12);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
///
/// # Panics
///
/// If the slices differ in length or `t > T`.
pub fn diffuse(schedule: &NoiseSchedule, t: usize, x0: &[f32], noise: &[f32], dst: &mut [f64]) {
    assert_eq!(x0.len(), noise.len(), "data and noise differ in length");
    assert_eq!(x0.len(), dst.len(), "data and destination differ in length");
    let signal = libm::exp(0.5 * schedule.log_alpha_bar(t));
    let spread = schedule.one_minus_alpha_bar(t).sqrt();
    for ((dst, &x0), &noise) in dst.iter_mut().zip(x0).zip(noise) {
        *dst = signal * f64::from(x0) + spread * f64::from(noise);
    }
}
