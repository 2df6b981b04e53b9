//! improved-diffusion's respacing strings.

use crate::{Error, Result};

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
