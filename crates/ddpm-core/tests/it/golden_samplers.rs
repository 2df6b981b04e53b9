//! Sampler steps against improved-diffusion and diffusers, from network output and noise to x_s.

use ddpm_core::{
    LinearStep, MultistepState, NoiseSchedule, Parameterization, Sampler, StepVariance, Transition,
    ancestral_step, predict_x0,
};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{deviation, golden, golden_chain, golden_json, images};

/// What is stored is rounded to f32, and diffusers' DPM-Solver++ rounds x before it steps.
const TOLERANCE: f64 = 2e-6;

/// What one step is made of.
struct Inputs<'a> {
    x_t: &'a [f64],
    xhat0: &'a [f64],
    /// The estimate of the step before; empty at the first step.
    previous: &'a [f64],
    v: &'a [f64],
    noise: &'a [f32],
}

/// Takes the step of a golden case.
fn take(
    case: &Value,
    schedule: &NoiseSchedule,
    nodes: [Option<usize>; 3],
    with: &Inputs<'_>,
) -> Vec<f64> {
    let [previous, Some(t), Some(s)] = nodes else {
        panic!("a step has two nodes")
    };
    let edge = schedule.transition(t, s);
    let mut x_s = vec![0.0; with.x_t.len()];
    let linear = match case["sampler"].as_str().unwrap() {
        "ancestral" => {
            let variance = variance(case, &edge, with.v);
            ancestral_step(
                &edge, variance, None, with.x_t, with.xhat0, with.noise, &mut x_s,
            );
            return x_s;
        }
        "ddim" => LinearStep::ddim(schedule, t, s, case["eta"].as_f64().unwrap()).unwrap(),
        "dpm-solver++" => LinearStep::dpm_solver_2m(schedule, previous, t, s),
        other => panic!("unknown sampler {other}"),
    };
    linear.apply(with.x_t, with.xhat0, &[with.previous], with.noise, &mut x_s);
    x_s
}

fn variance<'a>(case: &Value, edge: &Transition, v: &'a [f64]) -> StepVariance<'a> {
    match case["variance"].as_str().unwrap() {
        "learned" => StepVariance::Learned(v),
        "fixed-small" => StepVariance::LogVariance(edge.log_posterior_variance),
        "fixed-large" => StepVariance::LogVariance(edge.log_beta),
        other => panic!("unknown variance {other}"),
    }
}

#[test]
fn steps_equal_improved_diffusion_and_diffusers() {
    let bytes = golden("samplers.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let noise = images(&tensors, "noise");
    let file = golden_json("samplers.json");
    let cases = file["cases"].as_array().unwrap();
    let mut compared = 0;
    for case in cases {
        let (schedule, path) = golden_chain(case);
        let name = case["name"].as_str().unwrap();
        let x: Vec<Vec<f64>> = images(&tensors, &format!("{name}.x"))
            .iter()
            .map(|x| x.iter().map(|&x| f64::from(x)).collect())
            .collect();
        let out = images(&tensors, &format!("{name}.out"));
        let dims = x[0].len();
        let clip = case["clip"].as_bool().unwrap();
        let (mut before, mut previous) = (None, Vec::new());
        let sampler: Option<Sampler> = case["sampler"].as_str().unwrap().parse().ok();
        let multistep = sampler.and_then(|sampler| sampler.multistep(&schedule, &path));
        let mut state = MultistepState::default();
        for (i, &(t, s)) in path.edges().collect::<Vec<_>>().iter().rev().enumerate() {
            let (mean, raw) = out[i].split_at(dims);
            let v: Vec<f64> = raw
                .iter()
                .map(|&raw| 0.5 * (f64::from(raw) + 1.0))
                .collect();
            let mut xhat0 = vec![0.0; dims];
            let epsilon = Parameterization::Epsilon;
            predict_x0(epsilon, &schedule, t, &x[i], mean, clip, &mut xhat0).unwrap();
            let with = Inputs {
                x_t: &x[i],
                xhat0: &xhat0,
                previous: &previous,
                v: &v,
                noise: &noise[i],
            };
            let found = if let Some(steps) = &multistep {
                let mut x = x[i].clone();
                state.step(&steps[i], &xhat0, &mut x);
                x
            } else {
                take(case, &schedule, [before, Some(t), Some(s)], &with)
            };
            for (found, &expected) in found.iter().zip(&x[i + 1]) {
                let error = deviation(*found, expected);
                assert!(
                    error < TOLERANCE,
                    "{case} edge ({t}, {s}): {found} but {expected}"
                );
            }
            (before, previous) = (Some(t), xhat0);
            compared += 1;
        }
    }
    assert_eq!((cases.len(), compared), (90, 825));
}
