//! The solvers against the textbook recurrence and against brute force: equal bits, equal paths.

use ddpm_dp::{CostTable, Method, SolveOptions, Start, brute_force, solve, textbook};
use proptest::prelude::*;

/// Asserts that `solve` agrees with the textbook in every cost and every path.
fn assert_equals_textbook(table: &CostTable, method: Method, max_steps: Option<usize>) {
    let options = SolveOptions { method, max_steps };
    let solution = solve(table, &options).unwrap();
    let last = table.train_steps();
    let expected = textbook::solve(table, max_steps.unwrap_or(last));
    for k in 0..=solution.max_steps() {
        for t in 0..=last {
            let (found, wanted) = (solution.cost(k, t), expected.costs[k][t]);
            assert_eq!(
                found.to_bits(),
                wanted.to_bits(),
                "{method:?} C[{k}][{t}]: {found} {wanted}"
            );
            assert_eq!(
                solution.path(table, k, t),
                expected.path(k, t),
                "{method:?} path {k} {t}"
            );
        }
    }
}

/// Costs that tie often, are negative at times and missing at times.
fn small_cost() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-3i32..12).prop_map(f64::from),
        2 => -1.0..1.0f64,
        1 => Just(f64::INFINITY),
        1 => Just(-0.0),
    ]
}

/// Tables up to T = 9, half of them with a start.
fn small_table() -> impl Strategy<Value = CostTable> {
    (1usize..=9)
        .prop_flat_map(|last| {
            let edges = prop::collection::vec(small_cost(), last * (last + 1) / 2);
            let start =
                prop::collection::vec((small_cost(), any::<prop::sample::Index>()), last + 1);
            (Just(last), edges, prop::option::of(start))
        })
        .prop_map(|(last, edges, start)| {
            let table = CostTable::from_fn(last, |t, s| edges[t * (t - 1) / 2 + s]).unwrap();
            let Some(start) = start else { return table };
            let (cost, first) = start
                .iter()
                .enumerate()
                .map(|(t, (cost, at))| {
                    if t < 2 {
                        (f64::INFINITY, 0)
                    } else {
                        (*cost, 1 + at.index(t - 1))
                    }
                })
                .unzip();
            table.with_start(Start { cost, first }).unwrap()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn textbook_equals_brute_force(table in small_table()) {
        let last = table.train_steps();
        let expected = textbook::solve(&table, last);
        for k in 0..=last {
            for end in 0..=last {
                let (cost, path) = brute_force::best_path(&table, k, end).unzip();
                prop_assert_eq!(cost.unwrap_or(f64::INFINITY).to_bits(), expected.costs[k][end].to_bits());
                prop_assert_eq!(path, expected.path(k, end));
            }
        }
    }

    #[test]
    fn solvers_equal_textbook_on_small_tables(table in small_table()) {
        for method in [Method::Auto, Method::Blocked] {
            assert_equals_textbook(&table, method, None);
            assert_equals_textbook(&table, method, Some(table.train_steps().div_ceil(2)));
        }
    }
}
