//! Candidate paths, run from the starts of the reference.

use ddpm_core::{Denoiser, FlowSolver, NoiseSchedule, Path};
use ddpm_profile::trajectory::{Trajectories, Trial};

use super::end_points::{FlowPlan, end_points, squared_distances};
use crate::error::Result;
use crate::progress::Progress;

/// Runs every path from the starts of `reference`, which was made with `plan`, and compares its end points with the reference's.
///
/// # Errors
/// As [`end_points`].
pub fn run_trials(
    denoiser: &dyn Denoiser,
    schedule: &NoiseSchedule,
    plan: &FlowPlan,
    reference: &Trajectories,
    candidates: &[(FlowSolver, Path)],
    progress: &dyn Progress,
) -> Result<Vec<Trial>> {
    let steps: usize = candidates.iter().map(|(_, path)| path.steps()).sum();
    progress.start((steps * plan.count) as u64);
    let target: Vec<f32> = (0..reference.images())
        .flat_map(|i| reference.state(i, 0))
        .copied()
        .collect();
    let trials = candidates
        .iter()
        .map(|(solver, path)| {
            let ends = end_points(denoiser, schedule, plan, path, *solver, progress)?;
            Ok(Trial {
                sampler: solver.to_string(),
                path: path.nodes().to_vec(),
                squared_distances: squared_distances(&ends, &target, reference.dims()),
            })
        })
        .collect::<Result<_>>()?;
    progress.finish();
    Ok(trials)
}
