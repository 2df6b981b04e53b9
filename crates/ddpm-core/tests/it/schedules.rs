//! Noise schedules.

use ddpm_core::{BetaCurve, Error, NoiseSchedule, NoiseScheduleName, Parameterization, predict_x0};
use proptest::prelude::*;

use crate::support::{NAMED, any_schedule, relative};

#[test]
fn named_schedules_have_their_published_betas() {
    let beta = |name, train_steps, t: usize| {
        let schedule = NoiseSchedule::named(name, train_steps).unwrap();
        schedule.transition(t, t - 1).beta
    };
    let cases = [
        (NoiseScheduleName::Linear, 1000, 1, 1e-4),
        (NoiseScheduleName::Linear, 1000, 1000, 0.02),
        (NoiseScheduleName::Linear, 4000, 1, 2.5e-5),
        (NoiseScheduleName::Linear, 4000, 4000, 0.005),
        (NoiseScheduleName::LinearUnscaled, 4000, 1, 1e-4),
        (NoiseScheduleName::LinearUnscaled, 4000, 4000, 0.02),
        (NoiseScheduleName::ScaledLinear, 1000, 1, 0.00085),
        (NoiseScheduleName::ScaledLinear, 1000, 1000, 0.012),
        (NoiseScheduleName::Cosine, 4000, 4000, 0.999),
        (NoiseScheduleName::Sigmoid, 101, 51, (1e-4 + 0.02) / 2.0),
        (
            NoiseScheduleName::Sigmoid,
            1,
            1,
            1e-4 + 0.0199 / (1.0 + 6_f64.exp()),
        ),
        (NoiseScheduleName::LinearUnscaled, 1, 1, 1e-4),
    ];
    for (name, train_steps, t, expected) in cases {
        let found = beta(name, train_steps, t);
        // The step is a difference of logarithms, whose last digits are all that may differ.
        assert!(
            relative(found, expected) < 1e-11,
            "{name} T={train_steps} t={t}: {found}"
        );
    }
}

#[test]
fn accessors_agree_at_the_ends() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 50).unwrap();
    assert_eq!(schedule.alpha_bar(0), 1.0);
    assert_eq!(schedule.log_alpha_bar(0), 0.0);
    assert_eq!(schedule.one_minus_alpha_bar(0).to_bits(), 0.0_f64.to_bits());
    assert_eq!(schedule.log_one_minus_alpha_bar(0), f64::NEG_INFINITY);
    assert_eq!(schedule.snr(0), f64::INFINITY);
    assert_eq!(schedule.log_snr(0), f64::INFINITY);
    assert_eq!(schedule.log_alpha_bars().len(), 51);
}

#[test]
fn bad_schedules_are_errors() {
    let named = NoiseSchedule::named(NoiseScheduleName::Cosine, 0);
    assert_eq!(named, Err(Error::NoTrainSteps));
    assert_eq!(NoiseSchedule::from_betas(&[]), Err(Error::NoTrainSteps));
    assert_eq!(NoiseSchedule::from_alpha_bar(&[]), Err(Error::NoTrainSteps));
    assert_eq!(
        NoiseSchedule::from_log_alpha_bar(&[]),
        Err(Error::NoTrainSteps)
    );
    let short = NoiseSchedule::named(NoiseScheduleName::Linear, 19).unwrap_err();
    assert!(
        short
            .to_string()
            .contains("at least 20 training timesteps, found 19"),
        "{short}"
    );
    for beta in [0.0, -0.1, 1.0, 1.5, f64::NAN, f64::INFINITY] {
        let error = NoiseSchedule::from_betas(&[0.1, beta, 0.1]).unwrap_err();
        assert!(
            matches!(error, Error::InvalidBeta { t: 2, .. }),
            "{beta}: {error}"
        );
    }
    // A beta that rounding loses.
    let lost = NoiseSchedule::from_betas(&[0.5, 1e-20]);
    assert!(matches!(
        lost,
        Err(Error::AlphaBarNotDecreasing { t: 2, .. })
    ));
    for alpha_bar in [1.0, -0.1, 1.1, f64::NAN] {
        let error = NoiseSchedule::from_alpha_bar(&[alpha_bar]).unwrap_err();
        assert!(
            matches!(error, Error::InvalidAlphaBar { t: 1, .. }),
            "{alpha_bar}: {error}"
        );
    }
    let rising = NoiseSchedule::from_alpha_bar(&[0.5, 0.6]).unwrap_err();
    assert!(
        rising
            .to_string()
            .contains("does not decrease from timestep 1 to 2"),
        "{rising}"
    );
    assert!(NoiseSchedule::from_alpha_bar(&[0.5, 0.0, 0.0]).is_err());
    assert!(NoiseSchedule::from_log_alpha_bar(&[0.0]).is_err());
    assert!(NoiseSchedule::from_log_alpha_bar(&[-0.1, f64::NAN]).is_err());
}

#[test]
fn linear_at_its_minimum_ends_without_signal() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 20).unwrap();
    assert_eq!(schedule.alpha_bar(20), 0.0);
}

/// Lin et al. 2023, algorithm 1, as written.
fn zero_terminal_snr_as_written(alpha_bar: &[f64]) -> Vec<f64> {
    let root: Vec<f64> = alpha_bar.iter().map(|a| a.sqrt()).collect();
    let (first, last) = (root[0], root[root.len() - 1]);
    root.iter()
        .map(|r| ((r - last) * first / (first - last)).powi(2))
        .collect()
}

#[test]
fn zero_terminal_snr_is_the_published_rescaling() {
    for name in NAMED {
        let schedule = NoiseSchedule::named(name, 1000).unwrap();
        let alpha_bar: Vec<f64> = (1..=1000).map(|t| schedule.alpha_bar(t)).collect();
        let rescaled = schedule.zero_terminal_snr();
        for (i, expected) in zero_terminal_snr_as_written(&alpha_bar)
            .into_iter()
            .enumerate()
        {
            let found = rescaled.alpha_bar(i + 1);
            // The form as written loses its digits towards the end.
            assert!(
                (found - expected).abs() < 1e-15 + 1e-10 * expected,
                "{name} t={}",
                i + 1
            );
        }
        assert_eq!(rescaled.log_alpha_bar(1), schedule.log_alpha_bar(1));
    }
}

#[test]
fn without_signal_the_last_step_is_pure_noise() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 100)
        .unwrap()
        .zero_terminal_snr();
    assert_eq!(schedule.alpha_bar(100), 0.0);
    assert_eq!(schedule.snr(100), 0.0);
    assert_eq!(schedule.log_snr(100), f64::NEG_INFINITY);
    assert_eq!(ddpm_core::prior_kl(&schedule, 100, 0.3), 0.0);
    let step = schedule.transition(100, 60);
    assert_eq!((step.alpha, step.beta, step.coef_xt), (0.0, 1.0, 0.0));
    assert_eq!(step.posterior_variance, schedule.one_minus_alpha_bar(60));
    assert!(relative(step.snr_gain, schedule.snr(60)) < 1e-15);
    assert!(
        relative(
            step.log_variance_ratio,
            -schedule.log_one_minus_alpha_bar(60)
        ) < 1e-15
    );
    let whole = schedule.transition(100, 0);
    assert_eq!((whole.coef_x0, whole.posterior_variance), (1.0, 0.0));

    let mut dst = [0.0];
    let mut predict = |kind, t| predict_x0(kind, &schedule, t, &[0.4], &[0.3], false, &mut dst);
    let refused = predict(Parameterization::Epsilon, 100);
    assert_eq!(refused, Err(Error::EpsilonWithoutSignal { t: 100 }));
    assert_eq!(predict(Parameterization::Epsilon, 99), Ok(()));
    assert_eq!(predict(Parameterization::X0, 100), Ok(()));
    assert_eq!(predict(Parameterization::V, 100), Ok(()));
    assert_eq!(f64::from(-0.3_f32), dst[0]);
}

#[test]
fn one_timestep_is_a_schedule() {
    let schedule = NoiseSchedule::from_betas(&[0.3]).unwrap();
    assert_eq!(schedule.train_steps(), 1);
    assert_eq!(schedule.zero_terminal_snr().alpha_bar(1), 0.0);
    assert_eq!(NoiseSchedule::from_betas(&[1.0]).unwrap().alpha_bar(1), 0.0);
}

proptest! {
    #[test]
    fn schedules_lose_signal_at_every_step(schedule in any_schedule()) {
        for t in 1..=schedule.train_steps() {
            prop_assert!(schedule.log_alpha_bar(t) < schedule.log_alpha_bar(t - 1));
            prop_assert!(schedule.one_minus_alpha_bar(t) >= schedule.one_minus_alpha_bar(t - 1));
            prop_assert!(schedule.log_snr(t) < schedule.log_snr(t - 1));
            let total = schedule.alpha_bar(t) + schedule.one_minus_alpha_bar(t);
            prop_assert!((total - 1.0).abs() < 1e-15);
        }
    }

    #[test]
    fn logarithms_rebuild_the_schedule_bit_for_bit(schedule in any_schedule()) {
        let logs = &schedule.log_alpha_bars()[1..];
        prop_assert_eq!(NoiseSchedule::from_log_alpha_bar(logs).unwrap(), schedule);
    }

    #[test]
    fn betas_and_products_are_the_same_schedule(betas in prop::collection::vec(1e-4..0.5_f64, 1..60)) {
        let schedule = NoiseSchedule::from_betas(&betas).unwrap();
        let products: Vec<f64> = betas
            .iter()
            .scan(1.0, |product, beta| { *product *= 1.0 - beta; Some(*product) })
            .collect();
        let other = NoiseSchedule::from_alpha_bar(&products).unwrap();
        for t in 1..=betas.len() {
            prop_assert!(relative(schedule.alpha_bar(t), products[t - 1]) < 1e-13);
            prop_assert!(relative(other.alpha_bar(t), products[t - 1]) < 1e-13);
            prop_assert!(relative(schedule.transition(t, t - 1).beta, betas[t - 1]) < 1e-10);
        }
    }

    #[test]
    fn zero_terminal_snr_is_idempotent(schedule in any_schedule()) {
        let once = schedule.zero_terminal_snr();
        prop_assert_eq!(once.alpha_bar(once.train_steps()), 0.0);
        prop_assert_eq!(&once.zero_terminal_snr(), &once);
    }
}

#[test]
fn curves_between_the_usual_ends_have_names() {
    for (curve, start, end, name) in [
        (
            BetaCurve::Linear,
            1e-4,
            0.02,
            NoiseScheduleName::LinearUnscaled,
        ),
        (
            BetaCurve::ScaledLinear,
            0.00085,
            0.012,
            NoiseScheduleName::ScaledLinear,
        ),
        (BetaCurve::Sigmoid, 1e-4, 0.02, NoiseScheduleName::Sigmoid),
    ] {
        assert_eq!(NoiseScheduleName::of_curve(curve, start, end), Some(name));
        assert_eq!(NoiseScheduleName::of_curve(curve, start, 0.03), None);
        assert_eq!(
            NoiseSchedule::from_curve(curve, start, end, 300).unwrap(),
            NoiseSchedule::named(name, 300).unwrap()
        );
    }
    let schedule = NoiseSchedule::from_curve(BetaCurve::Linear, 0.1, 0.3, 3).unwrap();
    assert!((schedule.alpha_bar(3) - 0.9 * 0.8 * 0.7).abs() < 1e-15);
    assert!(NoiseSchedule::from_curve(BetaCurve::Linear, 0.1, 1.5, 3).is_err());
    assert!(NoiseSchedule::from_curve(BetaCurve::Linear, 0.1, 0.2, usize::MAX).is_err());
}
