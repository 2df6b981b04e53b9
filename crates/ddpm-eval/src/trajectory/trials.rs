//! Candidate paths, run from the starts of the reference.

use ddpm_core::{Denoiser, Sampler, TimePath};
use ddpm_trajectory::{Trajectories, Trial};

use super::end_points::{FlowPlan, end_points, squared_distances};
use crate::error::Result;
use crate::progress::Progress;

/// Where the reference ends, `[images, dims]`.
pub(super) fn ends_of(reference: &Trajectories) -> Vec<f32> {
    (0..reference.images())
        .flat_map(|i| reference.state(i, 0))
        .copied()
        .collect()
}

/// One path, compared with the `target` it should end at.
pub(super) fn run_trial(
    denoiser: &dyn Denoiser,
    plan: &FlowPlan,
    target: &[f32],
    solver: Sampler,
    path: &TimePath,
    progress: &dyn Progress,
) -> Result<Trial> {
    let ends = end_points(denoiser, plan, path, solver, progress)?;
    let dims = denoiser.shape().iter().product();
    Ok(Trial {
        sampler: solver,
        path: path.nodes().to_vec(),
        squared_distances: squared_distances(&ends, target, dims),
    })
}
