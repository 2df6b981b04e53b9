//! Schedules of many budgets, chosen under one set of conventions.

use ddpm_core::{
    Bands, CoefficientKind, MeanKind, ModelId, NoiseSchedule, Objective, Parameterization, Sampler,
    VarianceKind,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernel::{Kernel, KernelKind};
use crate::provenance::Provenance;
use crate::schedule::Schedule;
use crate::scoring::Scoring;
use crate::trajectory_origin::TrajectoryOrigin;

/// Which budgets K to report, K being the number of network evaluations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Budgets {
    /// Every K for which there is a path.
    All,
    /// These; each must be possible.
    Only(Vec<usize>),
}

impl Budgets {
    /// The budgets of the paper's tables, as far as the chain is long enough.
    pub fn of_the_paper(train_steps: usize) -> Self {
        let possible = [8, 16, 32, 64, 128, 256]
            .into_iter()
            .filter(|&k| k <= train_steps);
        Self::Only(possible.collect())
    }

    /// The budgets as numbers; all of `1..=most` for [`All`](Self::All).
    ///
    /// # Errors
    /// [`Error::Steps`] for one that is 0 or above `most`.
    pub fn wanted(&self, most: usize) -> Result<Vec<usize>> {
        match self {
            Self::All => Ok((1..=most).collect()),
            Self::Only(list) => match list.iter().find(|&&k| !(1..=most).contains(&k)) {
                Some(&found) => Err(Error::Steps { max: most, found }),
                None => Ok(list.clone()),
            },
        }
    }
}

/// Schedules of several budgets, chosen under one set of conventions. A file ([`Schedules::to_json`], [`Schedules::from_json`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Schedules {
    /// The noise schedule of the network.
    pub noise_schedule: NoiseSchedule,
    /// The conventions. Parameters of the gaussian decoder are not stored in a file.
    pub scoring: Scoring,
    /// The sampler that the schedules are for, where they are for one.
    pub sampler: Option<Sampler>,
    /// Where the coefficients of that sampler's steps come from.
    pub coefficients: CoefficientKind,
    /// Whether estimates of x0 are clipped; `None` where the curve did not say.
    pub clip_denoised: Option<bool>,
    /// What the network predicts; `None` where nobody said.
    pub parameterization: Option<Parameterization>,
    /// The smallest cost of K = 1..=T steps, `None` where no path exists, in the unit of the
    /// [objective](ddpm_core::Objective::unit).
    pub costs: Vec<Option<f64>>,
    /// The budgets asked for.
    pub budgets: Vec<Chosen>,
    /// The profile that they were chosen on, if it was one.
    pub provenance: Option<Provenance>,
    /// The trajectories that they were chosen on, if it was these.
    pub trajectories: Option<TrajectoryOrigin>,
}

/// The schedule of one budget, with what choosing it found.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// What is run.
    pub schedule: Schedule,
    /// The cost without the prior term, in the unit of the objective. Costs of different decoders do not compare.
    pub cost: f64,
    /// Its standard error over blocks of images, the path and what its conventions took from the images fixed; `None` where it was not estimated.
    pub cost_standard_error: Option<f64>,
    /// The prior term of the path's end in bits/dim; `None` where the data's mean square is not known.
    pub prior_bpd: Option<f64>,
    /// How much the path owes to the images it was chosen on, where that was estimated.
    pub stability: Option<Stability>,
    /// The root mean square distance, per dimension, of samples from the end points of the reference trajectories, where the path
    /// was run from their starts.
    pub distance: Option<f64>,
}

/// What a path owes to the images it was chosen on, in the unit of its cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stability {
    /// F, the number of folds.
    pub folds: usize,
    /// How much the path is expected to cost more than the true optimum, on unseen images; an estimate, which noise can make
    /// negative.
    pub loss: f64,
    /// Its standard error over folds.
    pub loss_standard_error: f64,
    /// The largest excess, on all images, of a path that was chosen without one of the folds over that which was chosen on all of them among
    /// the same timesteps.
    pub largest_excess: f64,
}

impl Chosen {
    /// K, the number of network evaluations.
    pub fn steps(&self) -> usize {
        self.schedule.steps()
    }

    /// `0 = t_0 < t_1 < ... < t_K`.
    pub fn nodes(&self) -> &[usize] {
        self.schedule.path.nodes()
    }
}

impl Schedules {
    /// T.
    pub fn train_steps(&self) -> usize {
        self.noise_schedule.train_steps()
    }

    /// The same schedules with the steps of another sampler that [follows](Sampler::follows) the one they were chosen for.
    ///
    /// # Errors
    /// [`Error::Field`] for a sampler that does not (schedules of the KLUB bound are for any), and where coefficients of the steps were fitted.
    pub fn for_sampler(mut self, sampler: Sampler) -> Result<Self> {
        // Those of the likelihood are for the steps that it is of, those of the KLUB bound for any.
        let own = self.sampler.unwrap_or(Sampler::Ddpm);
        if sampler == own {
            return Ok(self);
        }
        let of_any = self.sampler.is_none() && self.scoring.objective == Objective::Klub;
        if !(of_any || sampler.follows(own)) {
            let expected = format!("one whose schedules {sampler} takes");
            return Err(Error::field("sampler of the schedules", expected, own));
        }
        if self.coefficients != CoefficientKind::Solver {
            let expected = format!("the sampler's own for {sampler}");
            let found = format!("{} of {own}", self.coefficients);
            return Err(Error::field("coefficients", expected, found));
        }
        self.sampler = Some(sampler);
        for chosen in &mut self.budgets {
            chosen.schedule = chosen.schedule.clone().for_sampler(sampler);
        }
        Ok(self)
    }

    /// The bands of frequencies that their steps are calibrated in, where they are.
    pub fn bands(&self) -> Option<&Bands> {
        self.budgets
            .iter()
            .find_map(|chosen| chosen.schedule.bands.as_deref())
    }

    /// Whether a step has more than one of the variances of the paper, or a corrected mean.
    pub(crate) fn is_calibrated(&self) -> bool {
        self.is_calibrated_from(0)
    }

    /// Whether samples take steps that only the frozen numbers of a schedule tell: kernels (that of the step onto the data does not show) or
    /// coefficients.
    pub(crate) fn samples_are_calibrated(&self) -> bool {
        self.coefficients != CoefficientKind::Solver || self.is_calibrated_from(1)
    }

    fn is_calibrated_from(&self, first: usize) -> bool {
        let plain = |kernel: &Kernel| {
            matches!(
                kernel,
                Kernel::Learned | Kernel::Scalar { .. } | Kernel::None
            )
        };
        let mut schedules = self.budgets.iter().map(|chosen| &chosen.schedule);
        let kinds = matches!(
            self.scoring.variance,
            VarianceKind::Spectral | VarianceKind::LearnedCalibrated | VarianceKind::Best
        );
        kinds
            || self.scoring.mean == MeanKind::Calibrated
            || schedules.any(|s| {
                s.mean() == MeanKind::Calibrated || !s.kernels.iter().skip(first).all(plain)
            })
    }

    /// Refuses kernels and means that are not of the conventions: whoever reads a file trusts what it says of itself.
    pub(crate) fn check(&self) -> Result<()> {
        self.scoring.check()?;
        for schedule in self.budgets.iter().map(|chosen| &chosen.schedule) {
            let steps = schedule.steps();
            for (k, kernel) in schedule.kernels.iter().enumerate() {
                if !self.scoring.allows(kernel, k, steps) {
                    let Scoring {
                        variance, decoder, ..
                    } = self.scoring;
                    return Err(Error::field(
                        format!("kernel of step {} of the budget of {steps} steps", k + 1),
                        format!("one of variance {variance} and decoder {decoder}"),
                        KernelKind::of(kernel),
                    ));
                }
            }
            let corrected = match self.scoring.mean {
                MeanKind::Network => 0,
                MeanKind::Calibrated => steps,
            };
            if schedule.coefficients != self.coefficients {
                return Err(Error::field(
                    format!("coefficients of the budget of {steps} steps"),
                    self.coefficients.to_string(),
                    schedule.coefficients.to_string(),
                ));
            }
            if schedule.means.len() != corrected {
                return Err(Error::field(
                    format!("by_timestep of the budget of {steps} steps"),
                    format!("a correction (a, b, m) of {corrected} of its steps, as mean says"),
                    schedule.means.len(),
                ));
            }
        }
        Ok(())
    }

    /// The network that they were chosen for, where the file says so.
    pub fn model(&self) -> Option<&ModelId> {
        let profile = self.provenance.as_ref().map(|p| &p.model);
        profile.or_else(|| self.trajectories.as_ref().map(|origin| &origin.model))
    }

    /// What was chosen for K steps.
    pub fn budget(&self, steps: usize) -> Option<&Chosen> {
        self.budgets.iter().find(|chosen| chosen.steps() == steps)
    }

    /// The schedule of K steps, ready to be scored or sampled along.
    ///
    /// # Errors
    /// [`Error::NoBudget`] that names the budgets there are.
    pub fn schedule(&self, steps: usize) -> Result<&Schedule> {
        Ok(&self.chosen(steps)?.schedule)
    }

    /// What was chosen for these budgets, in the order asked for.
    ///
    /// # Errors
    /// [`Error::NoBudget`] that names the budgets there are.
    pub fn select(&self, budgets: &Budgets) -> Result<Vec<&Chosen>> {
        match budgets {
            Budgets::All => Ok(self.budgets.iter().collect()),
            Budgets::Only(list) => list.iter().map(|&steps| self.chosen(steps)).collect(),
        }
    }

    fn chosen(&self, steps: usize) -> Result<&Chosen> {
        self.budget(steps).ok_or_else(|| Error::NoBudget {
            steps,
            found: self.budgets.iter().map(Chosen::steps).collect(),
        })
    }

    /// The same schedules, of a likelihood, with the standard errors of their costs, one entry per budget.
    ///
    /// # Errors
    /// [`Error::Field`] for another number of entries, for one that is negative or not finite, and for schedules of another
    /// objective, whose files have no place for them.
    pub fn with_cost_errors(mut self, found: Vec<f64>) -> Result<Self> {
        Error::check_length("standard errors", self.budgets.len(), found.len())?;
        let usable = |error: &f64| error.is_finite() && *error >= 0.0;
        if let Some(wrong) = found.iter().find(|error| !usable(error)) {
            return Err(Error::field(
                "standard error",
                "a number of at least 0",
                wrong,
            ));
        }
        if self.scoring.objective != Objective::Elbo || self.trajectories.is_some() {
            let found = self.scoring.objective;
            return Err(Error::field("objective of standard errors", "elbo", found));
        }
        for (chosen, found) in self.budgets.iter_mut().zip(found) {
            chosen.cost_standard_error = Some(found);
        }
        Ok(self)
    }

    /// The same schedules with their stability, one entry per budget.
    ///
    /// # Errors
    /// [`Error::Field`] for another number of entries.
    pub fn with_stability(mut self, found: Vec<Stability>) -> Result<Self> {
        Error::check_length("stability", self.budgets.len(), found.len())?;
        for (chosen, found) in self.budgets.iter_mut().zip(found) {
            chosen.stability = Some(found);
        }
        Ok(self)
    }
}
