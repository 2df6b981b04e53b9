//! What is exported: paths with what is known of their chain and conventions.

use ddpm_core::{NoiseSchedule, Parameterization, ProcessKind, Sampler, TimePath, VarianceKind};

use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::schedule::Schedule;
use crate::schedules::Schedules;
use crate::scoring::clip_in_words;

/// Paths on their way out.
pub(super) struct Listing<'a> {
    pub(super) train_steps: usize,
    /// The noise schedule; `None` for the paths of a bare cost table.
    pub(super) chain: Option<&'a NoiseSchedule>,
    /// What the paths are of; `None` for those of a cost table, of which nothing else is known.
    pub(super) known: Option<&'a Schedules>,
    pub(super) paths: Vec<Listed<'a>>,
}

/// One path and, where it is known, what its steps are.
pub(super) struct Listed<'a> {
    pub(super) path: &'a TimePath,
    pub(super) schedule: Option<&'a Schedule>,
}

/// A sampler whose steps a format has no function for.
pub(super) fn not_priced(format: &'static str, sampler: Sampler) -> Error {
    Error::NotExpressible {
        format,
        what: sampler.name(),
    }
}

impl Listing<'_> {
    /// The noise schedule, for a format that needs it.
    ///
    /// # Errors
    /// [`Error::NeedsNoiseSchedule`].
    pub(super) fn chain(&self, format: &'static str) -> Result<&NoiseSchedule> {
        self.chain.ok_or(Error::NeedsNoiseSchedule { format })
    }

    pub(super) fn variance(&self) -> Option<VarianceKind> {
        self.known.map(|known| known.scoring.variance)
    }

    /// The clock of the paths' nodes.
    pub(super) fn clock(&self) -> ProcessKind {
        self.chain.map_or(ProcessKind::Vp, NoiseSchedule::clock)
    }

    /// Refuses paths that have no whole timesteps, for a format that has nothing else.
    ///
    /// # Errors
    /// [`Error::NotExpressible`].
    pub(super) fn check_timesteps(&self, format: &'static str) -> Result<()> {
        match self.clock() {
            ProcessKind::Vp => Ok(()),
            _ => Err(Error::NotExpressible {
                format,
                what: "schedules of another clock than whole timesteps (k-diffusion, comfyui and csv have sigmas)",
            }),
        }
    }

    /// What the program of this clock calls sigma, of every node, noisiest first, and 0 at the end.
    ///
    /// # Errors
    /// [`Error::NoSignal`] for a node that has none.
    pub(super) fn sigmas(&self, listed: &Listed<'_>, chain: &NoiseSchedule) -> Result<Vec<f64>> {
        let nodes = listed.path.nodes().iter().rev();
        let sigmas: Vec<f64> = nodes.map(|&t| sigma(chain, t)).collect();
        // The noisiest has the largest.
        if sigmas[0].is_finite() {
            return Ok(sigmas);
        }
        Err(Error::NoSignal {
            steps: listed.path.steps(),
            t: listed.path.end(),
        })
    }

    /// The sampler that the paths are for.
    pub(super) fn sampler(&self) -> Sampler {
        let sampler = self.known.and_then(|known| known.sampler);
        sampler.unwrap_or(Sampler::Ddpm)
    }

    pub(super) fn clip_denoised(&self) -> Option<bool> {
        self.known.and_then(|known| known.clip_denoised)
    }

    pub(super) fn parameterization(&self) -> Option<Parameterization> {
        self.known.and_then(|known| known.parameterization)
    }

    /// Whether the network is fed t * 1000 / T.
    pub(super) fn rescale_timesteps(&self) -> Option<bool> {
        let known = self.known?;
        match (&known.provenance, &known.trajectories) {
            // Of a network without a parameterisation nobody told this either.
            (Some(p), _) => p.model.parameterization.map(|_| p.model.rescale_timesteps),
            (None, origin) => origin.as_ref().map(|o| o.model.rescale_timesteps),
        }
    }

    /// Conventions on one line.
    pub(super) fn conventions(&self) -> String {
        let mut words = vec![format!("T={}", self.train_steps)];
        if let Some(chain) = self.chain {
            words.push(format!("{} noise schedule", chain.name_or_custom()));
        }
        if let Some(known) = self.known {
            match self.sampler() {
                Sampler::Ddpm => {
                    words.push(known.scoring.kernel());
                    words.push(format!("{} decoder", known.scoring.decoder));
                }
                sampler => {
                    words.push(format!("for the sampler {sampler}"));
                    words.extend(known.coefficients.in_words().map(str::to_owned));
                    words.extend(known.scoring.mean.in_words());
                }
            }
            words.push(clip_in_words(known.clip_denoised).to_owned());
        }
        words.join(", ")
    }

    /// Whether no scheduler of diffusers takes the steps: calibrated and fitted ones, those of samplers that take no list there, and those of
    /// DPM-Solver++ from a node without signal, where its sigma is infinite and every state would be NaN.
    pub(super) fn needs_a_scheduler(&self) -> bool {
        let without_signal = |listed: &Listed<'_>| {
            let ends_at = |chain: &NoiseSchedule| chain.alpha_bar(listed.path.end()) == 0.0;
            self.chain.is_some_and(ends_at)
        };
        let by_sampler = match self.sampler() {
            Sampler::Ddpm | Sampler::Ddim => false,
            Sampler::DpmSolver2M | Sampler::DpmSolver3M => self.paths.iter().any(without_signal),
            Sampler::Ipndm | Sampler::UniPc2 | Sampler::UniPc3 => true,
        };
        by_sampler || self.known.is_some_and(Schedules::samples_are_calibrated)
    }

    /// Whether the network is fed other numbers than the timesteps.
    pub(super) fn scales_timesteps(&self) -> bool {
        self.rescale_timesteps() == Some(true) && self.train_steps != 1000
    }

    /// The loss of what the network is fed, where it is not the timestep.
    pub(super) fn scaling_loss(&self) -> Vec<String> {
        let loss = format!(
            "the scaling of timesteps: this network is fed i * 1000 / {}, and pipelines and sample() feed it i",
            self.train_steps
        );
        self.scales_timesteps()
            .then_some(loss)
            .into_iter()
            .collect()
    }

    /// Whether some path does not end at T.
    pub(super) fn ends_early(&self) -> bool {
        self.paths.iter().any(|p| p.path.end() != self.train_steps)
    }

    /// The loss of variances that only numbers or the network can tell, where the program has no place for them.
    pub(super) fn variance_loss(&self, why: &str) -> Vec<String> {
        match (self.sampler(), self.variance()) {
            (Sampler::Ddpm, Some(variance)) if variance != VarianceKind::FixedSmall => {
                let variances = format!("the {variance} variances ({why})");
                [variances]
                    .into_iter()
                    .chain(self.step_losses(None))
                    .collect()
            }
            // A deterministic sampler adds no noise.
            _ => self.step_losses(None),
        }
    }

    /// The loss of corrections of the network's estimate and of fitted coefficients, for a program that has no place for them: it uses what it
    /// has, or `why`.
    pub(super) fn step_losses(&self, why: Option<&str>) -> Vec<String> {
        let mean = self.known.and_then(|known| known.scoring.mean.in_words());
        let mean = mean.map(|mean| (mean, "the network's own is used"));
        let fitted = self.known.and_then(|known| known.coefficients.in_words());
        let fitted = fitted.map(|words| (words.to_owned(), "the sampler's own are used"));
        let lost = mean.into_iter().chain(fitted);
        lost.map(|(what, instead)| format!("the {what} ({})", why.unwrap_or(instead)))
            .collect()
    }

    /// The list of every path, under its number of steps.
    pub(super) fn lists(
        &self,
        list: impl Fn(&Listed<'_>) -> Result<Vec<String>>,
    ) -> Result<Vec<(usize, Vec<String>)>> {
        let lists = self.paths.iter().map(|p| Ok((p.path.steps(), list(p)?)));
        lists.collect()
    }
}

impl Listed<'_> {
    /// The kernels of its steps, where they are known.
    pub(super) fn kernels(&self) -> &[Kernel] {
        self.schedule.map_or(&[], |schedule| &schedule.kernels)
    }

    /// The timesteps of other programs: from 0, noisiest first.
    pub(super) fn timesteps(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.path.nodes()[1..].iter().rev().map(|t| t - 1)
    }
}

/// What programs of the chain's clock call sigma: sqrt((1 - alpha_bar)/alpha_bar), from the logarithm, exact where alpha_bar is near 0 or 1; of a flow s.
pub(super) fn sigma(chain: &NoiseSchedule, t: usize) -> f64 {
    chain.clock().sigma((-0.5 * chain.log_snr(t)).exp())
}
