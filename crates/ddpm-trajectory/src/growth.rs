//! How much an error at a node grows until time 0.

use serde::{Deserialize, Serialize};

use ddpm_core::{CoefficientKind, NoiseSchedule, Sampler};

/// Growth measured at one node, along the direction of the error that a step of one sampler makes there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowthPoint {
    /// The sampler whose error it was.
    pub sampler: Sampler,
    /// Whether it was an error of the sampler's own steps or of fitted ones.
    #[serde(default, skip_serializing_if = "is_solver")]
    pub coefficients: CoefficientKind,
    /// The timestep at which the states were perturbed.
    pub t: usize,
    /// Per image: the difference at time 0 per difference at t (Euclidean norms).
    pub factors: Vec<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
pub(crate) fn is_solver(kind: &CoefficientKind) -> bool {
    *kind == CoefficientKind::Solver
}

/// log of the growth as a function of the timestep: the mean of the logarithms over the images at the measured nodes, because
/// rare flips into another basin dominate any other mean, and linear in log-SNR between.
#[derive(Clone, Debug)]
pub(crate) struct GrowthCurve {
    /// (log-SNR, log growth), log-SNR descending.
    points: Vec<(f64, f64)>,
}

impl GrowthCurve {
    /// The curve of `sampler` with these coefficients; growth 1 everywhere if none was measured.
    pub(crate) fn new(
        points: &[GrowthPoint],
        sampler: Sampler,
        coefficients: CoefficientKind,
        schedule: &NoiseSchedule,
    ) -> Self {
        let mut points: Vec<(f64, f64)> = points
            .iter()
            .filter(|point| point.sampler == sampler && point.coefficients == coefficients)
            .filter_map(|point| {
                let logs = point.factors.iter().filter(|&&f| f > 0.0 && f.is_finite());
                let logs: Vec<f64> = logs.map(|&f| libm::log(f)).collect();
                let mean = logs.iter().sum::<f64>() / logs.len() as f64;
                (!logs.is_empty()).then_some((schedule.log_snr(point.t), mean))
            })
            .collect();
        points.sort_by(|a, b| b.0.total_cmp(&a.0));
        Self { points }
    }

    /// log of the growth from timestep t on; constant beyond the measured range, 0 at t = 0.
    pub(crate) fn log(&self, schedule: &NoiseSchedule, t: usize) -> f64 {
        if t == 0 || self.points.is_empty() {
            return 0.0;
        }
        let at = schedule.log_snr(t);
        let above = self.points.partition_point(|&(log_snr, _)| log_snr > at);
        match (
            above.checked_sub(1).map(|i| self.points[i]),
            self.points.get(above),
        ) {
            (None, Some(&(_, log))) | (Some((_, log)), None) => log,
            (Some((x0, y0)), Some(&(x1, y1))) => y0 + (y1 - y0) * (at - x0) / (x1 - x0),
            (None, None) => 0.0,
        }
    }
}
