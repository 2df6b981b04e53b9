//! The second-order solver against brute force, against the first-order one, and at its limits.

use ddpm_dp::second_order::{self, TripleCost, path_cost, solve};
use ddpm_dp::{CostTable, Error, SolveOptions};
use proptest::prelude::*;

use crate::support::{Random, best_path, whole_cost};

/// Costs of all triples over nodes 0..=N, drawn one after another; row 0 of the first index is for no previous node.
#[derive(Clone, Debug)]
struct Drawn {
    last: usize,
    costs: Vec<f64>,
}

impl TripleCost for Drawn {
    fn cost(&self, previous: Option<usize>, t: usize, s: usize) -> f64 {
        let side = self.last + 1;
        self.costs[(previous.unwrap_or(0) * side + t) * side + s]
    }
}

fn drawn(last: usize, cost: impl Strategy<Value = f64>) -> impl Strategy<Value = Drawn> {
    prop::collection::vec(cost, (last + 1).pow(3)).prop_map(move |costs| Drawn { last, costs })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn equals_brute_force(cost in (1usize..=7).prop_flat_map(|last| drawn(last, whole_cost())), budget in any::<prop::sample::Index>()) {
        for max_steps in [None, Some(1 + budget.index(cost.last))] {
            let solution = solve(cost.last, max_steps, &cost).unwrap();
            for k in 0..=cost.last + 1 {
                for end in 0..=cost.last + 1 {
                    let possible = (1..=solution.max_steps()).contains(&k) && (1..=cost.last).contains(&end);
                    let expected = if possible { best_path(&|path| path_cost(&cost, path), k, end) } else { None };
                    let (least, path) = expected.unzip();
                    prop_assert_eq!(solution.cost(k, end).to_bits(), least.unwrap_or(f64::INFINITY).to_bits());
                    prop_assert_eq!(solution.path(k, end), path, "{} steps to {}", k, end);
                }
            }
        }
    }

    #[test]
    fn costs_are_those_of_the_paths_to_the_last_bit(cost in drawn(7, -1.0..1.0f64)) {
        let solution = solve(7, None, &cost).unwrap();
        for k in 1..=7 {
            let path = solution.path(k, 7).unwrap();
            prop_assert_eq!(path_cost(&cost, &path).to_bits(), solution.cost(k, 7).to_bits());
            let (least, _) = best_path(&|path| path_cost(&cost, path), k, 7).unwrap();
            prop_assert_eq!(least.to_bits(), solution.cost(k, 7).to_bits());
        }
    }
}

#[test]
fn costs_that_ignore_the_step_before_give_the_first_order_solution() {
    let mut random = Random(5);
    let table = crate::support::drawn_table(60, |_, _| random.unit());
    let expected = ddpm_dp::solve(&table, &SolveOptions::default()).unwrap();
    let found = solve(60, None, &|_: Option<usize>, t: usize, s: usize| {
        table.edge(t, s)
    })
    .unwrap();
    for k in 1..=60 {
        for end in [1, 31, 60] {
            // Sums in the same order, from the clean end.
            assert_eq!(
                found.cost(k, end).to_bits(),
                expected.cost(k, end).to_bits()
            );
            assert_eq!(found.path(k, end), expected.path(&table, k, end));
        }
    }
}

#[test]
fn thread_count_does_not_matter() {
    let cost = |previous: Option<usize>, t: usize, s: usize| {
        let hash = (previous.unwrap_or(0) * 7919 + t * 104_729 + s * 1_299_709) % 10_007;
        hash as f64 / 10_007.0
    };
    let bits = |threads: usize| -> Vec<(u64, Option<Vec<usize>>)> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let solution = pool.install(|| solve(90, None, &cost)).unwrap();
        (1..=90)
            .map(|k| (solution.cost(k, 90).to_bits(), solution.path(k, 90)))
            .collect()
    };
    let expected = bits(1);
    for threads in [2, 3, 8] {
        assert!(bits(threads) == expected, "{threads} threads");
    }
}

#[test]
fn every_cost_is_asked_for_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let calls = AtomicUsize::new(0);
    let cost = |_: Option<usize>, _: usize, _: usize| {
        calls.fetch_add(1, Ordering::Relaxed);
        1.0
    };
    solve(20, None, &cost).unwrap();
    // Triples p > t > s and edges t > s.
    let edges = 20 * 21 / 2;
    assert_eq!(calls.into_inner(), 20 * 21 * 19 / 6 + edges);
}

#[test]
fn what_cannot_be_solved_is_named() {
    let one = |_: Option<usize>, _: usize, _: usize| 1.0;
    let nodes = |found| Error::Nodes {
        found,
        max: second_order::MAX_NODES,
    };
    assert_eq!(solve(0, None, &one).unwrap_err(), nodes(0));
    assert_eq!(solve(1025, None, &one).unwrap_err(), nodes(1025));
    for found in [0, 5] {
        assert_eq!(
            solve(4, Some(found), &one).unwrap_err(),
            Error::MaxSteps {
                found,
                train_steps: 4
            }
        );
    }
    let bad = |previous: Option<usize>, t: usize, s: usize| match (previous, t, s) {
        (Some(7), 5, 2 | 3) => f64::NAN,
        _ => 1.0,
    };
    assert_eq!(
        solve(9, None, &bad).unwrap_err().to_string(),
        "cost of step (previous=7, t=5, s=2): expected a number of magnitude at most 1e300, or +inf for no step, found NaN"
    );
    let begin =
        |previous: Option<usize>, _: usize, _: usize| if previous.is_none() { -1e301 } else { 1.0 };
    assert!(
        solve(9, None, &begin)
            .unwrap_err()
            .to_string()
            .contains("previous=none, t=1, s=0")
    );
}

#[test]
fn paths_that_are_none_cost_infinity() {
    let one = |_: Option<usize>, _: usize, _: usize| 1.0;
    for nodes in [&[][..], &[0], &[1, 2], &[0, 2, 2], &[0, 3, 1]] {
        assert_eq!(path_cost(&one, nodes), f64::INFINITY, "{nodes:?}");
    }
    assert_eq!(path_cost(&one, &[0, 1, 5]), 2.0);
    let table = CostTable::from_fn(3, |_, _| 1.0).unwrap();
    let solution = solve(3, Some(2), &|_: Option<usize>, t: usize, s: usize| {
        table.edge(t, s)
    })
    .unwrap();
    assert_eq!((solution.last_node(), solution.max_steps()), (3, 2));
    assert_eq!(solution.path(3, 3), None);
}
