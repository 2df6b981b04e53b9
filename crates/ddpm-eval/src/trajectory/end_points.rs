//! Where a deterministic sampler ends, from counter-based starts.

use std::sync::Arc;

use ddpm_core::{Denoiser, Sampler, TimePath};
use ddpm_schedule::Corrections;

use super::flow::{Batch, Flow};
use crate::error::{Error, Result};
use crate::network::{batch_labels, batch_size, check_path};
use crate::progress::Progress;
use crate::sampling::starts;

/// From which starts the flow is solved.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    /// Index of the first sample: sample i of a seed starts from the same noise everywhere, in [`crate::sample`] too.
    pub first: usize,
    /// Number of samples.
    pub count: usize,
    /// Seed of the starts.
    pub seed: u64,
    /// A class per sample, for a class-conditional network.
    pub labels: Option<Vec<usize>>,
    /// Whether estimates of x0 are clamped to \[-1, 1\].
    pub clip_denoised: bool,
    /// Corrections of the estimates at every timestep that is evaluated, fitted on estimates that were clipped alike; `None` for the
    /// network's own mean.
    pub means: Option<Arc<Corrections>>,
    /// Images per network call; 0 for what the network likes. Changes no result.
    pub batch: usize,
}

impl FlowPlan {
    /// The flow that it solves.
    pub(super) fn flow<'a>(
        &'a self,
        denoiser: &'a dyn Denoiser,
        progress: &'a dyn Progress,
    ) -> Flow<'a> {
        Flow {
            denoiser,
            clip_denoised: self.clip_denoised,
            means: self.means.as_deref(),
            progress,
        }
    }

    /// Refuses what does not fit the network and a path whose every node is evaluated.
    pub(super) fn check(&self, denoiser: &dyn Denoiser, path: &TimePath) -> Result<()> {
        check_path(denoiser, path)?;
        if let Some(means) = &self.means {
            let checked = means.check(&denoiser.shape(), &path.nodes()[1..]);
            checked.map_err(ddpm_trajectory::Error::from)?;
        }
        if self.count == 0 {
            return Err(Error::request("count", "expected at least one image"));
        }
        if (self.first as u64)
            .checked_add(self.count as u64)
            .is_none_or(|end| end > 1 << 56)
        {
            return Err(Error::request("first", "expected image indices below 2^56"));
        }
        batch_labels(denoiser, self.labels.as_deref(), self.count).map(|_| ())
    }

    /// The samples in batches: positions in 0..count.
    pub(super) fn batches(&self, denoiser: &dyn Denoiser) -> Vec<std::ops::Range<usize>> {
        let size = batch_size(self.batch, denoiser);
        (0..self.count)
            .step_by(size)
            .map(|begin| begin..(begin + size).min(self.count))
            .collect()
    }

    /// The samples at these positions as a plan of their own.
    pub(super) fn part(&self, positions: std::ops::Range<usize>) -> Self {
        Self {
            first: self.first + positions.start,
            count: positions.len(),
            labels: self.labels_at(positions).map(<[usize]>::to_vec),
            means: self.means.clone(),
            ..*self
        }
    }

    pub(super) fn labels_at(&self, positions: std::ops::Range<usize>) -> Option<&[usize]> {
        self.labels.as_deref().map(|labels| &labels[positions])
    }

    pub(super) fn names(&self) -> Vec<usize> {
        (self.first..self.first + self.count).collect()
    }
}

/// The end points of `path` under `solver`, `[count, dims]`; path.steps() evaluations per sample.
///
/// # Errors
/// When the path or the labels do not fit the network; when the network fails; when `progress` asks to stop.
pub fn end_points(
    denoiser: &dyn Denoiser,
    plan: &FlowPlan,
    path: &TimePath,
    solver: Sampler,
    progress: &dyn Progress,
) -> Result<Vec<f32>> {
    let flow = plan.flow(denoiser, progress);
    plan.check(denoiser, path)?;
    let names = plan.names();
    let mut ends = Vec::with_capacity(plan.count * flow.dims());
    for positions in plan.batches(denoiser) {
        let mut batch = Batch {
            x: starts(plan.seed, &names[positions.clone()], flow.dims())?,
            names: &names[positions.clone()],
            labels: plan.labels_at(positions),
        };
        flow.solve(&mut batch, path.nodes(), solver, |_, _, _| {})?;
        ends.extend(batch.x.iter().map(|&x| x as f32));
    }
    Ok(ends)
}

/// Per image of `dims` numbers, the mean square of the difference of two sets of images.
///
/// # Panics
/// If the sets differ in length or are not whole images.
pub fn squared_distances(a: &[f32], b: &[f32], dims: usize) -> Vec<f64> {
    assert_eq!(a.len(), b.len(), "two sets of as many images");
    assert_eq!(a.len() % dims, 0, "whole images");
    let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
    a.chunks(dims)
        .zip(b.chunks(dims))
        .map(|(a, b)| a.iter().zip(b).map(square).sum::<f64>() / dims as f64)
        .collect()
}
