//! The interior term under a learned variance, for one t and all s at once.
//!
//! L(t, s) = 1/2 \[H(lambda) + (SNR_s - SNR_t) F(lambda)\] with lambda = log((1 - abar_t)/(1 - abar_s)). Kept as polynomials in
//! lambda / lambda_max of two smooth positive functions, H / lambda^2 and F / m, each multiplied by an exponential (a tilt)
//! that makes both its ends equal: the error then is relative to the function, also where it falls or grows by many orders.

use ddpm_core::Transition;

use crate::{
    chebyshev::{Chebyshev, clenshaw},
    statistics::PointStatistics,
    vecmath::{exp, ln_1p},
};

/// The two columns of one evaluated timestep at the Chebyshev nodes, in the form that is interpolated over t.
#[derive(Clone, Debug)]
pub(crate) struct LearnedKnot {
    /// H / lambda^2; its limit mean(v^2)/2 at lambda = 0.
    pub(crate) curvature: Vec<f64>,
    /// F / m; 1 at lambda = 0.
    pub(crate) ratio: Vec<f64>,
}

impl LearnedKnot {
    pub(crate) fn new(point: &PointStatistics, lambdas: &[f64]) -> Self {
        let moments = &point.moments;
        let curvature = |(&lambda, &h): (&f64, &f64)| {
            if lambda > 0.0 {
                h / (lambda * lambda)
            } else {
                0.5 * moments.v_square
            }
        };
        let ratio = |(&lambda, &f): (&f64, &f64)| {
            if lambda > 0.0 && moments.mse > 0.0 {
                f / moments.mse
            } else {
                1.0
            }
        };
        Self {
            curvature: lambdas.iter().zip(&point.excess).map(curvature).collect(),
            ratio: lambdas.iter().zip(&point.weighted).map(ratio).collect(),
        }
    }
}

/// How well the columns of a timestep are resolved.
#[derive(Clone, Debug)]
pub(crate) struct Fit {
    pub(crate) error: f64,
    pub(crate) timestep: usize,
    pub(crate) v_min: f64,
    pub(crate) v_max: f64,
}

/// A positive function of lambda: e^{-tilt lambda} times a Chebyshev polynomial.
#[derive(Clone, Debug)]
pub(crate) struct Tilted {
    pub(crate) tilt: f64,
    pub(crate) coefficients: Vec<f64>,
}

impl Tilted {
    fn new(chebyshev: &Chebyshev, range: f64, values: &[f64]) -> Self {
        let n = values.len();
        let slope = (values[0] / values[n - 1]).ln() / range;
        // Coarsely rounded: small changes of the statistics leave the tilt alone, and the column linear in them.
        let tilt = if slope.is_finite() {
            (slope * 16.0).round() / 16.0
        } else {
            0.0
        };
        let nodes = chebyshev.nodes().iter();
        let tilted: Vec<f64> = nodes
            .zip(values)
            .map(|(u, y)| y * (tilt * u * range).exp())
            .collect();
        Self {
            tilt,
            coefficients: chebyshev.coefficients(&tilted),
        }
    }

    #[inline(always)]
    pub(crate) fn at(&self, lambda: f64, u: f64) -> f64 {
        exp(-self.tilt * lambda) * clenshaw(&self.coefficients, u)
    }
}

/// The learned-variance column of one timestep.
#[derive(Clone, Debug)]
pub(crate) struct LearnedColumn {
    /// 1 / lambda_max; 0 where there is no interior edge.
    pub(crate) scale: f64,
    pub(crate) mse: f64,
    pub(crate) curvature: Tilted,
    pub(crate) ratio: Tilted,
}

impl LearnedColumn {
    pub(crate) fn new(
        chebyshev: &Chebyshev,
        range: f64,
        mse: f64,
        curvature: &[f64],
        ratio: &[f64],
    ) -> Self {
        Self {
            scale: if range > 0.0 { 1.0 / range } else { 0.0 },
            mse,
            curvature: Tilted::new(chebyshev, range, curvature),
            ratio: Tilted::new(chebyshev, range, ratio),
        }
    }

    /// log tau of an edge: the scalar with which the learned variance is best on these images.
    pub(crate) fn log_scale(&self, v_mean: f64, edge: &Transition) -> f64 {
        let lambda = edge.log_variance_ratio;
        let u = lambda * self.scale;
        let excess = lambda * lambda * self.curvature.at(lambda, u);
        let weighted = self.mse * self.ratio.at(lambda, u);
        ln_1p(excess - v_mean * lambda + edge.snr_gain * weighted)
    }

    /// The relative distance of the column from H and F measured at `lambda`.
    pub(crate) fn error_at(&self, lambda: f64, excess: f64, weighted: f64) -> f64 {
        // Both sides of a vanishing H are rounding: below this a cost does not notice it.
        const NEGLIGIBLE: f64 = 1e-4;
        let u = lambda * self.scale;
        let h = lambda * lambda * self.curvature.at(lambda, u);
        let f = self.mse * self.ratio.at(lambda, u);
        let of_excess = (h - excess).abs() / (excess + NEGLIGIBLE);
        let of_weighted = if weighted > 0.0 {
            ((f - weighted) / weighted).abs()
        } else {
            f.abs()
        };
        // NaN must not hide.
        if of_excess > of_weighted || of_excess.is_nan() {
            of_excess
        } else {
            of_weighted
        }
    }
}
