//! The cost of edges and paths from curves, under stated variances, decoder and objective.
//!
//! -ELBO(path) = prior(t_K) + decoder(t_1) + sum over k >= 2 of L(t_k, t_{k-1}) (Watson et al. 2021, eq. 16 and 17), all per dimension and
//! in nats. A table and a path go through the same code, so a table's optimum is the sum of its path's terms to the last bit.

use ddpm_core::{
    DecoderKind, NoiseSchedule, Objective, Sampler, TimePath, VarianceKind, analytic_variance,
    gaussian_nll, prior_kl, respaced_decoder_log_variance,
};
use ddpm_dp::{CostTable, Start};
use ddpm_schedule::{Kernel, Schedule, Scoring};
use rayon::prelude::*;

use crate::{
    column::Column,
    curves::Curves,
    error::Result,
    freeze::Frozen,
    interior::{Levels, RowVariance},
};

/// What every edge costs.
#[derive(Clone, Debug)]
pub struct CostModel<'a> {
    curves: &'a Curves,
    frozen: Frozen,
    levels: Levels,
    /// log of the gaussian decoder's bin width; 0 without one.
    log_bin_width: f64,
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
        let next = next.filter(|_| self.decoder_kind().needs_next());
        let column = self.decoder_column(t1, next.is_some());
        let log_variance = self.decoder_argument(t1, next);
        self.decoder_value(t1, column.as_ref(), log_variance)
    }

    /// The table of all edges, with the merged first two edges where the decoder depends on the second node.
    ///
    /// # Errors
    /// Those of [`CostTable`], for costs that are not numbers.
    pub fn table(&self) -> Result<CostTable> {
        let steps = self.curves.train_steps();
        let merged = self.objective() == Objective::Elbo && self.decoder_kind().needs_next();
        let columns = |has_next: bool| -> Vec<Option<Column>> {
            (0..=steps)
                .into_par_iter()
                .map(|t1| self.decoder_column(t1, has_next))
                .collect()
        };
        // Columns take longer to build than to read. A merged start reads the same ones again, unless they are per pixel.
        let shared = (merged && !self.per_pixel_decoder(true)).then(|| columns(false));
        let table = CostTable::from_rows(steps, |t, row| {
            row[0] = match &shared {
                Some(columns) => {
                    let argument = self.decoder_argument(t, None);
                    self.decoder_value(t, columns[t].as_ref(), argument)
                }
                None => self.decoder(t, None),
            };
            self.fill(t, 1, &mut row[1..]);
        })?;
        if !merged {
            return Ok(table);
        }
        let columns = shared.unwrap_or_else(|| columns(true));
        let bound =
            |(t1, column): (usize, &Option<Column>)| self.decoder_lower_bound(t1, column.as_ref());
        let least: Vec<f64> = columns.iter().enumerate().map(bound).collect();
        let best: Vec<(f64, usize)> = (0..=steps)
            .into_par_iter()
            .map(|t2| self.best_start(t2, table.row(t2), &columns, &least))
            .collect();
        let (cost, first) = best.into_iter().unzip();
        Ok(table.with_start(Start { cost, first })?)
    }

    /// The smallest decoder(t1, t2) + L(t2, t1) over t1, and its (smallest) t1; (`+inf`, 0) where there is none.
    fn best_start(
        &self,
        t2: usize,
        row: &[f64],
        columns: &[Option<Column>],
        least: &[f64],
    ) -> (f64, usize) {
        let mut best = (f64::INFINITY, 0);
        if t2 < 2 {
            return best;
        }
        let mut arguments = vec![0.0; t2 - 1];
        self.levels.log_posterior_variance(t2, 1, &mut arguments);
        let cost =
            |t1: usize| self.decoder_value(t1, columns[t1].as_ref(), arguments[t1 - 1]) + row[t1];
        // A first guess, so that most of the others need no look at their column.
        let guess = (1..t2).step_by(64).map(cost).fold(f64::INFINITY, f64::min);
        for t1 in 1..t2 {
            if row[t1] + least[t1] > guess.min(best.0) {
                continue;
            }
            let cost = cost(t1);
            if cost < best.0 {
                best = (cost, t1);
            }
        }
        best
    }

    /// A number that the decoder term at t1 does not go below, whatever the second node.
    fn decoder_lower_bound(&self, t1: usize, column: Option<&Column>) -> f64 {
        // Rounding must not make the bound too tall.
        const SLACK: f64 = 1e-9;
        let mse = self.curves.mse()[t1];
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

    /// The path with the kernel of every step, as these conventions price it.
    pub fn schedule_of(&self, path: TimePath) -> Schedule {
        let scoring = &self.frozen.scoring;
        let nodes = path.nodes();
        let kernels = path.edges().map(|(t, s)| {
            if s == 0 {
                return self.decoder_kernel(t, nodes.get(2).copied());
            }
            let edge = self.schedule().transition(t, s);
            let log_variance = match scoring.variance {
                VarianceKind::Learned => return Kernel::Learned,
                VarianceKind::FixedSmall => edge.log_posterior_variance,
                VarianceKind::FixedLarge => edge.log_beta,
                VarianceKind::Analytic => analytic_variance(&edge, self.frozen.mse_at(t)).ln(),
            };
            Kernel::Scalar { log_variance }
        });
        Schedule {
            kernels: kernels.collect(),
            decoder: scoring.decoder_for(path.steps()),
            bin_width: scoring.gaussian.bin_width,
            sampler: Sampler::Ddpm,
            path,
        }
    }

    fn decoder_kernel(&self, t1: usize, next: Option<usize>) -> Kernel {
        if self.per_pixel_decoder(next.is_some()) {
            return Kernel::Learned;
        }
        match self.decoder_kind() {
            DecoderKind::None => Kernel::None,
            kind => Kernel::Scalar {
                log_variance: self.decoder_argument(t1, next.filter(|_| kind.needs_next())),
            },
        }
    }

    /// Fills L(t, s) for s = first..
    fn fill(&self, t: usize, first: usize, row: &mut [f64]) {
        let mse = self.curves.mse()[t];
        if self.objective() == Objective::Mse {
            for (i, cost) in row.iter_mut().enumerate() {
                *cost = self.reweighted(t, first + i);
            }
            return;
        }
        let variance = match self.frozen.scoring.variance {
            VarianceKind::FixedSmall => RowVariance::FixedSmall { mse },
            VarianceKind::FixedLarge => RowVariance::FixedLarge { mse },
            VarianceKind::Analytic => RowVariance::Analytic {
                mse,
                frozen: self.frozen.mse_at(t),
            },
            VarianceKind::Learned => match self.curves.learned_column(t) {
                Some(column) => RowVariance::Learned(Box::new(column)),
                // Not reached: `new` has checked the columns.
                None => return row.fill(f64::NAN),
            },
        };
        self.levels.interior(t, first, &variance, row);
    }

    /// (t - s)/T m(t).
    fn reweighted(&self, t: usize, s: usize) -> f64 {
        (t - s) as f64 / self.curves.train_steps() as f64 * self.curves.mse()[t]
    }

    /// Whether the decoder's variance differs from pixel to pixel.
    fn per_pixel_decoder(&self, has_next: bool) -> bool {
        let learned = self.frozen.scoring.variance == VarianceKind::Learned;
        learned && has_next && self.decoder_kind() == DecoderKind::Respaced
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
            .decoder_column(t1, self.per_pixel_decoder(has_next))
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
            (Objective::Mse, ..) => self.reweighted(t1, 0),
            (_, DecoderKind::None, _) => 0.0,
            (_, DecoderKind::Gaussian, Some(first)) if t1 == 1 => first,
            (_, DecoderKind::Gaussian, _) => {
                gaussian_nll(self.curves.mse()[t1], log_variance) - self.log_bin_width
            }
            // `new` has checked that discretised decoders have columns.
            _ => column.map_or(f64::NAN, |column| column.at(log_variance)),
        }
    }
}
