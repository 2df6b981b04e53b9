//! The decoder columns against direct evaluation of the discretised Gaussian.

use std::f64::consts::LN_2;

use ddpm_core::{DecoderKind, NoiseSchedule, NoiseScheduleName, Objective, VarianceKind};
use ddpm_profile::{Curves, ProfileLayout};

use crate::support::{Run, Setup, cost_model, spread};

const SCHEDULES: [(NoiseScheduleName, usize); 2] = [
    (NoiseScheduleName::Linear, 1000),
    (NoiseScheduleName::Cosine, 4000),
];

fn run(
    name: NoiseScheduleName,
    steps: usize,
    timesteps: Vec<usize>,
    clip: bool,
    images: usize,
) -> Run {
    Setup {
        schedule: NoiseSchedule::named(name, steps).expect("valid"),
        shape: [3, 32, 32],
        v: Some(spread),
        timesteps,
        clip,
        images,
        first_image: 0,
        eight_bit: true,
        seed: 11,
    }
    .run()
}

fn sparse(steps: usize) -> Vec<usize> {
    vec![1, 2, 3, 5, 9, 17, 40, 100, 300, 700, steps - 1, steps]
}

/// The largest error in bits/dim within 2 bits/dim of the column's minimum over second nodes `nexts(t)` (those above t), over `firsts`.
fn worst(
    run: &Run,
    curves: &Curves,
    learned: bool,
    firsts: &[usize],
    nexts: impl Fn(usize) -> Vec<usize>,
) -> f64 {
    let variances = if learned {
        VarianceKind::Learned
    } else {
        VarianceKind::FixedSmall
    };
    let model =
        cost_model(curves, variances, DecoderKind::Respaced, Objective::Elbo).expect("resolved");
    let of_first = |&t: &usize| {
        let pair = |next: usize| {
            let argument = run.schedule.transition(next, t).log_posterior_variance;
            let direct = run.direct(t, 0, (!learned).then_some(argument), argument);
            (direct, model.decoder(t, Some(next)))
        };
        let pairs: Vec<(f64, f64)> = nexts(t)
            .into_iter()
            .filter(|&next| next > t)
            .map(pair)
            .collect();
        let least = pairs.iter().map(|p| p.0).fold(f64::INFINITY, f64::min);
        let near = pairs.iter().filter(|p| p.0 < least + 2.0 * LN_2);
        near.map(|p| (p.0 - p.1).abs() / LN_2).fold(0.0, f64::max)
    };
    firsts.iter().map(of_first).fold(0.0, f64::max)
}

fn curves(run: &Run) -> Curves {
    let profile = run.profile(ProfileLayout::DEFAULT_NODES, run.images.len());
    Curves::from_profile(&profile).expect("blocks")
}

/// Up to what thinning does to requested variances that nearly coincide, those of t2 = T - 1 and T.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn exact_where_both_timesteps_are_evaluated() {
    for (name, steps) in SCHEDULES {
        for clip in [true, false] {
            let run = run(name, steps, sparse(steps), clip, 2);
            let curves = curves(&run);
            for learned in [false, true] {
                let error = worst(&run, &curves, learned, &run.timesteps, |_| {
                    run.timesteps.clone()
                });
                assert!(
                    error < 1e-6,
                    "{name} clip {clip} learned {learned}: {error:.2e}"
                );
            }
        }
    }
}

/// All timesteps evaluated on a single image: requested variances are thinned, and the kinks of single pixels show most.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn exhaustive_profiles_of_one_image_are_within_2e4() {
    for name in [NoiseScheduleName::Linear, NoiseScheduleName::Cosine] {
        let run = run(name, 1000, (1..=1000).collect(), true, 1);
        let curves = curves(&run);
        let firsts = [
            1, 2, 3, 4, 6, 9, 14, 20, 30, 45, 70, 110, 170, 260, 400, 600, 800, 950,
        ];
        let nexts = |t: usize| {
            (t + 1..=1000)
                .filter(|&u| u < t + 60 || u % 61 == 0)
                .collect()
        };
        for learned in [false, true] {
            let error = worst(&run, &curves, learned, &firsts, nexts);
            eprintln!("exhaustive {name} learned {learned}: {error:.2e} bits/dim");
            assert!(error < 2e-4, "{name} learned {learned}: {error:.2e}");
        }
    }
}

/// Second nodes that were not evaluated fall between the knots: the error falls with the number of pixels.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn between_knots_the_kinks_of_pixels_average_out() {
    for (name, steps) in SCHEDULES {
        let run = run(name, steps, sparse(steps), true, 8);
        let firsts = &run.timesteps[..run.timesteps.len() - 1];
        let curves = curves(&run);
        let nexts = |t: usize| {
            (t + 1..t + 12)
                .chain((t + 12..=steps).step_by(steps / 30))
                .filter(|&u| u <= steps)
                .collect()
        };
        for learned in [false, true] {
            let error = worst(&run, &curves, learned, firsts, nexts);
            eprintln!("between knots, 8 images, {name} learned {learned}: {error:.2e} bits/dim");
            assert!(error < 5e-4, "{name} learned {learned}: {error:.2e}");
        }
    }
}

#[test]
fn the_marginal_decoder_is_exact_and_a_single_step_uses_it() {
    let run = run(NoiseScheduleName::Cosine, 4000, sparse(4000), true, 2);
    let profile = run.profile(ProfileLayout::DEFAULT_NODES, 1);
    let curves = Curves::from_profile(&profile).expect("blocks");
    for &t in &run.timesteps {
        let direct = run.direct(
            t,
            0,
            Some(run.schedule.log_one_minus_alpha_bar(t)),
            f64::NAN,
        );
        for decoder in [DecoderKind::Respaced, DecoderKind::Marginal] {
            let model = cost_model(&curves, VarianceKind::Learned, decoder, Objective::Elbo)
                .expect("resolved");
            assert!((model.decoder(t, None) - direct).abs() < 1e-10, "{t}");
        }
        let model = cost_model(
            &curves,
            VarianceKind::Learned,
            DecoderKind::Marginal,
            Objective::Elbo,
        )
        .expect("resolved");
        if t < 4000 {
            assert_eq!(model.decoder(t, Some(4000)), model.decoder(t, None));
        }
    }
}
