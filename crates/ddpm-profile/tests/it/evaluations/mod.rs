//! Schedules chosen on few evaluations against the exhaustive reference of the small CIFAR-10 network.
//!
//! `cargo xtask evaluations` measures; these tests hold what it found.

use std::path::PathBuf;

use ddpm_core::{NoiseSchedule, NoiseScheduleName, TimePath};
use ddpm_profile::{Curves, ElboProfile, choose};
use ddpm_schedule::Budgets;

use crate::support::learned_respaced;

mod loss;
mod reference;

use loss::{BUDGETS, Halves};
use reference::Reference;

/// The loss, in bits/dim, that is asked about.
const TOLERANCE: f64 = 0.005;

fn file(name: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = root.join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn reference() -> Reference {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 4000).expect("valid");
    let bytes = file("../../datasets/cifar10-small.reference.safetensors");
    Reference::from_bytes(schedule, &bytes)
}

/// Of the schedules chosen with 8,192 evaluations, those of at least 19 of 20 seeds (1 to 20, fixed before the first of them was measured) are not shown
/// to lose more than 0.005 bits/dim by two paired standard errors; from K = 64 on every seed is shown to lose less. What is between is in
/// docs/evaluations.md.
#[test]
fn eight_thousand_evaluations_lose_little() {
    let reference = reference();
    assert_eq!(reference.blocks(), 16, "of eight images");
    let halves = Halves::new(&reference);
    let text = String::from_utf8(file("tests/fixtures/evaluations-8192.json")).expect("text");
    let chosen: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let seeds = chosen["seeds"].as_object().expect("seeds");
    assert!(seeds.keys().map(String::as_str).eq([
        "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
        "17", "18", "19", "20"
    ]));
    let (mut good, mut shown_to_lose_less) = (0, [0; BUDGETS.len()]);
    for (seed, paths) in seeds {
        let paths: Vec<TimePath> = BUDGETS
            .iter()
            .map(|k| {
                let nodes: Vec<usize> =
                    serde_json::from_value(paths[k.to_string()].clone()).expect("nodes");
                assert_eq!(nodes.len(), k + 1);
                TimePath::new(nodes, 4000).expect("a path")
            })
            .collect();
        let losses = halves.losses(&paths);
        let holds = |l: &loss::Loss| l.value <= TOLERANCE + 2.0 * l.standard_error;
        let all = losses.iter().all(holds);
        for (count, loss) in shown_to_lose_less.iter_mut().zip(&losses) {
            *count += usize::from(loss.value + 2.0 * loss.standard_error <= TOLERANCE);
        }
        let shown: Vec<String> = losses
            .iter()
            .map(|l| format!("{:+.4} ± {:.4}", l.value, l.standard_error))
            .collect();
        eprintln!("seed {seed:>2}: {}", shown.join("  "));
        good += usize::from(all);
    }
    eprintln!("{good} of 20 seeds not shown to lose more than {TOLERANCE} bits/dim at any budget");
    eprintln!("shown to lose less: {shown_to_lose_less:?} of 20 at K = {BUDGETS:?}");
    assert!(good >= 19, "{good} of 20");
    assert_eq!(shown_to_lose_less[3..], [20, 20, 20]);

    // The measure tells bad schedules from good ones: strides lose more.
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 4000).expect("valid");
    let strides: Vec<TimePath> = BUDGETS
        .iter()
        .map(|&k| {
            ddpm_core::Stride::Quadratic(k)
                .path(&schedule)
                .expect("a path")
        })
        .collect();
    for loss in halves.losses(&strides) {
        assert!(
            loss.value > TOLERANCE + 2.0 * loss.standard_error,
            "{loss:?}"
        );
    }
}

/// The reference's own arithmetic against the library's, on the shipped profile's timesteps: same network, other images.
#[test]
fn the_reference_agrees_with_the_shipped_profile() {
    let reference = reference();
    let costs = reference.costs(0..reference.blocks());
    let profile = ElboProfile::from_bytes(&file(
        "../../datasets/cifar10-small.train.profile.safetensors",
    ))
    .expect("readable");
    let curves = Curves::from_profile(&profile).expect("curves");
    let model = learned_respaced(&curves);
    let schedules = choose(&model, &Budgets::Only(BUDGETS.to_vec()), None).expect("chosen");
    for budget in &schedules.budgets {
        let found = costs.path_cost(&budget.schedule.path);
        eprintln!("K = {}: {:.4} and {found:.4}", budget.steps(), budget.cost);
        // 128 other images: their standard error is 0.05.
        assert!((found - budget.cost).abs() < 0.2);
    }
}
