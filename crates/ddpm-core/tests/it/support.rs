//! Golden files and random schedules.

use ddpm_core::{NoiseSchedule, NoiseScheduleName, Parameterization};
use proptest::prelude::*;
use safetensors::SafeTensors;

pub(crate) fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The estimate of `x_0` of one element, not clipped, as the definition of the parameterisation has it.
pub(crate) fn to_x0(
    kind: Parameterization,
    schedule: &NoiseSchedule,
    t: usize,
    x_t: f64,
    out: f64,
) -> f64 {
    let signal = libm::exp(0.5 * schedule.log_alpha_bar(t));
    let noise = schedule.one_minus_alpha_bar(t).sqrt();
    let (from_x_t, from_out) = match kind {
        Parameterization::Epsilon => (1.0 / signal, -noise / signal),
        Parameterization::X0 => (0.0, 1.0),
        Parameterization::V => (signal, -noise),
    };
    from_x_t * x_t + from_out * out
}

pub(crate) fn golden_json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&golden(name)).expect("golden files are JSON")
}

/// The schedule and, as nodes, the timesteps of a golden case.
pub(crate) fn golden_chain(case: &serde_json::Value) -> (NoiseSchedule, ddpm_core::TimePath) {
    let train_steps = case["T"].as_u64().unwrap() as usize;
    let name: NoiseScheduleName = case["schedule"].as_str().unwrap().parse().unwrap();
    let schedule = NoiseSchedule::named(name, train_steps).unwrap();
    let path = match case["timesteps"].as_array() {
        None => ddpm_core::TimePath::all(train_steps),
        Some(kept) => {
            let nodes: Vec<usize> = kept
                .iter()
                .map(|i| i.as_u64().unwrap() as usize + 1)
                .collect();
            ddpm_core::TimePath::new(nodes, train_steps).unwrap()
        }
    };
    (schedule, path)
}

pub(crate) fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value
        .as_array()
        .expect("an array of numbers")
        .iter()
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

/// Images of a tensor `[B, ...]`, flattened.
pub(crate) fn images(tensors: &SafeTensors<'_>, name: &str) -> Vec<Vec<f32>> {
    let tensor = tensors.tensor(name).unwrap();
    let values: Vec<f32> = tensor
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect();
    let per_image = values.len() / tensor.shape()[0];
    values.chunks(per_image).map(<[f32]>::to_vec).collect()
}

/// Absolute below 1, relative above.
pub(crate) fn deviation(found: f64, expected: f64) -> f64 {
    (found - expected).abs() / expected.abs().max(1.0)
}

pub(crate) fn relative(found: f64, expected: f64) -> f64 {
    if found == expected {
        0.0
    } else {
        (found - expected).abs() / expected.abs()
    }
}

pub(crate) const NAMED: [NoiseScheduleName; 5] = [
    NoiseScheduleName::Linear,
    NoiseScheduleName::LinearUnscaled,
    NoiseScheduleName::ScaledLinear,
    NoiseScheduleName::Cosine,
    NoiseScheduleName::Sigmoid,
];

/// Named schedules of all lengths, custom ones, and the zero-terminal-SNR form of both.
pub(crate) fn any_schedule() -> impl Strategy<Value = NoiseSchedule> {
    let named = (prop::sample::select(NAMED.to_vec()), 20_usize..1200)
        .prop_map(|(name, train_steps)| NoiseSchedule::named(name, train_steps).unwrap());
    let custom = prop::collection::vec(1e-6..0.6_f64, 1..200)
        .prop_map(|betas| NoiseSchedule::from_betas(&betas).unwrap());
    (prop_oneof![named, custom], any::<bool>()).prop_map(|(schedule, zero_terminal)| {
        if zero_terminal {
            schedule.zero_terminal_snr()
        } else {
            schedule
        }
    })
}

/// A schedule and an edge `(t, s)` with `1 <= s < t <= T`.
pub(crate) fn any_interior_edge() -> impl Strategy<Value = (NoiseSchedule, usize, usize)> {
    any_schedule()
        .prop_filter("needs two timesteps", |schedule| {
            schedule.train_steps() >= 2
        })
        .prop_flat_map(|schedule| {
            let train_steps = schedule.train_steps();
            (Just(schedule), 2..=train_steps)
        })
        .prop_flat_map(|(schedule, t)| (Just(schedule), Just(t), 1..t))
}
