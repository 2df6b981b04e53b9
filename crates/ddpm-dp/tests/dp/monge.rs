//! Monge tables: the Monge solver agrees with the general one, and `Auto` never takes it on trust.

use ddpm_dp::{CostTable, Error, Method, SolveOptions, check_monge, solve};
use proptest::prelude::*;

use crate::support::{Random, assert_equals_textbook, drawn_table, solve_by, with_drawn_start};

/// An integer table that is Monge for s >= 1: L(t, s) = a(t) + b(s) + the sum of non-negative weights w(i, j) over
/// s <= i < j <= t. Weights below `weights`; weight 0 gives ties. The edges from node 0 are arbitrary.
fn integer_monge(last: usize, weights: u64, seed: u64) -> CostTable {
    let mut random = Random(seed);
    let nodes = last + 1;
    let a: Vec<u64> = (0..nodes).map(|_| random.below(20)).collect();
    let b: Vec<u64> = (0..nodes).map(|_| random.below(20)).collect();
    let mut inside = vec![vec![0u64; nodes]; nodes];
    for t in 1..nodes {
        for s in (0..t).rev() {
            let narrower = inside[t - 1][s] + inside[t][s + 1] - inside[t - 1][s + 1];
            inside[t][s] = narrower + random.below(weights);
        }
    }
    drawn_table(last, |t, s| match (s, random.below(10)) {
        (0, 0) => f64::INFINITY,
        (0, x) => (x * 50) as f64,
        _ => (inside[t][s] + a[t] + b[s]) as f64,
    })
}

/// The ELBO's fixed-small interior 1/2 (SNR_s - SNR_t) m(t) with random increments of SNR and m. Their size decides
/// whether rounding can break the inequality.
fn float_monge(last: usize, smallest: f64, seed: u64) -> CostTable {
    let mut random = Random(seed);
    let mut rising = |scale: f64| -> Vec<f64> {
        let steps = (0..=last).map(|_| smallest + scale * random.unit().powi(4));
        steps
            .scan(0.0, |sum, step| {
                *sum += step;
                Some(*sum)
            })
            .collect()
    };
    let (snr_loss, mse) = (rising(1.0), rising(0.1));
    CostTable::from_fn(last, |t, s| match s {
        0 => 3.0 + snr_loss[t] * 0.7,
        _ => 0.5 * (snr_loss[t] - snr_loss[s]) * mse[t],
    })
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn exact_arithmetic_gives_equal_costs_and_paths(
        last in prop_oneof![1usize..40, 120usize..180],
        weights in 1u64..5,
        // The first nodes that one step reaches, many of them or all.
        reached in prop_oneof![Just(0usize), 30usize..200],
        seed in any::<u64>(),
        start in any::<bool>(),
    ) {
        let drawn = integer_monge(last, weights, seed);
        let mut table = drawn_table(last, |t, s| match s {
            0 if t < reached => f64::INFINITY,
            _ => drawn.edge(t, s),
        });
        if start {
            let mut random = Random(seed ^ 1);
            table = with_drawn_start(table, |t| match random.below(10) {
                _ if t < reached => f64::INFINITY,
                0 => f64::INFINITY,
                _ => random.below(500) as f64,
            });
        }
        prop_assert!(check_monge(&table, 0.0).holds());
        for method in [Method::Monge, Method::Blocked, Method::Auto] {
            let solution = solve_by(&table, method, None);
            assert_equals_textbook(&table, &solution, &[last / 2, last]);
        }
    }

    #[test]
    fn auto_is_exact_whatever_the_rounding(
        last in prop_oneof![1usize..40, 120usize..180],
        smallest in prop_oneof![Just(0.0), Just(1e-9), Just(1e-3)],
        seed in any::<u64>(),
    ) {
        let table = float_monge(last, smallest, seed);
        let auto = solve_by(&table, Method::Auto, None);
        prop_assert!(auto.certificate().exact);
        assert_equals_textbook(&table, &auto, &[last]);

        let monge = solve_by(&table, Method::Monge, None);
        for k in 1..=last {
            let (found, best) = (monge.cost(k, last), auto.cost(k, last));
            prop_assert!(found >= best && found - best <= 1e-12 * best, "{} {}", found, best);
            let path = monge.path(&table, k, last).unwrap();
            prop_assert_eq!(table.path_cost(&path).to_bits(), found.to_bits());
        }
    }

    #[test]
    fn auto_is_exact_on_tables_that_are_nearly_monge(
        last in 4usize..150,
        size in prop_oneof![Just(1e-15), Just(1e-12), Just(1e-3)],
        seed in any::<u64>(),
    ) {
        let monge = float_monge(last, 1e-9, seed);
        let mut random = Random(seed);
        let table = drawn_table(last, |t, s| monge.edge(t, s) + size * random.unit());
        assert_equals_textbook(&table, &solve_by(&table, Method::Auto, None), &[last]);
    }
}

#[test]
fn auto_takes_the_monge_solver_where_there_is_room() {
    let table = float_monge(300, 1e-3, 1);
    let solution = solve_by(&table, Method::Auto, None);
    assert_eq!(solution.certificate().method, Method::Monge);
    assert!(solution.certificate().exact);
}

#[test]
fn auto_takes_the_blocked_solver_where_ties_leave_no_room() {
    // Fulfils the inequality with equality everywhere: monotone argmins then depend on how sums are rounded.
    let table = CostTable::from_fn(200, |t, s| (t as f64).sqrt() - (s as f64).sqrt()).unwrap();
    let solution = solve_by(&table, Method::Auto, None);
    assert_eq!(solution.certificate().method, Method::Blocked);
    assert_equals_textbook(&table, &solution, &[200]);
}

#[test]
fn one_violation_is_found_and_refused() {
    let good = integer_monge(100, 3, 9);
    let table = CostTable::from_fn(100, |t, s| {
        good.edge(t, s) + if (t, s) == (60, 20) { 30.0 } else { 0.0 }
    })
    .unwrap();
    let report = check_monge(&table, 0.0);
    assert!(!report.holds());
    // The raised edge is one of the two that should be small in the quadruples (60, 20) and (59, 19).
    let worst = report.worst.unwrap();
    assert!(
        [(60, 20), (59, 19)].contains(&(worst.t, worst.s)),
        "{worst:?}"
    );
    assert!(check_monge(&table, worst.violation).holds());

    let options = SolveOptions {
        method: Method::Monge,
        max_steps: None,
    };
    let refused = Error::NotMonge {
        t: worst.t,
        s: worst.s,
        violation: worst.violation,
    };
    assert_eq!(solve(&table, &options).unwrap_err(), refused);
    let auto = solve_by(&table, Method::Auto, None);
    assert_eq!(auto.certificate().method, Method::Blocked);
    assert_equals_textbook(&table, &auto, &[100]);
}

#[test]
fn missing_interior_edges_are_violations() {
    // The inequality says nothing about the edges (2, 1) and (T, T-1), and the solver needs nothing of them.
    let edges = [
        (3, 2, true),
        (4, 1, true),
        (30, 7, true),
        (50, 1, true),
        (2, 1, false),
        (50, 49, false),
    ];
    for (t, s, is_violation) in edges {
        let good = integer_monge(50, 3, 4);
        let remaining = |at: (usize, usize)| {
            if at == (t, s) {
                f64::INFINITY
            } else {
                good.edge(at.0, at.1)
            }
        };
        let table = CostTable::from_fn(50, |t, s| remaining((t, s))).unwrap();
        let report = check_monge(&table, 1e300);
        assert_eq!(
            report.worst.unwrap().violation == f64::INFINITY,
            is_violation,
            "({t}, {s})"
        );
        assert_eq!(report.holds(), !is_violation);
        let method = if is_violation {
            Method::Auto
        } else {
            Method::Monge
        };
        assert_equals_textbook(&table, &solve_by(&table, method, None), &[50]);
    }
}

/// Sums as large as the first step here round by more than the margins of the interior: argmins among them need not be monotone.
#[test]
fn auto_is_not_taken_in_by_margins_that_large_costs_round_away() {
    let table = CostTable::from_fn(60, |t, s| match s {
        0 => 2.6e13 + (t * 37 % 11) as f64,
        _ => 2e-5 * ((t - s) * (t - s)) as f64,
    })
    .unwrap();
    let report = check_monge(&table, 0.0);
    assert!(report.holds() && report.worst.unwrap().violation < -3.9e-5);
    let solution = solve_by(&table, Method::Auto, None);
    assert_eq!(solution.certificate().method, Method::Blocked);
    assert!(solution.certificate().exact);
    assert_equals_textbook(&table, &solution, &[60]);
    // Asked for, it says that nothing is proved.
    let monge = solve_by(&table, Method::Monge, None);
    assert!(!monge.certificate().exact);
    // With a first step of no size there is nothing to lose.
    let small = CostTable::from_fn(60, |t, s| match s {
        0 => 1.0,
        _ => table.edge(t, s),
    });
    let solution = solve_by(&small.unwrap(), Method::Auto, None);
    assert_eq!(solution.certificate().method, Method::Monge);
}

/// The same of the table's own entries: their margin is above what the sums round away, and below what their own rounding may hide.
#[test]
fn auto_is_not_taken_in_by_margins_that_the_table_may_have_rounded() {
    const SIZE: f64 = 1e11;
    // 2^-13: with it every entry is a float, and the margin is 2^-12.
    const UNIT: f64 = 1.0 / 8192.0;
    let table = CostTable::from_fn(40, |t, s| match s {
        0 => -SIZE,
        _ => SIZE + UNIT * ((t - s) * (t - s)) as f64,
    })
    .unwrap();
    let margin = -check_monge(&table, 0.0).worst.unwrap().violation;
    assert_eq!(margin, 2.0 * UNIT);
    assert!(margin > 8.0 * f64::EPSILON * SIZE && margin < 16.0 * f64::EPSILON * SIZE);
    let solution = solve_by(&table, Method::Auto, Some(2));
    assert_eq!(solution.max_steps(), 2);
    assert_eq!(solution.certificate().method, Method::Blocked);
    assert_equals_textbook(&table, &solution, &[40]);
}

/// Eight roundings of the largest cost are forgiven, and no more.
#[test]
fn the_monge_solver_forgives_eight_roundings() {
    let raised = |by: f64| {
        CostTable::from_fn(50, |t, s| 1.0 + if (t, s) == (30, 10) { by } else { 0.0 }).unwrap()
    };
    let options = SolveOptions {
        method: Method::Monge,
        max_steps: None,
    };
    assert!(solve(&raised(8.0 * f64::EPSILON), &options).is_ok());
    let refused = solve(&raised(9.0 * f64::EPSILON), &options).unwrap_err();
    assert!(matches!(refused, Error::NotMonge { .. }), "{refused}");
}

#[test]
fn a_solution_has_the_budgets_that_were_asked_for() {
    let table = integer_monge(30, 3, 5);
    for method in [Method::Monge, Method::Blocked, Method::Auto] {
        for steps in [1, 2, 29, 30] {
            let solution = solve_by(&table, method, Some(steps));
            assert_eq!(solution.max_steps(), steps);
            assert!(solution.cost(steps, 30).is_finite());
            assert_eq!(solution.cost(steps + 1, 30), f64::INFINITY);
            let path = solution.path(&table, steps, 30).unwrap();
            assert_eq!(path.len(), steps + 1);
            assert_eq!(solution.path(&table, steps + 1, 30), None);
        }
        assert_eq!(solve_by(&table, method, None).max_steps(), 30);
    }
}

/// Of costs of nothing no margin is left, so that nothing is proved.
#[test]
fn auto_takes_the_blocked_solver_where_every_margin_is_nothing() {
    let table = CostTable::from_fn(20, |_, _| 0.0).unwrap();
    let solution = solve_by(&table, Method::Auto, None);
    assert_eq!(solution.certificate().method, Method::Blocked);
}

#[test]
fn the_first_of_equal_violations_is_the_worst() {
    let table = CostTable::from_fn(30, |t, s| match (t, s) {
        (10 | 20, 4) => 1.0,
        _ => 0.0,
    });
    let worst = check_monge(&table.unwrap(), 0.0).worst.unwrap();
    assert_eq!((worst.t, worst.s, worst.violation), (9, 3, 1.0));
}

#[test]
fn every_edge_of_a_quadruple_counts_for_the_largest_cost() {
    let last = 12;
    let is_in_none = |t, s| s == 0 || (t, s) == (2, 1) || (t, s) == (last, last - 1);
    for t in 1..=last {
        for s in 0..t {
            let one = |cost| {
                let table =
                    CostTable::from_fn(last, |t1, s1| if (t1, s1) == (t, s) { cost } else { 1.0 });
                check_monge(&table.unwrap(), 0.0).largest_cost
            };
            let expected = if is_in_none(t, s) { 1.0 } else { 7.0 };
            assert_eq!([one(7.0), one(-7.0)], [expected; 2], "L({t}, {s})");
            assert_eq!(one(f64::INFINITY), 1.0, "L({t}, {s}) missing");
        }
    }
}
