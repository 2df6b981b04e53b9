//! Parameterisations, diffusion and the ancestral step.

use ddpm_core::{
    Error, NoiseDomain, NoiseKey, NoiseSchedule, NoiseScheduleName, Parameterization, StepVariance,
    ancestral_step, diffuse, predict_x0, standard_normal,
};
use proptest::prelude::*;

use crate::support::{any_schedule, to_x0};

/// What a perfect network says.
fn perfect(kind: Parameterization, schedule: &NoiseSchedule, t: usize, x0: f64, noise: f64) -> f64 {
    match kind {
        Parameterization::Epsilon => noise,
        Parameterization::X0 => x0,
        Parameterization::V => {
            schedule.alpha_bar(t).sqrt() * noise - schedule.one_minus_alpha_bar(t).sqrt() * x0
        }
    }
}

proptest! {
    #[test]
    fn perfect_predictions_recover_the_data(
        schedule in any_schedule(),
        fraction in 0.0..1.0_f64,
        x0 in -1.0..1.0_f32,
        noise in -4.0..4.0_f32,
    ) {
        let t = 1 + (fraction * (schedule.train_steps() - 1) as f64) as usize;
        let mut x_t = [0.0];
        diffuse(&schedule, t, &[x0], &[noise], &mut x_t);
        let (x0, noise) = (f64::from(x0), f64::from(noise));
        for kind in [Parameterization::Epsilon, Parameterization::X0, Parameterization::V] {
            if kind == Parameterization::Epsilon && schedule.alpha_bar(t) == 0.0 {
                continue;
            }
            let out = perfect(kind, &schedule, t, x0, noise);
            let found = to_x0(kind, &schedule, t, x_t[0], out);
            let amplified = 1e-14 / schedule.alpha_bar(t).sqrt().max(1e-2);
            let tolerance = match kind {
                Parameterization::Epsilon => 1e-14 / schedule.alpha_bar(t).sqrt(),
                _ => amplified,
            };
            prop_assert!((found - x0).abs() <= tolerance, "{kind} t={t}: {found} {x0}");
            // The slice form is the same, from an f32 output.
            let mut estimate = [0.0];
            predict_x0(kind, &schedule, t, &x_t, &[out as f32], false, &mut estimate).unwrap();
            prop_assert_eq!(estimate[0], to_x0(kind, &schedule, t, x_t[0], f64::from(out as f32)));
            predict_x0(kind, &schedule, t, &x_t, &[out as f32], true, &mut estimate).unwrap();
            prop_assert!(estimate[0].abs() <= 1.0);
        }
    }
}

#[test]
fn bad_predictions_are_errors() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 10).unwrap();
    let predict = |t: usize, outputs: usize, estimates: usize| {
        let mut estimate = vec![0.0; estimates];
        let out = vec![0.0; outputs];
        predict_x0(
            Parameterization::V,
            &schedule,
            t,
            &[0.0; 3],
            &out,
            true,
            &mut estimate,
        )
    };
    assert_eq!(predict(10, 3, 3), Ok(()));
    for t in [0, 11] {
        assert_eq!(
            predict(t, 3, 3),
            Err(Error::TimestepOutOfRange { t, train_steps: 10 })
        );
    }
    let error = predict(1, 2, 3).unwrap_err().to_string();
    assert_eq!(error, "network output has 2 elements: expected 3");
    let error = predict(1, 3, 4).unwrap_err().to_string();
    assert_eq!(error, "estimate of x0 has 4 elements: expected 3");
}

#[test]
fn diffusion_keeps_clean_data_and_forgets_it_at_the_end() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 50)
        .unwrap()
        .zero_terminal_snr();
    let mut x_t = [0.0];
    diffuse(&schedule, 0, &[0.7], &[3.0], &mut x_t);
    assert_eq!(x_t, [f64::from(0.7_f32)]);
    diffuse(&schedule, 50, &[0.7], &[3.0], &mut x_t);
    assert_eq!(x_t, [3.0]);
}

#[test]
fn the_last_ancestral_step_is_the_estimate() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 50).unwrap();
    let step = schedule.transition(9, 0);
    let mut x_s = [0.0; 2];
    ancestral_step(
        &step,
        StepVariance::LogVariance(0.0),
        None,
        &[5.0, 6.0],
        &[0.1, -0.2],
        &[],
        &mut x_s,
    );
    assert_eq!(x_s, [0.1, -0.2]);
}

#[test]
fn learned_ancestral_steps_meet_both_ends() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 50).unwrap();
    let step = schedule.transition(30, 20);
    let (x_t, estimate, noise) = ([0.4, -1.2], [0.3, 0.2], [1.5, -0.5]);
    let run = |variance: StepVariance<'_>, limit: Option<f64>| {
        let mut x_s = [0.0; 2];
        ancestral_step(&step, variance, limit, &x_t, &estimate, &noise, &mut x_s);
        x_s
    };
    let small = run(StepVariance::LogVariance(step.log_posterior_variance), None);
    let large = run(StepVariance::LogVariance(step.log_beta), None);
    let mixed = StepVariance::Learned(&[0.0, 1.0]);
    assert_eq!(run(mixed, None), [small[0], large[1]]);
    assert_ne!(small, large);
    // The limit is one of each element: here between the two.
    let middle = 0.25 * (step.log_posterior_variance + step.log_beta);
    let clipped = run(mixed, Some(middle.exp()));
    assert_eq!(clipped[0], small[0]);
    let scalar = run(StepVariance::LogVariance(2.0 * middle), None);
    assert!((clipped[1] - scalar[1]).abs() < 1e-15);
    assert_ne!(clipped[1], large[1]);
    for variance in [mixed, StepVariance::LogVariance(step.log_beta)] {
        let mean = run(variance, Some(0.0));
        assert_eq!(
            mean,
            run(StepVariance::LogVariance(f64::NEG_INFINITY), None)
        );
    }
}

#[test]
fn ancestral_steps_with_the_data_itself_keep_the_marginals() {
    // With a perfect estimate and fixed-small variance, x_s follows q(x_s | x_0): many steps, one marginal.
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 100).unwrap();
    let count = 100_000;
    let key = |domain, step| NoiseKey {
        seed: 3,
        domain,
        stream: 0,
        step,
    };
    let normals = |key| {
        let mut noise = vec![0.0; count];
        standard_normal(key, &mut noise);
        noise
    };
    let x0 = vec![0.6_f32; count];
    let estimate = vec![f64::from(0.6_f32); count];
    let mut x = vec![0.0; count];
    diffuse(
        &schedule,
        90,
        &x0,
        &normals(key(NoiseDomain::Forward, 90)),
        &mut x,
    );
    for (t, s) in [(90, 70), (70, 40), (40, 12)] {
        let step = schedule.transition(t, s);
        let variance = StepVariance::LogVariance(step.log_posterior_variance);
        let mut next = vec![0.0; count];
        let noise = normals(key(NoiseDomain::Sampling, t as u32));
        ancestral_step(&step, variance, None, &x, &estimate, &noise, &mut next);
        x = next;
        let mean = x.iter().sum::<f64>() / count as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count as f64;
        let noise = schedule.one_minus_alpha_bar(s);
        let expected = schedule.alpha_bar(s).sqrt() * estimate[0];
        assert!(
            (mean - expected).abs() < 5.0 * (noise / count as f64).sqrt(),
            "s={s}: {mean}"
        );
        let error = noise * (2.0 / count as f64).sqrt();
        assert!(
            (variance - noise).abs() < 5.0 * error,
            "s={s}: {variance} {noise}"
        );
    }
}
