//! The nodes of a reference trajectory.

use ddpm_core::{NoiseSchedule, Path};

use crate::error::{Error, Result};

/// Below this log-SNR (sigma = 80, where Karras et al. 2022 begin) nothing of an image is left to be resolved.
const LOWEST_LOG_SNR: f64 = -8.8;
const RHO: f64 = 7.0;

/// A path of `nodes` timesteps from 1 to T, dense wherever any of the usual schedules is dense: half of its nodes are even in
/// log-SNR, a quarter in t and a quarter in sigma^(1/7), in the mixture of their distributions.
///
/// Optimal paths are sought among these nodes.
///
/// # Errors
/// [`Error::Unsupported`] unless 2 <= `nodes` <= T.
pub fn reference_grid(schedule: &NoiseSchedule, nodes: usize) -> Result<Path> {
    let last = schedule.train_steps();
    if !(2..=last).contains(&nodes) {
        return Err(Error::Unsupported(format!(
            "nodes of the reference grid: expected 2..={last} (T), found {nodes}"
        )));
    }
    let log_snr = |t: usize| schedule.log_snr(t).max(LOWEST_LOG_SNR);
    let root = |t: usize| libm::exp(-log_snr(t) / (2.0 * RHO));
    let part = |value: f64, first: f64, last: f64| match last - first {
        0.0 => 0.0,
        range => (value - first) / range,
    };
    let mixture = |t: usize| {
        0.5 * part(log_snr(t), log_snr(1), log_snr(last))
            + 0.25 * part(t as f64, 1.0, last as f64)
            + 0.25 * part(root(t), root(1), root(last))
    };
    let distribution: Vec<f64> = (1..=last).map(mixture).collect();
    let mut chosen: Vec<usize> = (0..nodes)
        .map(|k| {
            let target = distribution[last - 1] * k as f64 / (nodes - 1) as f64;
            1 + distribution
                .partition_point(|&value| value < target)
                .min(last - 1)
        })
        .collect();
    // Where timesteps are farther apart than nodes, the later node moves up, then down where there is no room.
    chosen[nodes - 1] = last;
    for k in 1..nodes {
        chosen[k] = chosen[k].max(chosen[k - 1] + 1);
    }
    let mut highest = last;
    for node in chosen.iter_mut().rev() {
        *node = (*node).min(highest);
        highest = *node - 1;
    }
    Ok(Path::new(chosen, last)?)
}
