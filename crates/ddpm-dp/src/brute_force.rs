//! Every path, one after another: the oracle of the oracles, for T up to about 20.

use std::cmp::Ordering;

use crate::cost_table::CostTable;

/// The cheapest path with `k` steps that ends at `end`, and its cost; `None` if there is none.
///
/// Visits all 2^(`end`-1) sets of nodes. Ties are broken as everywhere in this crate: between paths of equal cost the
/// one with the smaller last node before `end`, and up to that node the cheaper, by the same rule.
pub fn best_path(table: &CostTable, k: usize, end: usize) -> Option<(f64, Vec<usize>)> {
    if k == 0 || end == 0 {
        return (k == 0 && end == 0).then(|| (0.0, vec![0]));
    }
    if end > table.train_steps() {
        return None;
    }
    let inner_nodes = end - 1;
    let mut best: Option<(f64, Vec<usize>)> = None;
    for set in 0u64..1 << inner_nodes {
        if set.count_ones() as usize != k - 1 {
            continue;
        }
        let mut nodes = vec![0];
        nodes.extend((1..end).filter(|node| set >> (node - 1) & 1 == 1));
        nodes.push(end);
        let cost = table.path_cost(&nodes);
        if cost.is_finite()
            && best
                .as_ref()
                .is_none_or(|(_, other)| precedes(table, &nodes, other))
        {
            best = Some((cost, nodes));
        }
    }
    best
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
