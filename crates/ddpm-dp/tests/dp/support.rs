//! Tables to test with, and the comparison with the textbook recurrence.

use ddpm_dp::{CostTable, Method, Solution, SolveOptions, Start, solve};
use proptest::prelude::*;

use crate::textbook;

pub(crate) fn solve_by(table: &CostTable, method: Method, max_steps: Option<usize>) -> Solution {
    solve(table, &SolveOptions { method, max_steps }).unwrap()
}

/// Asserts that a solution agrees with the textbook in the bits of every cost, and in the path of every budget at the
/// ends `path_ends`.
pub(crate) fn assert_equals_textbook(table: &CostTable, solution: &Solution, path_ends: &[usize]) {
    let last = table.train_steps();
    let expected = textbook::solve(table, solution.max_steps());
    let method = solution.certificate().method;
    assert_eq!(solution.train_steps(), last);
    for k in 0..=solution.max_steps() {
        for t in 0..=last {
            let (found, wanted) = (solution.cost(k, t), expected.costs[k][t]);
            assert_eq!(
                found.to_bits(),
                wanted.to_bits(),
                "{method:?} C[{k}][{t}]: {found}, textbook {wanted}"
            );
        }
        for &t in path_ends {
            assert_eq!(
                solution.path(table, k, t),
                expected.path(k, t),
                "{method:?} path with {k} steps to {t}"
            );
        }
    }
}

/// Random numbers for tables too large for proptest (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        self.below(1 << 53) as f64 / (1u64 << 53) as f64
    }
}

/// A table of edges drawn one after the other, rows ascending.
pub(crate) fn drawn_table(last: usize, mut draw: impl FnMut(usize, usize) -> f64) -> CostTable {
    let packed: Vec<f64> = (1..=last)
        .flat_map(|t| (0..t).map(move |s| (t, s)))
        .map(|(t, s)| draw(t, s))
        .collect();
    CostTable::from_fn(last, |t, s| packed[t * (t - 1) / 2 + s]).unwrap()
}

/// Adds a start whose costs come from `draw` and whose first nodes are arbitrary.
pub(crate) fn with_drawn_start(table: CostTable, mut draw: impl FnMut(usize) -> f64) -> CostTable {
    let (cost, first) = (0..=table.train_steps())
        .map(|t| {
            if t < 2 {
                (f64::INFINITY, 0)
            } else {
                (draw(t), 1 + t * 7 % (t - 1))
            }
        })
        .unzip();
    table.with_start(Start { cost, first }).unwrap()
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
pub(crate) fn small_table() -> impl Strategy<Value = CostTable> {
    (1usize..=9)
        .prop_flat_map(|last| {
            let edges = prop::collection::vec(small_cost(), last * (last + 1) / 2);
            let start = prop::collection::vec(small_cost(), last + 1);
            (Just(last), edges, prop::option::of(start))
        })
        .prop_map(|(last, edges, start)| {
            let table = CostTable::from_fn(last, |t, s| edges[t * (t - 1) / 2 + s]).unwrap();
            match start {
                Some(start) => with_drawn_start(table, |t| start[t]),
                None => table,
            }
        })
}

/// Every path, one after another, for N up to about 20: the cheapest path with `k` steps that begins at `end`, and its cost; `None` if there is none.
///
/// Ties are broken as the solvers break them: the path whose nodes, read from `end` downwards, come first.
pub(crate) fn best_path(
    path_cost: &dyn Fn(&[usize]) -> f64,
    k: usize,
    end: usize,
) -> Option<(f64, Vec<usize>)> {
    let mut best = None;
    visit(path_cost, &mut vec![end], k, &mut best);
    best
}

/// Tries every way down from the last of `nodes` (descending) in `left` more steps, smaller nodes first.
fn visit(
    path_cost: &dyn Fn(&[usize]) -> f64,
    nodes: &mut Vec<usize>,
    left: usize,
    best: &mut Option<(f64, Vec<usize>)>,
) {
    let t = nodes[nodes.len() - 1];
    if left == 0 {
        if t == 0 {
            let path: Vec<usize> = nodes.iter().rev().copied().collect();
            let total = path_cost(&path);
            if total < best.as_ref().map_or(f64::INFINITY, |(least, _)| *least) {
                *best = Some((total, path));
            }
        }
        return;
    }
    for s in 0..t {
        // Node 0 is reached by the last step and by no other.
        if (s == 0) == (left == 1) {
            nodes.push(s);
            visit(path_cost, nodes, left - 1, best);
            nodes.pop();
        }
    }
}

/// Small whole numbers, whose sums are exact and tie often, and missing steps.
pub(crate) fn whole_cost() -> impl Strategy<Value = f64> {
    prop_oneof![6 => (-3i32..9).prop_map(f64::from), 1 => Just(f64::INFINITY), 1 => Just(-0.0)]
}
