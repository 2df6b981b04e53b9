//! The samplers' own steps between the nodes of a grid.

use ddpm_core::{FlowEdge, LinearStep, NoiseSchedule, Sampler};

/// The nodes before the one that a step begins at, the nearest first; node indices.
pub(crate) type Before = [Option<usize>; 2];

/// The steps of all priced samplers between the nodes of a grid, with node 0, by index: many paths ask for each of them.
#[derive(Clone, Debug)]
pub(crate) struct GridSteps {
    /// Of t and s < t, by t.
    edges: Vec<FlowEdge>,
    /// Per node but 0, the weights of the state and the estimate in the noise that goes with them.
    noise: Vec<[f64; 2]>,
}

impl GridSteps {
    /// `nodes` are timesteps in ascending order, the first is 0.
    pub(crate) fn new(schedule: &NoiseSchedule, nodes: &[usize]) -> Self {
        let edges = (1..nodes.len())
            .flat_map(|t| (0..t).map(move |s| (t, s)))
            .map(|(t, s)| FlowEdge::new(schedule, nodes[t], nodes[s]))
            .collect();
        let noise = nodes[1..]
            .iter()
            .map(|&t| Sampler::Ipndm.remembered(schedule, t))
            .collect();
        Self { edges, noise }
    }

    fn edge(&self, t: usize, s: usize) -> &FlowEdge {
        assert!(s < t, "node indices out of order: {s} is not before {t}");
        &self.edges[t * (t - 1) / 2 + s]
    }

    /// The step from t down to s.
    ///
    /// # Panics
    /// Unless s < t, and t is before the nodes before it.
    pub(crate) fn step(&self, sampler: Sampler, before: Before, t: usize, s: usize) -> LinearStep {
        let gain = |p: Option<usize>| p.map(|p| self.edge(p, t).gain());
        self.edge(t, s)
            .step(sampler, [gain(before[0]), gain(before[1])])
    }

    /// [`Sampler::remembered`] of a node.
    pub(crate) fn remembered(&self, sampler: Sampler, t: usize) -> [f64; 2] {
        if sampler.remembers_noise() {
            self.noise[t - 1]
        } else {
            [0.0, 1.0]
        }
    }
}
