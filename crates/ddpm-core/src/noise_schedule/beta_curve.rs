//! Betas along a curve from a first to a last value.

/// How the variances of the steps go from the first to the last, for
/// [`NoiseSchedule::from_curve`](super::NoiseSchedule::from_curve) (diffusers' `beta_schedule` with `beta_start` and `beta_end`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BetaCurve {
    /// Evenly (`linear`).
    Linear,
    /// Evenly in their square roots (`scaled_linear`).
    ScaledLinear,
    /// Along a logistic curve over `[-6, 6]` (`sigmoid`), which comes near both values without reaching them.
    Sigmoid,
}

impl BetaCurve {
    /// `beta_{t|t-1}` for t = 1..=`train_steps`.
    pub(super) fn betas(self, start: f64, end: f64, train_steps: usize) -> Vec<f64> {
        match self {
            Self::Linear => linspace(start, end, train_steps).collect(),
            Self::ScaledLinear => linspace(start.sqrt(), end.sqrt(), train_steps)
                .map(|root| root * root)
                .collect(),
            Self::Sigmoid => linspace(-6.0, 6.0, train_steps)
                .map(|x| start + (end - start) * crate::numeric::logistic(x))
                .collect(),
        }
    }
}

/// `count` numbers from `start` to `end`, both included (only `start` if `count` is 1).
pub(crate) fn linspace(start: f64, end: f64, count: usize) -> impl Iterator<Item = f64> {
    let step = (end - start) / count.saturating_sub(1).max(1) as f64;
    (0..count).map(move |i| {
        if i > 0 && i + 1 == count {
            end
        } else {
            start + i as f64 * step
        }
    })
}
