//! Reference trajectories of the probability-flow ODE.

use std::collections::BTreeMap;

use ddpm_core::{Denoiser, ModelId, Sampler, TimePath};
use ddpm_schedule::{TrajectoryKind, TrajectoryOrigin};
use ddpm_trajectory::Trajectories;

use super::end_points::FlowPlan;
use super::flow::Batch;
use crate::error::Result;
use crate::progress::Progress;
use crate::room::zeros;
use crate::sampling::starts;

/// What a reference is made with.
const REFERENCE: Sampler = Sampler::DpmSolver2M;

/// Follows the flow from `plan.count` starts through every node of `grid`, by DPM-Solver++(2M), and stores states and estimates:
/// grid.steps() evaluations per start. `extra` is what else its origin says ([`TrajectoryOrigin::OF_THE_RUN`]).
///
/// # Errors
/// When the grid or the labels do not fit the network; when the network fails; when `progress` asks to stop.
pub fn reference_trajectories(
    denoiser: &dyn Denoiser,
    plan: &FlowPlan,
    grid: &TimePath,
    progress: &dyn Progress,
) -> Result<Trajectories> {
    let origin = flow_origin(denoiser, plan);
    follow_grid(denoiser, plan, grid, origin, progress)
}

/// [`reference_trajectories`] of this origin.
pub(super) fn follow_grid(
    denoiser: &dyn Denoiser,
    plan: &FlowPlan,
    grid: &TimePath,
    mut origin: TrajectoryOrigin,
    progress: &dyn Progress,
) -> Result<Trajectories> {
    let flow = plan.flow(denoiser, progress);
    plan.check(denoiser, grid)?;
    let (nodes, dims) = (grid.steps(), flow.dims());
    let names = plan.names();
    let mut states = zeros::<f32>("count", &[plan.count, nodes, dims])?;
    let mut estimates = zeros::<f32>("count", &[plan.count, nodes, dims])?;
    progress.start((plan.count * nodes) as u64);
    for positions in plan.batches(denoiser) {
        let mut batch = Batch {
            x: starts(plan.seed, &names[positions.clone()], dims)?,
            names: &names[positions.clone()],
            labels: plan.labels_at(positions.clone()),
        };
        flow.solve(&mut batch, grid.nodes(), REFERENCE, |k, x, xhat0| {
            for (b, image) in positions.clone().enumerate() {
                let at = (image * nodes + k - 1) * dims;
                let copy = |dst: &mut [f32], src: &[f64]| {
                    for (dst, &src) in dst[at..at + dims].iter_mut().zip(&src[b * dims..]) {
                        *dst = src as f32;
                    }
                };
                copy(&mut states, x);
                copy(&mut estimates, xhat0);
            }
        })?;
    }
    progress.finish();
    origin.evaluations = (plan.count * nodes) as u64;
    Ok(Trajectories::new(
        origin,
        denoiser.noise_schedule().clone(),
        grid.nodes()[1..].to_vec(),
        states,
        estimates,
    )?
    .with_means(plan.means.as_deref().cloned())?)
}

/// What a reference of this plan says of itself, without evaluations.
pub(super) fn flow_origin(denoiser: &dyn Denoiser, plan: &FlowPlan) -> TrajectoryOrigin {
    let labels = plan.labels.as_ref();
    TrajectoryOrigin {
        kind: TrajectoryKind::Flow,
        solver: Some(REFERENCE),
        seed: plan.seed,
        images: plan.names().iter().map(|&i| i as u64).collect(),
        labels: labels.map(|l| l.iter().map(|&l| l as u64).collect()),
        ..blank_origin(denoiser, plan.clip_denoised)
    }
}

/// What every kind of trajectory says of the network.
pub(super) fn blank_origin(denoiser: &dyn Denoiser, clip_denoised: bool) -> TrajectoryOrigin {
    TrajectoryOrigin {
        model: ModelId::of(denoiser, clip_denoised),
        kind: TrajectoryKind::Flow,
        solver: None,
        seed: 0,
        images: Vec::new(),
        labels: None,
        data_sha256: None,
        evaluations: 0,
        library_version: env!("CARGO_PKG_VERSION").to_owned(),
        extra: BTreeMap::new(),
    }
}
