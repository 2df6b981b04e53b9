//! The exhaustive reference: a network measured at every timestep, reduced to what the learned variance's costs need.
//!
//! One safetensors file, f32 (relative rounding 6e-8, far below what the images leave open). With B blocks of images, T timesteps and n =
//! [`NODES`] Chebyshev nodes of lambda / lambda_max: `curvature` and `weighted` \[B, T, n\], means over the images of a block of H / lambda^2 and F;
//! `decoder_knots` \[G\] with `decoder_knot_count` \[t1\] for t1 = 1..=[`LAST_START`], and `decoder` \[B, G\]. It is made from profiles of all T
//! timesteps by `cargo run --release --example evaluations -- reduce`.
//!
//! The costs here are computed by other code than the library's, which tests compare.

use std::ops::Range;

use ddpm_core::{NoiseSchedule, TimePath};
use ddpm_dp::{CostTable, SolveOptions, Start, solve};
use safetensors::SafeTensors;

/// Chebyshev nodes per column.
pub(crate) const NODES: usize = 16;
/// The last first node of a path: later ones are not among the optima of the budgets compared.
pub(crate) const LAST_START: usize = 100;

/// The reference, block by block.
pub(crate) struct Reference {
    schedule: NoiseSchedule,
    blocks: usize,
    curvature: Vec<f64>,
    weighted: Vec<f64>,
    /// Knots of each t1, from index 0 for t1 = 1.
    knots: Vec<Vec<f64>>,
    decoder: Vec<f64>,
}

impl Reference {
    /// Reads the file.
    pub(crate) fn from_bytes(schedule: NoiseSchedule, bytes: &[u8]) -> Self {
        let file = SafeTensors::deserialize(bytes).expect("a safetensors file");
        let floats = |name: &str| -> Vec<f64> {
            let tensor = file.tensor(name).expect(name);
            let words = tensor.data().chunks_exact(4);
            words
                .map(|w| f64::from(f32::from_le_bytes(w.try_into().expect("four bytes"))))
                .collect()
        };
        let counts = floats("decoder_knot_count");
        let mut all = floats("decoder_knots").into_iter();
        let knots = counts
            .iter()
            .map(|&n| all.by_ref().take(n as usize).collect())
            .collect();
        let curvature = floats("curvature");
        Self {
            blocks: curvature.len() / (schedule.train_steps() * NODES),
            curvature,
            weighted: floats("weighted"),
            knots,
            decoder: floats("decoder"),
            schedule,
        }
    }

    /// The number of blocks of images.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// The costs on the images of these blocks.
    pub(crate) fn costs(&self, blocks: Range<usize>) -> Costs<'_> {
        let mean = |values: &[f64]| -> Vec<f64> {
            let length = values.len() / self.blocks;
            let mut mean = vec![0.0; length];
            for block in blocks.clone() {
                for (m, v) in mean.iter_mut().zip(&values[block * length..]) {
                    *m += v / blocks.len() as f64;
                }
            }
            mean
        };
        Costs {
            reference: self,
            curvature: coefficients(&mean(&self.curvature)),
            weighted: coefficients(&mean(&self.weighted)),
            decoder: mean(&self.decoder),
        }
    }
}

/// The costs of all edges on some images, learned variance and respaced decoder.
pub(crate) struct Costs<'a> {
    reference: &'a Reference,
    /// Chebyshev coefficients, column after column.
    curvature: Vec<f64>,
    weighted: Vec<f64>,
    decoder: Vec<f64>,
}

impl Costs<'_> {
    /// L(t, s) for s >= 1, in nats per dimension.
    fn interior(&self, t: usize, s: usize) -> f64 {
        let schedule = &self.reference.schedule;
        let log = |t: usize| schedule.log_one_minus_alpha_bar(t);
        let lambda = log(t) - log(s);
        let u = lambda / (log(t) - log(1));
        let column = (t - 1) * NODES..t * NODES;
        let h = lambda * lambda * polynomial(&self.curvature[column.clone()], u);
        let f = polynomial(&self.weighted[column], u);
        0.5 * (h + (schedule.snr(s) - schedule.snr(t)) * f)
    }

    /// The decoder term of a path 0, t1, t2, .. in nats per dimension; infinite beyond [`LAST_START`].
    fn decoder(&self, t1: usize, t2: usize) -> f64 {
        if t1 > LAST_START {
            return f64::INFINITY;
        }
        let knots = &self.reference.knots;
        let begin: usize = knots[..t1 - 1].iter().map(Vec::len).sum();
        let x = &knots[t1 - 1];
        let y = &self.decoder[begin..begin + x.len()];
        let at = self
            .reference
            .schedule
            .transition(t2, t1)
            .log_posterior_variance;
        // The cubic through the four nearest knots.
        let right = x.partition_point(|&knot| knot <= at);
        let first = right.saturating_sub(2).min(x.len() - 4);
        let weight = |i: usize| -> f64 {
            let others = (first..first + 4).filter(|&j| j != i);
            others.map(|j| (at - x[j]) / (x[i] - x[j])).product()
        };
        (first..first + 4).map(|i| weight(i) * y[i]).sum()
    }

    /// Bits per dimension of a path, without the prior term.
    pub(crate) fn path_cost(&self, path: &TimePath) -> f64 {
        let nodes = path.nodes();
        let edges = nodes[1..].windows(2);
        let interior: f64 = edges.map(|edge| self.interior(edge[1], edge[0])).sum();
        (self.decoder(nodes[1], nodes[2]) + interior) / std::f64::consts::LN_2
    }

    /// The optimal path of each budget, all ending at T.
    pub(crate) fn optima(&self, budgets: &[usize]) -> Vec<TimePath> {
        let steps = self.reference.schedule.train_steps();
        let table = CostTable::from_rows(steps, |t, row| {
            // Paths of one step are not asked for.
            row[0] = f64::INFINITY;
            for (s, cost) in row.iter_mut().enumerate().skip(1) {
                *cost = self.interior(t, s);
            }
        })
        .expect("costs are numbers");
        let best = |t2: usize| {
            let first = 1..t2.min(LAST_START + 1);
            first
                .map(|t1| (self.decoder(t1, t2) + table.row(t2)[t1], t1))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .unwrap_or((f64::INFINITY, 0))
        };
        let (cost, first) = (0..=steps).map(best).unzip();
        let table = table.with_start(Start { cost, first }).expect("fits");
        let options = SolveOptions {
            max_steps: budgets.iter().copied().max(),
            ..SolveOptions::default()
        };
        let solution = solve(&table, &options).expect("solvable");
        let path = |&k: &usize| {
            let nodes = solution.path(&table, k, steps).expect("reachable");
            TimePath::new(nodes, steps).expect("a path")
        };
        budgets.iter().map(path).collect()
    }
}

/// The nodes in \[0, 1\] of a rule of n points.
#[allow(dead_code, reason = "for the example")]
pub(crate) fn nodes(n: usize) -> Vec<f64> {
    let angle = |j: usize| std::f64::consts::PI * j as f64 / (n - 1) as f64;
    (0..n).map(|j| 0.5 - 0.5 * angle(j).cos()).collect()
}

/// Values at [`nodes`] to coefficients, column by column.
fn coefficients(values: &[f64]) -> Vec<f64> {
    let last = NODES - 1;
    let half = |i: usize| if i == 0 || i == last { 0.5 } else { 1.0 };
    let weight: Vec<f64> = (0..NODES * NODES)
        .map(|kj| {
            let (k, j) = (kj / NODES, kj % NODES);
            let angle = std::f64::consts::PI * (k * j) as f64 / last as f64;
            2.0 / last as f64 * half(k) * half(j) * angle.cos()
        })
        .collect();
    let column = |y: &[f64]| -> Vec<f64> {
        let dot = |row: &[f64]| row.iter().zip(y).map(|(w, y)| w * y).sum();
        weight.chunks_exact(NODES).map(dot).collect()
    };
    values.chunks_exact(NODES).flat_map(column).collect()
}

/// The polynomial with these coefficients at u.
fn polynomial(coefficients: &[f64], u: f64) -> f64 {
    let x = 1.0 - 2.0 * u;
    let (mut b1, mut b2) = (0.0, 0.0);
    for &c in coefficients[1..].iter().rev() {
        (b1, b2) = (c + 2.0 * x * b1 - b2, b1);
    }
    coefficients[0] + x * b1 - b2
}
