//! Are the learned-variance columns resolved? The hold-out error is recorded, and costs are refused where they are not.

use ddpm_core::{DecoderKind, NoiseSchedule, NoiseScheduleName, Objective, VarianceKind};
use ddpm_profile::{Curves, Error, ProfileLayout};

use crate::support::{Fraction, Run, Setup, cost_model, normal, spread};

fn run(v: Fraction) -> Run {
    Setup {
        schedule: NoiseSchedule::named(NoiseScheduleName::Cosine, 4000).expect("valid"),
        shape: [3, 16, 16],
        v: Some(v),
        timesteps: vec![1, 2, 3, 4, 7, 16, 50, 200, 500, 1500, 3000, 3999, 4000],
        clip: true,
        images: 2,
        first_image: 0,
        eight_bit: true,
        seed: 3,
    }
    .run()
}

/// The recorded error, and the worst relative error of H + gain F over a fine sweep of s, measured directly.
fn errors(run: &Run, nodes: usize) -> (f64, f64) {
    let curves = Curves::from_profile(&run.profile(nodes, 1)).expect("blocks");
    let recorded = curves.interpolation_error();
    let Ok(model) = cost_model(
        &curves,
        VarianceKind::Learned,
        DecoderKind::None,
        Objective::Elbo,
    ) else {
        return (recorded, f64::NAN);
    };
    let mut worst = 0.0f64;
    for &t in &run.timesteps {
        for s in (1..t).step_by((t / 37).max(1)) {
            let direct = run.direct(t, s, None, f64::NAN);
            worst = worst.max((model.interior(t, s) - direct).abs() / direct);
        }
    }
    (recorded, worst)
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn realistic_v_pass_and_the_recorded_error_bounds_the_true_one() {
    // With the largest recorded error at the default number of nodes.
    let cases: [(&str, Fraction, f64); 7] = [
        ("uniform -0.3..1.3", spread, 1e-13),
        ("normal 0.5 +- 0.25", |i, _| 0.5 + 0.25 * normal(i), 1e-13),
        ("normal 0.3 +- 0.5", |i, _| 0.3 + 0.5 * normal(i), 1e-12),
        (
            "near 1.2",
            |i, n| 1.15 + 0.1 * (i % 97) as f64 / n as f64,
            1e-11,
        ),
        (
            "1% at -2",
            |i, n| if i % 100 == 7 { -2.0 } else { spread(i, n) },
            1e-10,
        ),
        (
            "1% at 3",
            |i, n| if i % 100 == 7 { 3.0 } else { spread(i, n) },
            1e-12,
        ),
        ("all 0", |_, _| 0.0, 1e-11),
    ];
    for (name, v, bound) in cases {
        let run = run(v);
        for nodes in [20, 24, 28, ProfileLayout::DEFAULT_NODES] {
            let (recorded, worst) = errors(&run, nodes);
            eprintln!("{name:20} n = {nodes}: recorded {recorded:.1e}, worst interior {worst:.1e}");
            // NaN: refused.
            assert!(
                worst.is_nan() || worst <= recorded.max(2e-14),
                "{name}: {worst:e} {recorded:e}"
            );
            assert_eq!(
                worst.is_nan(),
                recorded > Curves::MAX_INTERPOLATION_ERROR,
                "{name}"
            );
            if nodes == ProfileLayout::DEFAULT_NODES {
                assert!(recorded < bound, "{name}: {recorded:e}");
            }
        }
    }
}

#[test]
fn unresolved_columns_are_refused_with_what_to_do() {
    let run = run(|i, n| if i % 100 == 7 { -2.0 } else { spread(i, n) });
    let curves = Curves::from_profile(&run.profile(16, 2)).expect("blocks");
    let refused =
        |variances| cost_model(&curves, variances, DecoderKind::Respaced, Objective::Elbo).err();
    let error = refused(VarianceKind::Learned).expect("16 nodes are too few");
    assert!(
        matches!(
            error,
            Error::InterpolationError {
                nodes: 16,
                suggestion: 28..=40,
                ..
            }
        ),
        "{error}"
    );
    let text = error.to_string();
    for part in [
        "1e-9",
        "t = ",
        "v spans [-2.000",
        "16 chebyshev nodes",
        "profile again with more nodes",
    ] {
        assert!(text.contains(part), "{text}: {part}");
    }
    // What was advised helps.
    let Error::InterpolationError { suggestion, .. } = error else {
        unreachable!()
    };
    assert!(errors(&run, suggestion).0 < 1e-9);
    // The other variances do not need the columns.
    assert!(refused(VarianceKind::FixedSmall).is_none());
    assert!(refused(VarianceKind::Analytic).is_none());
    let direct = run.direct(
        500,
        50,
        Some(run.schedule.transition(500, 50).log_beta),
        f64::NAN,
    );
    let model = cost_model(
        &curves,
        VarianceKind::FixedLarge,
        DecoderKind::None,
        Objective::Elbo,
    )
    .expect("resolved");
    assert_eq!(model.scoring().variance, VarianceKind::FixedLarge);
    assert!((model.interior(500, 50) - direct).abs() < 1e-12 * direct);
}
