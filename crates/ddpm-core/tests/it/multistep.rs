//! Multistep samplers: what they keep, how fast they converge, and the ends of their paths. The steps of diffusers are in `golden_samplers`.

use ddpm_core::{
    LinearStep, MultistepState, MultistepStep, NoiseSchedule, NoiseScheduleName, Sampler, TimePath,
};
use proptest::prelude::*;

use crate::support::any_schedule;

const MULTISTEP: [Sampler; 4] = [
    Sampler::DpmSolver3M,
    Sampler::Ipndm,
    Sampler::UniPc2,
    Sampler::UniPc3,
];

fn steps(sampler: Sampler, schedule: &NoiseSchedule, path: &TimePath) -> Vec<MultistepStep> {
    let steps = sampler.multistep(schedule, path).expect("of several nodes");
    assert_eq!(steps.len(), path.steps());
    steps
}

/// The states of one number along a path, noisiest first, beginning with `x`; `estimate(t, x)`.
fn states(
    steps: &[MultistepStep],
    path: &TimePath,
    x: f64,
    estimate: impl Fn(usize, f64) -> f64,
) -> Vec<f64> {
    let mut state = MultistepState::default();
    let mut x = [x];
    let mut found = vec![x[0]];
    for (step, &t) in steps.iter().zip(path.nodes().iter().rev()) {
        state.step(step, &[estimate(t, x[0])], &mut x);
        found.push(x[0]);
    }
    found
}

/// T and a few nodes of a path, by fractions of T.
fn path(train_steps: usize, fractions: &[f64], end: bool) -> TimePath {
    let mut nodes: Vec<usize> = fractions
        .iter()
        .map(|f| 1 + (f * (train_steps - 1) as f64) as usize)
        .chain(end.then_some(train_steps))
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    TimePath::new(nodes, train_steps).expect("ascending")
}

proptest! {
    /// A perfect estimate of the data at every node keeps the noise that x_t was made of, whatever the weights of the nodes before.
    #[test]
    fn perfect_estimates_stay_on_the_line(
        schedule in any_schedule(),
        fractions in prop::collection::vec(0.0..1.0_f64, 1..20),
        zero_snr in any::<bool>(),
        end in any::<bool>(),
    ) {
        let schedule = if zero_snr { schedule.zero_terminal_snr() } else { schedule };
        let path = path(schedule.train_steps(), &fractions, end);
        let (x0, z) = (0.3, -1.2);
        let on_the_line = |t: usize| {
            schedule.alpha_bar(t).sqrt() * x0 + schedule.one_minus_alpha_bar(t).sqrt() * z
        };
        let signals = path.nodes()[1..].iter().map(|&t| schedule.alpha_bar(t).sqrt());
        let least = signals.filter(|&signal| signal > 0.0).fold(1.0, f64::min);
        for sampler in MULTISTEP {
            // Weights of an uneven path may be large; what is added and taken away again costs digits. Noise that is extrapolated
            // from a node that has hardly any signal is multiplied by that.
            let tolerance = match sampler {
                Sampler::Ipndm => 1e-6 + 1e-12 / least,
                _ => 1e-6,
            };
            let steps = steps(sampler, &schedule, &path);
            let found = states(&steps, &path, on_the_line(path.end()), |_, _| x0);
            for (&t, x) in path.nodes().iter().rev().zip(&found) {
                let off = (x - on_the_line(t)).abs();
                prop_assert!(off < tolerance, "{sampler} {path} at {t}: {x}, off by {off}");
            }
            prop_assert_eq!(found.last(), Some(&x0));
        }
    }
}

/// On the flow of Gaussian data, which is known, twice the steps leave 2^-order of the error; every one of them is ahead of DDIM.
#[test]
fn errors_fall_with_the_order() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 4000).unwrap();
    let (first, last) = (400, 3600);
    // Nearly even in log-SNR.
    let even = |steps: usize| {
        let (from, to) = (schedule.log_snr(first), schedule.log_snr(last));
        let node = |k: usize| {
            let wanted = from + (to - from) * k as f64 / steps as f64;
            (first..=last)
                .min_by(|&a, &b| {
                    let off = |t: usize| (schedule.log_snr(t) - wanted).abs();
                    off(a).total_cmp(&off(b))
                })
                .unwrap()
        };
        TimePath::new((0..=steps).map(node).collect::<Vec<_>>(), 4000).unwrap()
    };
    let data = 0.25;
    let variance = |t: usize| schedule.alpha_bar(t) * data + schedule.one_minus_alpha_bar(t);
    let estimate = |t: usize, x: f64| schedule.alpha_bar(t).sqrt() * data / variance(t) * x;
    let exact = (variance(first) / variance(last)).sqrt();
    let error = |sampler: Sampler, path: &TimePath| {
        let steps = steps(sampler, &schedule, path);
        let found = states(&steps, path, 1.0, estimate);
        (found[found.len() - 2] - exact).abs()
    };
    let of_ddim = |path: &TimePath| {
        let mut x = 1.0;
        for (t, s) in path.edges().collect::<Vec<_>>().into_iter().rev() {
            if s > 0 {
                let step = LinearStep::ddim(&schedule, t, s, 0.0).unwrap();
                x = step.from_x_t * x + step.from_xhat0 * estimate(t, x);
            }
        }
        (x - exact).abs()
    };
    for (sampler, least) in [
        // A corrector adds one order to its predictor's.
        (Sampler::UniPc2, 5.0),
        (Sampler::UniPc3, 6.0),
        (Sampler::DpmSolver3M, 5.0),
        (Sampler::Ipndm, 1.5),
    ] {
        let errors = [16, 32, 64].map(|steps| error(sampler, &even(steps)));
        for (pair, steps) in errors.windows(2).zip([16, 32]) {
            assert!(
                pair[0] / pair[1] > least,
                "{sampler} at {steps}: {errors:?}"
            );
        }
        let first_order = of_ddim(&even(16));
        assert!(
            errors[0] < 0.2 * first_order,
            "{sampler}: {errors:?} {first_order}"
        );
    }
}

#[test]
fn the_other_samplers_have_a_linear_step_each() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 100).unwrap();
    let path = TimePath::new([1, 40, 100], 100).unwrap();
    for &sampler in Sampler::ALL {
        let found = sampler.multistep(&schedule, &path);
        assert_eq!(found.is_some(), MULTISTEP.contains(&sampler), "{sampler}");
        let looks_back_far = sampler.looks_back() > 1;
        assert!(
            !looks_back_far || (MULTISTEP.contains(&sampler) && Sampler::PRICED.contains(&sampler))
        );
        assert!(sampler.follows(sampler) && sampler.follows(sampler.schedules_of()));
        let follows = sampler.schedules_of();
        assert!(
            follows == Sampler::Ddpm || Sampler::PRICED.contains(&follows),
            "{sampler}"
        );
    }
}

#[test]
#[should_panic(expected = "looks back on more than was taken")]
fn a_step_out_of_turn_is_refused() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 100).unwrap();
    let path = TimePath::new([1, 20, 40, 70, 100], 100).unwrap();
    let steps = steps(Sampler::DpmSolver3M, &schedule, &path);
    MultistepState::default().step(&steps[2], &[0.1], &mut [0.2]);
}
