//! The blocked solver against the textbook recurrence, and that against brute force: equal bits, equal paths.

use ddpm_dp::{CostTable, Method, SolveOptions, solve, solve_watched};
use proptest::prelude::*;

use crate::support::{
    Random, assert_equals_textbook, drawn_table, small_table, solve_by, with_drawn_start,
};
use crate::{brute_force, textbook};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn textbook_equals_brute_force(table in small_table()) {
        let last = table.train_steps();
        let expected = textbook::solve(&table, last);
        for k in 0..=last {
            for end in 0..=last {
                let (cost, path) = brute_force::best_path(&table, k, end).unzip();
                let cost = cost.unwrap_or(f64::INFINITY);
                prop_assert_eq!(cost.to_bits(), expected.costs[k][end].to_bits());
                prop_assert_eq!(path, expected.path(k, end));
            }
        }
    }

    #[test]
    fn solvers_equal_textbook_on_small_tables(table in small_table(), budget in any::<prop::sample::Index>()) {
        let last = table.train_steps();
        let ends: Vec<usize> = (0..=last).collect();
        for method in [Method::Auto, Method::Blocked] {
            for max_steps in [None, Some(1 + budget.index(last))] {
                let solution = solve_by(&table, method, max_steps);
                assert_equals_textbook(&table, &solution, &ends);
            }
        }
    }

    #[test]
    fn path_costs_equal_costs(table in small_table()) {
        let last = table.train_steps();
        let solution = solve_by(&table, Method::Auto, None);
        for k in 1..=last {
            for end in 0..=last {
                if let Some(path) = solution.path(&table, k, end) {
                    let cost = table.path_cost(&path);
                    prop_assert_eq!(cost.to_bits(), solution.cost(k, end).to_bits());
                }
            }
        }
    }
}

/// Irregular costs; small integers so that there are many ties; and a table with half of the edges missing.
fn large_tables(last: usize) -> [CostTable; 3] {
    let mut random = Random(last as u64);
    [
        drawn_table(last, |t, s| random.unit() + ((t - s) as f64).sqrt()),
        drawn_table(last, |_, _| random.below(4) as f64 - 1.0),
        drawn_table(last, |_, _| match random.below(2) {
            0 => f64::INFINITY,
            _ => random.unit() - 0.5,
        }),
    ]
}

#[test]
fn blocked_equals_textbook_for_all_budgets_at_300() {
    let ends = [1, 2, 63, 64, 127, 128, 129, 255, 256, 257, 299, 300];
    for (i, table) in large_tables(300).into_iter().enumerate() {
        let solution = solve_by(&table, Method::Blocked, None);
        assert_equals_textbook(&table, &solution, &ends);
        let mut random = Random(i as u64);
        let table = with_drawn_start(table, |t| match t % 5 {
            3 => f64::INFINITY,
            _ => random.unit() + random.below(3) as f64,
        });
        let solution = solve_by(&table, Method::Blocked, None);
        assert_equals_textbook(&table, &solution, &ends);
    }
}

#[test]
fn block_and_group_boundaries_do_not_matter() {
    for last in [31, 32, 33, 64, 127, 128, 129] {
        for table in large_tables(last) {
            for max_steps in [1, 2, 4, 5, 63, 65, 127] {
                if max_steps <= last {
                    let solution = solve_by(&table, Method::Blocked, Some(max_steps));
                    assert_equals_textbook(&table, &solution, &[last]);
                }
            }
        }
    }
}

#[test]
fn thread_count_does_not_matter() {
    let table = drawn_table(400, {
        let mut random = Random(400);
        move |_, _| random.unit()
    });
    let bits = |threads: usize| -> Vec<u64> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let solution = pool.install(|| solve_by(&table, Method::Auto, None));
        let costs = (0..=400).flat_map(|k| (0..=400).map(move |t| (k, t)));
        costs.map(|(k, t)| solution.cost(k, t).to_bits()).collect()
    };
    let expected = bits(1);
    for threads in [2, 3, 8] {
        assert!(bits(threads) == expected, "{threads} threads");
    }
}

#[test]
fn whoever_watches_hears_of_every_node_and_changes_nothing() {
    let last = 300;
    let mut random = Random(3);
    let any = drawn_table(last, |_, _| random.unit());
    let monge = drawn_table(last, |t, s| ((t - s) as f64).powi(2));
    for (table, methods) in [
        (any, vec![Method::Auto, Method::Blocked]),
        (monge, vec![Method::Auto, Method::Monge]),
    ] {
        for method in methods {
            let options = SolveOptions {
                method,
                max_steps: None,
            };
            let mut heard = Vec::new();
            let found = solve_watched(&table, &options, &mut |t| heard.push(t)).unwrap();
            let unwatched = solve(&table, &options).unwrap();
            for k in [1, 7, last] {
                assert_eq!(found.cost(k, last), unwatched.cost(k, last));
            }
            assert_eq!(heard.last(), Some(&last));
            assert!(heard.len() > 1 && heard.is_sorted(), "{heard:?}");
        }
    }
}
