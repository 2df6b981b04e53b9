//! Fitted coefficients on 160 nodes: the cross-fitted error of every step and the exact choice for all budgets up to 32, whole images and per
//! band, second order (triples of nodes) and third (quadruples).
//!
//! `cargo bench -p ddpm-benches --bench fits` prints `NAME SECONDS` lines, medians of three rounds (one of the third order per band), and the peak
//! resident size so far where /proc tells it. The
//! trajectories are made up: 24 images of 3x32x32 of a Gaussian per band, bent so that nothing is exact; how long a fit takes does not depend on what
//! the numbers are.
#![allow(
    missing_docs,
    clippy::print_stdout,
    reason = "a bench target, not a library"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use ddpm::core::{
    Bands, CoefficientKind, ModelId, NetworkId, NoiseDomain, NoiseKey, NoiseSchedule,
    NoiseScheduleName, Parameterization, Sampler, standard_normal,
};
use ddpm::schedule::{TrajectoryKind, TrajectoryOrigin};
use ddpm::trajectory::{FittedModel, Fitting, Trajectories, Weighting, reference_grid};

const T: usize = 4000;
const SHAPE: [usize; 3] = [3, 32, 32];
const D: usize = 3072;
const IMAGES: usize = 24;
const NODES: usize = 160;
const STEPS: usize = 32;

fn normals(stream: usize) -> Vec<f32> {
    let key = NoiseKey {
        seed: 1,
        domain: NoiseDomain::Data,
        stream: stream as u64,
        step: 0,
    };
    let mut noise = vec![0.0; D];
    standard_normal(key, &mut noise);
    noise
}

fn made_up() -> Trajectories {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, T).expect("valid");
    let grid = reference_grid(&schedule, NODES).expect("valid");
    let nodes = grid.nodes()[1..].to_vec();
    let (mut states, mut estimates) = (Vec::new(), Vec::new());
    for image in 0..IMAGES {
        let (data, noise) = (normals(2 * image), normals(2 * image + 1));
        for &t in &nodes {
            let signal = schedule.alpha_bar(t).sqrt() as f32;
            let spread = schedule.one_minus_alpha_bar(t).sqrt() as f32;
            for (i, (x, z)) in data.iter().zip(&noise).enumerate() {
                let bent = 0.5 * x * (1.0 + 0.1 * (0.001 * t as f32 * (i % 7) as f32).sin());
                states.push(signal * bent + spread * z);
                estimates.push(0.9 * bent + 0.05 * spread * z);
            }
        }
    }
    let origin = TrajectoryOrigin {
        model: ModelId {
            network: NetworkId::Sha256("ab".repeat(32)),
            noise_schedule: Some(NoiseScheduleName::Cosine),
            train_steps: T,
            parameterization: Some(Parameterization::Epsilon),
            rescale_timesteps: true,
            clip_denoised: true,
            precision: "f32".into(),
            shape: SHAPE.to_vec(),
            settings: BTreeMap::new(),
        },
        kind: TrajectoryKind::Flow,
        solver: Some(Sampler::DpmSolver2M),
        seed: 1,
        images: (0..IMAGES as u64).collect(),
        labels: None,
        data_sha256: None,
        evaluations: 1,
        library_version: "0".into(),
        extra: BTreeMap::new(),
    };
    Trajectories::new(origin, schedule, nodes, states, estimates).expect("consistent")
}

fn main() {
    let trajectories = made_up();
    let bands = Bands::of_shape(&SHAPE).expect("valid");
    for (name, sampler, kind, rounds) in [
        ("fitted", Sampler::DpmSolver2M, CoefficientKind::Fitted, 3),
        (
            "fitted-bands",
            Sampler::DpmSolver2M,
            CoefficientKind::FittedBands,
            3,
        ),
        ("third", Sampler::DpmSolver3M, CoefficientKind::Fitted, 3),
        (
            "third-bands",
            Sampler::DpmSolver3M,
            CoefficientKind::FittedBands,
            1,
        ),
    ] {
        let mut seconds: Vec<[f64; 2]> = (0..rounds)
            .map(|_| {
                let begin = Instant::now();
                let fitting = Fitting::new(sampler, kind);
                let model = FittedModel::new(&trajectories, fitting, Some(&bands)).expect("a flow");
                let fitted = begin.elapsed().as_secs_f64();
                black_box(model.solve(Weighting::default(), STEPS).expect("possible"));
                [fitted, begin.elapsed().as_secs_f64() - fitted]
            })
            .collect();
        for (i, stage) in ["errors", "choice"].iter().enumerate() {
            seconds.sort_by(|a, b| a[i].total_cmp(&b[i]));
            println!("{name}_{stage} {:.3}", seconds[rounds / 2][i]);
        }
        if let Ok(status) = std::fs::read_to_string("/proc/self/status")
            && let Some(peak) = status.lines().find(|line| line.starts_with("VmHWM"))
        {
            println!("{}", peak.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
}
