//! Likelihood terms against their formulas as printed, and against each other.

use ddpm_core::{
    NoiseSchedule, NoiseScheduleName, StepVariance, analytic_variance, discretized_gaussian_nll,
    edge_nll, gaussian_nll, interior_fixed, interior_learned_pixel, learned_log_variance,
    nats_to_bits, prior_kl,
};
use proptest::prelude::*;

use crate::support::{any_interior_edge, any_schedule, relative};

proptest! {
    #[test]
    fn interior_equals_the_printed_formula(
        (schedule, t, s) in any_interior_edge(),
        log_ratio in -3.0..12.0_f64,
        mse in 0.0..2.0_f64,
    ) {
        let step = schedule.transition(t, s);
        let log_variance = step.log_posterior_variance + log_ratio;
        let (variance, btilde) = (log_variance.exp(), step.posterior_variance);
        let printed = 0.5
            * (-1.0 + log_variance - btilde.ln() + btilde / variance
                + step.coef_x0.powi(2) * mse / variance);
        let found = interior_fixed(&step, log_variance, mse);
        prop_assert!((found - printed).abs() < 1e-12 * (1.0 + printed.abs()), "{found} {printed}");
        prop_assert!(found >= 0.0);
    }

    #[test]
    fn fixed_small_is_the_snr_form((schedule, t, s) in any_interior_edge(), mse in 0.0..2.0_f64) {
        let step = schedule.transition(t, s);
        let found = interior_fixed(&step, step.log_posterior_variance, mse);
        prop_assert!(relative(found, 0.5 * step.snr_gain * mse) < 1e-15);
    }

    #[test]
    fn learned_range_meets_both_ends((schedule, t, s) in any_interior_edge(), square in 0.0..4.0_f64) {
        let step = schedule.transition(t, s);
        let small = interior_fixed(&step, step.log_posterior_variance, square);
        prop_assert_eq!(interior_learned_pixel(&step, 0.0, square), small);
        let large = interior_fixed(&step, step.log_beta, square);
        let learned = interior_learned_pixel(&step, 1.0, square);
        prop_assert!((learned - large).abs() <= 1e-12 * (1.0 + large), "{learned} {large}");
    }

    #[test]
    fn analytic_variance_is_optimal(
        (schedule, t, s) in any_interior_edge(),
        mse in 1e-6..2.0_f64,
        shift in -1.0..1.0_f64,
    ) {
        let step = schedule.transition(t, s);
        let best = analytic_variance(&step, mse).ln();
        let optimum = interior_fixed(&step, best, mse);
        let expected = 0.5 * (step.snr_gain * mse).ln_1p();
        prop_assert!((optimum - expected).abs() < 1e-13 * (1.0 + expected));
        for other in [best + shift, step.log_posterior_variance, step.log_beta] {
            prop_assert!(optimum <= interior_fixed(&step, other, mse) + 1e-14);
        }
    }

    #[test]
    fn edge_is_the_mean_of_its_pixels(
        (schedule, t, s) in any_interior_edge(),
        pixels in prop::collection::vec((-1.0..1.0_f64, -1.0..1.0_f64, -0.3..1.3_f64), 1..40),
    ) {
        let (x0, estimate): (Vec<f64>, Vec<f64>) = pixels.iter().map(|p| (p.0, p.1)).unzip();
        let v: Vec<f64> = pixels.iter().map(|p| p.2).collect();
        let count = pixels.len() as f64;
        let step = schedule.transition(t, s);
        let decoder = schedule.log_one_minus_alpha_bar(s);

        let learned = edge_nll(&step, decoder, StepVariance::Learned(&v), &x0, &estimate);
        let mean: f64 = pixels
            .iter()
            .map(|&(x, e, v)| interior_learned_pixel(&step, v, (x - e).powi(2)))
            .sum::<f64>() / count;
        prop_assert!((learned - mean).abs() <= 1e-12 * mean);

        let fixed = StepVariance::LogVariance(step.log_beta);
        let mse = pixels.iter().map(|&(x, e, _)| (x - e).powi(2)).sum::<f64>() / count;
        let fixed = edge_nll(&step, decoder, fixed, &x0, &estimate);
        prop_assert_eq!(fixed, interior_fixed(&step, step.log_beta, mse));

        let last = schedule.transition(s, 0);
        let learned = edge_nll(&last, decoder, StepVariance::Learned(&v), &x0, &estimate);
        let mean: f64 = pixels
            .iter()
            .map(|&(x, e, v)| {
                let log_variance = learned_log_variance(v, last.log_beta, decoder);
                discretized_gaussian_nll(x, e, 0.5 * log_variance)
            })
            .sum::<f64>() / count;
        prop_assert!((learned - mean).abs() <= 1e-12 * mean);
        // The marginal variance is both ends of this range, whatever v is.
        let fixed = StepVariance::LogVariance(decoder);
        let fixed = edge_nll(&last, decoder, fixed, &x0, &estimate);
        let learned = edge_nll(&last, last.log_beta, StepVariance::Learned(&v), &x0, &estimate);
        prop_assert!((fixed - learned).abs() <= 1e-9 * fixed.abs().max(1.0), "{fixed} {learned}");
    }

    #[test]
    fn prior_equals_the_printed_formula(schedule in any_schedule(), mean_square in 0.0..2.0_f64) {
        for t in [1, schedule.train_steps()] {
            let (signal, noise) = (schedule.alpha_bar(t), schedule.one_minus_alpha_bar(t));
            let printed = 0.5 * (-1.0 - noise.ln() + noise + signal * mean_square);
            let found = prior_kl(&schedule, t, mean_square);
            prop_assert!((found - printed).abs() < 1e-14 * (1.0 + printed), "{found} {printed}");
            prop_assert!(found >= 0.0);
        }
    }

    #[test]
    fn decoder_equals_the_printed_rules(
        byte in 0_u8..=255,
        mean in -1.2..1.2_f64,
        log_scale in -6.0..1.0_f64,
    ) {
        let x0 = f64::from(byte) / 127.5 - 1.0;
        let cdf = |y: f64| {
            0.5 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (y + 0.044715 * y.powi(3))).tanh())
        };
        let upper = cdf((-log_scale).exp() * (x0 - mean + 1.0 / 255.0));
        let lower = cdf((-log_scale).exp() * (x0 - mean - 1.0 / 255.0));
        let probability = match byte {
            0 => upper,
            255 => 1.0 - lower,
            _ => upper - lower,
        };
        let found = (-discretized_gaussian_nll(x0, mean, log_scale)).exp();
        // As printed the difference is good to a unit in the last place of 1.
        prop_assert!((found - probability.max(1e-12)).abs() < 1e-15 + 1e-13 * probability);
    }
}

#[test]
fn small_terms_keep_their_digits() {
    // A ratio of variances of 1 + 1e-6 costs 1/4 (1e-6)^2, which the printed formula cannot resolve.
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 4000).unwrap();
    let step = schedule.transition(3000, 2999);
    let found = interior_learned_pixel(&step, 1e-6 / step.log_variance_ratio, 0.0);
    assert!(
        relative(found, 0.25e-12 * (1.0 - 1e-6 / 3.0)) < 1e-9,
        "{found:e}"
    );
    // The prior of an almost signal-free end is alpha_bar^2 / 4.
    let schedule = NoiseSchedule::from_alpha_bar(&[1e-9]).unwrap();
    assert!(relative(prior_kl(&schedule, 1, 0.0), 0.25e-18) < 1e-8);
}

#[test]
fn decoder_probabilities_sum_to_one() {
    for (mean, log_scale) in [(0.0, -3.0), (0.93, -1.0), (-1.0, -5.0), (0.2, 0.5)] {
        let total: f64 = (0_u8..=255)
            .map(|byte| {
                let x0 = f64::from(byte) / 127.5 - 1.0;
                (-discretized_gaussian_nll(x0, mean, log_scale)).exp()
            })
            .sum();
        // Every bin that is clamped adds up to 1e-12.
        assert!(
            (total - 1.0).abs() < 1e-9,
            "mean {mean} log-scale {log_scale}: {total}"
        );
    }
}

#[test]
fn decoder_is_clamped_and_never_nan() {
    let floor = -(1e-12_f64).ln();
    for x0 in [-1.0, 0.0, 0.5, 1.0] {
        for log_scale in [-1e4, -400.0, -200.0, -100.0, -20.0] {
            assert!(discretized_gaussian_nll(x0, x0, log_scale).abs() < 1e-12);
            let missed = discretized_gaussian_nll(x0, x0 * -0.5 + 0.3, log_scale);
            assert!(
                (missed - floor).abs() < 1e-12,
                "x0 {x0} log-scale {log_scale}: {missed}"
            );
        }
    }
    assert!((discretized_gaussian_nll(0.0, 0.0, 1e4) - floor).abs() < 1e-12);
}

#[test]
fn what_is_not_a_number_stays_visible() {
    for x0 in [-1.0, 0.0, 1.0] {
        assert!(discretized_gaussian_nll(x0, f64::NAN, -2.0).is_nan());
        assert!(discretized_gaussian_nll(x0, 0.0, f64::NAN).is_nan());
    }
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 100).unwrap();
    for s in [0, 20] {
        let step = schedule.transition(50, s);
        let fixed = StepVariance::LogVariance(-1.0);
        assert!(edge_nll(&step, -1.0, fixed, &[0.0], &[f64::NAN]).is_nan());
        let learned = StepVariance::Learned(&[f64::NAN]);
        assert!(edge_nll(&step, -1.0, learned, &[0.0], &[0.0]).is_nan());
    }
}

#[test]
fn discretized_decoder_tends_to_the_density() {
    // With wide scales a bin holds its width, 2/255, times the density.
    let (x0, mean, log_variance) = (0.1, 0.15, -4.0);
    let density = gaussian_nll((x0 - mean) * (x0 - mean), log_variance) - (2.0_f64 / 255.0).ln();
    let bin = discretized_gaussian_nll(x0, mean, 0.5 * log_variance);
    assert!((bin - density).abs() < 2e-3, "{bin} {density}");
}

#[test]
fn edges_to_clean_data_have_no_interior_term() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 100).unwrap();
    let step = schedule.transition(7, 0);
    assert_eq!(interior_fixed(&step, step.log_beta, 0.1), f64::INFINITY);
    assert_eq!(interior_learned_pixel(&step, 0.5, 0.1), f64::INFINITY);
    assert_eq!(prior_kl(&schedule, 0, 0.1), f64::INFINITY);
    assert_eq!(analytic_variance(&step, 0.1), 0.1);
}

#[test]
fn extreme_variances_are_infinite_not_nan() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 100).unwrap();
    let step = schedule.transition(50, 20);
    assert_eq!(interior_fixed(&step, -1e4, 0.0), f64::INFINITY);
    assert_eq!(interior_learned_pixel(&step, -1e6, 0.0), f64::INFINITY);
    assert_eq!(interior_fixed(&step, f64::INFINITY, 0.0), f64::INFINITY);
}

#[test]
fn bits_are_nats_over_ln_two() {
    assert_eq!(nats_to_bits(std::f64::consts::LN_2), 1.0);
}

/// The outermost bins are open, and begin beyond 0.999 on either side: at the edges themselves they have not begun.
#[test]
fn the_outermost_bins_begin_beyond_their_edges() {
    for side in [-1.0, 1.0] {
        let nll = |x0: f64| discretized_gaussian_nll(side * x0, side * 0.5, -2.0);
        let (inside, edge, outside) = (nll(0.999 - 1e-9), nll(0.999), nll(0.999 + 1e-9));
        assert!((edge - inside).abs() < 1e-6, "{side}: {edge} {inside}");
        // All of the tail belongs to the open bin.
        assert!(edge - outside > 0.3, "{side}: {edge} {outside}");
    }
}
