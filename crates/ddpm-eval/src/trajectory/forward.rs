//! Paths of the forward SDE with the network's estimates along them.

use ddpm_core::{Denoiser, NoiseDomain, NoiseKey, NoiseSchedule, Path, standard_normal};
use ddpm_profile::trajectory::{Process, Trajectories, TrajectoryOrigin};

use super::flow::{Batch, Flow};
use super::reference::blank_origin;
use crate::data::{ImageSet, Split, check_shape};
use crate::error::{Error, Result};
use crate::network::{batch_size, labels_for};
use crate::profile_plan::ProfileOrigin;
use crate::progress::Progress;

/// For each of `images` of `data` one path of the forward SDE through the nodes of `grid`,
/// `x_t = sqrt(alpha_{t|s}) x_s + sqrt(beta_{t|s}) z_t` from node to node, and the network's estimate at each: grid.steps()
/// evaluations per image. `z_t` is the counter-based noise that a profile uses at t.
///
/// # Errors
/// When the parts do not fit each other; when an image cannot be read; when the network fails; when `progress` asks to stop.
pub fn forward_trajectories(
    denoiser: &dyn Denoiser,
    schedule: &NoiseSchedule,
    data: &ImageSet,
    images: &[usize],
    grid: &Path,
    seed: u64,
    clip_denoised: bool,
    batch: usize,
    origin: &ProfileOrigin,
    progress: &dyn Progress,
) -> Result<Trajectories> {
    let flow = Flow::new(denoiser, schedule, clip_denoised, progress)?;
    check_shape(data, denoiser.image_shape())?;
    let labels = labels_for(denoiser, data)?;
    if images.is_empty() {
        return Err(Error::request("images", "expected at least one image"));
    }
    let (nodes, dims) = (grid.steps(), flow.dims());
    let mut states = vec![0.0f32; images.len() * nodes * dims];
    let mut estimates = states.clone();
    let domain = match origin.split {
        Split::Train => NoiseDomain::Forward,
        Split::Test => NoiseDomain::ForwardTest,
    };
    progress.start((images.len() * nodes) as u64);
    for (begin, chunk) in images
        .chunks(batch_size(batch, denoiser))
        .enumerate()
        .map(|(i, c)| (i * batch_size(batch, denoiser), c))
    {
        let chosen: Option<Vec<usize>> =
            labels.map(|labels| chunk.iter().map(|&i| labels[i]).collect());
        let mut x0 = vec![0.0f32; dims];
        let mut noise = vec![0.0f32; dims];
        let mut x = Vec::with_capacity(chunk.len() * dims);
        for &image in chunk {
            data.read_image(image, &mut x0)?;
            x.extend(x0.iter().map(|&x| f64::from(x)));
        }
        let mut batch = Batch {
            x,
            names: chunk,
            labels: chosen.as_deref(),
        };
        for (k, (t, s)) in grid.edges().enumerate() {
            let edge = schedule.transition(t, s);
            for (x, &image) in batch.x.chunks_mut(dims).zip(chunk) {
                let key = NoiseKey {
                    seed,
                    domain,
                    stream: image as u64,
                    step: t as u32,
                };
                standard_normal(key, &mut noise);
                for (x, &z) in x.iter_mut().zip(&noise) {
                    *x = edge.alpha.sqrt() * *x + edge.beta.sqrt() * f64::from(z);
                }
            }
            let estimate = flow.estimate(&batch, t)?;
            for b in 0..chunk.len() {
                let at = ((begin + b) * nodes + k) * dims;
                for i in 0..dims {
                    states[at + i] = batch.x[b * dims + i] as f32;
                    estimates[at + i] = estimate[b * dims + i] as f32;
                }
            }
        }
    }
    progress.finish();
    let origin = TrajectoryOrigin {
        process: Process::Forward,
        seed,
        images: images.iter().map(|&i| i as u64).collect(),
        labels: labels.map(|labels| images.iter().map(|&i| labels[i] as u64).collect()),
        evaluations: (images.len() * nodes) as u64,
        ..blank_origin(denoiser, clip_denoised, origin)
    };
    Ok(Trajectories::new(
        origin,
        schedule.clone(),
        grid.nodes()[1..].to_vec(),
        states,
        estimates,
    )?)
}
