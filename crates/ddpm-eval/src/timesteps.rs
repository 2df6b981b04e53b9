//! Which timesteps a profile evaluates when it cannot evaluate all of them, and of how many images.

use ddpm_core::NoiseSchedule;

use crate::error::{Error, Result};

/// Below this log-SNR nothing happens: half of a long cosine schedule lies there.
const LEAST_LOG_SNR: f64 = -7.0;
/// The first timesteps carry the decoder and the steepest part of every curve: at most so many are always there,
const ALWAYS_FIRST: usize = 16;
/// and at most this part of all.
const SHARE_OF_FIRST: usize = 4;

/// Timesteps per image that evaluations pay for where the number of images is free. The images limit what a schedule is
/// worth, not the timesteps: see docs/evaluations.md.
const TIMESTEPS: u64 = 32;
/// The fewest timesteps that evaluations are spread over where the number of images is not free.
const FEWEST_TIMESTEPS: u64 = 20;

/// The timesteps that are evaluated where a run may take so many evaluations, all of them where nobody says; `images`, in the order of the run, keeps
/// those that these pay for.
///
/// # Arguments
/// `all_of_them`: whether as many images as possible are to take part, because somebody asked for that number.
///
/// # Errors
/// [`Error::Request`] for fewer evaluations than one image takes.
pub fn spend(
    evaluations: Option<u64>,
    images: &mut Vec<usize>,
    all_of_them: bool,
    schedule: &NoiseSchedule,
) -> Result<Vec<usize>> {
    let train_steps = schedule.train_steps();
    let Some(evaluations) = evaluations else {
        return Ok((1..=train_steps).collect());
    };
    let (count, paid) = share_evaluations(evaluations, images.len(), all_of_them, train_steps)?;
    images.truncate(paid);
    Ok(timesteps_for(schedule, count))
}

/// The number of timesteps (for [`timesteps_for`]) and of images that `evaluations` pay for; never more.
///
/// # Arguments
/// `images`: images that may take part, above 0. `all_of_them`: whether as many as possible are to take part, because somebody asked for
/// that number.
///
/// # Errors
/// [`Error::Request`] for fewer evaluations than one image takes.
fn share_evaluations(
    evaluations: u64,
    images: usize,
    all_of_them: bool,
    train_steps: usize,
) -> Result<(usize, usize)> {
    let most = evaluations / images as u64;
    let least = if all_of_them {
        FEWEST_TIMESTEPS
    } else {
        TIMESTEPS
    };
    let timesteps = most.max(least).min(train_steps as u64);
    let images = (evaluations / timesteps).min(images as u64);
    if images == 0 {
        return Err(Error::request(
            "evaluations",
            format!(
                "expected at least {timesteps}, the timesteps of one image, found {evaluations}"
            ),
        ));
    }
    // Both fit: one is at most T, the other at most the number of images.
    Ok((timesteps as usize, images as usize))
}

/// `count` timesteps of `1..=T`, ascending: always the first ones (`1..=16`, or a quarter of the count where that is
/// less), `T - 1` and `T`, the others evenly over log-SNR clipped at -7.
///
/// At least the timesteps that are always there, at most all `T`.
///
/// Where timesteps are further apart in log-SNR than an even spacing would have them, all are taken, and the spacing
/// of the rest is narrowed until the count is exact.
pub fn timesteps_for(schedule: &NoiseSchedule, count: usize) -> Vec<usize> {
    let last = schedule.train_steps();
    let first = ALWAYS_FIRST.min(count / SHARE_OF_FIRST).max(1);
    let always = |t: usize| t <= first || t + 1 >= last;
    let candidates: Vec<usize> = (1..=last).filter(|&t| !always(t)).collect();
    let forced = last - candidates.len();
    let chosen = count.saturating_sub(forced).min(candidates.len());

    let widths: Vec<f64> = candidates
        .iter()
        .map(|&t| log_snr_width(schedule, t))
        .collect();
    let density = even_density(&widths, chosen);
    // Error diffusion: a timestep is taken each time the accumulated weight passes a half.
    let mut taken = Vec::with_capacity(forced + chosen);
    let (mut accumulated, mut so_far) = (0.0, 0);
    for (&t, &width) in candidates.iter().zip(&widths) {
        accumulated += (density * width).min(1.0);
        // The last candidates make up for rounding in either direction.
        if so_far < chosen && accumulated >= so_far as f64 + 0.5 {
            taken.push(t);
            so_far += 1;
        }
    }
    for &t in candidates.iter().rev() {
        if so_far == chosen {
            break;
        }
        if !taken.contains(&t) {
            taken.push(t);
            so_far += 1;
        }
    }
    taken.extend((1..=last).filter(|&t| always(t)));
    taken.sort_unstable();
    taken
}

/// How much of the clipped log-SNR axis timestep `t` stands for: half the distance between its neighbours. Never
/// quite zero, so that the flat part is used up last and evenly.
fn log_snr_width(schedule: &NoiseSchedule, t: usize) -> f64 {
    let clipped = |t: usize| schedule.log_snr(t).max(LEAST_LOG_SNR);
    let range = clipped(1) - clipped(schedule.train_steps());
    let floor = 1e-6 * range.max(1.0) / schedule.train_steps() as f64;
    (0.5 * (clipped(t - 1) - clipped(t + 1))).max(floor)
}

/// The density at which the sum of `min(1, density * width)` is `count`, by bisection of its logarithm.
fn even_density(widths: &[f64], count: usize) -> f64 {
    if count >= widths.len() {
        return f64::INFINITY;
    }
    let total = |log_density: f64| -> f64 {
        widths
            .iter()
            .map(|w| (log_density.exp() * w).min(1.0))
            .sum()
    };
    let (mut low, mut high) = (-80.0, 80.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if total(middle) < count as f64 {
            low = middle
        } else {
            high = middle
        }
    }
    high.exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpm_core::NoiseScheduleName;

    #[test]
    fn evaluations_are_shared_between_images_and_never_exceeded() {
        let share = share_evaluations;
        assert_eq!(share(4096, 64, true, 4000).unwrap(), (64, 64));
        assert_eq!(share(100, 64, true, 4000).unwrap(), (20, 5));
        assert_eq!(share(1 << 40, 64, true, 4000).unwrap(), (4000, 64));
        assert_eq!(share(100, 64, true, 10).unwrap(), (10, 10));
        assert_eq!(share(8192, 50_000, false, 4000).unwrap(), (32, 256));
        assert_eq!(share(8192, 128, false, 4000).unwrap(), (64, 128));
        let refused = share(19, 64, true, 4000).unwrap_err().to_string();
        assert!(refused.contains("at least 20"), "{refused}");
    }

    #[test]
    fn the_count_is_exact_and_the_ends_are_there() {
        for (name, train_steps) in [
            (NoiseScheduleName::Cosine, 4000),
            (NoiseScheduleName::Linear, 1000),
        ] {
            let schedule = NoiseSchedule::named(name, train_steps).unwrap();
            for count in (3..400).chain([train_steps - 1, train_steps, train_steps + 1]) {
                let timesteps = timesteps_for(&schedule, count);
                assert_eq!(timesteps.len(), count.min(train_steps), "{count}");
                assert!(timesteps.windows(2).all(|w| w[0] < w[1]), "{timesteps:?}");
                let first = (count / 4).clamp(1, 16);
                assert!(timesteps[..first].iter().copied().eq(1..=first));
                assert!(timesteps.ends_with(&[train_steps - 1, train_steps]));
            }
        }
    }

    #[test]
    fn at_least_the_ones_that_are_always_there() {
        let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 4000).unwrap();
        assert_eq!(timesteps_for(&schedule, 0), [1, 3999, 4000]);
        for train_steps in [1, 2, 17, 18, 19] {
            let betas = vec![0.1; train_steps];
            let schedule = NoiseSchedule::from_betas(&betas).unwrap();
            let expected: Vec<usize> = (1..=train_steps).collect();
            assert_eq!(timesteps_for(&schedule, 19), expected);
        }
    }

    #[test]
    fn even_over_clipped_log_snr() {
        let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 4000).unwrap();
        let timesteps = timesteps_for(&schedule, 118);
        let clipped: Vec<f64> = timesteps
            .iter()
            .map(|&t| schedule.log_snr(t).max(-7.0))
            .collect();
        // Between the timesteps that are always there, the gaps vary by no more than the grid of timesteps allows.
        let inner = &clipped[16..116];
        let gaps: Vec<f64> = inner.windows(2).map(|w| w[0] - w[1]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        for (i, gap) in gaps.iter().enumerate() {
            let t = timesteps[16 + i];
            let grid = schedule.log_snr(t) - schedule.log_snr(t + 1);
            assert!(
                (gap - mean).abs() < 2.0 * grid + 1e-3,
                "t = {t}: gap {gap}, mean {mean}, grid {grid}"
            );
        }
        // The flat part gets none of them.
        assert!(
            timesteps
                .iter()
                .filter(|&&t| schedule.log_snr(t) < -7.5)
                .count()
                <= 3
        );
    }
}
