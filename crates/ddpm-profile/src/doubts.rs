//! What no trained network's errors look like: the marks of a recording of something else.

use std::fmt;

use crate::curves::Curves;

/// A mark of curves that are of something else than they are taken for. None is proof.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Doubt {
    /// Much of the image is left at t = T: alphas in the place of their products, or another order of the timesteps.
    SignalAtEnd {
        /// alpha_bar_T.
        alpha_bar: f64,
    },
    /// The error of the image falls as the noise rises: the error of the noise in its place, or another order of the timesteps.
    FallingError {
        /// The first evaluated timestep and m(t) there.
        first: (usize, f64),
        /// The last one.
        last: (usize, f64),
    },
    /// The prediction is nowhere better than 0 for every image.
    NoBetterThanZero {
        /// The mean over images and dimensions of x0^2.
        x0_mean_square: f64,
    },
}

impl Curves {
    /// The largest alpha_bar_T that passes without a [`Doubt`]; named noise schedules end below 0.01.
    const MOST_SIGNAL: f64 = 0.1;

    /// What of these curves is like no trained network's.
    pub fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let alpha_bar = self.schedule().alpha_bar(self.train_steps());
        if alpha_bar > Self::MOST_SIGNAL {
            doubts.push(Doubt::SignalAtEnd { alpha_bar });
        }
        let measured: Vec<(usize, f64)> = (1..=self.train_steps())
            .filter(|&t| self.evaluated()[t])
            .map(|t| (t, self.mse()[t]))
            .collect();
        if let [first, .., last] = measured[..]
            && last.1 < first.1
        {
            doubts.push(Doubt::FallingError { first, last });
        }
        if let Some(x0_mean_square) = self.x0_mean_square()
            && measured.iter().all(|&(_, m)| m >= x0_mean_square)
        {
            doubts.push(Doubt::NoBetterThanZero { x0_mean_square });
        }
        doubts
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignalAtEnd { alpha_bar } => write!(
                f,
                "alpha_bar at t = T is {alpha_bar:.3}, expected nearly 0: these may be alphas and not their products (alphas_cumprod), or end too early"
            ),
            Self::FallingError {
                first: (t1, first),
                last: (t2, last),
            } => write!(
                f,
                "the error falls from {first:.3e} at t = {t1} to {last:.3e} at t = {t2}, expected to rise with the noise: it may be that of the noise and not of x0, or the timesteps may run the other way"
            ),
            Self::NoBetterThanZero { x0_mean_square } => write!(
                f,
                "the error is nowhere below the mean square of x0, {x0_mean_square:.3e}: x0_hat = 0 is as good, expected a prediction of x0"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpm_core::{NoiseSchedule, NoiseScheduleName};

    fn doubts(schedule: &NoiseSchedule, m: impl Fn(usize) -> f64) -> Vec<Doubt> {
        let mse: Vec<f64> = (1..=schedule.train_steps()).map(m).collect();
        let curves = Curves::from_mse(schedule, &mse).unwrap();
        curves.with_x0_mean_square(0.25).unwrap().doubts()
    }

    #[test]
    fn a_recording_of_something_else_raises_a_doubt_and_a_network_none() {
        let linear = NoiseSchedule::named(NoiseScheduleName::Linear, 1000).unwrap();
        let trained = |t: usize| 0.25 * (1.0 - linear.alpha_bar(t));
        assert_eq!(doubts(&linear, trained), []);
        // The alphas themselves, as some of diffusers' attributes are called.
        let alphas: Vec<f64> = (0..1000)
            .map(|i| 1.0 - (1e-4 + (0.02 - 1e-4) * f64::from(i) / 999.0))
            .collect();
        let alphas = NoiseSchedule::from_alpha_bar(&alphas).unwrap();
        let found = doubts(&alphas, |t| 0.25 * t as f64 / 1000.0);
        assert!(
            matches!(found[..], [Doubt::SignalAtEnd { .. }]),
            "{found:?}"
        );
        // The error of the noise is large where there is little of it.
        let found = doubts(&linear, |t| 0.2 * linear.alpha_bar(t) + 1e-3);
        assert!(
            matches!(found[..], [Doubt::FallingError { .. }]),
            "{found:?}"
        );
        let found = doubts(&linear, |t| 0.25 + t as f64);
        assert!(
            matches!(found[..], [Doubt::NoBetterThanZero { .. }]),
            "{found:?}"
        );
    }
}
