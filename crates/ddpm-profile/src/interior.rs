//! Rows of interior costs: L(t, s) for one t and a run of s, as vector code.
//!
//! The constants of an edge are those of [`ddpm_core::Transition`], in the same cancellation-free form, for many s at once.

use ddpm_core::NoiseSchedule;

use crate::{
    learned::{LearnedColumn, Tilted},
    vecmath::{Kernel, exp, exp_excess, expm1, ln, ln_1p, vectorized},
};

/// Edges per tile.
const LANES: usize = 32;
type Tile = [f64; LANES];

/// The noise schedule as the columns that the row loops read; index s = 0..=T.
#[derive(Clone, Debug)]
pub(crate) struct Levels {
    log_alpha_bar: Vec<f64>,
    alpha_bar: Vec<f64>,
    noise: Vec<f64>,
}

/// How the variance of one t turns the edge constants into a cost, in nats per dimension; m is the mean squared error.
pub(crate) enum RowVariance {
    /// sigma^2 = btilde: 1/2 gain m.
    FixedSmall { mse: f64 },
    /// sigma^2 = beta: 1/2 \[e^-lambda - 1 + lambda + gain m e^-lambda\].
    FixedLarge { mse: f64 },
    /// sigma^2 = btilde + c^2 m0: 1/2 \[log(1 + gain m0) + gain (m - m0) / (1 + gain m0)\].
    Analytic { mse: f64, frozen: f64 },
    /// The learned columns.
    Learned(Box<LearnedColumn>),
}

impl Levels {
    pub(crate) fn new(schedule: &NoiseSchedule) -> Self {
        let of = |f: &dyn Fn(usize) -> f64| (0..=schedule.train_steps()).map(f).collect();
        Self {
            log_alpha_bar: schedule.log_alpha_bars().to_vec(),
            alpha_bar: of(&|t| schedule.alpha_bar(t)),
            noise: of(&|t| schedule.one_minus_alpha_bar(t)),
        }
    }

    /// The edges (t, s), s = first..first + lanes; a short tile is padded by repeating its last edge.
    #[inline(always)]
    fn edges(&self, t: usize, first: usize, lanes: usize) -> Edges {
        let (mut log_alpha, mut signal, mut noise_s) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for l in 0..LANES {
            let s = first + l.min(lanes - 1);
            log_alpha[l] = self.log_alpha_bar[t] - self.log_alpha_bar[s];
            signal[l] = self.alpha_bar[s];
            noise_s[l] = self.noise[s];
        }
        let noise_t = self.noise[t];
        let mut edges = Edges {
            beta: [0.0; LANES],
            gain: [0.0; LANES],
            lambda: [0.0; LANES],
        };
        for l in 0..LANES {
            let beta = -expm1(log_alpha[l]);
            let lost = signal[l] * beta;
            edges.beta[l] = beta;
            edges.gain[l] = lost / (noise_t * noise_s[l]);
            edges.lambda[l] = ln_1p(lost / noise_s[l]);
        }
        edges
    }

    /// Writes L(t, s) for s = first.. into `row`; first >= 1.
    pub(crate) fn interior(&self, t: usize, first: usize, variance: &RowVariance, row: &mut [f64]) {
        vectorized(InteriorRow {
            levels: self,
            t,
            first,
            variance,
            row,
        });
    }

    /// Writes log btilde_{t|s} for s = first.. into `row`; first >= 1.
    pub(crate) fn log_posterior_variance(&self, t: usize, first: usize, row: &mut [f64]) {
        vectorized(LogVarianceRow {
            levels: self,
            t,
            first,
            row,
        });
    }
}

struct InteriorRow<'a> {
    levels: &'a Levels,
    t: usize,
    first: usize,
    variance: &'a RowVariance,
    row: &'a mut [f64],
}

impl Kernel for InteriorRow<'_> {
    #[inline(always)]
    fn run(self) {
        for (i, row) in self.row.chunks_mut(LANES).enumerate() {
            let edges = self.levels.edges(self.t, self.first + i * LANES, row.len());
            let mut cost = [0.0; LANES];
            match self.variance {
                RowVariance::FixedSmall { mse } => fixed_small(*mse, &edges, &mut cost),
                RowVariance::FixedLarge { mse } => fixed_large(*mse, &edges, &mut cost),
                RowVariance::Analytic { mse, frozen } => analytic(*mse, *frozen, &edges, &mut cost),
                RowVariance::Learned(column) => learned(column, &edges, &mut cost),
            }
            row.copy_from_slice(&cost[..row.len()]);
        }
    }
}

struct LogVarianceRow<'a> {
    levels: &'a Levels,
    t: usize,
    first: usize,
    row: &'a mut [f64],
}

impl Kernel for LogVarianceRow<'_> {
    #[inline(always)]
    fn run(self) {
        for (i, row) in self.row.chunks_mut(LANES).enumerate() {
            let edges = self.levels.edges(self.t, self.first + i * LANES, row.len());
            let mut logs = [0.0; LANES];
            for l in 0..LANES {
                logs[l] = ln(edges.beta[l]) - edges.lambda[l];
            }
            row.copy_from_slice(&logs[..row.len()]);
        }
    }
}

/// The constants of a tile of edges: beta_{t|s}, SNR_s - SNR_t and log((1 - abar_t)/(1 - abar_s)).
struct Edges {
    beta: Tile,
    gain: Tile,
    lambda: Tile,
}

#[inline(always)]
fn fixed_small(mse: f64, edges: &Edges, cost: &mut Tile) {
    for l in 0..LANES {
        cost[l] = 0.5 * edges.gain[l] * mse;
    }
}

#[inline(always)]
fn fixed_large(mse: f64, edges: &Edges, cost: &mut Tile) {
    for l in 0..LANES {
        let (gain, lambda) = (edges.gain[l], edges.lambda[l]);
        cost[l] = 0.5 * (exp_excess(lambda) + gain * mse * exp(-lambda));
    }
}

#[inline(always)]
fn analytic(mse: f64, frozen: f64, edges: &Edges, cost: &mut Tile) {
    for l in 0..LANES {
        let y = edges.gain[l] * frozen;
        let rest = edges.gain[l] * (mse - frozen) / (1.0 + y);
        cost[l] = 0.5 * (ln_1p(y) + rest);
    }
}

#[inline(always)]
fn learned(column: &LearnedColumn, edges: &Edges, cost: &mut Tile) {
    let curvature = tilted(&column.curvature, column.scale, &edges.lambda);
    let ratio = tilted(&column.ratio, column.scale, &edges.lambda);
    for l in 0..LANES {
        let lambda = edges.lambda[l];
        let excess = lambda * lambda * curvature[l];
        cost[l] = 0.5 * (excess + edges.gain[l] * (column.mse * ratio[l]));
    }
}

/// [`Tilted::at`] for a tile: Clenshaw's recurrence with the coefficients outside, so that it vectorises.
#[inline(always)]
fn tilted(function: &Tilted, scale: f64, lambda: &Tile) -> Tile {
    let (mut twice, mut b1, mut b2) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for l in 0..LANES {
        twice[l] = 2.0 - 4.0 * (lambda[l] * scale);
    }
    for &c in function.coefficients[1..].iter().rev() {
        for l in 0..LANES {
            let b0 = twice[l].mul_add(b1[l], c - b2[l]);
            b2[l] = b1[l];
            b1[l] = b0;
        }
    }
    let mut value = [0.0; LANES];
    for l in 0..LANES {
        let polynomial = (0.5 * twice[l]).mul_add(b1[l], function.coefficients[0] - b2[l]);
        value[l] = exp(-function.tilt * lambda[l]) * polynomial;
    }
    value
}
