//! The solver for tables whose interior is Monge: divide and conquer over monotone argmins.
//!
//! If L(t,s) + L(t',s') <= L(t,s') + L(t',s) for all 1 <= s < s' < t < t', then for any vector C\[k-1\] the smallest
//! minimiser s of C\[k-1\]\[s\] + L(t, s) does not decrease with t. Once it is known for two nodes, every node between
//! them searches between their minimisers only: O(T log T) candidates per budget instead of T^2 / 2.
//!
//! Node 0 is never in the way: from the second step on s >= 1.

use pulp::{Arch, Simd, WithSimd};

use crate::budgets::BudgetCosts;
use crate::cost_table::CostTable;

/// Nodes per block: their rows of the table stay in the caches and the TLB while all budgets go over them.
const BLOCK: usize = 128;

/// C\[0..=max_steps\]\[0..=T\].
///
/// All edges between nodes >= 1 must exist, so that a node which k steps do not reach has none before it that they reach: where all
/// candidates are `+inf` it does not matter which is taken. Where the table is not Monge the costs are those of some path, not
/// necessarily of the best.
pub(crate) fn solve(
    table: &CostTable,
    max_steps: usize,
    arch: Arch,
    watch: &mut dyn FnMut(usize),
) -> BudgetCosts {
    let last = table.train_steps();
    let mut costs = BudgetCosts::new(last, max_steps);
    let (_, row) = costs.adjacent_rows(1);
    for (t, cost) in (1..).zip(row) {
        *cost = table.edge(t, 0);
    }
    let mut given = 1;
    if let (Some(start), 2..) = (table.start(), max_steps) {
        costs.adjacent_rows(2).1.copy_from_slice(&start.cost[2..]);
        given = 2;
    }
    // The minimiser of each budget at the node before the block: a lower bound for those of the block.
    let mut argmins = vec![0; max_steps + 1];
    for begin in (1..=last).step_by(BLOCK) {
        let end = last.min(begin + BLOCK - 1);
        for k in given + 1..=max_steps.min(end) {
            let (before, row) = costs.adjacent_rows(k);
            argmins[k] = arch.dispatch(BlockMinima {
                table,
                k,
                before,
                row,
                nodes: (begin.max(k), end),
                low: argmins[k].max(k - 1),
            });
        }
        watch(end);
    }
    costs
}

/// One budget k >= 2 over one block of nodes; evaluates to the minimiser at the last of them.
struct BlockMinima<'a> {
    table: &'a CostTable,
    k: usize,
    /// C\[k-1\]\[k-1..=T\], known up to the node before the last.
    before: &'a [f64],
    /// C\[k\]\[k..=T\], to be written.
    row: &'a mut [f64],
    /// The first and the last node, at most [`BLOCK`] of them.
    nodes: (usize, usize),
    /// No minimiser lies below this node.
    low: usize,
}

impl WithSimd for BlockMinima<'_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let (first, last) = self.nodes;
        let nodes = last + 1 - first;
        // Entry i is the minimiser of node first + i - 1; entry 0 is the bound.
        let mut argmins = [self.low; BLOCK + 1];
        // Halving strides: each node lies midway between two that are known, or beyond the last that is.
        let mut stride = nodes.next_power_of_two();
        while stride > 0 {
            for i in (stride..=nodes).step_by(2 * stride) {
                let t = first + i - 1;
                let low = argmins[i - stride];
                let high = match argmins.get(i + stride) {
                    Some(&known) if i + stride <= nodes => known.min(t - 1),
                    _ => t - 1,
                };
                let candidates = &self.before[low + 1 - self.k..high + 2 - self.k];
                let (cost, at) = argmin_sum(simd, candidates, &self.table.row(t)[low..=high]);
                self.row[t - self.k] = cost;
                argmins[i] = low + at;
            }
            stride /= 2;
        }
        argmins[nodes]
    }
}

/// The smallest `a[i]` + `b[i]` and the first i that attains it; the slices are equally long and not empty.
#[inline(always)]
fn argmin_sum<S: Simd>(simd: S, a: &[f64], b: &[f64]) -> (f64, usize) {
    let n = a.len();
    let b = &b[..n];
    let (mut smallest, mut at) = (f64::INFINITY, 0);
    if n < 4 * S::F64_LANES {
        for i in 0..n {
            let sum = a[i] + b[i];
            if sum < smallest {
                (smallest, at) = (sum, i);
            }
        }
        return (smallest, at);
    }
    let ((a_vectors, a_rest), (b_vectors, b_rest)) = (S::as_simd_f64s(a), S::as_simd_f64s(b));
    let mut minima = simd.splat_f64s(f64::INFINITY);
    for (&x, &y) in a_vectors.iter().zip(b_vectors) {
        minima = simd.min_f64s(minima, simd.add_f64s(x, y));
    }
    smallest = simd.reduce_min_f64s(minima);
    for (x, y) in a_rest.iter().zip(b_rest) {
        smallest = smallest.min(x + y);
    }
    at = a
        .iter()
        .zip(b)
        .position(|(x, y)| x + y == smallest)
        .unwrap_or(0);
    (smallest, at)
}
