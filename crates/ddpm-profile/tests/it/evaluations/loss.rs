//! What is lost by choosing schedules on a few evaluations, measured on an exhaustive reference.

use ddpm_core::TimePath;

use super::reference::{Costs, Reference};

/// The budgets that are compared.
pub(crate) const BUDGETS: [usize; 6] = [8, 16, 32, 64, 128, 256];

/// The two image-disjoint halves A and B of a reference, with the optima of each.
///
/// Paths are scored on one half against the optimum of the other: on its own noise, the optimum of a half beats even the true one.
pub(crate) struct Halves<'a> {
    halves: [Half<'a>; 2],
}

struct Half<'a> {
    /// The costs on each block of the half.
    blocks: Vec<Costs<'a>>,
    /// The optima of this half's images, and what they cost on each block of the other half.
    optima: Vec<TimePath>,
    foreign: Vec<Vec<f64>>,
}

/// A loss in bits/dim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// cost_B(path) - cost_B(optimum of A), A and B swapped and averaged.
    pub(crate) value: f64,
    /// Its paired standard error over blocks.
    pub(crate) standard_error: f64,
}

impl<'a> Halves<'a> {
    /// Solves both halves of the reference.
    pub(crate) fn new(reference: &'a Reference) -> Self {
        let middle = reference.blocks() / 2;
        let half = |blocks: std::ops::Range<usize>| Half {
            optima: reference.costs(blocks.clone()).optima(&BUDGETS),
            blocks: blocks.map(|b| reference.costs(b..b + 1)).collect(),
            foreign: Vec::new(),
        };
        let mut halves = [half(0..middle), half(middle..reference.blocks())];
        for mine in 0..2 {
            halves[mine].foreign = costs(&halves[1 - mine].blocks, &halves[mine].optima);
        }
        Self { halves }
    }

    /// The optimum of each half for the i-th budget.
    #[allow(dead_code, reason = "for the example")]
    pub(crate) fn optima(&self, i: usize) -> [&TimePath; 2] {
        [&self.halves[0].optima[i], &self.halves[1].optima[i]]
    }

    /// What each path, one for each of [`BUDGETS`], loses.
    pub(crate) fn losses(&self, paths: &[TimePath]) -> Vec<Loss> {
        // Per half, per block, per budget.
        let differences: Vec<Vec<Vec<f64>>> = (0..2)
            .map(|chosen_on| {
                let found = costs(&self.halves[1 - chosen_on].blocks, paths);
                let best = &self.halves[chosen_on].foreign;
                let block = |(f, b): (&Vec<f64>, &Vec<f64>)| -> Vec<f64> {
                    f.iter().zip(b).map(|(x, y)| x - y).collect()
                };
                found.iter().zip(best).map(block).collect()
            })
            .collect();
        let loss = |i: usize| {
            let (mut value, mut variance) = (0.0, 0.0);
            for half in &differences {
                let n = half.len() as f64;
                let mean = half.iter().map(|block| block[i]).sum::<f64>() / n;
                let squares = half.iter().map(|block| (block[i] - mean).powi(2));
                value += 0.5 * mean;
                variance += 0.25 * squares.sum::<f64>() / (n - 1.0) / n;
            }
            Loss {
                value,
                standard_error: variance.sqrt(),
            }
        };
        (0..paths.len()).map(loss).collect()
    }
}

/// Per block, the cost of each path.
fn costs(blocks: &[Costs<'_>], paths: &[TimePath]) -> Vec<Vec<f64>> {
    let of_block = |block: &Costs<'_>| paths.iter().map(|p| block.path_cost(p)).collect();
    blocks.iter().map(of_block).collect()
}
