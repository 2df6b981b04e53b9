//! [`Schedule`]: one path with what each of its steps needs, as evaluation and sampling run it.

use std::sync::Arc;

use ddpm_core::{
    Bands, CoefficientKind, DecoderKind, MeanCorrection, MeanKind, NoiseSchedule, Sampler,
    StepCoefficients, TimePath, Transition, VarianceKind, respaced_decoder_log_variance,
};

use ddpm_files::sha256;

use crate::error::{Error, Result};
use crate::kernel::Kernel;
use crate::scoring::Scoring;

/// One path with what each of its steps needs: all that scoring it or sampling along it takes besides the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The path; its length is the number of network evaluations.
    pub path: TimePath,
    /// The kernel of every step in ascending t, that of the step onto the data first.
    pub kernels: Vec<Kernel>,
    /// The correction of the mean of every step, in the order of `kernels`; empty for the network's own mean. Under a discretised decoder the
    /// step onto the data is scored without it, and shows it all the same.
    pub means: Vec<Arc<MeanCorrection>>,
    /// The bands of frequencies that variances, means and coefficients are of, where one is.
    pub bands: Option<Arc<Bands>>,
    /// The decoder convention that the path is scored with.
    pub decoder: DecoderKind,
    /// Width of a bin under the gaussian decoder, see [`GaussianDecoder`](crate::GaussianDecoder); `None` for a density.
    pub bin_width: Option<f64>,
    /// The sampler that the path was chosen for; [`Sampler::Ddpm`] where nothing else is said.
    pub sampler: Sampler,
    /// Where the coefficients of the sampler's steps come from.
    pub coefficients: CoefficientKind,
    /// The coefficients of every step in ascending t; empty where they are the sampler's own.
    pub fitted: Vec<StepCoefficients>,
}

impl Schedule {
    /// The path under a variance and a decoder that need no measurement, for ancestral sampling. Its mean is the network's own, whatever
    /// `scoring` says; [`with_means`](Self::with_means) corrects it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a variance that [is measured](VarianceKind::is_measured) and the optimal decoder, which are frozen on
    /// measured curves.
    pub fn of_path(schedule: &NoiseSchedule, path: TimePath, scoring: &Scoring) -> Result<Self> {
        let unmeasured = |what: String| {
            let why = format!("{what} needs the network's measured errors");
            Err(Error::Unsupported(why))
        };
        let interior: fn(&Transition) -> Kernel = match scoring.variance {
            VarianceKind::Learned => |_| Kernel::Learned,
            VarianceKind::FixedSmall => |edge| Kernel::Scalar {
                log_variance: edge.log_posterior_variance,
            },
            VarianceKind::FixedLarge => |edge| Kernel::Scalar {
                log_variance: edge.log_beta,
            },
            measured => return unmeasured(format!("variance {measured}")),
        };
        let nodes = path.nodes();
        let respaced = respaced_decoder_log_variance(schedule, nodes[1], nodes.get(2).copied());
        let scalar = |log_variance| Kernel::Scalar { log_variance };
        let learned = scoring.variance == VarianceKind::Learned;
        let decoder = match scoring.decoder {
            DecoderKind::Respaced if learned => Kernel::Learned,
            DecoderKind::Respaced | DecoderKind::Gaussian => scalar(respaced),
            DecoderKind::Marginal => {
                scalar(respaced_decoder_log_variance(schedule, nodes[1], None))
            }
            DecoderKind::None => Kernel::None,
            DecoderKind::Optimal => return unmeasured("decoder optimal".into()),
        };
        let interior = path
            .edges()
            .skip(1)
            .map(|(t, s)| interior(&schedule.transition(t, s)));
        let kernels = std::iter::once(decoder).chain(interior).collect();
        Ok(Self {
            decoder: scoring.decoder_for(path.steps()),
            bin_width: scoring.gaussian.bin_width,
            path,
            kernels,
            means: Vec::new(),
            bands: None,
            sampler: Sampler::Ddpm,
            coefficients: CoefficientKind::Solver,
            fitted: Vec::new(),
        })
    }

    /// K, the number of network evaluations.
    pub fn steps(&self) -> usize {
        self.path.steps()
    }

    /// Where the steps are centred.
    pub fn mean(&self) -> MeanKind {
        if self.means.is_empty() {
            MeanKind::Network
        } else {
            MeanKind::Calibrated
        }
    }

    /// The same schedule with the bands that fitted coefficients are of.
    ///
    /// # Errors
    /// [`Error::Field`] where other bands are there already.
    pub fn with_bands(self, bands: Arc<Bands>) -> Result<Self> {
        match self.bands.as_deref().and_then(|own| own.difference(&bands)) {
            None => Ok(Self {
                bands: Some(bands),
                ..self
            }),
            Some(found) => {
                let field = "bands of the fitted coefficients";
                Err(Error::field(field, found.first, found.second))
            }
        }
    }

    /// The same schedule for a sampler with steps of its own.
    #[must_use]
    pub fn for_sampler(self, sampler: Sampler) -> Self {
        Self {
            sampler,
            coefficients: CoefficientKind::Solver,
            fitted: Vec::new(),
            ..self
        }
    }

    /// Whether a step takes its variance from the network.
    pub fn needs_learned_variance(&self) -> bool {
        self.kernels.iter().any(Kernel::is_learned)
    }

    /// A hash of all that is calibrated per band or per step beyond one log-variance a step: corrections of the mean, fitted coefficients
    /// and, where `variances` matter, powers and scales. `None` where there is nothing of it.
    pub fn calibration_sha256(&self, variances: bool) -> Option<String> {
        let mut numbers: Vec<f64> = Vec::new();
        for mean in &self.means {
            numbers.extend(mean.estimate.iter().chain(&mean.noise).chain(&mean.offset));
        }
        for step in &self.fitted {
            numbers.extend(step.terms().iter().flatten());
        }
        for kernel in self.kernels.iter().filter(|_| variances) {
            match kernel {
                Kernel::Bands { powers } => numbers.extend(powers.iter()),
                Kernel::LearnedScaled { log_scale } => numbers.push(*log_scale),
                _ => {}
            }
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        (!bytes.is_empty()).then(|| sha256(&bytes))
    }

    /// The correction of the mean with which step `k` (in ascending t, from 0) is sampled; `None` for the network's own mean, which an
    /// ancestral step of a scaled learned variance has under every convention: its scale weighs the errors of that mean.
    pub fn correction(&self, k: usize) -> Option<(&Bands, &MeanCorrection)> {
        let scaled = matches!(self.kernels.get(k), Some(Kernel::LearnedScaled { .. }));
        let own = scaled && self.sampler == Sampler::Ddpm;
        Some((self.bands.as_deref()?, self.means.get(k).filter(|_| !own)?))
    }

    /// The correction with which step `k` is scored: a discretised density of the data is one of pixels around the raw estimate.
    pub fn scored_correction(&self, k: usize) -> Option<(&Bands, &MeanCorrection)> {
        let scored = k > 0 || self.decoder == DecoderKind::Gaussian;
        self.correction(k).filter(|_| scored)
    }

    /// Refuses what cannot be run: a path beyond T, kernels that are not one per step or not finite, a bin without width.
    ///
    /// # Errors
    /// [`Error::Field`].
    pub fn check(&self, train_steps: usize) -> Result<()> {
        if self.path.end() > train_steps {
            return Err(Error::field(
                "path",
                format!("timesteps up to {train_steps}"),
                self.path.end(),
            ));
        }
        if self.kernels.len() != self.path.steps() {
            return Err(Error::field(
                "kernels",
                format!("{} (one per step of the path)", self.path.steps()),
                self.kernels.len().to_string(),
            ));
        }
        self.check_bands()?;
        self.check_fitted()?;
        for (k, kernel) in self.kernels.iter().enumerate() {
            if let Some(found) = kernel.number().filter(|l| !l.is_finite()) {
                return Err(Error::field(
                    format!("log variance of step {}", k + 1),
                    "a finite number",
                    found,
                ));
            }
        }
        match self.bin_width.filter(|w| !(*w > 0.0 && w.is_finite())) {
            Some(found) => Err(Error::field("bin width", "a positive finite number", found)),
            None => Ok(()),
        }
    }

    /// Refuses coefficients that no step of the sampler has.
    fn check_fitted(&self) -> Result<()> {
        let steps = self.steps();
        let expected = match self.coefficients {
            CoefficientKind::Solver => 0,
            _ => steps,
        };
        Error::check_length("fitted coefficients", expected, self.fitted.len())?;
        if expected > 0 {
            self.sampler.check_priced()?;
        }
        let bands = self.bands.as_ref().map_or(1, |bands| bands.count());
        for (k, step) in self.fitted.iter().enumerate() {
            // The first steps of a path, the last of the list, have fewer nodes before their own.
            let most = self.sampler.looks_back().min(steps - 1 - k);
            let of_bands = self.coefficients.is_per_band() && step.bands() == bands;
            if step.looks_back() > most || !(of_bands || step.bands() == 1) {
                return Err(Error::field(
                    format!("fitted coefficients of step {}", k + 1),
                    format!(
                        "at most {} terms of one number, or of one per band under fitted-bands",
                        2 + most
                    ),
                    format!("{} of {}", 2 + step.looks_back(), step.bands()),
                ));
            }
        }
        Ok(())
    }

    /// Refuses corrections and powers that are not one per band.
    fn check_bands(&self) -> Result<()> {
        let is_corrected = self.mean() == MeanKind::Calibrated;
        let fitted = self.fitted.iter().any(|step| step.bands() > 1);
        let per_band = is_corrected || fitted || self.kernels.iter().any(Kernel::is_per_band);
        let Some(bands) = &self.bands else {
            if per_band {
                let expected = "those of the variances and means";
                return Err(Error::field("bands", expected, "none"));
            }
            return Ok(());
        };
        let count = bands.count();
        if is_corrected && self.means.len() != self.kernels.len() {
            let expected = format!("{} (one per step of the path)", self.kernels.len());
            return Err(Error::field(
                "means",
                expected,
                self.means.len().to_string(),
            ));
        }
        for (k, mean) in self.means.iter().enumerate() {
            if !mean.is_usable(bands) {
                return Err(Error::field(
                    format!("mean of step {}", k + 1),
                    format!("finite coefficients of {count} bands"),
                    format!("{} and {}", mean.estimate.len(), mean.noise.len()),
                ));
            }
        }
        for (k, kernel) in self.kernels.iter().enumerate() {
            let Kernel::Bands { powers } = kernel else {
                continue;
            };
            // A density of the data needs a variance; an interior step has that of the posterior.
            let usable = |&power: &f64| power.is_finite() && (power > 0.0 || k > 0 && power == 0.0);
            if powers.len() != count || !powers.iter().all(usable) {
                return Err(Error::field(
                    format!("powers of step {}", k + 1),
                    format!("a positive number for each of {count} bands"),
                    format!("{} numbers", powers.len()),
                ));
            }
        }
        Ok(())
    }
}
