//! Schedules as choosing makes them, with made-up costs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ddpm_core::{
    CoefficientKind, ModelId, NetworkId, NoiseSchedule, NoiseScheduleName, Parameterization,
    Stride, TimePath, VarianceKind,
};
use ddpm_schedule::{Chosen, Provenance, Schedule, Schedules, Scoring};

pub(crate) fn cosine(train_steps: usize) -> NoiseSchedule {
    NoiseSchedule::named(NoiseScheduleName::Cosine, train_steps).expect("valid")
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        model: ModelId {
            network: NetworkId::Sha256("c".repeat(64)),
            noise_schedule: Some(NoiseScheduleName::Cosine),
            train_steps: 60,
            parameterization: Some(Parameterization::Epsilon),
            rescale_timesteps: false,
            clip_denoised: true,
            precision: "f32".into(),
            shape: vec![1, 4, 4],
            settings: BTreeMap::from([("num_heads".to_owned(), "4".to_owned())]),
        },
        data_sha256: "d".repeat(64),
        data_name: "gaussian".into(),
        split: "test".into(),
        stand_in: true,
        seed: 7,
        total_images: 8,
        images_per_block: 4,
        total_blocks: 2,
        library_version: "0.1.0".into(),
        image_order: "as sampled".into(),
        extra: BTreeMap::from([("noise_streams".to_owned(), "test".to_owned())]),
    }
}

/// A path under conventions that need no measurement, with its cost.
pub(crate) fn chosen(
    noise: &NoiseSchedule,
    path: TimePath,
    scoring: &Scoring,
    cost: f64,
) -> Chosen {
    Chosen {
        schedule: Schedule::of_path(noise, path, scoring).expect("not measured"),
        cost,
        prior_bpd: Some(1e-5),
        cost_standard_error: None,
        stability: None,
        distance: None,
    }
}

/// Even paths of these budgets under the learned variance, T = 60.
pub(crate) fn schedules(budgets: &[usize]) -> Schedules {
    let noise = cosine(60);
    let scoring = Scoring::new(VarianceKind::Learned);
    let cost = |k: usize| 3.0 + 2.0 / k as f64;
    let even = |&k: &usize| {
        let path = Stride::Even(k).path(&noise).expect("possible");
        chosen(&noise, path, &scoring, cost(k))
    };
    Schedules {
        budgets: budgets.iter().map(even).collect(),
        noise_schedule: noise.clone(),
        scoring,
        sampler: None,
        coefficients: CoefficientKind::Solver,
        clip_denoised: Some(true),
        parameterization: Some(Parameterization::Epsilon),
        costs: (1..=60).map(|k| Some(cost(k))).collect(),
        provenance: Some(provenance()),
        trajectories: None,
    }
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}
