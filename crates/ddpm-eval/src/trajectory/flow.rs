//! The probability-flow ODE, solved along a path, batch by batch.

use ddpm_core::{Denoiser, NoiseSchedule, Sampler};
use ddpm_schedule::Corrections;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::network::{batch_of, corrected_estimate, predict};
use crate::progress::Progress;
use crate::sampling::remembered;

/// A network with what is needed to follow its flow.
pub(super) struct Flow<'a> {
    pub(super) denoiser: &'a dyn Denoiser,
    pub(super) clip_denoised: bool,
    /// Corrections of the estimates, at every timestep that it meets.
    pub(super) means: Option<&'a Corrections>,
    pub(super) progress: &'a dyn Progress,
}

/// Images that are taken down a path together.
pub(super) struct Batch<'a> {
    /// Their states, one after another.
    pub(super) x: Vec<f64>,
    /// Their names in messages.
    pub(super) names: &'a [usize],
    /// Their classes, for a class-conditional network.
    pub(super) labels: Option<&'a [usize]>,
}

impl<'a> Flow<'a> {
    pub(super) fn schedule(&self) -> &'a NoiseSchedule {
        self.denoiser.noise_schedule()
    }

    /// Dimensions of an image.
    pub(super) fn dims(&self) -> usize {
        self.denoiser.shape().iter().product()
    }

    /// The network's estimates of x_0 at timestep `t`, corrected if its means are, clipped if the flow clips.
    pub(super) fn estimate(&self, batch: &Batch<'_>, t: usize) -> Result<Vec<f64>> {
        if self.progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let dims = self.dims();
        let count = batch.names.len();
        let input = batch_of(count, &self.denoiser.shape(), batch.x.iter().copied())?;
        let prediction = predict(
            self.denoiser,
            input.view(),
            &vec![t; count],
            batch.labels,
            |b| format!("sample {}", batch.names[b]),
        )?;
        let output = prediction.mean.as_standard_layout();
        let outputs = output.as_slice().unwrap_or_default();
        let mut xhat0 = vec![0.0; batch.x.len()];
        let mean = match self.means {
            Some(means) => {
                let at = means.at(t).map_err(ddpm_trajectory::Error::from)?;
                Some((&**means.bands(), &**at))
            }
            None => None,
        };
        let images = xhat0
            .par_chunks_mut(dims)
            .zip(batch.x.par_chunks(dims))
            .zip(outputs.par_chunks(dims));
        images.try_for_each(|((xhat0, x), out)| {
            corrected_estimate(self.denoiser, t, x, out, mean, self.clip_denoised, xhat0)
        })?;
        self.progress.advance(count as u64);
        Ok(xhat0)
    }

    /// Takes a batch from the last of `nodes` (ascending) to the first; `see(k, x, xhat0)` sees the states and the estimates at `nodes[k]`,
    /// k >= 1. No node is evaluated twice, and `nodes[0]` not at all.
    pub(super) fn solve(
        &self,
        batch: &mut Batch<'_>,
        nodes: &[usize],
        solver: Sampler,
        mut see: impl FnMut(usize, &[f64], &[f64]),
    ) -> Result<()> {
        let mut history: Vec<Vec<f64>> = Vec::new();
        let steps = nodes.len() - 1;
        for k in (1..nodes.len()).rev() {
            let estimate = self.estimate(batch, nodes[k])?;
            see(k, &batch.x, &estimate);
            let before = &nodes[k + 1..=k + solver.looks_back_at(steps, k)];
            let step = solver.flow_step(self.schedule(), before, nodes[k], nodes[k - 1]);
            let mut next = vec![0.0; batch.x.len()];
            let earlier: Vec<&[f64]> = history.iter().map(Vec::as_slice).collect();
            step.apply(&batch.x, &estimate, &earlier, &[], &mut next);
            let known = remembered(solver, self.schedule(), nodes[k], &batch.x, estimate);
            history.insert(0, known);
            history.truncate(solver.looks_back());
            batch.x = next;
        }
        Ok(())
    }
}
