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
    /// sigma^2 = btilde (1 + gain S_b) in every band.
    Spectral(Box<BandRow>),
    /// sigma^2 = tau times the learned one.
    LearnedCalibrated(Box<ScaledRow>),
    /// Whichever of these costs least on the choosing images.
    Cheapest(Vec<RowVariance>),
}

/// The powers of the bands at one t, sorted into groups of equal weight: one logarithm serves a group.
pub(crate) struct BandRow {
    groups: Vec<Group>,
    /// Whether the images priced are not those that chose.
    elsewhere: bool,
}

/// Bands in a group. Their 1 + gain S are multiplied, and do not overflow.
const GROUP: usize = 3;

#[derive(Default)]
struct Group {
    weight: f64,
    /// S_b, 0 where a group is not full.
    frozen: [f64; GROUP],
    /// S'_b - S_b.
    excess: [f64; GROUP],
}

impl BandRow {
    /// `sizes`: coefficients of every band; `frozen`: S_b on the choosing images; `powers`: on those that are priced.
    pub(crate) fn new(sizes: &[usize], frozen: &[f64], powers: &[f64]) -> Self {
        let dims: usize = sizes.iter().sum();
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&band| sizes[band]);
        let equal = order.chunk_by(|&a, &b| sizes[a] == sizes[b]);
        let group = |bands: &[usize]| {
            let mut group = Group {
                weight: sizes[bands[0]] as f64 / dims as f64,
                ..Group::default()
            };
            for (i, &band) in bands.iter().enumerate() {
                group.frozen[i] = frozen[band];
                group.excess[i] = powers[band] - frozen[band];
            }
            group
        };
        Self {
            groups: equal
                .flat_map(|equal| equal.chunks(GROUP).map(group))
                .collect(),
            elsewhere: frozen != powers,
        }
    }
}

/// The learned variance of one t on the choosing images and on those that are priced.
pub(crate) struct ScaledRow {
    pub(crate) frozen: LearnedColumn,
    pub(crate) frozen_v: f64,
    pub(crate) priced: LearnedColumn,
    pub(crate) priced_v: f64,
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
            let cost = match self.variance {
                RowVariance::Cheapest(candidates) => {
                    let mut least = priced(&candidates[0], &edges);
                    for candidate in &candidates[1..] {
                        let other = priced(candidate, &edges);
                        for l in 0..LANES {
                            let better = other.choosing[l] < least.choosing[l];
                            least.choosing[l] = if better {
                                other.choosing[l]
                            } else {
                                least.choosing[l]
                            };
                            least.cost[l] = if better { other.cost[l] } else { least.cost[l] };
                        }
                    }
                    least.cost
                }
                variance => priced(variance, &edges).cost,
            };
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

/// What a tile of edges costs.
struct Priced {
    /// On the images that are priced.
    cost: Tile,
    /// On the choosing images; only where something was frozen on them.
    choosing: Tile,
}

#[inline(always)]
fn priced(variance: &RowVariance, edges: &Edges) -> Priced {
    let mut priced = Priced {
        cost: [0.0; LANES],
        choosing: [0.0; LANES],
    };
    match variance {
        RowVariance::FixedSmall { mse } => fixed_small(*mse, edges, &mut priced.cost),
        RowVariance::FixedLarge { mse } => fixed_large(*mse, edges, &mut priced.cost),
        RowVariance::Analytic { mse, frozen } => analytic(*mse, *frozen, edges, &mut priced),
        RowVariance::Learned(column) => learned(column, edges, &mut priced.cost),
        RowVariance::Spectral(bands) => spectral(bands, edges, &mut priced),
        RowVariance::LearnedCalibrated(row) => learned_calibrated(row, edges, &mut priced),
        // Candidates are no choices themselves.
        RowVariance::Cheapest(_) => priced.cost.fill(f64::NAN),
    }
    priced
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
fn analytic(mse: f64, frozen: f64, edges: &Edges, priced: &mut Priced) {
    for l in 0..LANES {
        let y = edges.gain[l] * frozen;
        let rest = edges.gain[l] * (mse - frozen) / (1.0 + y);
        let log = ln_1p(y);
        priced.choosing[l] = 0.5 * log;
        priced.cost[l] = 0.5 * (log + rest);
    }
}

#[inline(always)]
fn learned(column: &LearnedColumn, edges: &Edges, cost: &mut Tile) {
    let (excess, weighted) = columns(column, edges);
    for l in 0..LANES {
        cost[l] = 0.5 * (excess[l] + edges.gain[l] * weighted[l]);
    }
}

/// H and F at the lambda of every edge.
#[inline(always)]
fn columns(column: &LearnedColumn, edges: &Edges) -> (Tile, Tile) {
    let curvature = tilted(&column.curvature, column.scale, &edges.lambda);
    let mut weighted = tilted(&column.ratio, column.scale, &edges.lambda);
    let mut excess = [0.0; LANES];
    for l in 0..LANES {
        let lambda = edges.lambda[l];
        excess[l] = lambda * lambda * curvature[l];
        weighted[l] *= column.mse;
    }
    (excess, weighted)
}

/// 1/2 sum_b w_b \[log(1 + gain S_b) + gain (S'_b - S_b) / (1 + gain S_b)\].
#[inline(always)]
fn spectral(bands: &BandRow, edges: &Edges, priced: &mut Priced) {
    let (mut logs, mut rest) = ([0.0; LANES], [0.0; LANES]);
    for group in &bands.groups {
        for l in 0..LANES {
            // (1 + y_1)(1 + y_2)(1 + y_3) - 1, a sum of what is not negative.
            let mut product = 0.0;
            for power in group.frozen {
                let y = edges.gain[l] * power;
                product += y * (1.0 + product);
            }
            logs[l] += group.weight * ln_1p(product);
        }
        if bands.elsewhere {
            for (power, excess) in group.frozen.iter().zip(group.excess) {
                for l in 0..LANES {
                    let gain = edges.gain[l];
                    rest[l] += group.weight * (gain * excess / (1.0 + gain * power));
                }
            }
        }
    }
    for l in 0..LANES {
        priced.choosing[l] = 0.5 * logs[l];
        priced.cost[l] = 0.5 * (logs[l] + rest[l]);
    }
}

/// With G = 1 + H - mean(v) lambda and tau = G + gain F: 1/2 \[mean(v') lambda + log tau + (G' + gain F' - tau) / tau\].
#[inline(always)]
fn learned_calibrated(row: &ScaledRow, edges: &Edges, priced: &mut Priced) {
    let (excess, weighted) = columns(&row.frozen, edges);
    let (excess_here, weighted_here) = columns(&row.priced, edges);
    for l in 0..LANES {
        let (gain, lambda) = (edges.gain[l], edges.lambda[l]);
        // tau - 1, which is small where nothing is to be multiplied.
        let above = excess[l] - row.frozen_v * lambda + gain * weighted[l];
        let above_here = excess_here[l] - row.priced_v * lambda + gain * weighted_here[l];
        let log = ln_1p(above);
        priced.choosing[l] = 0.5 * (row.frozen_v * lambda + log);
        let rest = (above_here - above) / (1.0 + above);
        priced.cost[l] = 0.5 * (row.priced_v * lambda + log + rest);
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
