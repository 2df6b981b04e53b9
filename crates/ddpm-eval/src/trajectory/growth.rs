//! How much the error of a step grows until time 0, by perturbing the reference.

use ddpm_core::{Bands, CoefficientKind, Sampler, StepCoefficients, TimePath};
use ddpm_trajectory::{GrowthPoint, Trajectories};

use super::end_points::FlowPlan;
use super::flow::{Batch, Flow};
use crate::error::Result;

/// Where and how growth is measured.
#[derive(Clone, Debug)]
pub struct GrowthPlan {
    /// Solvers whose errors give the directions.
    pub solvers: Vec<Sampler>,
    /// At how many nodes, spread evenly over the grid.
    pub points: usize,
    /// The perturbed states are followed along every so many nodes of the grid.
    pub stride: usize,
    /// The error is that of a step over this fraction of the grid.
    pub reach: f64,
}

impl Default for GrowthPlan {
    fn default() -> Self {
        Self {
            solvers: Sampler::USUAL.to_vec(),
            points: 8,
            stride: 10,
            reach: 0.08,
        }
    }
}

impl GrowthPlan {
    /// Node indices (1-based) of the measurement, ascending, out of `nodes`.
    pub(super) fn indices(&self, nodes: usize) -> Vec<usize> {
        let n = self.points.min(nodes);
        let mut indices: Vec<usize> = (0..n).map(|k| 1 + k * (nodes - 1) / n).collect();
        indices.dedup();
        indices
    }

    /// Network evaluations per image of the measurement at node index `i`.
    pub(super) fn evaluations_at(&self, nodes: &[usize], i: usize) -> usize {
        2 * (self.path(nodes, i).len() - 1)
    }

    /// The path along which a state at node index `i` is followed.
    fn path(&self, nodes: &[usize], i: usize) -> Vec<usize> {
        // At least 6 steps, and from node 1 on every node where there are no more.
        let stride = self.stride.clamp(1, (i / 6).max(1));
        let mut path: Vec<usize> = (0..i)
            .step_by(stride)
            .map(|back| nodes[i - back - 1])
            .collect();
        path.push(0);
        path.reverse();
        path
    }

    /// Network evaluations per image for the steps of one sampler.
    pub fn evaluations(&self, nodes: &[usize]) -> usize {
        let indices = self.indices(nodes.len()).into_iter();
        indices.map(|i| self.evaluations_at(nodes, i)).sum()
    }
}

/// The steps whose errors give the directions.
pub(super) struct Steps<'a> {
    pub(super) sampler: Sampler,
    pub(super) kind: CoefficientKind,
    /// The coefficients of a step between node indices: the nodes before, the nearest first, t and s.
    pub(super) coefficients: &'a dyn Fn([Option<usize>; 2], usize, usize) -> StepCoefficients,
    /// Those that the coefficients are of.
    pub(super) bands: Option<&'a Bands>,
}

/// Growth from node index `i` on: the reference's state there is moved by plus and minus the error that a step makes, and
/// both are followed to time 0; the growth is the distance of their ends over that of their beginnings.
pub(super) fn measure_at(
    flow: &Flow<'_>,
    plan: &FlowPlan,
    reference: &Trajectories,
    growth: &GrowthPlan,
    steps: &Steps<'_>,
    i: usize,
) -> Result<GrowthPoint> {
    let (nodes, names) = (reference.nodes(), plan.names());
    let path = TimePath::new(growth.path(nodes, i), flow.schedule().train_steps())?;
    let mut factors = Vec::with_capacity(plan.count);
    for positions in plan.batches(flow.denoiser) {
        let errors = local_errors(reference, steps, i, growth.reach, positions.clone());
        let follow = |sign: f64| -> Result<Vec<f64>> {
            let states = positions
                .clone()
                .flat_map(|image| reference.state(image, i));
            let mut batch = Batch {
                x: states
                    .zip(&errors)
                    .map(|(&x, e)| f64::from(x) + sign * e)
                    .collect(),
                names: &names[positions.clone()],
                labels: plan.labels_at(positions.clone()),
            };
            flow.solve(&mut batch, path.nodes(), Sampler::DpmSolver2M, |_, _, _| {})?;
            Ok(batch.x)
        };
        let (up, down) = (follow(1.0)?, follow(-1.0)?);
        let images = up
            .chunks(flow.dims())
            .zip(down.chunks(flow.dims()))
            .zip(errors.chunks(flow.dims()));
        factors.extend(images.map(|((up, down), error)| {
            let apart: f64 = up.iter().zip(down).map(|(a, b)| (a - b).powi(2)).sum();
            let began: f64 = error.iter().map(|e| e * e).sum();
            // Where the step makes no error nothing can be said; 1 leaves its cost at zero.
            if began > 0.0 {
                (apart / began).sqrt() / 2.0
            } else {
                1.0
            }
        }));
    }
    Ok(GrowthPoint {
        sampler: steps.sampler,
        coefficients: steps.kind,
        t: nodes[i - 1],
        factors,
    })
}

/// What a step into node index `i` is off by, for the images at `positions`, one after another.
fn local_errors(
    reference: &Trajectories,
    steps: &Steps<'_>,
    i: usize,
    reach: f64,
    positions: std::ops::Range<usize>,
) -> Vec<f64> {
    let nodes = reference.nodes();
    // The reference itself takes single steps: their error is rounding.
    let length = ((reach * nodes.len() as f64) as usize).max(2);
    let from = (i + length).min(nodes.len());
    // As many nodes before as there are, evenly.
    let earlier = [1, 2].map(|k| Some(from + k * length).filter(|&p| p <= nodes.len()));
    let before = match earlier {
        [None, _] if from < nodes.len() => [Some(nodes.len()), None],
        found => found,
    };
    if from < i + 2 {
        // The end of the grid: no such step leads there, and its growth is that of any direction.
        return positions
            .flat_map(|image| reference.state(image, i))
            .map(|&x| 0.01 * f64::from(x))
            .collect();
    }
    let step = (steps.coefficients)(before, from, i);
    let as_f64 = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| f64::from(x)).collect() };
    positions
        .flat_map(|image| {
            let mut end = vec![0.0; reference.dims()];
            let remembered = |&p: &usize| reference.remembered(steps.sampler, image, p);
            let history: Vec<Vec<f64>> = before.iter().flatten().map(remembered).collect();
            let history: Vec<&[f64]> = history.iter().map(Vec::as_slice).collect();
            step.apply(
                steps.bands,
                &as_f64(reference.state(image, from)),
                &as_f64(reference.estimate(image, from)),
                &history,
                &mut end,
            );
            for (end, &x) in end.iter_mut().zip(reference.state(image, i)) {
                *end -= f64::from(x);
            }
            end
        })
        .collect()
}
