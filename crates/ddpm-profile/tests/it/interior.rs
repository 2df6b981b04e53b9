//! Interior terms rebuilt from statistics against direct evaluation, pixel by pixel, on the same images and noise.

use ddpm_core::{
    DecoderKind, NoiseSchedule, NoiseScheduleName, Objective, VarianceKind, analytic_variance,
};
use ddpm_profile::{CostModel, Curves, Frozen, ProfileLayout};
use ddpm_schedule::Scoring;

use crate::support::{Fraction, Run, Setup, cost_model, spread};

fn close(found: f64, expected: f64) -> f64 {
    (found - expected).abs() / expected.abs().max(1.0)
}

/// Every variance with the log-variance that direct evaluation uses on edge (t, s); `None` for learned.
fn check_all_edges(run: &Run, tolerance: f64) -> f64 {
    let profile = run.profile(ProfileLayout::DEFAULT_NODES, 2);
    let curves = Curves::from_profile(&profile).expect("blocks");
    assert!(
        curves.interpolation_error() < 1e-11,
        "{:e}",
        curves.interpolation_error()
    );
    // A frozen m that is not the curves' own.
    let foreign: Vec<f64> = curves.mse().iter().map(|m| 1.3 * m).collect();
    let of = |variance| {
        let scoring = Scoring::new(variance).with_decoder(DecoderKind::None);
        curves.freeze(&scoring).expect("valid")
    };
    let foreign = Frozen {
        mse: Some(foreign.into()),
        ..of(VarianceKind::Analytic)
    };
    let variances = [
        of(VarianceKind::Learned),
        of(VarianceKind::FixedSmall),
        of(VarianceKind::FixedLarge),
        of(VarianceKind::Analytic),
        foreign,
    ];
    let mut worst = 0.0f64;
    for frozen in variances {
        let variance = frozen.scoring.variance;
        let mse = frozen.mse.clone();
        let model = CostModel::new(&curves, frozen).expect("resolved");
        for (i, &t) in run.timesteps.iter().enumerate() {
            for &s in &run.timesteps[..i] {
                let edge = run.schedule.transition(t, s);
                let log_variance = match variance {
                    VarianceKind::Learned => None,
                    VarianceKind::FixedSmall => Some(edge.log_posterior_variance),
                    VarianceKind::FixedLarge => Some(edge.log_beta),
                    VarianceKind::Analytic => {
                        let mse = mse.as_ref().expect("frozen")[t];
                        Some(analytic_variance(&edge, mse).ln())
                    }
                    other => unreachable!("{other} is no variance of the paper"),
                };
                let direct = run.direct(t, s, log_variance, f64::NAN);
                let error = close(model.interior(t, s), direct);
                assert!(
                    error < tolerance,
                    "{} ({t}, {s}): {} {direct}",
                    variance,
                    model.interior(t, s)
                );
                worst = worst.max(error);
            }
        }
    }
    worst
}

fn setup(
    name: NoiseScheduleName,
    steps: usize,
    timesteps: Vec<usize>,
    clip: bool,
    v: Fraction,
) -> Setup {
    Setup {
        schedule: NoiseSchedule::named(name, steps).expect("valid"),
        shape: [3, 8, 8],
        v: Some(v),
        timesteps,
        clip,
        images: 3,
        first_image: 0,
        eight_bit: true,
        seed: 5,
    }
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn statistics_reproduce_direct_evaluation() {
    let near: Fraction = |i, n| 1.15 + 0.1 * ((i * 17) % n) as f64 / n as f64;
    for (name, steps) in [
        (NoiseScheduleName::Linear, 1000),
        (NoiseScheduleName::Cosine, 4000),
    ] {
        for clip in [true, false] {
            for v in [spread, near, |_, _| 0.0, |_, _| 1.0] {
                let timesteps = vec![
                    1,
                    2,
                    3,
                    4,
                    7,
                    16,
                    50,
                    200,
                    201,
                    500,
                    800,
                    steps - 2,
                    steps - 1,
                    steps,
                ];
                let worst = check_all_edges(&setup(name, steps, timesteps, clip, v).run(), 1e-10);
                eprintln!("{name} clip {clip}: {worst:.1e}");
            }
        }
    }
}

#[test]
fn exhaustive_profile_of_a_short_chain() {
    for clip in [true, false] {
        let run = setup(
            NoiseScheduleName::Cosine,
            60,
            (1..=60).collect(),
            clip,
            spread,
        )
        .run();
        check_all_edges(&run, 1e-10);
    }
}

#[test]
fn a_schedule_without_terminal_signal_has_finite_costs() {
    let mut setup = setup(
        NoiseScheduleName::Cosine,
        60,
        (1..=60).collect(),
        true,
        spread,
    );
    setup.schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 60)
        .expect("valid")
        .zero_terminal_snr();
    // Epsilon-prediction cannot go back from pure noise: evaluate up to T - 1 and interpolate the end.
    setup.timesteps.pop();
    let run = setup.run();
    check_all_edges(&run, 1e-10);
    let curves =
        Curves::from_profile(&run.profile(ProfileLayout::DEFAULT_NODES, 3)).expect("blocks");
    let model = cost_model(
        &curves,
        VarianceKind::Learned,
        DecoderKind::Respaced,
        Objective::Elbo,
    )
    .expect("resolved");
    assert!((1..60).all(|s| model.interior(60, s).is_finite()));
    assert!(model.prior(60).expect("known") < 1e-15);
    assert!(model.table().is_ok());
}

/// The curves m(t) of the closed-form denoiser give its closed-form terms.
#[test]
fn analytic_statistics_give_closed_form_terms() {
    for (name, steps) in [
        (NoiseScheduleName::Linear, 300),
        (NoiseScheduleName::Cosine, 400),
    ] {
        let run = setup(name, steps, vec![1], true, spread).run();
        let model = &run.model;
        let mse: Vec<f64> = (1..=steps).map(|t| model.mse(t)).collect();
        let curves = Curves::from_mse(&run.schedule, &mse)
            .and_then(|c| c.with_x0_mean_square(model.x0_mean_square()))
            .expect("valid");
        let kinds = [
            VarianceKind::FixedSmall,
            VarianceKind::FixedLarge,
            VarianceKind::Analytic,
        ];
        for kind in kinds {
            let cost =
                cost_model(&curves, kind, DecoderKind::None, Objective::Elbo).expect("valid");
            for t in 2..=steps {
                for s in (1..t).step_by(7) {
                    let expected = model.term((t, s), kind).expect("closed form");
                    let found = cost.interior(t, s);
                    assert!(
                        (found - expected).abs() <= 1e-11 * expected.abs(),
                        "{kind} ({t}, {s}) {found} {expected}"
                    );
                }
                let prior = cost.prior(t).expect("known");
                assert!((prior - model.prior(t)).abs() < 1e-15);
            }
        }
    }
}
