//! Tables, paths, certificates and objectives of a cost model.

use ddpm_core::{DecoderKind, NoiseSchedule, NoiseScheduleName, Objective, TimePath, VarianceKind};
use ddpm_dp::{SolveOptions, check_monge, solve};
use ddpm_profile::{CostModel, Curves, Frozen, ProfileLayout};
use ddpm_schedule::{GaussianDecoder, Kernel, Scoring};
use proptest::prelude::*;

use crate::monge::monge_exact;
use crate::support::{Run, Setup, cost_model, log_snr_timesteps, spread};

fn run(steps: usize, timesteps: Vec<usize>) -> Run {
    Setup {
        schedule: NoiseSchedule::named(NoiseScheduleName::Cosine, steps).expect("valid"),
        shape: [3, 8, 8],
        v: Some(spread),
        timesteps,
        clip: true,
        images: 4,
        first_image: 0,
        eight_bit: true,
        seed: 21,
    }
    .run()
}

fn curves(run: &Run) -> Curves {
    Curves::from_profile(&run.profile(ProfileLayout::DEFAULT_NODES, 2)).expect("blocks")
}

const ALL_VARIANCES: [VarianceKind; 4] = [
    VarianceKind::Learned,
    VarianceKind::FixedSmall,
    VarianceKind::FixedLarge,
    VarianceKind::Analytic,
];

const ALL_DECODERS: [DecoderKind; 5] = [
    DecoderKind::Respaced,
    DecoderKind::Marginal,
    DecoderKind::Optimal,
    DecoderKind::Gaussian,
    DecoderKind::None,
];

/// Whatever the conventions, the table's optimum is the sum of its path's terms to the last bit, and no other path is cheaper.
#[test]
fn tables_agree_with_paths() {
    // Evaluated timesteps, and interpolated ones between and beyond them.
    for timesteps in [(1..=40).collect(), vec![2, 3, 5, 9, 17, 30, 36]] {
        let run = run(40, timesteps);
        let curves = curves(&run);
        for variances in ALL_VARIANCES {
            for decoder in ALL_DECODERS {
                let model =
                    cost_model(&curves, variances, decoder, Objective::Elbo).expect("valid");
                let table = model.table().expect("numbers");
                let merged = matches!(decoder, DecoderKind::Respaced | DecoderKind::Gaussian);
                assert_eq!(table.start().is_some(), merged);
                for t in 1..=40 {
                    assert_eq!(table.edge(t, 0), model.decoder(t, None));
                    for s in 1..t {
                        assert_eq!(table.edge(t, s), model.interior(t, s), "({t}, {s})");
                        assert!(table.edge(t, s) >= 0.0, "({t}, {s})");
                    }
                }
                let solution = solve(&table, &SolveOptions::default()).expect("solvable");
                for k in 1..=40 {
                    let nodes = solution.path(&table, k, 40).expect("there is a path");
                    let path = TimePath::new(nodes, 40).expect("a path");
                    assert_eq!(model.path_cost(&path), solution.cost(k, 40), "{k}");
                    let sum: f64 = model.path_terms(&path).iter().sum();
                    assert!((sum - model.path_cost(&path)).abs() < 1e-13);
                }
                // Every path of two steps, priced directly.
                let best = (1..40)
                    .map(|t1| model.path_cost(&TimePath::new([t1, 40], 40).expect("a path")))
                    .fold(f64::INFINITY, f64::min);
                assert_eq!(solution.cost(2, 40), best);
            }
        }
    }
}

/// All paths of a short chain, enumerated: the merged start loses none of them.
#[test]
fn the_merged_start_is_exact() {
    let run = run(9, (1..=9).collect());
    let curves = curves(&run);
    for variances in ALL_VARIANCES {
        let model =
            cost_model(&curves, variances, DecoderKind::Respaced, Objective::Elbo).expect("valid");
        let table = model.table().expect("numbers");
        let solution = solve(&table, &SolveOptions::default()).expect("solvable");
        let mut best = [f64::INFINITY; 10];
        for subset in 0u32..1 << 8 {
            let nodes: Vec<usize> = (1..9)
                .filter(|t| subset >> (t - 1) & 1 == 1)
                .chain([9])
                .collect();
            let path = TimePath::new(nodes, 9).expect("a path");
            best[path.steps()] = best[path.steps()].min(model.path_cost(&path));
        }
        for k in 1..=9 {
            assert!((solution.cost(k, 9) - best[k]).abs() < 1e-14, "{k}");
        }
    }
}

#[test]
fn exact_monge_tests_agree_with_the_table() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 60).expect("valid");
    let curves: [fn(&NoiseSchedule, usize) -> f64; 5] = [
        // An ideal denoiser of Gaussian data: analytic and fixed-small are Monge.
        |s, t| 0.25 / (1.0 + 0.25 * s.snr(t)),
        // Not monotone.
        |s, t| 0.25 / (1.0 + 0.25 * s.snr(t)) * (1.0 + 0.2 * (t as f64).sin()),
        |_, _| 0.1,
        |s, t| s.one_minus_alpha_bar(t),
        // Worse than doing nothing.
        |s, t| 3.0 * s.one_minus_alpha_bar(t).powi(2),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (c, curve) in curves.into_iter().enumerate() {
        let mse: Vec<f64> = (1..=60).map(|t| curve(&schedule, t)).collect();
        let curves = Curves::from_mse(&schedule, &mse).expect("valid");
        for objective in [Objective::Elbo, Objective::Mse] {
            for &variances in &ALL_VARIANCES[1..] {
                let scoring = Scoring::new(variances)
                    .with_decoder(DecoderKind::None)
                    .with_objective(objective);
                let frozen = curves.freeze(&scoring).expect("valid");
                let exact = monge_exact(&curves, &frozen).expect("a test is known");
                let model = CostModel::new(&curves, frozen).expect("valid");
                let table = model.table().expect("numbers");
                let scale = (2..=60).map(|t| table.edge(t, 1)).fold(0.0, f64::max);
                let report = check_monge(&table, 1e-13 * scale);
                assert_eq!(
                    exact,
                    report.holds(),
                    "curve {c} {} {objective}: {report:?}",
                    variances
                );
                seen.insert((variances, exact));
            }
        }
    }
    // Both answers occur for every variance.
    assert_eq!(seen.len(), 6, "{seen:?}");
}

#[test]
fn no_exact_monge_test_for_learned_or_foreign_analytic() {
    let run = run(40, (1..=40).collect());
    let curves = curves(&run);
    let foreign: Vec<f64> = curves.mse().iter().map(|m| 1.01 * m).collect();
    let frozen = |variance| {
        let scoring = Scoring::new(variance).with_decoder(DecoderKind::None);
        curves.freeze(&scoring).expect("valid")
    };
    let learned = frozen(VarianceKind::Learned);
    let foreign = Frozen {
        mse: Some(foreign.into()),
        ..frozen(VarianceKind::Analytic)
    };
    for frozen in [learned, foreign] {
        assert_eq!(monge_exact(&curves, &frozen), None);
    }
}

/// On the set that m was estimated on, under one decoder, analytic is the best scalar variance edge by edge.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn analytic_is_never_worse_than_both_fixed_choices() {
    let run = run(
        400,
        log_snr_timesteps(
            &NoiseSchedule::named(NoiseScheduleName::Cosine, 400).expect("valid"),
            40,
        ),
    );
    let curves = curves(&run);
    let of = |v| cost_model(&curves, v, DecoderKind::Marginal, Objective::Elbo).expect("valid");
    let [_, small, large, analytic] = ALL_VARIANCES.map(of);
    for t in 2..=400 {
        for s in 1..t {
            let best = small.interior(t, s).min(large.interior(t, s));
            assert!(
                analytic.interior(t, s) <= best * (1.0 + 1e-12),
                "({t}, {s})"
            );
        }
    }
}

/// The optimal decoder is never worse than any respaced or marginal one with a scalar variance.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn the_optimal_decoder_is_optimal() {
    let run = run(400, vec![1, 2, 3, 5, 8, 30, 100, 399, 400]);
    let curves = curves(&run);
    let of = |d| cost_model(&curves, VarianceKind::FixedSmall, d, Objective::Elbo).expect("valid");
    let log_variance = curves.optimal_decoder_log_variance().expect("columns");
    let optimal = of(DecoderKind::Optimal);
    let (respaced, marginal) = (of(DecoderKind::Respaced), of(DecoderKind::Marginal));
    for t in 1..400 {
        let least = optimal.decoder(t, None);
        assert!(least <= marginal.decoder(t, None) + 1e-6);
        for next in t + 1..=400 {
            assert!(
                least <= respaced.decoder(t, Some(next)) + 1e-6,
                "{t} {next}"
            );
        }
    }
    // It is what the pixels say, and it is near log m where bins are narrow.
    let usual = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::Optimal);
    let frozen = curves.freeze(&usual).expect("valid");
    let scalar = Frozen {
        decoder_learned: None,
        decoder_log_variance: Some(log_variance[..].into()),
        ..frozen
    };
    let scalar = CostModel::new(&curves, scalar).expect("valid");
    for &t in &run.timesteps {
        let direct = run.direct(t, 0, Some(log_variance[t]), f64::NAN);
        assert!((scalar.decoder(t, None) - direct).abs() < 1e-3, "{t}");
        // The learned range is taken where it is better.
        assert!(optimal.decoder(t, None) <= scalar.decoder(t, None), "{t}");
    }
    assert!((log_variance[400] - curves.mse()[400].ln()).abs() < 0.7);
}

#[test]
fn mse_objective_is_the_weighted_error() {
    let run = run(40, (1..=40).collect());
    let curves = curves(&run);
    let model = cost_model(
        &curves,
        VarianceKind::FixedSmall,
        DecoderKind::Respaced,
        Objective::Mse,
    )
    .expect("valid");
    let mse = curves.mse();
    for (t, s) in [(40, 3), (7, 6)] {
        assert!((model.interior(t, s) - (t - s) as f64 / 40.0 * mse[t]).abs() < 1e-16);
    }
    let path = TimePath::new([5, 40], 40).expect("a path");
    let expected = 5.0 / 40.0 * mse[5] + 35.0 / 40.0 * mse[40];
    assert!((model.path_cost(&path) - expected).abs() < 1e-15);
    assert_eq!(model.prior(40), Some(0.0));
    assert!(model.table().expect("numbers").start().is_none());
}

#[test]
fn log_variances_are_those_of_the_steps() {
    let run = run(40, (1..=40).collect());
    let curves = curves(&run);
    let path = TimePath::new([4, 11, 40], 40).expect("a path");
    let edge = |t, s| run.schedule.transition(t, s);
    let optimal = curves.optimal_decoder_log_variance().expect("columns");
    for variances in ALL_VARIANCES {
        for decoder in ALL_DECODERS {
            let model = cost_model(&curves, variances, decoder, Objective::Elbo).expect("valid");
            let found = model.schedule_of(path.clone());
            assert_eq!((found.steps(), found.kernels.len()), (3, 3));
            assert_eq!(found.decoder, decoder);
            let interior = |t, s| match variances {
                VarianceKind::Learned => None,
                VarianceKind::FixedSmall => Some(edge(t, s).log_posterior_variance),
                VarianceKind::FixedLarge => Some(edge(t, s).log_beta),
                VarianceKind::Analytic => {
                    let e = edge(t, s);
                    Some((e.posterior_variance + e.coef_x0 * e.coef_x0 * curves.mse()[t]).ln())
                }
                other => unreachable!("{other} is no variance of the paper"),
            };
            let first = match (decoder, variances) {
                (DecoderKind::Respaced, VarianceKind::Learned) | (DecoderKind::None, _) => None,
                (DecoderKind::Respaced | DecoderKind::Gaussian, _) => {
                    Some(edge(11, 4).log_posterior_variance)
                }
                (DecoderKind::Marginal, _) => Some(run.schedule.log_one_minus_alpha_bar(4)),
                (DecoderKind::Optimal, _) => Some(optimal[4]),
            };
            // No number means two things: the network's own variance, or no density at all.
            let no_density = decoder == DecoderKind::None;
            assert_eq!(found.kernels[0] == Kernel::None, no_density);
            let expected = [first, interior(11, 4), interior(40, 11)];
            for (kernel, expected) in found.kernels.iter().zip(expected) {
                let found = kernel.log_variance();
                assert_eq!(found.is_some(), expected.is_some());
                let (found, expected) = (found.unwrap_or(0.0), expected.unwrap_or(0.0));
                assert!((found - expected).abs() < 1e-12);
            }
        }
    }
}

#[test]
fn what_the_curves_lack_is_named() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 60).expect("valid");
    let curves = Curves::from_mse(&schedule, &[0.1; 60]).expect("valid");
    fn message(model: ddpm_profile::Result<CostModel<'_>>) -> String {
        model.err().map(|e| e.to_string()).unwrap_or_default()
    }
    let new = |v, d| message(cost_model(&curves, v, d, Objective::Elbo));
    assert!(new(VarianceKind::Learned, DecoderKind::None).contains("variance learned"));
    for decoder in [DecoderKind::Respaced, DecoderKind::Marginal] {
        assert!(new(VarianceKind::FixedSmall, decoder).contains(&format!("decoder {decoder}")));
    }
    assert!(curves.optimal_decoder_log_variance().is_err());
    let of_mse = |mse: Option<Vec<f64>>| {
        let scoring = Scoring::new(VarianceKind::Analytic).with_decoder(DecoderKind::None);
        let frozen = Frozen {
            mse: mse.map(Into::into),
            ..scoring.into()
        };
        message(CostModel::new(&curves, frozen))
    };
    assert!(of_mse(Some(vec![0.1; 5])).contains("frozen mse: expected 61 values, found 5"));
    assert!(of_mse(None).contains("frozen mse: expected 61 values, found 0"));
    let mut bad = vec![0.1; 61];
    bad[7] = f64::NAN;
    assert!(of_mse(Some(bad)).contains("frozen mse at t = 7"));
    let gaussian = |gaussian| {
        let scoring = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::Gaussian);
        let scoring = Scoring {
            gaussian,
            ..scoring
        };
        message(CostModel::new(&curves, scoring.into()))
    };
    let bin_width = GaussianDecoder {
        bin_width: Some(0.0),
        first: None,
    };
    assert!(gaussian(bin_width).contains("bin width"));
    let first = GaussianDecoder {
        bin_width: None,
        first: Some(f64::NAN),
    };
    assert!(gaussian(first).contains("decoder term at t = 1"));
    assert_eq!(gaussian(GaussianDecoder::default()), "");
    let short = Curves::from_mse(&schedule, &[0.1; 3]).expect_err("too few");
    assert_eq!(short.to_string(), "mse: expected 60 values, found 3");
    let negative: Vec<f64> = (0..60).map(|i| if i == 4 { -0.1 } else { 0.1 }).collect();
    let error = Curves::from_mse(&schedule, &negative)
        .err()
        .map(|e| e.to_string())
        .unwrap_or_default();
    assert!(error.contains("mse at t = 5"), "{error}");
}

#[test]
fn out_of_range_edges_cost_infinity() {
    let run = run(40, (1..=40).collect());
    let curves = curves(&run);
    let model = cost_model(
        &curves,
        VarianceKind::Learned,
        DecoderKind::Respaced,
        Objective::Elbo,
    )
    .expect("valid");
    for (t, s) in [(3, 0), (3, 3), (3, 7), (41, 3)] {
        assert_eq!(model.interior(t, s), f64::INFINITY);
    }
    for (t, next) in [(0, None), (41, None), (5, Some(5)), (5, Some(41))] {
        assert_eq!(model.decoder(t, next), f64::INFINITY);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Interpolated curves stay between their neighbours in the form that is interpolated, and are exact where evaluated.
    #[test]
    #[cfg_attr(debug_assertions, ignore = "slow without optimisation: run with --release")]
    fn interpolation_is_monotone_between_evaluated_timesteps(seed in 0usize..1000) {
        let timesteps: Vec<usize> = (1..=40).filter(|t| (t * 7919 + seed * 31) % 5 < 2).collect();
        prop_assume!(timesteps.len() > 1);
        let run = run(40, timesteps.clone());
        let curves = curves(&run);
        let ratio = |t: usize| (curves.mse()[t] / run.schedule.one_minus_alpha_bar(t)).ln();
        for pair in timesteps.windows(2) {
            let (a, b) = (ratio(pair[0]), ratio(pair[1]));
            for t in pair[0]..=pair[1] {
                prop_assert!(ratio(t) >= a.min(b) - 1e-12 && ratio(t) <= a.max(b) + 1e-12);
                prop_assert_eq!(curves.evaluated()[t], t == pair[0] || t == pair[1]);
            }
        }
        // Constant beyond the ends.
        for t in 1..timesteps[0] {
            prop_assert!((ratio(t) - ratio(timesteps[0])).abs() < 1e-12);
        }
        let model = cost_model(&curves, VarianceKind::Learned, DecoderKind::Respaced, Objective::Elbo).expect("valid");
        for t in 2..=40 {
            for s in 1..t {
                let cost = model.interior(t, s);
                prop_assert!(cost > 0.0 && cost.is_finite());
            }
        }
    }
}
