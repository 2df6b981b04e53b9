//! Curves from blocks that count at some timesteps only, and smoothed ones.

use ddpm_core::{NoiseSchedule, NoiseScheduleName, Stride};
use ddpm_profile::{Curves, Error, Evaluations, ProfileLayout};

use crate::support::{Run, Setup, learned_respaced, spread};

const TIMESTEPS: [usize; 7] = [1, 2, 5, 12, 25, 45, 60];
const NODES: usize = ProfileLayout::DEFAULT_NODES;

fn run(timesteps: &[usize]) -> Run {
    Setup {
        schedule: NoiseSchedule::named(NoiseScheduleName::Cosine, 60).expect("valid"),
        shape: [3, 4, 4],
        v: Some(spread),
        timesteps: timesteps.to_vec(),
        clip: true,
        images: 8,
        first_image: 0,
        eight_bit: true,
        seed: 3,
    }
    .run()
}

fn cost(curves: &Curves) -> f64 {
    let path = Stride::Even(6).path(curves.schedule());
    learned_respaced(curves).path_cost(&path.expect("valid"))
}

#[test]
fn timesteps_where_no_block_counts_are_as_good_as_not_evaluated() {
    let whole = run(&TIMESTEPS).profile(NODES, 2);
    let mask = [true, false, true, true, false, true, true];
    let fewer: Vec<usize> = (0..7).filter(|&i| mask[i]).map(|i| TIMESTEPS[i]).collect();
    let fewer = run(&fewer).profile(NODES, 2);
    let parts: Vec<_> = (0..4)
        .map(|block| Evaluations {
            profile: &whole,
            block,
            timesteps: &mask,
        })
        .collect();
    let found = Curves::of_evaluations(&parts, 0.0).expect("valid");
    let expected = Curves::from_profile(&fewer).expect("blocks");
    assert_eq!(found.mse(), expected.mse());
    assert_eq!(found.evaluated(), expected.evaluated());
    // The decoder knots are those of the larger layout.
    assert!((cost(&found) - cost(&expected)).abs() < 1e-4 * cost(&expected).abs());
    assert_ne!(
        found.mse(),
        Curves::from_profile(&whole).expect("blocks").mse()
    );
}

#[test]
fn every_timestep_is_averaged_over_the_images_that_count_there() {
    let profile = run(&TIMESTEPS).profile(NODES, 2);
    let phase = |r: usize| -> Vec<bool> { (0..7).map(|i| i % 2 == r).collect() };
    let masks = [phase(0), phase(1), phase(0), phase(1)];
    let parts: Vec<_> = (0..4)
        .map(|block| Evaluations {
            profile: &profile,
            block,
            timesteps: &masks[block],
        })
        .collect();
    let found = Curves::of_evaluations(&parts, 0.0).expect("valid");
    let halves = [[0, 2], [1, 3]].map(|b| Curves::of_blocks(&profile, b).expect("blocks"));
    for (i, &t) in TIMESTEPS.iter().enumerate() {
        assert_eq!(found.mse()[t], halves[i % 2].mse()[t], "t = {t}");
    }
}

#[test]
fn smoothing_moves_towards_a_line_and_keeps_what_is_one() {
    let profile = run(&TIMESTEPS).profile(NODES, 2);
    let everywhere = [true; 7];
    let parts: Vec<_> = (0..4)
        .map(|block| Evaluations {
            profile: &profile,
            block,
            timesteps: &everywhere,
        })
        .collect();
    let smoothed = |s: f64| Curves::of_evaluations(&parts, s).expect("valid");
    let raw = smoothed(0.0);
    // A penalty of almost nothing changes almost nothing, columns included.
    let little = smoothed(1e-13);
    assert!((cost(&little) - cost(&raw)).abs() < 1e-6 * cost(&raw).abs());
    // Second differences over log-SNR of log m / (1 - abar), less and less; the last timestep lies where log-SNR is clipped.
    let schedule = raw.schedule().clone();
    let roughness = |curves: &Curves| {
        let y = |t: usize| curves.mse()[t].ln() - schedule.log_one_minus_alpha_bar(t);
        let slope =
            |a: usize, b: usize| (y(b) - y(a)) / (schedule.log_snr(a) - schedule.log_snr(b));
        TIMESTEPS[..6]
            .windows(3)
            .map(|w| (slope(w[1], w[2]) - slope(w[0], w[1])).powi(2))
            .sum::<f64>()
    };
    let (some, much) = (smoothed(10.0), smoothed(1e6));
    assert!(roughness(&some) < 0.9 * roughness(&raw));
    assert!(roughness(&much) < 1e-6 * roughness(&raw));
}

#[test]
fn refuses_what_does_not_fit() {
    let profile = run(&TIMESTEPS).profile(NODES, 2);
    let other = run(&TIMESTEPS[..6]).profile(NODES, 2);
    let all = [true; 7];
    let part = |profile, block, timesteps| Evaluations {
        profile,
        block,
        timesteps,
    };
    let refused = |parts: &[Evaluations<'_>], s: f64| {
        Curves::of_evaluations(parts, s).expect_err("does not fit")
    };
    assert!(matches!(refused(&[], 0.0), Error::Empty));
    let whole = part(&profile, 0, &all[..]);
    assert!(matches!(refused(&[whole], -1.0), Error::Value { .. }));
    assert!(matches!(refused(&[whole], f64::NAN), Error::Value { .. }));
    for wrong in [
        part(&profile, 4, &all[..]),
        part(&profile, 0, &all[..6]),
        part(&other, 0, &all[..6]),
    ] {
        assert!(matches!(
            refused(&[whole, wrong], 0.0),
            Error::Length { .. }
        ));
    }
}
