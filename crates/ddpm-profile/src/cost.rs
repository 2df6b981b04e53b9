//! The cost of edges and paths from curves, under stated variances, decoder and objective.
//!
//! -ELBO(path) = prior(t_K) + decoder(t_1) + sum over k >= 2 of L(t_k, t_{k-1}) (Watson et al. 2021, eq. 16 and 17), all per dimension and
//! in nats. A table and a path go through the same code, so a table's optimum is the sum of its path's terms to the last bit.

use ddpm_core::{
    NoiseSchedule, Path, VarianceKind, analytic_variance, gaussian_nll, prior_kl,
    respaced_decoder_log_variance,
};
use ddpm_dp::{CostTable, Start};
use rayon::prelude::*;

use crate::{
    column::Column,
    conventions::{Decoder, Objective, StepVariances},
    curves::Curves,
    error::{Error, Result},
    interior::{Levels, RowVariance},
};

/// What every edge costs.
#[derive(Clone, Debug)]
pub struct CostModel<'a> {
    curves: &'a Curves,
    variances: StepVariances,
    decoder: Decoder,
    objective: Objective,
    levels: Levels,
    /// log of the gaussian decoder's bin width; 0 without one.
    log_bin_width: f64,
}

impl<'a> CostModel<'a> {
    /// Prices edges with `curves` under these conventions.
    ///
    /// # Errors
    /// [`Error::InterpolationError`] if the learned-variance columns are not resolved; [`Error::Unsupported`] if the curves lack
    /// what the variance or the decoder needs; [`Error::Length`] and [`Error::Value`] for frozen numbers that do not fit.
    pub fn new(
        curves: &'a Curves,
        variances: StepVariances,
        decoder: Decoder,
        objective: Objective,
    ) -> Result<Self> {
        let elbo = objective == Objective::Elbo;
        match &variances {
            StepVariances::Learned if elbo => curves.check_interpolation()?,
            StepVariances::Analytic { mse } => {
                let entry = |m: f64| m.is_finite() && m >= 0.0;
                check_frozen(
                    curves,
                    "frozen mse",
                    mse,
                    "a finite value of at least 0",
                    |_, m| entry(m),
                )?;
            }
            _ => {}
        }
        match &decoder {
            Decoder::Respaced | Decoder::Marginal | Decoder::Optimal { .. }
                if elbo && !curves.has_decoder() =>
            {
                return Err(Error::Unsupported(format!(
                    "decoder {}: the curves have no decoder columns; choose gaussian or none, or use a profile",
                    decoder.kind()
                )));
            }
            Decoder::Optimal { log_variance } => {
                let inside = |t: usize, l: f64| {
                    let (low, high) = curves.decoder_range(t);
                    !curves.has_decoder() || (low..=high).contains(&l)
                };
                let expected = "a log-variance within the range of the decoder column";
                check_frozen(
                    curves,
                    "frozen decoder log-variance",
                    log_variance,
                    expected,
                    inside,
                )?;
            }
            Decoder::Gaussian { bin_width, first } => {
                if let Some(found) = bin_width.filter(|w| !(w.is_finite() && *w > 0.0)) {
                    return Err(value("bin width", "a positive finite number", found));
                }
                if let Some(found) = first.filter(|f| !f.is_finite()) {
                    return Err(value("decoder term at t = 1", "a finite number", found));
                }
            }
            _ => {}
        }
        let log_bin_width = match decoder {
            Decoder::Gaussian {
                bin_width: Some(width),
                ..
            } => width.ln(),
            _ => 0.0,
        };
        Ok(Self {
            log_bin_width,
            curves,
            variances,
            decoder,
            objective,
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

    /// Which variances.
    pub fn variances(&self) -> &StepVariances {
        &self.variances
    }

    /// Which decoder.
    pub fn decoder_convention(&self) -> &Decoder {
        &self.decoder
    }

    /// Which objective.
    pub fn objective(&self) -> Objective {
        self.objective
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
        let next = next.filter(|_| self.decoder.needs_next());
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
        let merged = self.objective == Objective::Elbo && self.decoder.needs_next();
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
        match (column, &self.decoder) {
            (Some(column), _) => column.lower_bound() - SLACK,
            (None, Decoder::Gaussian { .. }) if t1 > 1 && mse > 0.0 => {
                gaussian_nll(mse, mse.ln()) - self.log_bin_width - SLACK
            }
            _ => f64::NEG_INFINITY,
        }
    }

    /// The terms of a path, one per edge in ascending t, decoder first, in nats per dimension.
    pub fn path_terms(&self, path: &Path) -> Vec<f64> {
        let nodes = path.nodes();
        path.edges()
            .map(|(t, s)| match s {
                0 => self.decoder(t, nodes.get(2).copied()),
                _ => self.interior(t, s),
            })
            .collect()
    }

    /// The cost of a path without the prior term, in nats per dimension.
    pub fn path_cost(&self, path: &Path) -> f64 {
        self.path_terms(path)
            .into_iter()
            .fold(0.0, |sum, term| sum + term)
    }

    /// The prior term of a path that ends at `t`, in nats per dimension: KL(q(x_t | x_0) || N(0, I)). `None` where the mean square of
    /// the data is not known (curves from a plain m(t)); 0 under the mse objective.
    pub fn prior(&self, t: usize) -> Option<f64> {
        match self.objective {
            Objective::Mse => Some(0.0),
            Objective::Elbo => self
                .curves
                .x0_mean_square()
                .map(|square| prior_kl(self.schedule(), t, square)),
        }
    }

    /// The log-variance of every step of a path, decoder first; `None` where it differs from pixel to pixel or there is none.
    pub fn log_variances(&self, path: &Path) -> Vec<Option<f64>> {
        let nodes = path.nodes();
        path.edges()
            .map(|(t, s)| {
                if s == 0 {
                    return self.decoder_log_variance(t, nodes.get(2).copied());
                }
                let edge = self.schedule().transition(t, s);
                match &self.variances {
                    StepVariances::Learned => None,
                    StepVariances::FixedSmall => Some(edge.log_posterior_variance),
                    StepVariances::FixedLarge => Some(edge.log_beta),
                    StepVariances::Analytic { mse } => Some(analytic_variance(&edge, mse[t]).ln()),
                }
            })
            .collect()
    }

    fn decoder_log_variance(&self, t1: usize, next: Option<usize>) -> Option<f64> {
        let per_pixel = self.per_pixel_decoder(next.is_some());
        (!per_pixel && self.decoder.kind() != crate::DecoderKind::None)
            .then(|| self.decoder_argument(t1, next.filter(|_| self.decoder.needs_next())))
    }

    /// Fills L(t, s) for s = first..
    fn fill(&self, t: usize, first: usize, row: &mut [f64]) {
        let mse = self.curves.mse()[t];
        if self.objective == Objective::Mse {
            for (i, cost) in row.iter_mut().enumerate() {
                *cost = self.reweighted(t, first + i);
            }
            return;
        }
        let variance = match &self.variances {
            StepVariances::FixedSmall => RowVariance::FixedSmall { mse },
            StepVariances::FixedLarge => RowVariance::FixedLarge { mse },
            StepVariances::Analytic { mse: frozen } => RowVariance::Analytic {
                mse,
                frozen: frozen[t],
            },
            StepVariances::Learned => match self.curves.learned_column(t) {
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
        let learned = self.variances.kind() == VarianceKind::Learned;
        learned && has_next && matches!(self.decoder, Decoder::Respaced)
    }

    /// The column that the decoder term is read from; `None` where no column is needed.
    fn decoder_column(&self, t1: usize, has_next: bool) -> Option<Column> {
        let discretised = matches!(
            self.decoder,
            Decoder::Respaced | Decoder::Marginal | Decoder::Optimal { .. }
        );
        if t1 == 0 || !discretised || self.objective == Objective::Mse {
            return None;
        }
        self.curves
            .decoder_column(t1, self.per_pixel_decoder(has_next))
    }

    /// The log-variance at which the decoder column is read.
    fn decoder_argument(&self, t1: usize, next: Option<usize>) -> f64 {
        match (&self.decoder, next) {
            (Decoder::Optimal { log_variance }, _) => log_variance[t1],
            (Decoder::Respaced | Decoder::Gaussian { .. }, Some(t2)) => {
                let mut argument = [0.0];
                self.levels.log_posterior_variance(t2, t1, &mut argument);
                argument[0]
            }
            _ => respaced_decoder_log_variance(self.schedule(), t1, None),
        }
    }

    fn decoder_value(&self, t1: usize, column: Option<&Column>, log_variance: f64) -> f64 {
        match (&self.objective, &self.decoder) {
            (Objective::Mse, _) => self.reweighted(t1, 0),
            (_, Decoder::None) => 0.0,
            (
                _,
                Decoder::Gaussian {
                    first: Some(first), ..
                },
            ) if t1 == 1 => *first,
            (_, Decoder::Gaussian { .. }) => {
                gaussian_nll(self.curves.mse()[t1], log_variance) - self.log_bin_width
            }
            // `new` has checked that discretised decoders have columns.
            _ => column.map_or(f64::NAN, |column| column.at(log_variance)),
        }
    }
}

fn value(field: &str, expected: &'static str, found: f64) -> Error {
    Error::Value {
        field: field.into(),
        expected,
        found,
    }
}

/// Checks frozen numbers, index t = 0..=T with entry 0 unused.
fn check_frozen(
    curves: &Curves,
    field: &str,
    numbers: &[f64],
    expected: &'static str,
    fits: impl Fn(usize, f64) -> bool,
) -> Result<()> {
    let length = curves.train_steps() + 1;
    if numbers.len() != length {
        return Err(Error::Length {
            field: field.into(),
            expected: length,
            found: numbers.len(),
        });
    }
    match (1..length).find(|&t| !fits(t, numbers[t])) {
        Some(t) => Err(value(&format!("{field} at t = {t}"), expected, numbers[t])),
        None => Ok(()),
    }
}

/// The scalar log-variance that minimises the decoder term of every timestep on these images, index t = 0..=T (entry 0 is 0 and
/// unused). It is bounded by the range of the decoder column: where every pixel falls into its own bin, a smaller variance would
/// always be better.
///
/// # Errors
/// [`Error::Unsupported`] if the curves have no decoder columns.
pub fn optimal_decoder_log_variance(curves: &Curves) -> Result<Vec<f64>> {
    (0..=curves.train_steps())
        .into_par_iter()
        .map(|t| match t {
            0 => Ok(0.0),
            _ => curves.decoder_column(t, false).map(|column| column.argmin()).ok_or_else(|| {
                Error::Unsupported(
                    "decoder optimal: the curves have no decoder columns; choose gaussian or none, or use a profile".into(),
                )
            }),
        })
        .collect()
}
