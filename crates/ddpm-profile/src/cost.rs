//! The cost of edges and paths from curves, under stated variances, decoder and objective.
//!
//! -ELBO(path) = prior(t_K) + decoder(t_1) + sum over k >= 2 of L(t_k, t_{k-1}) (Watson et al. 2021, eq. 16 and 17), all per dimension and
//! in nats. A table and a path go through the same code, so a table's optimum is the sum of its path's terms to the last bit.

use std::sync::Arc;

use ddpm_core::{
    CoefficientKind, DecoderKind, NoiseSchedule, Objective, Sampler, TimePath, VarianceKind,
    analytic_variance, gaussian_nll, nats_to_bits, prior_kl, respaced_decoder_log_variance,
};
use ddpm_dp::{CostTable, Start};
use ddpm_schedule::{Kernel, Schedule, Scoring};
use rayon::prelude::*;

use crate::{
    column::Column,
    curves::Curves,
    error::Result,
    freeze::{Frozen, candidates},
    interior::{BandRow, Levels, RowVariance, ScaledRow},
    nodes::Nodes,
};

/// What every edge costs.
#[derive(Clone, Debug)]
pub struct CostModel<'a> {
    curves: &'a Curves,
    frozen: Frozen,
    levels: Levels,
    /// log of the gaussian decoder's bin width; 0 without one.
    log_bin_width: f64,
    /// m(t) of a corrected mean, index t: a table asks for each many times, a path for few.
    mean_powers: Option<Arc<[f64]>>,
}

impl<'a> CostModel<'a> {
    /// Prices edges with `curves` under these conventions.
    ///
    /// # Errors
    /// [`Error::InterpolationError`](crate::Error::InterpolationError) if the learned-variance columns are not resolved;
    /// [`Error::Schedule`](crate::Error::Schedule) if the curves lack what the variance or the decoder needs, and for frozen numbers that
    /// do not fit.
    pub fn new(curves: &'a Curves, frozen: Frozen) -> Result<Self> {
        frozen.check(curves)?;
        let bin_width = frozen.scoring.gaussian.bin_width;
        let bin_width = bin_width.filter(|_| frozen.scoring.decoder == DecoderKind::Gaussian);
        Ok(Self {
            log_bin_width: bin_width.map_or(0.0, f64::ln),
            curves,
            frozen,
            levels: Levels::new(curves.schedule()),
            mean_powers: None,
        })
    }

    /// The curves that are priced.
    pub fn curves(&self) -> &'a Curves {
        self.curves
    }

    /// The noise schedule.
    pub fn schedule(&self) -> &'a NoiseSchedule {
        self.curves.schedule()
    }

    /// The conventions.
    pub fn scoring(&self) -> &Scoring {
        &self.frozen.scoring
    }

    fn objective(&self) -> Objective {
        self.frozen.scoring.objective
    }

    fn decoder_kind(&self) -> DecoderKind {
        self.frozen.scoring.decoder
    }

    /// L(t, s) of an interior edge, 1 <= s < t <= T, in nats per dimension; `+inf` for anything else.
    pub fn interior(&self, t: usize, s: usize) -> f64 {
        let mut row = [f64::INFINITY];
        if 1 <= s && s < t && t <= self.curves.train_steps() {
            self.fill(t, s, &mut row);
        }
        row[0]
    }

    /// The decoder term of a path that begins 0, `t1`, `next`, .. (`None`: a path of one step), in nats per dimension; `+inf` unless
    /// 1 <= t1 < next <= T.
    pub fn decoder(&self, t1: usize, next: Option<usize>) -> f64 {
        let end = self.curves.train_steps();
        if t1 == 0 || t1 > end || next.is_some_and(|t2| t2 <= t1 || t2 > end) {
            return f64::INFINITY;
        }
        let next = next.filter(|_| self.scoring().decoder_needs_next());
        let column = self.decoder_column(t1, next.is_some());
        let log_variance = self.decoder_argument(t1, next);
        self.decoder_value(t1, column.as_ref(), log_variance)
    }

    /// The table of all edges, with the merged first two edges where the decoder depends on the second node.
    ///
    /// # Errors
    /// Those of [`CostTable`], for costs that are not numbers.
    pub fn table(&self) -> Result<CostTable> {
        self.table_among(&Nodes::All(self.curves.train_steps()))
    }

    /// The same of the edges between some timesteps: entry (i, j) is the edge from `nodes.at(i)` to `nodes.at(j)`.
    pub(crate) fn table_among(&self, nodes: &Nodes) -> Result<CostTable> {
        let steps = self.curves.train_steps();
        if self.frozen.corrections().is_some() && self.mean_powers.is_none() {
            let all = (0..=steps).into_par_iter().map(|t| self.mse(t));
            let mean_powers: Vec<f64> = all.collect();
            let tabulated = Self {
                mean_powers: Some(mean_powers.into()),
                ..self.clone()
            };
            return tabulated.table_among(nodes);
        }
        let merged = self.objective() == Objective::Elbo && self.scoring().decoder_needs_next();
        let columns = |has_next: bool| -> Vec<Option<Column>> {
            (0..=nodes.last())
                .into_par_iter()
                .map(|i| self.decoder_column(nodes.at(i), has_next))
                .collect()
        };
        // Columns take longer to build than to read. A merged start reads the same ones again, unless they are per pixel.
        let shared = (merged && !self.per_pixel_decoder(0, true)).then(|| columns(false));
        let table = CostTable::from_rows(nodes.last(), |i, row| {
            let t = nodes.at(i);
            row[0] = match &shared {
                Some(columns) => {
                    let argument = self.decoder_argument(t, None);
                    self.decoder_value(t, columns[i].as_ref(), argument)
                }
                None => self.decoder(t, None),
            };
            match nodes {
                Nodes::All(_) => self.fill(t, 1, &mut row[1..]),
                Nodes::Some(list) => {
                    let mut whole = vec![0.0; t - 1];
                    self.fill(t, 1, &mut whole);
                    for (cost, &s) in row.iter_mut().zip(list).skip(1) {
                        *cost = whole[s - 1];
                    }
                }
            }
        })?;
        if !merged {
            return Ok(table);
        }
        let columns = shared.unwrap_or_else(|| columns(true));
        let bound = |(i, column): (usize, &Option<Column>)| {
            self.decoder_lower_bound(nodes.at(i), column.as_ref())
        };
        let least: Vec<f64> = columns.iter().enumerate().map(bound).collect();
        let best: Vec<(f64, usize)> = (0..=nodes.last())
            .into_par_iter()
            .map(|i| self.best_start(nodes, i, table.row(i), &columns, &least))
            .collect();
        let (cost, first) = best.into_iter().unzip();
        Ok(table.with_start(Start { cost, first })?)
    }

    /// The smallest decoder(t1, t2) + L(t2, t1) over t1, and the number of its (smallest) t1, where t2 is that of the number `second`;
    /// (`+inf`, 0) where there is none.
    fn best_start(
        &self,
        nodes: &Nodes,
        second: usize,
        row: &[f64],
        columns: &[Option<Column>],
        least: &[f64],
    ) -> (f64, usize) {
        let mut best = (f64::INFINITY, 0);
        if second < 2 {
            return best;
        }
        let t2 = nodes.at(second);
        let mut arguments = vec![0.0; t2 - 1];
        self.levels.log_posterior_variance(t2, 1, &mut arguments);
        let cost = |first: usize| {
            let t1 = nodes.at(first);
            self.decoder_value(t1, columns[first].as_ref(), arguments[t1 - 1]) + row[first]
        };
        // A first guess, so that most of the others need no look at their column.
        let guesses = (1..second).step_by(64).map(cost);
        let guess = guesses.fold(f64::INFINITY, f64::min);
        for first in 1..second {
            if row[first] + least[first] > guess.min(best.0) {
                continue;
            }
            let cost = cost(first);
            if cost < best.0 {
                best = (cost, first);
            }
        }
        best
    }

    /// A number that the decoder term at t1 does not go below, whatever the second node.
    fn decoder_lower_bound(&self, t1: usize, column: Option<&Column>) -> f64 {
        // Rounding must not make the bound too tall.
        const SLACK: f64 = 1e-9;
        let mse = self.mse(t1);
        match (column, self.decoder_kind()) {
            (Some(column), _) => column.lower_bound() - SLACK,
            (None, DecoderKind::Gaussian) if t1 > 1 && mse > 0.0 => {
                gaussian_nll(mse, mse.ln()) - self.log_bin_width - SLACK
            }
            _ => f64::NEG_INFINITY,
        }
    }

    /// The terms of a path, one per edge in ascending t, decoder first, in nats per dimension.
    pub fn path_terms(&self, path: &TimePath) -> Vec<f64> {
        let nodes = path.nodes();
        path.edges()
            .map(|(t, s)| match s {
                0 => self.decoder(t, nodes.get(2).copied()),
                _ => self.interior(t, s),
            })
            .collect()
    }

    /// The cost of a path without the prior term, in nats per dimension.
    pub fn path_cost(&self, path: &TimePath) -> f64 {
        self.path_terms(path)
            .into_iter()
            .fold(0.0, |sum, term| sum + term)
    }

    /// The prior term of a path that ends at `t`, in nats per dimension: KL(q(x_t | x_0) || N(0, I)). `None` where the mean square of
    /// the data is not known (curves from a plain m(t)); 0 under the mse objective.
    pub fn prior(&self, t: usize) -> Option<f64> {
        match self.objective() {
            Objective::Mse => Some(0.0),
            _ => self
                .curves
                .x0_mean_square()
                .map(|square| prior_kl(self.schedule(), t, square)),
        }
    }

    /// Bits per dimension of a path, prior included; NaN where the prior is not known.
    pub(crate) fn bits_per_dim(&self, path: &TimePath) -> f64 {
        let prior = self.prior(path.end()).unwrap_or(f64::NAN);
        nats_to_bits(self.path_cost(path) + prior)
    }

    /// The path with the kernel of every step, as these conventions price it.
    pub fn schedule_of(&self, path: TimePath) -> Schedule {
        let scoring = &self.frozen.scoring;
        let nodes = path.nodes();
        let kernels = path.edges().map(|(t, s)| match s {
            0 => self.decoder_kernel(t, nodes.get(2).copied()),
            _ => self.kernel(t, s),
        });
        let kernels: Vec<Kernel> = kernels.collect();
        let corrections = self.frozen.corrections();
        let means = match (corrections, self.curves.bands()) {
            (Some(fits), Some(bands)) => {
                let at = |(t, _): (usize, usize)| Arc::new(fits[t].correction(bands));
                path.edges().map(at).collect()
            }
            _ => Vec::new(),
        };
        let per_band = !means.is_empty() || kernels.iter().any(Kernel::is_per_band);
        Schedule {
            bands: self.curves.bands().filter(|_| per_band).cloned(),
            kernels,
            means,
            decoder: scoring.decoder_for(path.steps()),
            bin_width: scoring.gaussian.bin_width,
            sampler: Sampler::Ddpm,
            coefficients: CoefficientKind::Solver,
            fitted: Vec::new(),
            path,
        }
    }

    /// The kernel of an interior edge.
    fn kernel(&self, t: usize, s: usize) -> Kernel {
        let edge = self.schedule().transition(t, s);
        let scalar = |log_variance| Kernel::Scalar { log_variance };
        match self.variance_of(t, s) {
            VarianceKind::Learned => Kernel::Learned,
            VarianceKind::FixedSmall => scalar(edge.log_posterior_variance),
            VarianceKind::FixedLarge => scalar(edge.log_beta),
            VarianceKind::Analytic => scalar(analytic_variance(&edge, self.frozen.mse_at(t)).ln()),
            VarianceKind::Spectral => Kernel::Bands {
                powers: self.frozen_powers(t).into(),
            },
            VarianceKind::LearnedCalibrated | VarianceKind::Best => {
                let learned = self.frozen.learned.as_ref().map(|learned| &learned[t]);
                Kernel::LearnedScaled {
                    // `new` has checked that they are there.
                    log_scale: learned.map_or(f64::NAN, |l| l.column.log_scale(l.v_mean, &edge)),
                }
            }
        }
    }

    /// The variance that an interior edge has: under `best` the cheapest on the choosing images.
    fn variance_of(&self, t: usize, s: usize) -> VarianceKind {
        let candidates = candidates(self.scoring().variance, self.curves.learned());
        let cost = |kind: VarianceKind| {
            let mut row = [f64::INFINITY];
            if let Some(variance) = self.row_variance(t, kind, true) {
                self.levels.interior(t, s, &variance, &mut row);
            }
            row[0]
        };
        let mut best = candidates[0];
        if candidates.len() > 1 {
            let mut least = cost(best);
            for &kind in &candidates[1..] {
                let cost = cost(kind);
                if cost < least {
                    (best, least) = (kind, cost);
                }
            }
        }
        best
    }

    fn decoder_kernel(&self, t1: usize, next: Option<usize>) -> Kernel {
        if self.scoring().spectral_decoder() {
            return Kernel::Bands {
                powers: self.frozen_powers(t1).into(),
            };
        }
        let next = next.filter(|_| self.decoder_kind().needs_next());
        let log_variance = self.decoder_argument(t1, next);
        match self.decoder_kind() {
            DecoderKind::None => Kernel::None,
            DecoderKind::Optimal if self.per_pixel_decoder(t1, true) => {
                Kernel::LearnedFrom { log_variance }
            }
            _ if self.per_pixel_decoder(t1, next.is_some()) => Kernel::Learned,
            _ => Kernel::Scalar { log_variance },
        }
    }

    /// m(t) of the mean that is priced.
    fn mse(&self, t: usize) -> f64 {
        if let Some(all) = &self.mean_powers {
            return all[t];
        }
        self.curves.mean_power(t, self.frozen.corrections())
    }

    /// S_b(t) on the choosing images.
    fn frozen_powers(&self, t: usize) -> &[f64] {
        // `new` has checked that they are there.
        let bands = self.frozen.bands.as_deref().unwrap_or_default();
        bands.get(t).map_or(&[], |fit| &fit.powers)
    }

    /// S'_b(t) on the images that are priced.
    fn powers(&self, t: usize) -> Vec<f64> {
        let bands = self.frozen.bands.as_deref().unwrap_or_default();
        self.curves.band_powers(t, bands).unwrap_or_default()
    }

    /// What prices a row under one variance; `choosing`: on the choosing images themselves. `None` is not reached: `new` has checked
    /// that everything is there.
    fn row_variance(&self, t: usize, kind: VarianceKind, choosing: bool) -> Option<RowVariance> {
        Some(match kind {
            VarianceKind::FixedSmall => RowVariance::FixedSmall { mse: self.mse(t) },
            VarianceKind::FixedLarge => RowVariance::FixedLarge { mse: self.mse(t) },
            VarianceKind::Analytic => {
                let frozen = self.frozen.mse_at(t);
                let mse = if choosing { frozen } else { self.mse(t) };
                RowVariance::Analytic { mse, frozen }
            }
            VarianceKind::Learned => RowVariance::Learned(Box::new(self.curves.learned_column(t)?)),
            VarianceKind::Spectral => {
                let frozen = self.frozen_powers(t);
                let powers = if choosing {
                    frozen.to_vec()
                } else {
                    self.powers(t)
                };
                let sizes = self.curves.bands()?.sizes();
                RowVariance::Spectral(Box::new(BandRow::new(sizes, frozen, &powers)))
            }
            VarianceKind::LearnedCalibrated => {
                let frozen = &self.frozen.learned.as_ref()?[t];
                let (priced, priced_v) = if choosing {
                    (frozen.column.clone(), frozen.v_mean)
                } else {
                    (self.curves.learned_column(t)?, self.curves.v_mean()?[t])
                };
                RowVariance::LearnedCalibrated(Box::new(ScaledRow {
                    frozen: frozen.column.clone(),
                    frozen_v: frozen.v_mean,
                    priced,
                    priced_v,
                }))
            }
            VarianceKind::Best => {
                let candidates = candidates(kind, self.curves.learned()).into_iter();
                let rows = candidates.map(|kind| self.row_variance(t, kind, choosing));
                RowVariance::Cheapest(rows.collect::<Option<_>>()?)
            }
        })
    }

    /// Fills L(t, s) for s = first..
    fn fill(&self, t: usize, first: usize, row: &mut [f64]) {
        if self.objective() == Objective::Mse {
            let mse = self.mse(t);
            for (i, cost) in row.iter_mut().enumerate() {
                *cost = self.reweighted(t, first + i, mse);
            }
            return;
        }
        match self.row_variance(t, self.scoring().variance, false) {
            Some(variance) => self.levels.interior(t, first, &variance, row),
            None => row.fill(f64::NAN),
        }
    }

    /// (t - s)/T m(t).
    fn reweighted(&self, t: usize, s: usize, mse: f64) -> f64 {
        (t - s) as f64 / self.curves.train_steps() as f64 * mse
    }

    /// Whether the decoder's variance differs from pixel to pixel.
    fn per_pixel_decoder(&self, t1: usize, has_next: bool) -> bool {
        let learned = self.frozen.scoring.variance == VarianceKind::Learned;
        match self.decoder_kind() {
            DecoderKind::Respaced => learned && has_next,
            DecoderKind::Optimal => {
                let learned = self.frozen.decoder_learned.as_ref();
                learned.is_some_and(|learned| learned[t1])
            }
            _ => false,
        }
    }

    /// The column that the decoder term is read from; `None` where no column is needed.
    fn decoder_column(&self, t1: usize, has_next: bool) -> Option<Column> {
        let discretised = matches!(
            self.decoder_kind(),
            DecoderKind::Respaced | DecoderKind::Marginal | DecoderKind::Optimal
        );
        if t1 == 0 || !discretised || self.objective() == Objective::Mse {
            return None;
        }
        self.curves
            .decoder_column(t1, self.per_pixel_decoder(t1, has_next))
    }

    /// The log-variance at which the decoder column is read.
    fn decoder_argument(&self, t1: usize, next: Option<usize>) -> f64 {
        match (self.decoder_kind(), next) {
            (DecoderKind::Optimal, _) => {
                let frozen = self.frozen.decoder_log_variance.as_ref();
                // `new` has checked that it is there.
                frozen.map_or(f64::NAN, |frozen| frozen[t1])
            }
            (DecoderKind::Respaced | DecoderKind::Gaussian, Some(t2)) => {
                let mut argument = [0.0];
                self.levels.log_posterior_variance(t2, t1, &mut argument);
                argument[0]
            }
            _ => respaced_decoder_log_variance(self.schedule(), t1, None),
        }
    }

    fn decoder_value(&self, t1: usize, column: Option<&Column>, log_variance: f64) -> f64 {
        let first = self.frozen.scoring.gaussian.first;
        match (self.objective(), self.decoder_kind(), first) {
            (Objective::Mse, ..) => self.reweighted(t1, 0, self.mse(t1)),
            (_, DecoderKind::None, _) => 0.0,
            (_, DecoderKind::Gaussian, Some(first)) if t1 == 1 => first,
            (_, DecoderKind::Gaussian, _) if self.scoring().spectral_decoder() => {
                self.spectral_decoder(t1) - self.log_bin_width
            }
            (_, DecoderKind::Gaussian, _) => {
                gaussian_nll(self.mse(t1), log_variance) - self.log_bin_width
            }
            // `new` has checked that discretised decoders have columns.
            _ => column.map_or(f64::NAN, |column| column.at(log_variance)),
        }
    }

    /// The density of the data under p(x_0 | x_t1) = N(xtilde0, U^T diag(S_b) U).
    fn spectral_decoder(&self, t1: usize) -> f64 {
        let powers = self.powers(t1);
        let Some(bands) = self.curves.bands() else {
            return f64::NAN;
        };
        let pairs = self.frozen_powers(t1).iter().zip(powers);
        bands.mean(pairs.map(|(frozen, power)| gaussian_nll(power, frozen.ln())))
    }
}
