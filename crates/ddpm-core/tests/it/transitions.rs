//! Transitions: the algebra of the forward chain.

use ddpm_core::{NoiseSchedule, RespacedChain, Stride, respaced_decoder_log_variance};
use proptest::prelude::*;

use crate::support::{any_interior_edge, any_schedule, relative};

proptest! {
    #[test]
    fn transitions_compose((schedule, t, s) in any_interior_edge()) {
        // q(x_t | x_0) is q(x_t | x_s) after q(x_s | x_0).
        let (upper, lower, whole) =
            (schedule.transition(t, s), schedule.transition(s, 0), schedule.transition(t, 0));
        prop_assert!(relative(upper.alpha * lower.alpha, whole.alpha) < 1e-12);
        prop_assert!(relative(upper.alpha * lower.beta + upper.beta, whole.beta) < 1e-12);
        // The posterior's mean has the marginal of x_s, for any data.
        let signal = upper.coef_x0 + upper.coef_xt * whole.alpha.sqrt();
        prop_assert!(relative(signal, lower.alpha.sqrt()) < 1e-12);
        let noise = upper.coef_xt.powi(2) * whole.beta + upper.posterior_variance;
        prop_assert!(relative(noise, lower.beta) < 1e-11);
    }

    #[test]
    fn gains_add_along_a_path((schedule, t, s) in any_interior_edge()) {
        prop_assume!(t - s >= 2);
        let middle = s + (t - s) / 2;
        let (whole, upper, lower) = (
            schedule.transition(t, s),
            schedule.transition(t, middle),
            schedule.transition(middle, s),
        );
        prop_assert!(relative(upper.snr_gain + lower.snr_gain, whole.snr_gain) < 1e-10);
        prop_assert!((upper.log_variance_ratio + lower.log_variance_ratio - whole.log_variance_ratio).abs() < 1e-10 * whole.log_variance_ratio);
    }

    #[test]
    fn constants_are_those_of_the_definitions((schedule, t, s) in any_interior_edge()) {
        let step = schedule.transition(t, s);
        prop_assert_eq!((step.t, step.s), (t, s));
        prop_assert!((step.alpha + step.beta - 1.0).abs() < 1e-15);
        prop_assert!(step.posterior_variance <= step.beta);
        prop_assert!(relative(step.log_beta.exp(), step.beta) < 1e-14);
        prop_assert!(relative(step.log_posterior_variance.exp(), step.posterior_variance) < 1e-12);
        let gain = step.coef_x0.powi(2) / step.posterior_variance;
        prop_assert!(relative(step.snr_gain, gain) < 1e-12);
        let difference = schedule.snr(s) - schedule.snr(t);
        prop_assert!((step.snr_gain - difference).abs() < 1e-9 * schedule.snr(s));
        let noise = schedule.one_minus_alpha_bar(t) / schedule.one_minus_alpha_bar(s);
        prop_assert!((step.log_variance_ratio - noise.ln()).abs() < 1e-13 * (1.0 + noise));
    }

    #[test]
    fn the_step_to_clean_data_is_a_point(schedule in any_schedule()) {
        let step = schedule.transition(schedule.train_steps(), 0);
        prop_assert_eq!((step.coef_x0, step.coef_xt, step.posterior_variance), (1.0, 0.0, 0.0));
        prop_assert_eq!(step.log_posterior_variance, f64::NEG_INFINITY);
        prop_assert_eq!((step.snr_gain, step.log_variance_ratio), (f64::INFINITY, f64::INFINITY));
        prop_assert!(step.log_beta.is_finite());
    }

    #[test]
    fn a_chain_is_its_transitions(schedule in any_schedule(), fraction in 0.0..1.0_f64) {
        let steps = 1 + (fraction * (schedule.train_steps() - 1) as f64) as usize;
        let path = Stride::Even(steps).path(&schedule).unwrap();
        let chain = RespacedChain::new(&schedule, &path);
        for (k, (t, s)) in path.edges().enumerate() {
            let step = schedule.transition(t, s);
            prop_assert_eq!(chain.betas[k], step.beta);
            prop_assert_eq!(chain.alphas_cumprod[k], schedule.alpha_bar(t));
            prop_assert_eq!(chain.posterior_variance[k], step.posterior_variance);
            prop_assert_eq!(chain.posterior_mean_coef1[k], step.coef_x0);
            prop_assert_eq!(chain.posterior_mean_coef2[k], step.coef_xt);
            if k > 0 {
                prop_assert_eq!(chain.posterior_log_variance_clipped[k], step.log_posterior_variance);
            }
        }
        let first = path.nodes()[1];
        let decoder = respaced_decoder_log_variance(&schedule, first, path.nodes().get(2).copied());
        prop_assert_eq!(chain.posterior_log_variance_clipped[0], decoder);
        if steps == 1 {
            prop_assert_eq!(decoder, schedule.log_one_minus_alpha_bar(first));
        } else {
            prop_assert_eq!(decoder, chain.posterior_log_variance_clipped[1]);
        }
    }
}

/// The gain in SNR of a step that hardly changes anything: the difference of two numbers near 1 would have two digits.
#[test]
fn the_gain_of_a_short_step_keeps_its_digits() {
    for beta in [1e-14, 3e-12, 1e-9] {
        let schedule = NoiseSchedule::from_betas(&[0.5, beta]).unwrap();
        let step = schedule.transition(2, 1);
        // As the schedule has it, which keeps logarithms: SNR(1) = 1 and SNR(2) = (1 - beta) / (1 + beta).
        let beta = -(schedule.log_alpha_bar(2) - schedule.log_alpha_bar(1)).exp_m1();
        let expected = 2.0 * beta / (1.0 + beta);
        assert!(relative(step.snr_gain, expected) < 1e-13, "{beta}");
    }
}
