//! The closed-form Gaussian: exact when fed the analytic statistics, within Monte-Carlo error when measured.

use ddpm_core::{DecoderKind, NoiseSchedule, NoiseScheduleName, Objective, TimePath, VarianceKind};
use ddpm_dp::{CostTable, SolveOptions, Start, solve};
use ddpm_profile::{Curves, ProfileLayout, jackknife};

use crate::student::{half_width, student_t_quantile};
use crate::support::{Run, Setup, cost_model, spread};

fn run(steps: usize, timesteps: Vec<usize>, images: usize, seed: u64) -> Run {
    Setup {
        schedule: NoiseSchedule::named(NoiseScheduleName::Cosine, steps).expect("valid"),
        shape: [1, 4, 4],
        v: Some(spread),
        timesteps,
        clip: false,
        images,
        first_image: 0,
        eight_bit: false,
        seed,
    }
    .run()
}

#[test]
fn optimal_schedules_are_those_of_the_closed_form() {
    let steps = 80;
    let run = run(steps, vec![1], 1, 1);
    let closed = &run.model;
    let mse: Vec<f64> = (1..=steps).map(|t| closed.mse(t)).collect();
    let curves = Curves::from_mse(&run.schedule, &mse).expect("valid");
    let kinds = [
        VarianceKind::FixedSmall,
        VarianceKind::FixedLarge,
        VarianceKind::Analytic,
    ];
    for kind in kinds {
        let model =
            cost_model(&curves, kind, DecoderKind::Gaussian, Objective::Elbo).expect("valid");
        let term = |t: usize, s: usize| closed.term((t, s), kind).expect("closed form");
        let respaced = |t: usize, next| {
            closed.decoder(
                t,
                ddpm_core::respaced_decoder_log_variance(&run.schedule, t, next),
            )
        };
        let mut start = Start {
            cost: vec![f64::INFINITY; steps + 1],
            first: vec![0; steps + 1],
        };
        for t in 2..=steps {
            for s in 1..t {
                let cost = respaced(s, Some(t)) + term(t, s);
                if cost < start.cost[t] {
                    (start.cost[t], start.first[t]) = (cost, s);
                }
            }
        }
        let expected = CostTable::from_fn(steps, |t, s| {
            if s == 0 {
                respaced(t, None)
            } else {
                term(t, s)
            }
        })
        .and_then(|table| table.with_start(start))
        .expect("numbers");
        let found = model.table().expect("numbers");
        let (a, b) = (
            solve(&found, &SolveOptions::default()),
            solve(&expected, &SolveOptions::default()),
        );
        let (a, b) = (a.expect("solvable"), b.expect("solvable"));
        for k in 1..=steps {
            assert!(
                (a.cost(k, steps) - b.cost(k, steps)).abs()
                    < 1e-12 * b.cost(k, steps).abs().max(1.0),
                "{kind} {k}"
            );
            assert_eq!(
                a.path(&found, k, steps),
                b.path(&expected, k, steps),
                "{kind} {k}"
            );
        }
    }
}

#[test]
fn measured_terms_agree_with_the_closed_form_within_their_error_bars() {
    let timesteps = vec![1, 3, 10, 25, 40, 60, 79, 80];
    let run = run(80, timesteps.clone(), 320, 4);
    let profile = run.profile(ProfileLayout::DEFAULT_NODES, 10);
    let edges: Vec<(usize, usize)> = timesteps
        .iter()
        .flat_map(|&t| {
            timesteps
                .iter()
                .filter(move |&&s| s < t)
                .map(move |&s| (t, s))
        })
        .collect();
    for kind in [
        VarianceKind::Learned,
        VarianceKind::FixedSmall,
        VarianceKind::FixedLarge,
    ] {
        let estimates = jackknife(&profile, |curves| {
            let model = cost_model(curves, kind, DecoderKind::None, Objective::Elbo)?;
            Ok(edges.iter().map(|&(t, s)| model.interior(t, s)).collect())
        })
        .expect("blocks");
        for (estimate, &edge) in estimates.iter().zip(&edges) {
            let exact = run.model.term(edge, kind).expect("closed form");
            let off = (estimate.value - exact).abs() / estimate.standard_error;
            assert!(
                off < 4.5,
                "{kind} {edge:?}: {} is {off} standard errors from {exact}",
                estimate.value
            );
        }
    }
}

/// For a linear statistic the jackknife is the standard error of the mean of the blocks.
#[test]
fn the_jackknife_of_a_linear_statistic_is_exact() {
    let run = run(80, vec![1, 3, 10, 25, 40, 60, 79, 80], 64, 9);
    let path = TimePath::new([3, 25, 60, 80], 80).expect("a path");
    let cost = |curves: &Curves| {
        let model = cost_model(
            curves,
            VarianceKind::Learned,
            DecoderKind::Respaced,
            Objective::Elbo,
        )?;
        Ok(vec![model.path_cost(&path)])
    };
    let profile = run.profile(ProfileLayout::DEFAULT_NODES, 2);
    let found = jackknife(&profile, cost).expect("blocks")[0];
    let of_block: Vec<f64> = (0..32)
        .map(|i| cost(&Curves::of_blocks(&profile, [i]).expect("a block")).expect("valid")[0])
        .collect();
    let mean = of_block.iter().sum::<f64>() / 32.0;
    let variance = of_block.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / 31.0;
    assert_eq!(found.blocks, 32);
    assert!((found.value - mean).abs() < 1e-10);
    let exact = (variance / 32.0).sqrt();
    assert!(
        (found.standard_error / exact - 1.0).abs() < 1e-8,
        "{} {exact}",
        found.standard_error
    );
    assert!((half_width(&found, 0.95) / found.standard_error - 2.0395).abs() < 1e-3);

    // Blocks of unequal size: 64 images in blocks of 3, the last one has one image.
    let uneven = jackknife(&run.profile(ProfileLayout::DEFAULT_NODES, 3), cost).expect("blocks")[0];
    assert!((uneven.value - found.value).abs() < 1e-10);
    assert!((uneven.standard_error / exact - 1.0).abs() < 0.5);
    // One block says nothing about its own error.
    let one = jackknife(&run.profile(ProfileLayout::DEFAULT_NODES, 64), cost).expect("a block")[0];
    assert!(one.standard_error.is_nan());
}

/// Intervals of Student's t hold the true value about as often as they say, also for a statistic that is not linear.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn intervals_cover() {
    let t = 30;
    let (mut linear, mut analytic) = (0, 0);
    let runs = 300;
    for seed in 0..runs {
        let run = run(80, vec![t], 32, 100 + seed);
        let estimates = jackknife(&run.profile(ProfileLayout::MIN_NODES, 2), |curves| {
            let model = cost_model(
                curves,
                VarianceKind::Analytic,
                DecoderKind::None,
                Objective::Elbo,
            )?;
            Ok(vec![curves.mse()[t], model.interior(t, 10)])
        })
        .expect("blocks");
        let covers = |i: usize, exact: f64| {
            let e: &ddpm_profile::Estimate = &estimates[i];
            usize::from((e.value - exact).abs() <= half_width(e, 0.9))
        };
        linear += covers(0, run.model.mse(t));
        analytic += covers(
            1,
            run.model
                .term((t, 10), VarianceKind::Analytic)
                .expect("closed form"),
        );
    }
    // 90% of 300 with a standard deviation of 5.2; pixel errors are skewed, so a little less is fine.
    assert!((250..=288).contains(&linear), "{linear}");
    assert!((250..=288).contains(&analytic), "{analytic}");
    assert!((student_t_quantile(0.95, 15.0) - 1.753_050).abs() < 1e-5);
}
