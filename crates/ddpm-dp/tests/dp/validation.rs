//! What is refused, what is impossible, and what the small accessors answer.

use ddpm_dp::{CostTable, Error, Method, SolveOptions, Start, solve};
use ndarray::Array2;

use crate::support::solve_by;

const INF: f64 = f64::INFINITY;

/// L(t, s) = (t - s)^2.
fn squares(last: usize) -> CostTable {
    CostTable::from_fn(last, |t, s| ((t - s) * (t - s)) as f64).unwrap()
}

#[test]
fn bad_costs_are_named_by_their_edge() {
    for bad in [f64::NAN, -INF, 1e301, -1e301] {
        let built = CostTable::from_fn(50, |t, s| if t >= 20 && s == 3 { bad } else { 1.0 });
        match built.unwrap_err() {
            Error::EdgeCost { t: 20, s: 3, found } => assert_eq!(found.to_bits(), bad.to_bits()),
            other => panic!("{other:?}"),
        }
    }
    // Where all are too large too.
    let all = CostTable::from_fn(3, |_, _| 1e301).unwrap_err();
    assert!(matches!(all, Error::EdgeCost { t: 1, s: 0, .. }), "{all:?}");
    let message = CostTable::from_fn(3, |_, _| f64::NAN)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "cost of edge (t=1, s=0): expected a number of magnitude at most 1e300, or +inf for no edge, found NaN"
    );
}

#[test]
fn a_square_array_is_read_below_its_diagonal() {
    let mut square = Array2::from_elem((4, 4), f64::NAN);
    for t in 1..4 {
        for s in 0..t {
            square[[t, s]] = (10 * t + s) as f64;
        }
    }
    let table = CostTable::from_square(square.view()).unwrap();
    assert_eq!(table.train_steps(), 3);
    assert_eq!(table.row(3), [30.0, 31.0, 32.0]);
    square[[2, 1]] = f64::NAN;
    let error = CostTable::from_square(square.view()).unwrap_err();
    assert!(
        matches!(error, Error::EdgeCost { t: 2, s: 1, .. }),
        "{error}"
    );

    let oblong = Array2::zeros((4, 5));
    let error = CostTable::from_square(oblong.view()).unwrap_err();
    assert_eq!(
        error,
        Error::NotSquare {
            rows: 4,
            columns: 5
        }
    );
    let empty = Array2::zeros((0, 0));
    let error = CostTable::from_square(empty.view()).unwrap_err();
    assert_eq!(
        error,
        Error::NotSquare {
            rows: 0,
            columns: 0
        }
    );
}

#[test]
fn a_table_needs_at_least_one_step() {
    let too_large = CostTable::MAX_TRAIN_STEPS + 1;
    for found in [0, too_large, usize::MAX] {
        let error = CostTable::from_fn(found, |_, _| 0.0).unwrap_err();
        assert_eq!(
            error,
            Error::TrainSteps {
                found,
                max: CostTable::MAX_TRAIN_STEPS
            }
        );
    }
}

#[test]
fn rows_left_alone_are_zero_and_negative_zero_is_zero() {
    let table = CostTable::from_rows(3, |t, row| {
        if t == 2 {
            row.copy_from_slice(&[-0.0, 5.0]);
        }
    })
    .unwrap();
    assert_eq!(table.row(3), [0.0; 3]);
    assert_eq!(table.edge(2, 0).to_bits(), 0.0f64.to_bits());
    assert_eq!(table.edge(2, 1), 5.0);
}

#[test]
fn starts_are_checked() {
    let table = squares(3);
    let good = Start {
        cost: vec![INF, INF, 1.0, 2.0],
        first: vec![0, 0, 1, 2],
    };
    assert!(table.clone().with_start(good.clone()).is_ok());

    let refused = |change: &dyn Fn(&mut Start)| {
        let mut start = good.clone();
        change(&mut start);
        table.clone().with_start(start).unwrap_err()
    };
    assert_eq!(
        refused(&|s| s.cost.truncate(3)),
        Error::StartLength {
            field: "cost",
            expected: 4,
            found: 3
        }
    );
    assert_eq!(
        refused(&|s| s.first.push(1)),
        Error::StartLength {
            field: "first",
            expected: 4,
            found: 5
        }
    );
    assert_eq!(
        refused(&|s| s.cost[2] = -INF),
        Error::StartCost { t: 2, found: -INF }
    );
    assert!(matches!(
        refused(&|s| s.cost[3] = f64::NAN),
        Error::StartCost { t: 3, .. }
    ));
    for found in [0, 3, 9] {
        assert_eq!(
            refused(&|s| s.first[3] = found),
            Error::StartFirst { t: 3, found }
        );
    }
    assert_eq!(
        refused(&|s| s.cost[1] = 1.0),
        Error::StartFirst { t: 1, found: 0 }
    );
}

#[test]
fn max_steps_is_checked() {
    for found in [0, 6] {
        let options = SolveOptions {
            max_steps: Some(found),
            ..SolveOptions::default()
        };
        let error = solve(&squares(5), &options).unwrap_err();
        assert_eq!(
            error,
            Error::MaxSteps {
                found,
                train_steps: 5
            }
        );
    }
}

#[test]
fn impossible_budgets_have_infinite_cost_and_no_path() {
    // Steps of even length only: node 5 is out of reach, node 4 takes two steps at most.
    let table = CostTable::from_fn(5, |t, s| if (t - s) % 2 == 0 { 1.0 } else { INF }).unwrap();
    for method in [Method::Auto, Method::Blocked] {
        let solution = solve_by(&table, method, None);
        for (k, end) in [
            (1, 5),
            (3, 5),
            (5, 5),
            (3, 4),
            (3, 2),
            (1, 0),
            (0, 1),
            (9, 5),
            (1, 9),
        ] {
            assert_eq!(solution.cost(k, end), INF, "{k} {end}");
            assert_eq!(solution.path(&table, k, end), None, "{k} {end}");
        }
        assert_eq!(solution.path(&table, 2, 4), Some(vec![0, 2, 4]));
        assert_eq!(solution.path(&table, 0, 0), Some(vec![0]));
        assert_eq!(solution.best_end(4, &[0.0; 6]), None);
    }
}

#[test]
fn a_table_without_any_edge_from_0_has_no_path() {
    let table = CostTable::from_fn(200, |_, s| if s == 0 { INF } else { 1.0 }).unwrap();
    for method in [Method::Auto, Method::Blocked, Method::Monge] {
        let solution = solve_by(&table, method, None);
        assert!((1..=200).all(|k| solution.cost(k, 200) == INF));
    }
}

#[test]
fn paths_belong_to_the_table_that_was_solved() {
    let solution = solve_by(&squares(5), Method::Auto, None);
    assert_eq!(solution.path(&squares(6), 2, 5), None);
    let other = CostTable::from_fn(5, |_, _| 7.5).unwrap();
    assert_eq!(solution.path(&other, 2, 5), None);
    let no_start = Start {
        cost: vec![INF; 6],
        first: vec![999; 6],
    };
    let other = squares(5).with_start(no_start).unwrap();
    assert_eq!(solution.path(&other, 2, 5), None);
}

#[test]
fn path_cost_is_infinite_off_the_table() {
    let table = squares(5);
    assert_eq!(table.path_cost(&[0]), 0.0);
    assert_eq!(table.path_cost(&[0, 2, 5]), 13.0);
    for nodes in [
        &[][..],
        &[1, 2],
        &[0, 0],
        &[0, 3, 2],
        &[0, 3, 3],
        &[0, 6],
        &[0, 2, 99, 3],
    ] {
        assert_eq!(table.path_cost(nodes), INF, "{nodes:?}");
    }
    let start = Start {
        cost: vec![INF, INF, 10.0, 20.0, 30.0, INF],
        first: vec![0, 0, 1, 1, 3, 0],
    };
    let table = table.with_start(start).unwrap();
    assert_eq!(table.path_cost(&[0, 3]), 9.0);
    assert_eq!(table.path_cost(&[0, 3, 4]), 30.0);
    assert_eq!(table.path_cost(&[0, 3, 4, 5]), 31.0);
    for nodes in [&[0, 2, 4][..], &[0, 1, 5], &[0, 1, 99], &[0, 4, 4]] {
        assert_eq!(table.path_cost(nodes), INF, "{nodes:?}");
    }
}

#[test]
fn entries_outside_the_table_are_missing_edges() {
    let table = squares(5);
    assert_eq!(
        (table.edge(3, 3), table.edge(2, 4), table.edge(6, 1)),
        (INF, INF, INF)
    );
    assert_eq!(table.row(0), [] as [f64; 0]);
    assert_eq!(table.row(6), [] as [f64; 0]);
}

#[test]
fn best_end_weighs_cost_against_terminal_cost() {
    let solution = solve_by(&squares(5), Method::Auto, None);
    // C[2][t] = 2, 5, 8, 13 at t = 2..=5.
    let mut terminal = [0.0, 0.0, 20.0, 6.0, 3.0, 0.0];
    assert_eq!(
        solution.best_end(2, &terminal),
        Some((3, 11.0)),
        "smallest end on ties"
    );
    terminal[3] = f64::NAN;
    assert_eq!(solution.best_end(2, &terminal), Some((4, 11.0)));
    assert_eq!(solution.best_end(2, &terminal[..3]), Some((2, 22.0)));
    assert_eq!(solution.best_end(2, &[INF; 6]), None);
    assert_eq!(solution.best_end(9, &terminal), None);
}
