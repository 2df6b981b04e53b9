//! All budgets of the dynamic programme: general (blocked) and Monge solver, T = 1000 and T = 4000, the recovery
//! of every path, and the second-order solver on the grids that two-step samplers are priced on.
//!
//! `cargo bench -p ddpm-benches --bench dp` measures with criterion. `cargo bench -p ddpm-benches --bench dp -- --once 4000` solves once and prints
//! `NAME SECONDS` lines, for `benches/peers/dp_interleaved.py`, which runs it in turn with the programs it is compared
//! with. Both first check that the costs are those that the peers check theirs against.
#![allow(
    missing_docs,
    clippy::print_stdout,
    reason = "a bench target, not a library"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use ddpm::dp::{CostTable, Method, Solution, SolveOptions, second_order, solve};

/// (T, checksum of the costs of the first 16 budgets, of all budgets); the same constants stand in the peers.
const EXPECTED: [(usize, u64, u64); 2] = [
    (1000, 0xd1b5_70db_8752_7a64, 0xad4e_66b2_88fa_dde2),
    (4000, 0xac9c_01f9_cc9d_54cb, 0x882a_c4f1_f19e_a994),
];

/// The fixed-small cost L(t, s) = 1/2 (SNR_s - SNR_t) m(t) under linear betas, with a made-up curve m(t) and first step.
///
/// Only sums, differences, products and quotients that no compiler fuses, so that Rust, C and NumPy build the very same
/// table.
fn table(train_steps: usize) -> CostTable {
    let last = train_steps as f64;
    let mut alpha_bar = 1.0;
    let (mut snr, mut mse) = (vec![0.0], vec![0.0]);
    for i in 0..train_steps {
        let beta = (1.0 + 199.0 * i as f64 / (last - 1.0)) / (10.0 * last);
        alpha_bar *= 1.0 - beta;
        snr.push(alpha_bar / (1.0 - alpha_bar));
        let x = (i + 1) as f64 / last;
        mse.push(0.3 * (x / (x + 0.4)));
    }
    CostTable::from_fn(train_steps, |t, s| match s {
        0 => 2.0 + t as f64 / last / 0.25,
        _ => 0.5 * (snr[s] - snr[t]) * mse[t],
    })
    .expect("finite costs")
}

/// FNV-1a over the bits of C[1][T], C[2][T], ..
fn checksum(solution: &Solution, budgets: usize) -> u64 {
    let end = solution.train_steps();
    (1..=budgets)
        .map(|k| solution.cost(k, end).to_bits())
        .fold(0xcbf2_9ce4_8422_2325, |hash, bits| {
            (hash ^ bits).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

fn solve_by(table: &CostTable, method: Method) -> Solution {
    let options = SolveOptions {
        method,
        max_steps: None,
    };
    solve(table, &options).expect("the table is valid and Monge")
}

/// Panics unless both solvers give the costs that the peers expect.
fn check(table: &CostTable) {
    let train_steps = table.train_steps();
    let Some(&(_, first_16, all)) = EXPECTED.iter().find(|e| e.0 == train_steps) else {
        panic!("T: expected 1000 or 4000, found {train_steps}");
    };
    for method in [Method::Blocked, Method::Auto] {
        let solution = solve_by(table, method);
        let found = (checksum(&solution, 16), checksum(&solution, train_steps));
        assert!(
            found == (first_16, all),
            "{method:?} T={train_steps}: {found:#x?}"
        );
    }
    // Auto must have proved this table Monge, or the bench would not measure what its name says.
    assert_eq!(
        solve_by(table, Method::Auto).certificate().method,
        Method::Monge
    );
}

fn paths(table: &CostTable, solution: &Solution) -> usize {
    let last = table.train_steps();
    let nodes = (1..=last).filter_map(|k| Some(solution.path(table, k, last)?.len()));
    nodes.sum()
}

fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dp_all_budgets");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    for (train_steps, ..) in EXPECTED {
        let table = table(train_steps);
        check(&table);
        for (name, method) in [("general", Method::Blocked), ("monge", Method::Auto)] {
            group.bench_function(BenchmarkId::new(name, train_steps), |b| {
                b.iter(|| solve_by(black_box(&table), method));
            });
        }
        let solution = solve_by(&table, Method::Auto);
        group.bench_function(BenchmarkId::new("all_paths", train_steps), |b| {
            b.iter(|| paths(black_box(&table), &solution));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("dp_second_order");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    for last in [80, 160, 250] {
        group.bench_function(BenchmarkId::new("all_budgets", last), |b| {
            b.iter(|| second_order::solve(last, None, black_box(&triple_cost)));
        });
        group.bench_function(BenchmarkId::new("32_budgets", last), |b| {
            b.iter(|| second_order::solve(last, Some(32), black_box(&triple_cost)));
        });
    }
    group.finish();
}

/// A cost of two steps that is quick to compute: the solver is measured, not the cost.
fn triple_cost(previous: Option<usize>, t: usize, s: usize) -> f64 {
    let step = (t - s) as f64;
    let change = previous.map_or(0.0, |p| (p - t) as f64 - step);
    step * step / t as f64 + 0.1 * change * change
}

/// One solve by each solver, timed.
fn once(train_steps: usize) {
    let table = table(train_steps);
    check(&table);
    for (name, method) in [
        ("ours_general", Method::Blocked),
        ("ours_monge", Method::Auto),
    ] {
        let begin = Instant::now();
        black_box(solve_by(&table, method));
        println!("{name} {:.6}", begin.elapsed().as_secs_f64());
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|a| a == "--once") {
        Some(at) => {
            let train_steps = arguments.get(at + 1).and_then(|t| t.parse().ok());
            once(train_steps.expect("--once: expected T, 1000 or 4000"));
        }
        None => {
            let mut criterion = Criterion::default().configure_from_args();
            measure(&mut criterion);
            criterion.final_summary();
        }
    }
}
