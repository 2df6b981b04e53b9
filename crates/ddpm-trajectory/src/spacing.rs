//! Strides in the range of sigma that others sample in.

use ddpm_core::{NoiseSchedule, TimePath};

use crate::error::Result;

/// The range of sigma that Karras et al. (2022) and the authors of GITS sample in.
const SIGMAS: (f64, f64) = (0.002, 80.0);

/// In what a stride is even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// In log-SNR.
    LogSnr,
    /// In `sigma^(1/7)` (Karras et al. 2022, eq. 5, rho = 7).
    Karras,
}

/// `steps` timesteps, those nearest to equal intervals of log sigma or of sigma^(1/7) between 0.002 and 80 as far as the schedule
/// goes, and 0. It may start below T, from the same pure noise: a step from T to there would cost one of the K and change
/// next to nothing.
///
/// # Errors
/// [`Error::Core`](crate::Error::Core) for no steps, and for more than there are timesteps in that range.
pub fn below_sigma_80(
    schedule: &NoiseSchedule,
    steps: usize,
    spacing: Spacing,
) -> Result<TimePath> {
    let end = schedule.train_steps();
    let log_sigma = |t: usize| -0.5 * schedule.log_snr(t);
    let (low, high) = (
        SIGMAS.0.ln().max(log_sigma(1)),
        SIGMAS.1.ln().min(log_sigma(end)),
    );
    let nodes = (0..steps).map(|k| {
        let share = if steps == 1 {
            1.0
        } else {
            k as f64 / (steps - 1) as f64
        };
        let target = match spacing {
            Spacing::LogSnr => low + share * (high - low),
            Spacing::Karras => {
                let (from, to) = ((low / 7.0).exp(), (high / 7.0).exp());
                7.0 * (from + share * (to - from)).ln()
            }
        };
        let distance = |t: usize| (log_sigma(t) - target).abs();
        (1..=end)
            .min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
            .unwrap_or(end)
    });
    let mut path = vec![0];
    for node in nodes {
        path.push(node.max(path[path.len() - 1] + 1));
    }
    Ok(TimePath::new(path, end)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpm_core::NoiseScheduleName;

    #[test]
    fn begins_at_sigma_80_and_ends_at_the_least_noise_there_is() {
        let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 4000).unwrap();
        for spacing in [Spacing::LogSnr, Spacing::Karras] {
            let path = below_sigma_80(&schedule, 10, spacing).unwrap();
            let nodes = path.nodes();
            let sigma = |t: usize| (-0.5 * schedule.log_snr(t)).exp();
            assert_eq!((nodes.len(), nodes[1]), (11, 1));
            assert!((sigma(nodes[10]) / 80.0).ln().abs() < 0.1, "{nodes:?}");
        }
        // The second of two is the first of them but one.
        assert!(below_sigma_80(&schedule, 0, Spacing::Karras).is_err());
    }
}
