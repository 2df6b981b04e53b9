//! The general solver: the recurrence as left-looking blocked min-plus products.
//!
//! The nodes are cut into blocks of [`BLOCK`]. When block b is reached, C\[k\]\[s\] is known for every earlier s, so that
//!
//! ```text
//! P[k][t] = min over s before the block of C[k-1][s] + L(t, s)        (all k, all t of the block)
//! ```
//!
//! is one min-plus matrix product (budgets x nodes) x (nodes x block), done in parallel over the budgets; this is
//! nearly all of the work. What remains, s inside the block, is a chain: C\[k\]\[t\] needs C\[k-1\]\[s\] of the same
//! block. It is short (BLOCK/T of the whole) and runs beside the product of the next block, which does not need it.
//!
//! Every candidate C\[k-1\]\[s\] + L(t, s) is one addition, as in the textbook, and a minimum is exact in any order, so
//! that the floats are those of the textbook whatever the blocking, the instruction set or the number of threads.

mod aligned;
mod kernel;
mod panel;
mod product;
mod triangle;

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use self::aligned::AlignedBuffer;
use self::kernel::{ROWS, tile_width};
use self::panel::{BLOCK, EdgePanel};
use self::product::Product;
use self::triangle::Triangle;
use crate::budgets::{BudgetCosts, GROUP};
use crate::cost_table::CostTable;

/// C\[0..=max_steps\]\[0..=T\].
pub(crate) fn solve(
    table: &CostTable,
    max_steps: usize,
    arch: Arch,
    watch: &mut dyn FnMut(usize),
) -> BudgetCosts {
    let mut costs = BudgetCosts::new(table.train_steps(), max_steps);
    let mut finished = AlignedBuffer::with_capacity((max_steps + 1) * BLOCK);
    finished.set_len((max_steps + 1) * BLOCK);
    finished.as_mut_slice().fill(f64::INFINITY);
    let [mut block, mut next] = [(); 2].map(|()| Block::new(table, max_steps, arch));
    block.begin(table, 0);
    loop {
        let nodes = block.nodes.clone();
        let is_last = nodes.end > table.train_steps();
        rayon::join(
            || block.finish(table, finished.as_mut_slice(), arch),
            || {
                if !is_last {
                    next.begin(table, nodes.end);
                    next.add_earlier(&costs, 0..nodes.start, arch);
                }
            },
        );
        costs.write_block(nodes.clone(), finished.as_slice(), BLOCK);
        watch(nodes.end - 1);
        if is_last {
            return costs;
        }
        next.add_earlier(&costs, nodes, arch);
        std::mem::swap(&mut block, &mut next);
    }
}

/// The nodes being solved for, the edges into them, and the minima so far.
struct Block {
    max_steps: usize,
    nodes: Range<usize>,
    panel: EdgePanel,
    /// Row j at j * BLOCK: the minima over the s seen so far of C[j][s] + L(t, s), which become C[j+1][t]. Padded to
    /// whole register tiles.
    minima: AlignedBuffer,
}

impl Block {
    /// Buffers for any block of the table.
    fn new(table: &CostTable, max_steps: usize, arch: Arch) -> Self {
        Self {
            max_steps,
            nodes: 0..0,
            panel: EdgePanel::new(table.train_steps(), BLOCK, tile_width(arch)),
            minima: AlignedBuffer::with_capacity(max_steps.next_multiple_of(ROWS) * BLOCK),
        }
    }

    /// Turns to the block whose first node is `begin`.
    fn begin(&mut self, table: &CostTable, begin: usize) {
        self.nodes = begin..(begin + BLOCK).min(table.train_steps() + 1);
        self.panel.pack(table, self.nodes.clone());
        let rows = self.last_budget().next_multiple_of(ROWS);
        self.minima.set_len(rows * BLOCK);
        self.minima.as_mut_slice().fill(f64::INFINITY);
    }

    /// The largest budget that can end in the block.
    fn last_budget(&self) -> usize {
        self.max_steps.min(self.nodes.end - 1)
    }

    /// Takes the candidates from nodes before the block into the minima of all its nodes.
    fn add_earlier(&mut self, costs: &BudgetCosts, sources: Range<usize>, arch: Arch) {
        let max_steps = self.max_steps;
        let before = |j: usize, s| costs.stored(j.min(max_steps), s);
        self.add(0..self.panel.tiles(), sources, before, arch);
    }

    /// Takes the candidates `before(j, s)` = C\[j\]\[s\] plus L(t, s) into the minima, for the t of `tiles` and the s
    /// of `sources`, groups of budgets in parallel. `before` is also asked for the padding, up to ROWS - 1 budgets too
    /// many, and may answer anything then.
    fn add<'a>(
        &mut self,
        tiles: Range<usize>,
        sources: Range<usize>,
        before: impl Fn(usize, Range<usize>) -> &'a [f64] + Sync,
        arch: Arch,
    ) {
        let panel = &self.panel;
        let groups = self.minima.as_mut_slice().par_chunks_mut(GROUP * BLOCK);
        groups.enumerate().for_each(|(group, minima)| {
            let first = group * GROUP;
            arch.dispatch(Product {
                panel,
                tiles: tiles.clone(),
                sources: sources.start.max(first)..sources.end,
                before: &before,
                first,
                minima,
            });
        });
    }

    /// Goes through the tiles of the block from left to right: first the sources in the tiles before, then those in
    /// the tile itself. Writes C\[k\]\[t\] into row k of `finished`, at k * BLOCK.
    fn finish(&mut self, table: &CostTable, finished: &mut [f64], arch: Arch) {
        finished[..BLOCK].fill(f64::INFINITY);
        if self.nodes.start == 0 {
            finished[0] = 0.0;
        }
        let (begin, end) = (self.nodes.start, self.nodes.end);
        let last = self.last_budget();
        for tile in 0..self.panel.tiles() {
            let column = tile * self.panel.width();
            let tile_nodes = begin + column..end.min(begin + column + self.panel.width());
            let before = |j: usize, s: Range<usize>| {
                &finished[j.min(last) * BLOCK..][s.start - begin..s.end - begin]
            };
            self.add(tile..tile + 1, begin..tile_nodes.start, before, arch);
            arch.dispatch(Triangle {
                edges: self.panel.lines(tile, tile_nodes.clone()),
                column,
                minima: self.minima.as_slice(),
                finished,
                second: table.start().map(|start| &start.cost[tile_nodes.clone()]),
                last: last.min(tile_nodes.end - 1),
            });
        }
    }
}

#[cfg(test)]
#[path = "../tests/dp/textbook.rs"]
#[allow(dead_code, reason = "paths are for the other tests")]
mod textbook;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost_table::Start;

    /// The instruction sets that this machine can run, the plainest first.
    fn instruction_sets() -> Vec<Arch> {
        let mut sets = vec![Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        sets.extend(pulp::x86::V3::try_new().map(Arch::V3));
        sets.push(Arch::new());
        sets
    }

    #[test]
    fn every_instruction_set_gives_the_floats_of_the_textbook() {
        // Two blocks in both; Miri takes some thousand times as long.
        let (last, most) = if cfg!(miri) { (130, 6) } else { (200, 200) };
        let table = CostTable::from_fn(last, |t, s| match (t * 31 + s * 17) % 101 {
            0 => f64::INFINITY,
            x => (x as f64).sqrt() - 2.0,
        })
        .unwrap();
        let start = Start {
            cost: (0..=last)
                .map(|t| if t < 2 { f64::INFINITY } else { (t % 7) as f64 })
                .collect(),
            first: vec![1; last + 1],
        };
        for table in [table.clone(), table.with_start(start).unwrap()] {
            let expected = textbook::solve(&table, most);
            for arch in instruction_sets() {
                let costs = solve(&table, most, arch, &mut |_| {});
                for k in 0..=most {
                    for t in 0..=last {
                        let (found, wanted) = (costs.get(k, t), expected.costs[k][t]);
                        assert_eq!(found.to_bits(), wanted.to_bits(), "{arch:?} C[{k}][{t}]");
                    }
                }
            }
        }
    }
}
