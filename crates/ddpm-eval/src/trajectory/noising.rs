//! Paths of the forward SDE with the network's estimates along them.

use std::collections::BTreeMap;
use std::time::Duration;

use ddpm_core::{Denoiser, NoiseDomain, NoiseKey, TimePath, standard_normal};
use ddpm_schedule::{TrajectoryKind, TrajectoryOrigin};
use ddpm_trajectory::Trajectories;

use super::earlier::check_earlier;
use super::flow::{Batch, Flow};
use super::reference::blank_origin;
use super::saver::Saver;
use crate::denoising::domain_of;
use crate::error::{Error, Result};
use crate::network::{batch_size, check_path, labels_for};
use crate::progress::Progress;
use crate::room::zeros;
use ddpm_data::{ImageSet, Split};

/// Which images are followed, and how.
#[derive(Clone, Debug)]
pub struct ForwardPlan {
    /// Indices of the images in their set.
    pub images: Vec<usize>,
    /// The timesteps.
    pub grid: TimePath,
    /// Seed of the noise.
    pub seed: u64,
    /// Whether estimates of x0 are clamped to \[-1, 1\].
    pub clip_denoised: bool,
    /// Images per network call; 0 for what the network likes. Changes no result.
    pub batch: usize,
    /// How much of a run may be lost when its process is killed: time between two saves of finished images.
    pub save_every: Duration,
}

/// For each of the images of `data` one path of the forward SDE through the nodes of the grid,
/// `x_t = sqrt(alpha_{t|s}) x_s + sqrt(beta_{t|s}) z_t` from node to node, and the network's estimate at each: grid.steps()
/// evaluations per image, a batch of images at a time. `z_t` is the counter-based noise that a profile of the split uses at t.
///
/// `save` is given what there is, with [`TrajectoryOrigin::evaluations`] zero, whenever [`ForwardPlan::save_every`] has passed since it
/// was last given it, and when the network fails or `progress` asks to stop. What it keeps can come back as `earlier`, whose images
/// are not followed again; so can a finished run of fewer images.
///
/// # Errors
/// When the parts do not fit each other; when `earlier` is of another run; when an image cannot be read; when the network or `save`
/// fails; [`Error::Interrupted`] when `progress` asks to stop.
pub fn follow_forward(
    denoiser: &dyn Denoiser,
    data: &ImageSet,
    plan: &ForwardPlan,
    split: Split,
    earlier: Option<Trajectories>,
    progress: &dyn Progress,
    save: &mut dyn FnMut(&Trajectories) -> Result<()>,
) -> Result<Trajectories> {
    let flow = Flow {
        denoiser,
        clip_denoised: plan.clip_denoised,
        means: None,
        progress,
    };
    data.check_shape(&denoiser.shape())?;
    check_path(denoiser, &plan.grid)?;
    if plan.images.is_empty() {
        return Err(Error::request("images", "expected at least one image"));
    }
    let run = Run {
        flow,
        data,
        labels: labels_for(denoiser, data)?,
        plan,
        domain: domain_of(split),
        origin: plan.origin(denoiser, data, split)?,
    };
    let (count, nodes) = (plan.images.len(), plan.grid.steps());
    if let Some(earlier) = &earlier {
        plan.check_earlier(denoiser, data, split, earlier)?;
    }
    let done = earlier.as_ref().map_or(0, Trajectories::images);
    progress.start_again((done * nodes) as u64, ((count - done) * nodes) as u64);
    let size = batch_size(plan.batch, denoiser);
    let mut made =
        Saver::new(plan.save_every, save).by_images(earlier, count, size, |positions| {
            run.follow(&plan.images[positions])
        })?;
    progress.finish();
    made.set_evaluations((count * nodes) as u64);
    Ok(made)
}

impl ForwardPlan {
    /// Makes sure that this run goes on with all images of `earlier`: that nothing of it is lost.
    ///
    /// # Errors
    /// [`Error::Resume`] names what differs; when the data or their labels do not fit the network or cannot be read.
    pub fn check_earlier(
        &self,
        denoiser: &dyn Denoiser,
        data: &ImageSet,
        split: Split,
        earlier: &Trajectories,
    ) -> Result<()> {
        let labels = labels_for(denoiser, data)?;
        let wanted = self.origin_of(self.origin(denoiser, data, split)?, labels, &self.images);
        let nodes = &self.grid.nodes()[1..];
        check_earlier(earlier, &wanted, denoiser.noise_schedule(), nodes, None)
    }

    /// What the run is of, of no images.
    fn origin(
        &self,
        denoiser: &dyn Denoiser,
        data: &ImageSet,
        split: Split,
    ) -> Result<TrajectoryOrigin> {
        Ok(TrajectoryOrigin {
            data_sha256: Some(data.sha256()?.to_owned()),
            // It decides the noise.
            extra: BTreeMap::from([("split".to_owned(), split.to_string())]),
            ..blank_origin(denoiser, self.clip_denoised)
        })
    }

    /// What paths of these images are of.
    fn origin_of(
        &self,
        run: TrajectoryOrigin,
        labels: Option<&[usize]>,
        images: &[usize],
    ) -> TrajectoryOrigin {
        TrajectoryOrigin {
            kind: TrajectoryKind::Forward,
            seed: self.seed,
            images: images.iter().map(|&i| i as u64).collect(),
            labels: labels.map(|labels| images.iter().map(|&i| labels[i] as u64).collect()),
            ..run
        }
    }
}

struct Run<'a> {
    flow: Flow<'a>,
    data: &'a ImageSet,
    labels: Option<&'a [usize]>,
    plan: &'a ForwardPlan,
    domain: NoiseDomain,
    /// Of no images.
    origin: TrajectoryOrigin,
}

impl Run<'_> {
    fn origin_of(&self, images: &[usize]) -> TrajectoryOrigin {
        self.plan
            .origin_of(self.origin.clone(), self.labels, images)
    }

    /// The paths of these images, which are fed to the network together.
    fn follow(&self, images: &[usize]) -> Result<Trajectories> {
        let (grid, dims) = (&self.plan.grid, self.flow.dims());
        let nodes = grid.steps();
        let room = [images.len(), nodes, dims];
        let mut states = zeros("batch", &room)?;
        let mut estimates = zeros("batch", &room)?;
        let chosen: Option<Vec<usize>> = self
            .labels
            .map(|labels| images.iter().map(|&i| labels[i]).collect());
        let mut x0 = vec![0.0f32; dims];
        let mut noise = vec![0.0f32; dims];
        let mut x: Vec<f64> = zeros("batch", &[images.len(), dims])?;
        for (&image, x) in images.iter().zip(x.chunks_mut(dims)) {
            self.data.read_image(image, &mut x0)?;
            for (x, &x0) in x.iter_mut().zip(&x0) {
                *x = f64::from(x0);
            }
        }
        let mut batch = Batch {
            x,
            names: images,
            labels: chosen.as_deref(),
        };
        for (k, (t, s)) in grid.edges().enumerate() {
            let edge = self.flow.schedule().transition(t, s);
            for (x, &image) in batch.x.chunks_mut(dims).zip(images) {
                let key = NoiseKey {
                    seed: self.plan.seed,
                    domain: self.domain,
                    stream: image as u64,
                    step: t as u32,
                };
                standard_normal(key, &mut noise);
                for (x, &z) in x.iter_mut().zip(&noise) {
                    *x = edge.alpha.sqrt() * *x + edge.beta.sqrt() * f64::from(z);
                }
            }
            let estimate = self.flow.estimate(&batch, t)?;
            for b in 0..images.len() {
                let at = (b * nodes + k) * dims;
                for i in 0..dims {
                    states[at + i] = batch.x[b * dims + i] as f32;
                    estimates[at + i] = estimate[b * dims + i] as f32;
                }
            }
        }
        Ok(Trajectories::new(
            self.origin_of(images),
            self.flow.schedule().clone(),
            grid.nodes()[1..].to_vec(),
            states,
            estimates,
        )?)
    }
}
