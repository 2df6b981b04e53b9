//! Published numbers: the schedules of CIFAR-10 (L_simple) from `tests/golden/oracles`, built edge by edge from the
//! curve m(t) and the conventions of the README there.
//!
//! Bits per dimension, linear betas 1e-4..0.02, T = 1000, fixed-small variance, respaced decoder with a continuous
//! density, merged into the start.

use std::f64::consts::{LN_2, PI};
use std::path::PathBuf;

use ddpm_dp::{CostTable, Method, SolveOptions, Start, solve};

use crate::support::assert_equals_textbook;

const TRAIN_STEPS: usize = 1000;

/// The decoder term for t1 = 1, whatever t2.
const DECODER_AT_1: f64 = 1.978589;

/// Watson et al. 2021, CIFAR-10 L_simple: dynamic programming and even strides at K = 8, 16, .., 256.
const PUBLISHED_DP: [f64; 6] = [4.59, 3.99, 3.79, 3.74, 3.73, 3.72];
const PUBLISHED_EVEN: [f64; 6] = [6.95, 6.15, 5.46, 4.91, 4.47, 4.14];

fn read(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/oracles");
    std::fs::read_to_string(PathBuf::from(folder).join(name)).unwrap()
}

/// abar_t and m(t), index t; entry 0 is clean data.
struct Curve {
    alpha_bar: Vec<f64>,
    mse: Vec<f64>,
}

impl Curve {
    fn read() -> Self {
        let mut mse = vec![0.0];
        for line in read("cifar10_ls_virtual_mse.csv").lines() {
            if line.starts_with(|c: char| c.is_ascii_digit()) {
                let fields: Vec<&str> = line.split(',').collect();
                assert_eq!(fields[0].parse(), Ok(mse.len()));
                mse.push(fields[2].parse().unwrap());
            }
        }
        assert_eq!(mse.len(), TRAIN_STEPS + 1);
        let mut alpha_bar = vec![1.0];
        for i in 0..TRAIN_STEPS {
            let beta = 1e-4 + (0.02 - 1e-4) * i as f64 / (TRAIN_STEPS - 1) as f64;
            alpha_bar.push(alpha_bar[i] * (1.0 - beta));
        }
        Self { alpha_bar, mse }
    }

    /// 1/2 (SNR_s - SNR_t) m(t), s >= 1.
    fn interior(&self, t: usize, s: usize) -> f64 {
        let snr = |t: usize| self.alpha_bar[t] / (1.0 - self.alpha_bar[t]);
        0.5 * (snr(s) - snr(t)) * self.mse[t] / LN_2
    }

    /// The decoder of the first step when the second goes from `t2` to `t1`.
    fn decoder(&self, t1: usize, t2: usize) -> f64 {
        if t1 == 1 {
            return DECODER_AT_1;
        }
        let (a1, a2) = (self.alpha_bar[t1], self.alpha_bar[t2]);
        let variance = (1.0 - a2 / a1) * (1.0 - a1) / (1.0 - a2);
        let nats = 0.5 * (2.0 * PI * variance).ln() + self.mse[t1] / (2.0 * variance)
            - (2.0 / 255.0f64).ln();
        nats / LN_2
    }

    /// The table with a start that takes its t1 from `firsts(t2)`.
    fn table(&self, firsts: impl Fn(usize) -> Vec<usize>) -> CostTable {
        // A first edge has no cost of its own under this decoder; budget 1 is left aside.
        let edge = |t, s| {
            if s == 0 {
                f64::INFINITY
            } else {
                self.interior(t, s)
            }
        };
        let table = CostTable::from_fn(TRAIN_STEPS, edge).unwrap();
        let best_first = |t2: usize| {
            let candidates = firsts(t2).into_iter().filter(|&t1| 1 <= t1 && t1 < t2);
            candidates
                .map(|t1| (self.decoder(t1, t2) + self.interior(t2, t1), t1))
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .unwrap_or((f64::INFINITY, 0))
        };
        let (cost, first) = (0..=TRAIN_STEPS).map(best_first).unzip();
        table.with_start(Start { cost, first }).unwrap()
    }
}

/// (steps, cost, path if given) of every entry of one list of the oracle.
fn entries(list: &str) -> Vec<(usize, f64, Option<Vec<usize>>)> {
    let oracle: serde_json::Value = serde_json::from_str(&read("cifar10_ls_optimal.json")).unwrap();
    let number = |v: &serde_json::Value| v.as_u64().unwrap() as usize;
    let path = |e: &serde_json::Value| Some(e["path"].as_array()?.iter().map(number).collect());
    oracle[list]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            (
                number(&e["steps"]),
                e["cost_bits_per_dim"].as_f64().unwrap(),
                path(e),
            )
        })
        .collect()
}

#[test]
fn optimal_paths_and_costs_are_reproduced() {
    let table = Curve::read().table(|t2| (1..t2).collect());
    let oracle = entries("optimal");
    assert_eq!(oracle.len(), 15);
    for method in [Method::Auto, Method::Blocked, Method::Monge] {
        let solution = solve(
            &table,
            &SolveOptions {
                method,
                max_steps: None,
            },
        )
        .unwrap();
        for (steps, cost, path) in &oracle {
            let found = solution.cost(*steps, TRAIN_STEPS);
            assert!(
                (found - cost).abs() < 1e-8,
                "{method:?} {steps} steps: {found}, oracle {cost}"
            );
            assert_eq!(
                &solution.path(&table, *steps, TRAIN_STEPS),
                path,
                "{method:?} {steps} steps"
            );
        }
        for (k, published) in (3..).map(|i| 1 << i).zip(PUBLISHED_DP) {
            let found = solution.cost(k, TRAIN_STEPS);
            assert!(
                (found - published).abs() < 0.05,
                "{k} steps: {found}, published {published}"
            );
        }
    }
}

#[test]
fn even_strides_are_reproduced() {
    let curve = Curve::read();
    let oracle = entries("even");
    assert_eq!(oracle.len(), PUBLISHED_EVEN.len());
    for ((steps, cost, _), published) in oracle.into_iter().zip(PUBLISHED_EVEN) {
        let path: Vec<usize> = (0..=steps).map(|i| TRAIN_STEPS * i / steps).collect();
        // The start knows one t1 per t2: let it be that of the path.
        let table = curve.table(|_| vec![path[1]]);
        let found = table.path_cost(&path);
        assert!(
            (found - cost).abs() < 1e-8,
            "{steps} steps: {found}, oracle {cost}"
        );
        assert!(
            (found - published).abs() < 0.07,
            "{steps} steps: {found}, published {published}"
        );
    }
}

#[test]
fn the_table_is_solved_exactly() {
    let table = Curve::read().table(|t2| (1..t2).collect());
    let options = SolveOptions {
        max_steps: Some(100),
        ..SolveOptions::default()
    };
    let solution = solve(&table, &options).unwrap();
    assert_equals_textbook(&table, &solution, &[TRAIN_STEPS / 2, TRAIN_STEPS]);
}
