//! Noise schedules: how much signal and noise each training timestep holds.
//!
//! A schedule is the sequence `log(alpha_bar_t)` for `t` in `0..=T`. Everything else follows from the
//! logarithms, which keep their digits at both ends: `1 - alpha_bar` is about 1e-5 near clean data and
//! `alpha_bar` about 1e-9 near pure noise.

mod beta_curve;
mod named;

pub use beta_curve::BetaCurve;
pub(crate) use beta_curve::linspace;
pub use named::NoiseScheduleName;

use crate::numeric::{CompensatedSum, log_one_minus_exp};
use crate::{Error, ProcessKind, Result};

const MAX_TRAIN_STEPS: usize = NoiseSchedule::MAX_TRAIN_STEPS;

/// Whether `T` is in `1..=MAX_TRAIN_STEPS`.
pub(crate) fn check_train_steps(train_steps: usize) -> Result<()> {
    match train_steps {
        0 => Err(Error::NoTrainSteps),
        1..=MAX_TRAIN_STEPS => Ok(()),
        _ => Err(Error::TooManyTrainSteps {
            train_steps,
            max: MAX_TRAIN_STEPS,
        }),
    }
}

/// The noise levels of a trained diffusion model, `q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)`.
///
/// Node accessors take `t` in `0..=T` with `alpha_bar(0) = 1`. Two schedules are equal when their
/// `log_alpha_bar` are equal bit for bit.
///
/// ```
/// use ddpm_core::{NoiseSchedule, NoiseScheduleName};
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 4000)?;
/// assert_eq!(schedule.train_steps(), 4000);
/// assert_eq!(schedule.alpha_bar(0), 1.0);
/// assert!(schedule.log_snr(1) > schedule.log_snr(4000));
/// # Ok::<(), ddpm_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NoiseSchedule {
    name: Option<NoiseScheduleName>,
    clock: ProcessKind,
    /// Index t in 0..=T; strictly decreasing, 0 at t = 0, minus infinity allowed at t = T only.
    log_alpha_bar: Vec<f64>,
    alpha_bar: Vec<f64>,
    one_minus_alpha_bar: Vec<f64>,
    log_one_minus_alpha_bar: Vec<f64>,
}

impl PartialEq for NoiseSchedule {
    fn eq(&self, other: &Self) -> bool {
        self.log_alpha_bar == other.log_alpha_bar
    }
}

impl NoiseSchedule {
    /// The longest schedule. Models are trained with a few thousand timesteps at most; the bound turns a slip of the
    /// keyboard into a message instead of a failed allocation.
    pub const MAX_TRAIN_STEPS: usize = 1_000_000;

    /// One of the usual schedules with `train_steps` timesteps.
    ///
    /// # Errors
    ///
    /// [`Error::NoTrainSteps`] for `train_steps = 0`, [`Error::TooManyTrainSteps`] above a million and [`Error::ScheduleTooShort`] for `linear` below 20.
    pub fn named(name: NoiseScheduleName, train_steps: usize) -> Result<Self> {
        check_train_steps(train_steps)?;
        Ok(Self {
            name: Some(name),
            ..Self::from_betas(&named::betas(name, train_steps)?)?
        })
    }

    /// Betas along `curve` from `start` to `end`.
    ///
    /// # Errors
    ///
    /// [`Error::NoTrainSteps`], [`Error::TooManyTrainSteps`], and those of [`NoiseSchedule::from_betas`] for impossible ends.
    pub fn from_curve(curve: BetaCurve, start: f64, end: f64, train_steps: usize) -> Result<Self> {
        check_train_steps(train_steps)?;
        Self::from_betas(&curve.betas(start, end, train_steps))
    }

    /// From the per-step variances, `betas[i] = beta_{i+1|i}`, the step into node `i + 1`.
    ///
    /// # Errors
    ///
    /// [`Error::NoTrainSteps`] if empty, [`Error::InvalidBeta`] for a value outside `(0, 1)` (1 is accepted
    /// at the last step: no signal is left), [`Error::AlphaBarNotDecreasing`] for a beta lost to rounding.
    pub fn from_betas(betas: &[f64]) -> Result<Self> {
        let mut sum = CompensatedSum::default();
        let mut log_alpha_bar = Vec::with_capacity(betas.len());
        for (i, &beta) in betas.iter().enumerate() {
            let last = i + 1 == betas.len();
            if !(beta > 0.0 && (beta < 1.0 || (last && beta == 1.0))) {
                return Err(Error::InvalidBeta {
                    t: i + 1,
                    value: beta,
                });
            }
            sum.add(libm::log1p(-beta));
            log_alpha_bar.push(sum.value());
        }
        Self::from_log_alpha_bar(&log_alpha_bar)
    }

    /// From the cumulative products, `alpha_bar[i]` for node `i + 1`: strictly decreasing, in `[0, 1)`.
    ///
    /// # Errors
    ///
    /// [`Error::NoTrainSteps`], [`Error::InvalidAlphaBar`] or [`Error::AlphaBarNotDecreasing`].
    pub fn from_alpha_bar(alpha_bar: &[f64]) -> Result<Self> {
        for (i, &value) in alpha_bar.iter().enumerate() {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::InvalidAlphaBar { t: i + 1, value });
            }
        }
        let logs: Vec<f64> = alpha_bar.iter().map(|&a| libm::log(a)).collect();
        Self::from_log_alpha_bar(&logs)
    }

    /// From `log(alpha_bar)`, entry `i` for node `i + 1`; the inverse, bit for bit, of
    /// [`log_alpha_bars`](Self::log_alpha_bars) without its entry 0.
    ///
    /// # Errors
    ///
    /// [`Error::NoTrainSteps`], [`Error::InvalidAlphaBar`] or [`Error::AlphaBarNotDecreasing`], which
    /// report `alpha_bar` itself.
    pub fn from_log_alpha_bar(log_alpha_bar: &[f64]) -> Result<Self> {
        check_train_steps(log_alpha_bar.len())?;
        let mut previous = 0.0;
        for (i, &value) in log_alpha_bar.iter().enumerate() {
            if value.is_nan() {
                return Err(Error::InvalidAlphaBar { t: i + 1, value });
            }
            if value >= previous {
                return Err(Error::AlphaBarNotDecreasing {
                    t: i + 1,
                    previous: libm::exp(previous),
                    value: libm::exp(value),
                });
            }
            previous = value;
        }
        Ok(Self::from_valid_logs(
            std::iter::once(0.0)
                .chain(log_alpha_bar.iter().copied())
                .collect(),
        ))
    }

    fn from_valid_logs(log_alpha_bar: Vec<f64>) -> Self {
        Self {
            name: None,
            clock: ProcessKind::Vp,
            alpha_bar: log_alpha_bar.iter().map(|&l| libm::exp(l)).collect(),
            // `0 - expm1` and not `-expm1`, which would make a negative zero of t = 0.
            one_minus_alpha_bar: log_alpha_bar
                .iter()
                .map(|&l| 0.0 - libm::expm1(l))
                .collect(),
            log_one_minus_alpha_bar: log_alpha_bar
                .iter()
                .map(|&l| log_one_minus_exp(l))
                .collect(),
            log_alpha_bar,
        }
    }

    /// The same schedule with `sqrt(alpha_bar)` shifted and scaled so that it is unchanged at `t = 1` and 0 at `t = T`
    /// (Lin et al. 2023, algorithm 1). At `T = 1` only the end condition can hold.
    #[must_use]
    pub fn zero_terminal_snr(&self) -> Self {
        let end = self.train_steps();
        if self.log_alpha_bar[end] == f64::NEG_INFINITY {
            return Self {
                name: None,
                ..self.clone()
            };
        }
        // All relative to the first node: a(t) = sqrt(alpha_bar_t / alpha_bar_1).
        let relative = |t: usize| 0.5 * (self.log_alpha_bar[t] - self.log_alpha_bar[1]);
        let span = -libm::expm1(relative(end));
        let mut logs = self.log_alpha_bar.clone();
        for t in 2..end {
            let lost = -libm::expm1(relative(t)) / span;
            let log_kept = if lost < 0.5 {
                libm::log1p(-lost)
            } else {
                // a(t) - a(T), from the smaller of the two so that nothing cancels near the end.
                let gap = -libm::expm1(relative(end) - relative(t));
                relative(t) + libm::log(gap / span)
            };
            logs[t] = (self.log_alpha_bar[1] + 2.0 * log_kept).min(logs[t - 1].next_down());
        }
        logs[end] = f64::NEG_INFINITY;
        Self::from_valid_logs(logs)
    }

    /// The same schedule under a name that is its own.
    ///
    /// # Errors
    ///
    /// [`Error::AnotherSchedule`] where `alpha_bar` differs from that of the name, by more than rounding.
    pub fn called(self, name: NoiseScheduleName) -> Result<Self> {
        let named = Self::named(name, self.train_steps())?;
        match named.first_apart(&self) {
            None => Ok(Self {
                name: Some(name),
                ..self
            }),
            Some(t) => Err(Error::AnotherSchedule {
                name: name.name(),
                t,
            }),
        }
    }

    /// Whether two schedules are the same up to the rounding of a stored `alpha_bar`.
    pub fn is_close(&self, other: &Self) -> bool {
        self.train_steps() == other.train_steps() && self.first_apart(other).is_none()
    }

    /// The first timestep where a schedule of the same length differs by more than rounding.
    fn first_apart(&self, other: &Self) -> Option<usize> {
        let apart = |&t: &usize| {
            let (a, b) = (self.log_alpha_bar(t), other.log_alpha_bar(t));
            a != b && (a - b).abs() > 1e-9 * b.abs()
        };
        (1..=self.train_steps()).find(apart)
    }

    /// The name that the schedule was made from by [`named`](Self::named); `None` for any other.
    pub fn name(&self) -> Option<NoiseScheduleName> {
        self.name
    }

    /// Which clock its timesteps are nodes of: whole timesteps of a chain ([`ProcessKind::Vp`]), or those of another
    /// [`Process`](crate::Process). It changes no number here; lists for other programs are told in it.
    pub fn clock(&self) -> ProcessKind {
        self.clock
    }

    /// The same schedule, its timesteps being nodes of this clock.
    #[must_use]
    pub fn with_clock(self, clock: ProcessKind) -> Self {
        Self { clock, ..self }
    }

    /// Its name; of another clock that, of any other `custom`.
    pub fn name_or_custom(&self) -> String {
        match self.clock {
            ProcessKind::Vp => NoiseScheduleName::or_custom(self.name),
            clock => clock.to_string(),
        }
    }

    /// `T`, the number of timesteps the model was trained with.
    pub fn train_steps(&self) -> usize {
        self.log_alpha_bar.len() - 1
    }

    /// `alpha_bar_t`, the signal's share of the variance.
    ///
    /// # Panics
    ///
    /// If `t > T`, like every node accessor.
    pub fn alpha_bar(&self, t: usize) -> f64 {
        self.alpha_bar[t]
    }

    /// `log(alpha_bar_t)`; minus infinity where no signal is left.
    pub fn log_alpha_bar(&self, t: usize) -> f64 {
        self.log_alpha_bar[t]
    }

    /// `1 - alpha_bar_t`, the noise's share, without cancellation.
    pub fn one_minus_alpha_bar(&self, t: usize) -> f64 {
        self.one_minus_alpha_bar[t]
    }

    /// `log(1 - alpha_bar_t)`; minus infinity at `t = 0`.
    pub fn log_one_minus_alpha_bar(&self, t: usize) -> f64 {
        self.log_one_minus_alpha_bar[t]
    }

    /// Signal-to-noise ratio `alpha_bar_t / (1 - alpha_bar_t)`; infinity at `t = 0`.
    pub fn snr(&self, t: usize) -> f64 {
        self.alpha_bar[t] / self.one_minus_alpha_bar[t]
    }

    /// `log(SNR_t)`; infinity at `t = 0`, minus infinity where no signal is left.
    pub fn log_snr(&self, t: usize) -> f64 {
        self.log_alpha_bar[t] - self.log_one_minus_alpha_bar[t]
    }

    /// All of `log(alpha_bar_t)`, index `t` in `0..=T`: what a file should store.
    pub fn log_alpha_bars(&self) -> &[f64] {
        &self.log_alpha_bar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_no_memory_holds_is_refused() {
        for name in [NoiseScheduleName::Linear, NoiseScheduleName::Cosine] {
            let error = NoiseSchedule::named(name, 99_999_999_999).unwrap_err();
            assert!(error.to_string().contains("at most 1000000"), "{error}");
        }
    }
}
