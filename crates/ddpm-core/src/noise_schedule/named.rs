//! The schedules that have a name.

use std::f64::consts::FRAC_PI_2;

use super::beta_curve::BetaCurve;
use crate::names::names;
use crate::{Error, Result};

/// Name of a noise schedule.
///
/// Parsed from and printed as `linear`, `linear-unscaled`, `scaled-linear`, `cosine` and `sigmoid`;
/// `squaredcos_cap_v2`, diffusers' name of `cosine`, is read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoiseScheduleName {
    /// Betas from 1e-4 to 0.02, both times 1000/T (improved-diffusion's `linear`).
    Linear,
    /// Betas from 1e-4 to 0.02 whatever T is (Ho et al. 2020, diffusers' `linear`).
    LinearUnscaled,
    /// Square roots of betas from sqrt(0.00085) to sqrt(0.012) (latent diffusion).
    ScaledLinear,
    /// Squared cosine with offset 0.008 and betas of at most 0.999 (Nichol & Dhariwal 2021, eq. 17).
    Cosine,
    /// Betas from 1e-4 to 0.02 along a logistic curve over [-6, 6] (GeoDiff, diffusers' `sigmoid`).
    Sigmoid,
}

names!(
    NoiseScheduleName, "noise schedule",
    Linear => "linear",
    LinearUnscaled => "linear-unscaled",
    ScaledLinear => "scaled-linear",
    Cosine => "cosine" | "squaredcos_cap_v2",
    Sigmoid => "sigmoid",
);

impl NoiseScheduleName {
    /// The name as files and messages say it: `custom` where there is none.
    pub fn or_custom(name: Option<Self>) -> String {
        name.map_or("custom", Self::name).to_owned()
    }

    /// The schedule whose betas follow `curve` from `start` to `end`, if it has a name.
    pub fn of_curve(curve: BetaCurve, start: f64, end: f64) -> Option<Self> {
        let (name, from, to) = match curve {
            BetaCurve::Linear => (Self::LinearUnscaled, BETA_START, BETA_END),
            BetaCurve::ScaledLinear => (Self::ScaledLinear, ROOT_BETA_START, ROOT_BETA_END),
            BetaCurve::Sigmoid => (Self::Sigmoid, BETA_START, BETA_END),
        };
        ((start, end) == (from, to)).then_some(name)
    }
}

/// The smallest T at which the scaled linear betas stay at or below 1: 0.02 * 1000 / T <= 1.
const LINEAR_MINIMUM: usize = 20;
const BETA_START: f64 = 1e-4;
const BETA_END: f64 = 0.02;
const ROOT_BETA_START: f64 = 0.00085;
const ROOT_BETA_END: f64 = 0.012;

/// `beta_{t|t-1}` for t = 1..=T, in the arithmetic of the code each schedule comes from.
pub(super) fn betas(name: NoiseScheduleName, train_steps: usize) -> Result<Vec<f64>> {
    Ok(match name {
        NoiseScheduleName::Linear => {
            if train_steps < LINEAR_MINIMUM {
                return Err(Error::ScheduleTooShort {
                    name: "linear",
                    train_steps,
                    minimum: LINEAR_MINIMUM,
                });
            }
            let scale = 1000.0 / train_steps as f64;
            BetaCurve::Linear.betas(scale * BETA_START, scale * BETA_END, train_steps)
        }
        NoiseScheduleName::LinearUnscaled => {
            BetaCurve::Linear.betas(BETA_START, BETA_END, train_steps)
        }
        NoiseScheduleName::ScaledLinear => {
            BetaCurve::ScaledLinear.betas(ROOT_BETA_START, ROOT_BETA_END, train_steps)
        }
        NoiseScheduleName::Cosine => {
            let alpha_bar = |i: usize| {
                let time = i as f64 / train_steps as f64;
                let cos = libm::cos((time + 0.008) / 1.008 * FRAC_PI_2);
                cos * cos
            };
            (0..train_steps)
                .map(|i| (1.0 - alpha_bar(i + 1) / alpha_bar(i)).min(0.999))
                .collect()
        }
        NoiseScheduleName::Sigmoid => BetaCurve::Sigmoid.betas(BETA_START, BETA_END, train_steps),
    })
}
