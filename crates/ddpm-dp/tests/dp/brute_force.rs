//! Every path, one after another: the oracle of the oracles, for T up to about 20.

use std::cmp::Ordering;

use ddpm_dp::CostTable;

/// The cheapest path with `k` steps that ends at `end`, and its cost; `None` if there is none.
///
/// Visits every set of k-1 nodes between. Ties are broken as everywhere in the crate: between paths of equal cost the
/// one with the smaller last node before `end`, and up to that node the cheaper, by the same rule.
pub(crate) fn best_path(table: &CostTable, k: usize, end: usize) -> Option<(f64, Vec<usize>)> {
    let mut best = None;
    visit(table, &mut vec![0], k, end, &mut best);
    best
}

/// Tries every way to reach `end` from the last of `nodes` in `steps` more steps.
fn visit(
    table: &CostTable,
    nodes: &mut Vec<usize>,
    steps: usize,
    end: usize,
    best: &mut Option<(f64, Vec<usize>)>,
) {
    let last = nodes.last().copied().unwrap_or(0);
    if steps == 0 {
        let cost = table.path_cost(nodes);
        let better = |(_, other): &(f64, Vec<usize>)| precedes(table, nodes, other);
        if last == end && cost.is_finite() && best.as_ref().is_none_or(better) {
            *best = Some((cost, nodes.clone()));
        }
        return;
    }
    let next = if steps == 1 {
        end.max(last + 1)..end + 1
    } else {
        last + 1..end
    };
    for node in next {
        nodes.push(node);
        visit(table, nodes, steps - 1, end, best);
        nodes.pop();
    }
}

/// Whether path `a` is to be preferred to path `b` of as many steps and the same end.
fn precedes(table: &CostTable, a: &[usize], b: &[usize]) -> bool {
    (2..=a.len())
        .rev()
        .map(|n| {
            let cost = table
                .path_cost(&a[..n])
                .total_cmp(&table.path_cost(&b[..n]));
            cost.then(a[n - 2].cmp(&b[n - 2]))
        })
        .find(|order| order.is_ne())
        == Some(Ordering::Less)
}
