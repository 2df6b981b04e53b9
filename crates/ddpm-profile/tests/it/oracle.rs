//! Published numbers without a network: the curve fitted to Analytic-DPM's Table 1, CIFAR-10 (LS), and its known optima.

use std::f64::consts::LN_2;

use ddpm_core::{DecoderKind, NoiseSchedule, NoiseScheduleName, Stride, VarianceKind};
use ddpm_dp::{Method, SolveOptions, check_monge, solve};
use ddpm_profile::{CostModel, Curves, choose};
use ddpm_schedule::{Budgets, GaussianDecoder, Scoring};
use serde_json::Value;

use crate::monge::monge_exact;

const CURVE: &str = include_str!("../../../../tests/golden/oracles/cifar10_ls_virtual_mse.csv");
const OPTIMA: &str = include_str!("../../../../tests/golden/oracles/cifar10_ls_optimal.json");

fn curves() -> Curves {
    let rows = CURVE
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let mse: Vec<f64> = rows
        .map(|line| {
            line.split(',')
                .nth(2)
                .and_then(|m| m.parse().ok())
                .expect("t,alpha_bar,mse")
        })
        .collect();
    let schedule = NoiseSchedule::named(NoiseScheduleName::LinearUnscaled, 1000).expect("valid");
    Curves::from_mse(&schedule, &mse).expect("valid")
}

fn scoring() -> Scoring {
    Scoring {
        gaussian: GaussianDecoder {
            bin_width: Some(2.0 / 255.0),
            first: Some(1.978589 * LN_2),
        },
        ..Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::Gaussian)
    }
}

/// Steps, cost, and the path where the file states it.
fn entries(json: &Value, key: &str) -> Vec<(usize, f64, Vec<usize>)> {
    let entry = |e: &Value| {
        let path = e["path"].as_array().into_iter().flatten();
        (
            e["steps"].as_u64().expect("steps") as usize,
            e["cost_bits_per_dim"].as_f64().expect("cost"),
            path.map(|t| t.as_u64().expect("t") as usize).collect(),
        )
    };
    json[key]
        .as_array()
        .expect("list")
        .iter()
        .map(entry)
        .collect()
}

#[test]
fn every_path_and_cost_of_the_oracle_comes_back() {
    let curves = curves();
    let model = CostModel::new(&curves, scoring().into()).expect("valid");
    let oracle: Value = serde_json::from_str(OPTIMA).expect("json");
    let optimal = entries(&oracle, "optimal");
    assert_eq!(optimal.len(), 15);
    let steps: Vec<usize> = optimal.iter().map(|e| e.0).collect();
    let schedules = choose(&model, &Budgets::Only(steps), None).expect("possible");
    assert_eq!(
        schedules.noise_schedule.name(),
        Some(NoiseScheduleName::LinearUnscaled)
    );
    for (steps, cost, path) in optimal {
        let budget = schedules.budget(steps).expect("asked for");
        assert_eq!(budget.nodes(), path, "{steps} steps");
        assert!(
            (budget.cost - cost).abs() < 1e-8,
            "{steps} steps: {} {cost}",
            budget.cost
        );
        let listed = schedules.costs[steps - 1].expect("possible");
        assert!((listed - cost).abs() < 1e-8);
        let kernels = &budget.schedule.kernels;
        assert_eq!(kernels.len(), steps);
        assert!(kernels.iter().all(|kernel| kernel.log_variance().is_some()));
        assert_eq!(budget.schedule.bin_width, Some(2.0 / 255.0));
        assert_eq!(budget.prior_bpd, None);
    }
    for (steps, cost, _) in entries(&oracle, "even") {
        let path = Stride::Even(steps)
            .path(model.schedule())
            .expect("possible");
        let found = model.path_cost(&path) / LN_2;
        assert!((found - cost).abs() < 1e-8, "even {steps}: {found} {cost}");
    }
}

#[test]
fn the_published_rows_are_predicted() {
    // Watson et al. 2021, Table 3, L_simple: DP row and even row, the prior (5e-6 bits/dim) being nothing here.
    let curves = curves();
    let model = CostModel::new(&curves, scoring().into()).expect("valid");
    let steps = [8, 16, 32, 64, 128, 256];
    let schedules = choose(&model, &Budgets::Only(steps.to_vec()), None).expect("possible");
    for (k, published) in steps.into_iter().zip([4.59, 3.99, 3.79, 3.74, 3.73, 3.72]) {
        let found = schedules.budget(k).expect("asked for").cost;
        assert!(
            (found - published).abs() < 0.05,
            "dp {k}: {found} {published}"
        );
    }
    for (k, published) in steps.into_iter().zip([6.95, 6.15, 5.46, 4.91, 4.47, 4.14]) {
        let path = Stride::Even(k).path(model.schedule()).expect("possible");
        let found = model.path_cost(&path) / LN_2;
        assert!(
            (found - published).abs() < 0.07,
            "even {k}: {found} {published}"
        );
    }
}

#[test]
fn monge_and_blocked_agree_on_the_oracle() {
    let curves = curves();
    let model = CostModel::new(&curves, scoring().into()).expect("valid");
    assert_eq!(monge_exact(&curves, &scoring().into()), Some(true));
    let table = model.table().expect("numbers");
    assert!(check_monge(&table, 1e-12).holds());
    let by = |method| {
        let options = SolveOptions {
            method,
            max_steps: Some(64),
        };
        solve(&table, &options).expect("solvable")
    };
    let (a, b) = (by(Method::Blocked), by(Method::Monge));
    for k in 1..=64 {
        assert!(
            (a.cost(k, 1000) - b.cost(k, 1000)).abs() <= 1e-12 * a.cost(k, 1000),
            "{k}"
        );
    }
}
