//! What is exported: paths of several budgets with what is known of their chain and conventions.

use std::path::Path as FilePath;

use ddpm_core::{FlowSolver, NoiseSchedule, VarianceKind};
use ddpm_profile::Schedules;

use crate::error::{Error, Located, Result};
use crate::input::{Budgets, UNKNOWN};

/// Schedules on their way out.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) train_steps: usize,
    /// The noise schedule; `None` for a bare cost table.
    pub(crate) chain: Option<NoiseSchedule>,
    /// `None` for a bare cost table.
    pub(crate) variance: Option<VarianceKind>,
    /// In the words of the schedules file; empty for a bare cost table.
    pub(crate) decoder: String,
    pub(crate) clip_denoised: Option<bool>,
    /// `epsilon`, `x0` or `v`.
    pub(crate) parameterization: Option<String>,
    /// Whether the network is fed t * 1000 / T.
    pub(crate) rescale_timesteps: Option<bool>,
    /// The deterministic sampler that the schedules are for; `None` for those of the ancestral one.
    pub(crate) sampler: Option<FlowSolver>,
    pub(crate) schedules: Vec<Listed>,
}

/// One schedule.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// K.
    pub(crate) steps: usize,
    /// `0 = t_0 < .. < t_K`.
    pub(crate) path: Vec<usize>,
    /// log sigma^2 per step, the one onto the data first; `None` where the network supplies it.
    pub(crate) log_variance: Vec<Option<f64>>,
}

impl Listing {
    /// Budgets of a schedules file, in the order asked for.
    ///
    /// # Errors
    /// A budget that the file does not hold, or contents that contradict themselves.
    pub(crate) fn of_schedules(
        schedules: &Schedules,
        budgets: &Budgets,
        file: &FilePath,
    ) -> Result<Self> {
        let wanted = budgets.of(schedules, file)?;
        if wanted.is_empty() {
            return Err(Error::file(
                file,
                "budgets: expected at least one, found none",
            ));
        }
        Ok(Self {
            train_steps: schedules.train_steps,
            chain: Some(schedules.schedule().in_file(file)?),
            variance: Some(schedules.variance.parse().in_file(file)?),
            decoder: schedules.decoder.clone(),
            clip_denoised: schedules.clip_denoised,
            parameterization: schedules
                .parameterization
                .clone()
                .filter(|name| name != UNKNOWN),
            rescale_timesteps: match (&schedules.provenance, &schedules.trajectories) {
                (Some(p), _) => (p.parameterization != UNKNOWN).then_some(p.rescale_timesteps),
                (None, Some(origin)) => Some(origin.rescale_timesteps),
                (None, None) => None,
            },
            sampler: match &schedules.sampler {
                Some(name) => Some(name.parse().in_file(file)?),
                None => None,
            },
            schedules: wanted
                .into_iter()
                .map(|budget| Listed {
                    steps: budget.steps,
                    path: budget.path.clone(),
                    log_variance: budget.log_variance.clone(),
                })
                .collect(),
        })
    }

    /// Bare paths of so many steps through a cost table.
    pub(crate) fn of_paths(
        train_steps: usize,
        chain: Option<NoiseSchedule>,
        paths: impl IntoIterator<Item = (usize, Vec<usize>)>,
    ) -> Self {
        Self {
            train_steps,
            chain,
            variance: None,
            decoder: String::new(),
            clip_denoised: None,
            parameterization: None,
            rescale_timesteps: None,
            sampler: None,
            schedules: paths
                .into_iter()
                .map(|(steps, path)| Listed {
                    steps,
                    path,
                    log_variance: Vec::new(),
                })
                .collect(),
        }
    }

    /// The noise schedule, for a format that needs it.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the flags that give it.
    pub(crate) fn chain(&self, format: &str) -> Result<&NoiseSchedule> {
        self.chain.as_ref().ok_or_else(|| {
            Error::usage(format!(
                "{format} needs the noise schedule, which a cost table does not tell: expected --noise-schedule NAME or --alpha-bar A.csv (csv and npy do without)"
            ))
        })
    }

    /// Conventions on one line.
    pub(crate) fn conventions(&self) -> String {
        let mut words = vec![format!("T={}", self.train_steps)];
        if let Some(chain) = &self.chain {
            words.push(format!("{} noise schedule", chain.name_or_custom()));
        }
        if let Some(sampler) = self.sampler {
            words.push(format!("for the sampler {sampler}"));
            words.push(crate::render::clip(self.clip_denoised).to_owned());
        } else if let Some(variance) = self.variance {
            words.push(format!("{variance} variance"));
            words.push(format!("{} decoder", self.decoder));
            words.push(crate::render::clip(self.clip_denoised).to_owned());
        }
        words.join(", ")
    }

    /// Whether the network is fed other numbers than the timesteps.
    pub(crate) fn scales_timesteps(&self) -> bool {
        self.rescale_timesteps == Some(true) && self.train_steps != 1000
    }

    /// Whether some path does not end at T.
    pub(crate) fn ends_early(&self) -> bool {
        self.schedules
            .iter()
            .any(|s| s.path.last() != Some(&self.train_steps))
    }

    /// Whether some path leaves out the first timestep.
    pub(crate) fn skips_first(&self) -> bool {
        self.schedules.iter().any(|s| s.path.get(1) != Some(&1))
    }
}

impl Listed {
    /// Other tools' timesteps: 0-based, noisiest first.
    pub(crate) fn timesteps(&self) -> Vec<usize> {
        self.path.iter().skip(1).rev().map(|t| t - 1).collect()
    }

    /// sqrt((1 - alpha_bar)/alpha_bar) of every timestep, noisiest first, and 0 at the end.
    ///
    /// # Errors
    /// A timestep without any signal has none; the message names it.
    pub(crate) fn sigmas(&self, chain: &NoiseSchedule) -> Result<Vec<f64>> {
        let sigma = |&t: &usize| {
            // From the logarithm: exact where alpha_bar is near 0 or 1.
            let sigma = (-0.5 * chain.log_snr(t)).exp();
            if sigma.is_finite() {
                return Ok(sigma);
            }
            Err(Error::Input(format!(
                "K={}: timestep t={t} has no signal left (alpha_bar = 0), so its sigma is infinite; expected a schedule that ends earlier (ddpm schedule --start free)",
                self.steps
            )))
        };
        let mut sigmas = self
            .path
            .iter()
            .skip(1)
            .rev()
            .map(sigma)
            .collect::<Result<Vec<f64>>>()?;
        sigmas.push(0.0);
        Ok(sigmas)
    }
}

/// The loss of variances that only numbers or the network can tell, where the tool has no place for them.
pub(super) fn variance_loss(listing: &Listing, why: &str) -> Vec<String> {
    match listing.variance {
        // A deterministic sampler adds no noise.
        _ if listing.sampler.is_some() => Vec::new(),
        None | Some(VarianceKind::FixedSmall) => Vec::new(),
        Some(variance) => vec![format!("the {variance} variances ({why})")],
    }
}
