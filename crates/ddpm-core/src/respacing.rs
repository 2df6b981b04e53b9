//! improved-diffusion's respaced chains: the strings that ask for them, and their constants.

use crate::{Error, NoiseSchedule, Result, TimePath, Transition, respaced_decoder_log_variance};

/// The 0-based timesteps that improved-diffusion keeps for a respacing string, ascending.
///
/// A comma list such as `10,15,20` cuts `0..train_steps` into that many sections and spreads the given number
/// of steps over each, both ends included; `ddimN` takes every `i`-th timestep, for the smallest `i` that gives
/// exactly `N` (the last timestep is then usually not reached). The rule, down to the accumulated floating-point
/// stride and the rounding of halves to even, is that of `respace.py`, so that chains agree index by index.
///
/// # Errors
///
/// [`Error::InvalidRespacing`] if the text is not a list of counts, a section has fewer timesteps than
/// its count, or no integer stride gives `N`.
///
/// ```
/// use ddpm_core::space_timesteps;
///
/// assert_eq!(space_timesteps(10, "4")?, [0, 3, 6, 9]);
/// assert_eq!(space_timesteps(10, "ddim5")?, [0, 2, 4, 6, 8]);
/// assert_eq!(space_timesteps(10, "3,2")?, [0, 2, 4, 5, 9]);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
pub fn space_timesteps(train_steps: usize, respacing: &str) -> Result<Vec<usize>> {
    let invalid = |reason: String| Error::InvalidRespacing {
        found: respacing.to_owned(),
        reason,
    };
    let count = |text: &str| {
        text.trim().parse::<usize>().map_err(|_| {
            invalid(format!(
                "{text:?} is not a step count: expected counts such as 10,15,20 or ddim50"
            ))
        })
    };
    if let Some(wanted) = respacing.strip_prefix("ddim") {
        let wanted = count(wanted)?;
        return (1..train_steps)
            .find(|&stride| train_steps.div_ceil(stride) == wanted)
            .map(|stride| (0..train_steps).step_by(stride).collect())
            .ok_or_else(|| {
                invalid(format!(
                    "no integer stride takes exactly {wanted} of {train_steps} timesteps"
                ))
            });
    }
    let counts = respacing
        .split(',')
        .map(count)
        .collect::<Result<Vec<_>>>()?;
    let mut kept = Vec::new();
    let mut start = 0;
    for (section, &wanted) in counts.iter().enumerate() {
        let extra = usize::from(section < train_steps % counts.len());
        let size = train_steps / counts.len() + extra;
        if size < wanted {
            return Err(invalid(format!(
                "section {} of {} has {size} timesteps: cannot take {wanted}",
                section + 1,
                counts.len()
            )));
        }
        let stride = if wanted <= 1 {
            1.0
        } else {
            (size - 1) as f64 / (wanted - 1) as f64
        };
        let mut position = 0.0_f64;
        for _ in 0..wanted {
            kept.push(start + position.round_ties_even() as usize);
            position += stride;
        }
        start += size;
    }
    Ok(kept)
}

/// All constants of the chain respaced to a path, one entry per step in ascending `t`; entry 0 is the step to clean data.
///
/// The arrays have the names of improved-diffusion's `GaussianDiffusion`, of which this is the state after respacing.
///
/// ```
/// use ddpm_core::{NoiseSchedule, NoiseScheduleName, RespacedChain, TimePath};
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000)?;
/// let chain = RespacedChain::new(&schedule, &TimePath::new([1, 10, 100, 1000], 1000)?);
/// assert_eq!(chain.betas.len(), 4);
/// assert_eq!(chain.posterior_mean_coef1[0], 1.0);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RespacedChain {
    /// `beta_{t_k|t_{k-1}}`.
    pub betas: Vec<f64>,
    /// `alpha_bar_{t_k}`.
    pub alphas_cumprod: Vec<f64>,
    /// `btilde_{t_k|t_{k-1}}`; 0 at entry 0.
    pub posterior_variance: Vec<f64>,
    /// `log(btilde)`, with entry 0 replaced by entry 1, the variance that the decoder uses
    /// ([`respaced_decoder_log_variance`]); a chain of one step has `log(1 - alpha_bar_{t_1})` instead.
    pub posterior_log_variance_clipped: Vec<f64>,
    /// `c`, the weight of `x_0` in the posterior mean.
    pub posterior_mean_coef1: Vec<f64>,
    /// `d`, the weight of `x_t` in the posterior mean.
    pub posterior_mean_coef2: Vec<f64>,
}

impl RespacedChain {
    /// The constants of `schedule` along `path`.
    ///
    /// # Panics
    ///
    /// If the path was made for a longer schedule and ends beyond this one.
    pub fn new(schedule: &NoiseSchedule, path: &TimePath) -> Self {
        let steps: Vec<Transition> = path
            .edges()
            .map(|(t, s)| schedule.transition(t, s))
            .collect();
        let of = |f: fn(&Transition) -> f64| steps.iter().map(f).collect::<Vec<f64>>();
        let mut log_variance = of(|step| step.log_posterior_variance);
        log_variance[0] =
            respaced_decoder_log_variance(schedule, steps[0].t, steps.get(1).map(|step| step.t));
        Self {
            betas: of(|step| step.beta),
            alphas_cumprod: steps
                .iter()
                .map(|step| schedule.alpha_bar(step.t))
                .collect(),
            posterior_variance: of(|step| step.posterior_variance),
            posterior_log_variance_clipped: log_variance,
            posterior_mean_coef1: of(|step| step.coef_x0),
            posterior_mean_coef2: of(|step| step.coef_xt),
        }
    }
}
