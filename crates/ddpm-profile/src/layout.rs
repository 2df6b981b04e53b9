//! What a profile stores: which timesteps were evaluated, at which points of which curves.
//!
//! The layout is fixed before the first image is measured, from the noise schedule alone, so that shards of one run agree
//! on it without talking to each other.

use std::sync::Arc;

use ddpm_core::{Bands, NoiseSchedule};

use crate::{
    chebyshev::{Chebyshev, HOLDOUTS},
    column,
    error::{Invalid, Result},
};

/// Refuses the index of a timestep beyond those that there are.
pub(crate) fn check_index(timestep_index: usize, count: usize) -> Result<()> {
    if timestep_index < count {
        return Ok(());
    }
    let field = format!("timesteps up to index {timestep_index}");
    Err(Invalid::length(field, timestep_index + 1, count).into())
}

/// The shape of the statistics of one run.
///
/// For every evaluated timestep t it knows
/// - the arguments lambda at which the learned-variance columns are measured: `nodes` Chebyshev points of
///   \[0, lambda_max(t)\], lambda_max(t) = log((1 - abar_t) / (1 - abar_1)), and three hold-out points between them;
/// - the log-variances (knots) at which the decoder term is measured.
///
/// And for all timesteps alike it may have the bands of frequencies whose statistics are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileLayout {
    train_steps: usize,
    timesteps: Vec<usize>,
    learned: bool,
    chebyshev: Chebyshev,
    points: Vec<PointLayout>,
    bands: Option<Arc<Bands>>,
}

/// The arguments at which one evaluated timestep is measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PointLayout {
    /// log(1 - abar_t), the log-variance beta_{t|0} of the edge (t, 0).
    pub(crate) log_beta: f64,
    /// Chebyshev points of \[0, lambda_max\], then the hold-outs; empty when the variance is not learned.
    pub(crate) lambdas: Vec<f64>,
    /// Log-variances of the decoder columns.
    pub(crate) knots: Vec<f64>,
}

impl PointLayout {
    /// sqrt(abar_t) and sqrt(1 - abar_t).
    pub(crate) fn scales(&self) -> (f64, f64) {
        (
            (-libm::expm1(self.log_beta)).sqrt(),
            libm::exp(0.5 * self.log_beta),
        )
    }
}

impl ProfileLayout {
    /// A number of Chebyshev nodes that resolves the learned variances of trained networks with room to spare.
    ///
    /// Worst relative error of the interior cost, measured with T = 4000 cosine (lambda up to 11.6): v normal around 0.5 with spread
    /// 0.25: 2e-15 (from 24 nodes on); uniform over \[-0.3, 1.3\]: 2e-15 (24 nodes: 5e-14); normal around 0.3 with spread 0.5: 1e-14
    /// (24: above 1e-9); all within 1.15..=1.25: 5e-15; 1% of the pixels at v = 3: 1e-14; 1% at v = -2: 7e-13 (24: 8e-8).
    pub const DEFAULT_NODES: usize = 32;
    /// The fewest Chebyshev nodes allowed.
    pub const MIN_NODES: usize = 8;
    /// The most Chebyshev nodes allowed.
    pub const MAX_NODES: usize = 128;

    /// Lays out the statistics of `timesteps` (strictly increasing nodes within 1..=T).
    ///
    /// `learned`: the network predicts v, so the columns of the learned variance are kept too. `nodes`: Chebyshev nodes
    /// per column, see [`ProfileLayout::DEFAULT_NODES`].
    ///
    /// # Errors
    /// [`Error::Schedule`](crate::Error::Schedule) for other timesteps, or a number of nodes that is out of range.
    pub fn new(
        schedule: &NoiseSchedule,
        timesteps: Vec<usize>,
        learned: bool,
        nodes: usize,
    ) -> Result<Self> {
        check_timesteps(&timesteps, schedule.train_steps())?;
        let knots = timesteps
            .iter()
            .map(|&t| column::knots(schedule, t, &timesteps))
            .collect();
        Self::with_knots(schedule, timesteps, learned, nodes, knots)
    }

    /// As [`ProfileLayout::new`] for squared errors alone: no columns of the learned variance and none of the decoder.
    pub(crate) fn without_decoder(schedule: &NoiseSchedule, timesteps: Vec<usize>) -> Result<Self> {
        let knots = vec![Vec::new(); timesteps.len()];
        Self::with_knots(schedule, timesteps, false, Self::DEFAULT_NODES, knots)
    }

    /// Whether there are decoder columns.
    pub fn has_decoder(&self) -> bool {
        self.points.iter().all(|point| !point.knots.is_empty())
    }

    /// As [`ProfileLayout::new`] with the decoder knots that a file states, which therefore need not be derived again to
    /// the last bit by another version.
    pub(crate) fn with_knots(
        schedule: &NoiseSchedule,
        timesteps: Vec<usize>,
        learned: bool,
        nodes: usize,
        knots: Vec<Vec<f64>>,
    ) -> Result<Self> {
        check_timesteps(&timesteps, schedule.train_steps())?;
        if !(Self::MIN_NODES..=Self::MAX_NODES).contains(&nodes) {
            let expected = format!("{}..={}", Self::MIN_NODES, Self::MAX_NODES);
            return Err(Invalid::field("chebyshev nodes", expected, nodes).into());
        }
        let chebyshev = Chebyshev::new(nodes);
        let points = timesteps
            .iter()
            .zip(knots)
            .map(|(&t, knots)| {
                let range = lambda_max(schedule, t);
                let holdouts = chebyshev.holdouts();
                let arguments = chebyshev.nodes().iter().chain(&holdouts);
                PointLayout {
                    log_beta: schedule.log_one_minus_alpha_bar(t),
                    lambdas: if learned {
                        arguments.map(|u| u * range).collect()
                    } else {
                        Vec::new()
                    },
                    knots,
                }
            })
            .collect();
        Ok(Self {
            train_steps: schedule.train_steps(),
            timesteps,
            learned,
            chebyshev,
            points,
            bands: None,
        })
    }

    /// The same with the statistics of bands of frequencies.
    #[must_use]
    pub fn with_bands(self, bands: Bands) -> Self {
        Self {
            bands: Some(Arc::new(bands)),
            ..self
        }
    }

    /// The bands whose statistics are kept.
    pub fn bands(&self) -> Option<&Bands> {
        self.bands.as_deref()
    }

    pub(crate) fn shared_bands(&self) -> Option<Arc<Bands>> {
        self.bands.clone()
    }

    /// T of the noise schedule.
    pub fn train_steps(&self) -> usize {
        self.train_steps
    }

    /// The evaluated timesteps, ascending, within 1..=T. Their positions are the `timestep_index` of every method.
    pub fn timesteps(&self) -> &[usize] {
        &self.timesteps
    }

    /// Whether the columns of the learned variance are kept.
    pub fn learned(&self) -> bool {
        self.learned
    }

    /// The number of Chebyshev nodes per column.
    pub fn nodes(&self) -> usize {
        self.chebyshev.len()
    }

    pub(crate) fn chebyshev(&self) -> &Chebyshev {
        &self.chebyshev
    }

    pub(crate) fn point(&self, timestep_index: usize) -> &PointLayout {
        &self.points[timestep_index]
    }

    pub(crate) fn points(&self) -> &[PointLayout] {
        &self.points
    }

    /// The number of arguments of one learned-variance column, hold-outs included; 0 when the variance is not learned.
    pub(crate) fn column_len(&self) -> usize {
        if self.learned {
            self.chebyshev.len() + HOLDOUTS
        } else {
            0
        }
    }
}

fn check_timesteps(timesteps: &[usize], train_steps: usize) -> Result<()> {
    let wrong = |found: String| Err(Invalid::timesteps(train_steps, found).into());
    if timesteps.is_empty() {
        return wrong("no timestep".into());
    }
    if let Some(t) = timesteps.iter().find(|&&t| t == 0 || t > train_steps) {
        return wrong(format!("{t}"));
    }
    if let Some(w) = timesteps.windows(2).find(|w| w[0] >= w[1]) {
        return wrong(format!("{} followed by {}", w[0], w[1]));
    }
    Ok(())
}

/// lambda_max(t) = log((1 - abar_t) / (1 - abar_1)): lambda(s, t) of the lowest interior edge, s = 1.
pub(crate) fn lambda_max(schedule: &NoiseSchedule, t: usize) -> f64 {
    if t == 1 {
        0.0
    } else {
        schedule.transition(t, 1).log_variance_ratio
    }
}
