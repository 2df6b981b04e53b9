//! Every path, one after another: the oracle, for N up to about 20.

use super::{TripleCost, path_cost};

/// The cheapest path with `k` steps that begins at `end`, and its cost; `None` if there is none.
///
/// Ties are broken as [`solve`](super::solve) breaks them: the path whose nodes, read from `end` downwards, come first.
pub fn best_path(cost: &impl TripleCost, k: usize, end: usize) -> Option<(f64, Vec<usize>)> {
    let mut best = None;
    visit(cost, &mut vec![end], k, &mut best);
    best
}

/// Tries every way down from the last of `nodes` (descending) in `left` more steps, smaller nodes first.
fn visit(
    cost: &impl TripleCost,
    nodes: &mut Vec<usize>,
    left: usize,
    best: &mut Option<(f64, Vec<usize>)>,
) {
    let t = nodes[nodes.len() - 1];
    if left == 0 {
        if t == 0 {
            let path: Vec<usize> = nodes.iter().rev().copied().collect();
            let total = path_cost(cost, &path);
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
            visit(cost, nodes, left - 1, best);
            nodes.pop();
        }
    }
}
