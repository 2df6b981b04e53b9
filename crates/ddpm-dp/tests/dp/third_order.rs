//! The third-order solver against brute force, against the second-order one, and at its limits.

use ddpm_dp::third_order::{self, QuadrupleCost, path_cost, solve};
use ddpm_dp::{Error, second_order};
use proptest::prelude::*;

use crate::support::{best_path, whole_cost};

type Before = [Option<usize>; 2];

/// Costs of all quadruples over nodes 0..=N, drawn one after another; node 0 is for no node before. Half of the steps cost something else
/// where they are the last but one.
#[derive(Clone, Debug)]
struct Drawn {
    last: usize,
    costs: Vec<f64>,
}

impl Drawn {
    fn at(&self, [p, q]: Before, t: usize, s: usize) -> usize {
        let side = self.last + 1;
        ((q.unwrap_or(0) * side + p.unwrap_or(0)) * side + t) * side + s
    }
}

impl QuadrupleCost for Drawn {
    fn cost(&self, before: Before, t: usize, s: usize) -> f64 {
        self.costs[self.at(before, t, s)]
    }

    fn last_but_one(&self, before: Before, t: usize, s: usize) -> Option<f64> {
        let at = self.at(before, t, s);
        (at % 2 == 1).then(|| self.costs[self.costs.len() - at])
    }
}

fn drawn(last: usize, cost: impl Strategy<Value = f64>) -> impl Strategy<Value = Drawn> {
    prop::collection::vec(cost, (last + 1).pow(4)).prop_map(move |costs| Drawn { last, costs })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn equals_brute_force(cost in (1usize..=8).prop_flat_map(|last| drawn(last, whole_cost())), budget in any::<prop::sample::Index>()) {
        for max_steps in [None, Some(1 + budget.index(cost.last))] {
            let solution = solve(cost.last, max_steps, &cost).unwrap();
            for k in 0..=cost.last + 1 {
                for end in 0..=cost.last + 1 {
                    let possible = (1..=solution.max_steps()).contains(&k) && (1..=cost.last).contains(&end);
                    let best = if possible { best_path(&|path| path_cost(&cost, path), k, end) } else { None };
                    let (least, path) = best.unzip();
                    prop_assert_eq!(solution.cost(k, end).to_bits(), least.unwrap_or(f64::INFINITY).to_bits());
                    prop_assert_eq!(solution.path(k, end), path, "{} steps to {}", k, end);
                }
            }
        }
    }

    #[test]
    fn costs_are_those_of_the_paths_to_the_last_bit(cost in drawn(8, -1.0..1.0f64)) {
        let solution = solve(8, None, &cost).unwrap();
        for k in 1..=8 {
            let path = solution.path(k, 8).unwrap();
            prop_assert_eq!(path_cost(&cost, &path).to_bits(), solution.cost(k, 8).to_bits());
            let (least, _) = best_path(&|path| path_cost(&cost, path), k, 8).unwrap();
            prop_assert_eq!(least.to_bits(), solution.cost(k, 8).to_bits());
        }
    }
}

#[test]
fn costs_that_ignore_the_second_node_before_give_the_second_order_solution() {
    let hash = |p: Option<usize>, t: usize, s: usize| {
        let hash = (p.unwrap_or(0) * 7919 + t * 104_729 + s * 1_299_709) % 10_007;
        hash as f64 / 10_007.0
    };
    let expected = second_order::solve(40, None, &hash).unwrap();
    let found = solve(40, None, &|[p, _]: Before, t: usize, s: usize| {
        hash(p, t, s)
    })
    .unwrap();
    for k in 1..=40 {
        for end in [1, 2, 3, 21, 40] {
            assert_eq!(
                found.cost(k, end).to_bits(),
                expected.cost(k, end).to_bits()
            );
            assert_eq!(found.path(k, end), expected.path(k, end));
        }
    }
}

#[test]
fn thread_count_does_not_matter() {
    let cost = |[p, q]: Before, t: usize, s: usize| {
        let hash = q.unwrap_or(0) * 31 + p.unwrap_or(0) * 7919 + t * 104_729 + s * 1_299_709;
        (hash % 10_007) as f64 / 10_007.0
    };
    let bits = |threads: usize| -> Vec<(u64, Option<Vec<usize>>)> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let solution = pool.install(|| solve(40, Some(12), &cost)).unwrap();
        (1..=12)
            .map(|k| (solution.cost(k, 40).to_bits(), solution.path(k, 40)))
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
    let cost = |_: Before, _: usize, _: usize| {
        calls.fetch_add(1, Ordering::Relaxed);
        1.0
    };
    let n = 12;
    solve(n, None, &cost).unwrap();
    // Quadruples, triples and pairs of nodes, the last of which may be 0.
    let choose = |k: usize| (0..k).fold(1, |sum, i| sum * (n + 1 - i) / (i + 1));
    assert_eq!(calls.into_inner(), choose(4) + choose(3) + choose(2));
}

#[test]
fn a_cost_that_is_no_number_is_refused_with_its_place() {
    let cost = |before: Before, t: usize, s: usize| {
        if (before, t, s) == ([Some(5), Some(7)], 4, 2) {
            f64::NAN
        } else {
            1.0
        }
    };
    let error = solve(8, None, &cost).unwrap_err();
    assert!(matches!(
        error,
        Error::QuadrupleCost {
            before: [Some(5), Some(7)],
            t: 4,
            s: 2,
            ..
        }
    ));
    assert!(
        error.to_string().contains("before=5,7, t=4, s=2"),
        "{error}"
    );
}

#[test]
fn sizes_that_cannot_be_solved_are_refused() {
    let cost = |_: Before, _: usize, _: usize| 1.0;
    for last in [0, third_order::MAX_NODES + 1] {
        assert!(matches!(solve(last, None, &cost), Err(Error::Nodes { .. })));
    }
    for steps in [0, 6] {
        assert!(matches!(
            solve(5, Some(steps), &cost),
            Err(Error::MaxSteps { .. })
        ));
    }
}
