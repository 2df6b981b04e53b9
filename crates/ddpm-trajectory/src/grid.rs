//! The nodes of a reference trajectory.

use ddpm_core::{NoiseSchedule, TimePath};

use crate::error::{Invalid, Result};

/// Below this log-SNR (sigma = 80, where Karras et al. 2022 begin) nothing of an image is left to be resolved, but networks' estimates
/// still change, and where samples end depends on them.
const NOISE_LOG_SNR: f64 = -8.8;
/// How dense nodes are in log-SNR below that, those above taken as 1.
const NOISE_DENSITY: f64 = 0.3;
/// Below this log-SNR estimates have no weight: what they add to a state is forgotten before an image begins.
const LOWEST_LOG_SNR: f64 = -16.0;
const RHO: f64 = 7.0;

/// Nodes of a reference where nobody says how many.
pub const USUAL_NODES: usize = 160;

/// The numbers of steps that few-step samplers are compared at, as far as `most` allows.
pub fn usual_steps(most: usize) -> Vec<usize> {
    let usual = [5, 8, 10, 16, 20, 32];
    usual.into_iter().filter(|&k| k <= most).collect()
}

/// A path of `nodes` timesteps from 1 to T, dense wherever any of the usual schedules is dense: half of its nodes are even in
/// log-SNR (three in ten as many where sigma is above 80), a quarter in t and a quarter in sigma^(1/7) up to sigma = 80, in the
/// mixture of their distributions.
///
/// Optimal paths are sought among these nodes.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) unless 2 <= `nodes` <= T.
pub fn reference_grid(schedule: &NoiseSchedule, nodes: usize) -> Result<TimePath> {
    let last = schedule.train_steps();
    if !(2..=last).contains(&nodes) {
        let expected = format!("2..={last} (T)");
        return Err(Invalid::field("nodes of the reference grid", expected, nodes).into());
    }
    let image = |t: usize| schedule.log_snr(t).max(NOISE_LOG_SNR);
    let resolved = |t: usize| {
        let noise = schedule.log_snr(t).clamp(LOWEST_LOG_SNR, NOISE_LOG_SNR) - NOISE_LOG_SNR;
        image(t) + NOISE_DENSITY * noise
    };
    let root = |t: usize| libm::exp(-image(t) / (2.0 * RHO));
    let part = |value: f64, first: f64, last: f64| match last - first {
        0.0 => 0.0,
        range => (value - first) / range,
    };
    let mixture = |t: usize| {
        0.5 * part(resolved(t), resolved(1), resolved(last))
            + 0.25 * part(t as f64, 1.0, last as f64)
            + 0.25 * part(root(t), root(1), root(last))
    };
    let distribution: Vec<f64> = (1..=last).map(mixture).collect();
    let chosen = (0..nodes)
        .map(|k| {
            let target = distribution[last - 1] * k as f64 / (nodes - 1) as f64;
            1 + distribution
                .partition_point(|&value| value < target)
                .min(last - 1)
        })
        .collect();
    // Timesteps may be farther apart than nodes.
    Ok(TimePath::moved(chosen, last)?)
}
