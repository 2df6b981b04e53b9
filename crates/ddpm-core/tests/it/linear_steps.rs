//! The coefficients of the samplers' steps: what they are equal to, and what they keep.

use ddpm_core::{Error, LinearStep, NoiseSchedule, NoiseScheduleName, clipped_noise_limit};
use proptest::prelude::*;

use crate::support::{any_interior_edge, any_schedule, relative};

proptest! {
    /// A perfect estimate of the data, at both nodes, leads to the mean and the variance of the marginal at s: the noise
    /// kept and the noise added make up 1 - alpha_bar_s.
    #[test]
    fn perfect_estimates_keep_the_marginal((schedule, t, s) in any_interior_edge(), eta in 0.0..=1.0_f64) {
        let edge = schedule.transition(t, s);
        let mut steps = vec![
            LinearStep::ancestral(&edge, edge.log_posterior_variance),
            LinearStep::ddim(&schedule, t, s, eta).unwrap(),
            LinearStep::dpm_solver_2m(&schedule, None, t, s),
        ];
        let last = schedule.train_steps();
        if t < last {
            steps.push(LinearStep::dpm_solver_2m(&schedule, Some(t + 1), t, s));
            steps.push(LinearStep::dpm_solver_2m(&schedule, Some(last), t, s));
        }
        for step in steps {
            let signal = step.from_x_t * schedule.alpha_bar(t).sqrt() + step.from_xhat0 + step.from_history[0];
            // What is added and taken away again costs digits.
            let size = 1.0 + step.from_history[0].abs();
            prop_assert!((signal - schedule.alpha_bar(s).sqrt()).abs() < 1e-12 * size, "{step:?}");
            let kept = step.from_x_t.powi(2) * schedule.one_minus_alpha_bar(t);
            let noise = kept + step.noise.powi(2);
            prop_assert!(relative(noise, schedule.one_minus_alpha_bar(s)) < 1e-11, "{step:?} {noise}");
        }
    }

    #[test]
    fn ddim_goes_from_dpm_solver_to_the_ancestral_step((schedule, t, s) in any_interior_edge()) {
        let edge = schedule.transition(t, s);
        let pairs = [
            (
                LinearStep::ddim(&schedule, t, s, 1.0).unwrap(),
                LinearStep::ancestral(&edge, edge.log_posterior_variance),
            ),
            (
                LinearStep::ddim(&schedule, t, s, 0.0).unwrap(),
                LinearStep::dpm_solver_2m(&schedule, None, t, s),
            ),
        ];
        for (a, b) in pairs {
            for (a, b) in [
                (a.from_x_t, b.from_x_t),
                (a.from_xhat0, b.from_xhat0),
                (a.from_history[0], b.from_history[0]),
                (a.noise, b.noise),
            ] {
                prop_assert!(relative(a, b) < 1e-9, "({t}, {s}): {a} {b}");
            }
        }
    }

    /// Every sampler shows the mean at the end, exactly, whatever came before.
    #[test]
    fn the_last_step_is_the_estimate(schedule in any_schedule(), fraction in 0.0..1.0_f64, eta in 0.0..=1.0_f64) {
        let last = schedule.train_steps();
        let t = 1 + (fraction * (last - 1) as f64) as usize;
        let previous = (t < last).then_some(last);
        for step in [
            LinearStep::ancestral(&schedule.transition(t, 0), 3.0),
            LinearStep::ddim(&schedule, t, 0, eta).unwrap(),
            LinearStep::dpm_solver_2m(&schedule, previous, t, 0),
        ] {
            let mut x = [0.0];
            step.apply(&[7.0], &[0.3], &[], &[], &mut x);
            prop_assert_eq!(x, [0.3], "{:?}", step);
        }
    }
}

/// Second order: a data prediction that is linear in lambda is followed exactly up to third order of the step, where first
/// order leaves an error of second order.
#[test]
fn two_estimates_follow_a_slope() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 4000).unwrap();
    let lambda = |t: usize| 0.5 * schedule.log_snr(t);
    let estimate = |t: usize| 0.3 + 0.2 * lambda(t);
    // x_s / sigma_s - x_t / sigma_t is the integral of e^lambda times the estimate.
    let integral = |t: usize, s: usize| {
        let primitive = |t: usize| lambda(t).exp() * (0.1 + 0.2 * lambda(t));
        primitive(s) - primitive(t)
    };
    let error = |previous: Option<usize>, t: usize, s: usize| {
        let sigma = |t: usize| schedule.one_minus_alpha_bar(t).sqrt();
        let step = LinearStep::dpm_solver_2m(&schedule, previous, t, s);
        let mut x_s = [0.0];
        let before = previous.map_or(0.0, estimate);
        step.apply(&[0.0], &[estimate(t)], &[&[before]], &[], &mut x_s);
        (x_s[0] / sigma(s) - integral(t, s)).abs()
    };
    for (previous, t, s) in [(2100, 2000, 1900), (2050, 2000, 1850), (2400, 2000, 1990)] {
        let (first, second) = (error(None, t, s), error(Some(previous), t, s));
        assert!(
            second < 0.05 * first,
            "({previous}, {t}, {s}): {first} {second}"
        );
    }
}

/// Where no signal is left there is no slope to measure, and eta beyond 1 has no kept noise.
#[test]
fn the_ends_of_the_ranges() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000)
        .unwrap()
        .zero_terminal_snr();
    let first = LinearStep::dpm_solver_2m(&schedule, None, 1000, 600);
    assert_eq!(first.from_xhat0, schedule.alpha_bar(600).sqrt());
    let second = LinearStep::dpm_solver_2m(&schedule, Some(1000), 600, 300);
    assert_eq!(second, LinearStep::dpm_solver_2m(&schedule, None, 600, 300));
    for eta in [-0.1, 1.0001, f64::NAN] {
        let error = LinearStep::ddim(&schedule, 600, 300, eta).unwrap_err();
        assert!(
            matches!(error, Error::InvalidParameter { what: "eta", .. }),
            "{error}"
        );
    }
}

/// E|sigma z| of the limit is the number of levels, as Analytic-DPM's appendix has it.
#[test]
fn the_noise_limit_is_in_levels() {
    let mean_absolute_normal = (2.0 / std::f64::consts::PI).sqrt();
    for levels in [0.0, 1.0, 2.0] {
        let moved = clipped_noise_limit(levels) * mean_absolute_normal;
        assert!((moved - levels * 2.0 / 255.0).abs() < 1e-16);
    }
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000).unwrap();
    let step = LinearStep::ddim(&schedule, 900, 500, 1.0).unwrap();
    let clipped = step.with_noise_at_most(clipped_noise_limit(1.0));
    assert_eq!(clipped.noise, clipped_noise_limit(1.0));
    assert_eq!(clipped.from_x_t, step.from_x_t);
    assert_eq!(step.with_noise_at_most(10.0), step);
}
