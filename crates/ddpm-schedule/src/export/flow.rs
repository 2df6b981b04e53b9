//! Networks of a rectified flow: s of x = (1 - s) x0 + s noise, which flow-matching programs call sigma.

use ddpm_core::Sampler;

use super::listing::Listing;
use super::python::{assignment, comment, float, one_of_several, sample_with};
use crate::error::{Error, Result};

const DIFFUSERS: &str = include_str!("snippets/flow.py");

/// The lists as pipelines take them, without the 0 at the end.
pub(super) fn diffusers(listing: &Listing<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    let chain = listing.chain("diffusers")?;
    let mut losses = listing.variance_loss("its scheduler of flows is Euler's method");
    if listing.sampler() != Sampler::Ddim {
        losses.push(format!(
            "the steps of {} (its FlowMatchEulerDiscreteScheduler takes Euler's, which are those of ddim)",
            listing.sampler()
        ));
    }
    losses.extend(clipping(listing));
    if listing.ends_early() {
        losses.push("the scale of the first x, which is noise of variance 1 for pipelines and sqrt((1 - s)^2 + s^2) noise here, where a list begins below s = 1".to_owned());
    }
    let lists = listing.lists(|p| {
        let mut sigmas = listing.sigmas(p, chain)?;
        sigmas.pop();
        Ok(sigmas.into_iter().map(float).collect())
    })?;
    let mut text = comment(&format!(
        "pipe.scheduler = flow_scheduler({}) makes a pipeline follow the list, whatever number of steps or sigmas it is called with.",
        one_of_several("sigmas", &lists)
    ));
    text += &comment(&format!(
        "Sigmas for flow-matching pipelines of diffusers: {}.",
        listing.conventions()
    ));
    text += &comment(
        "s of x = (1 - s) x0 + s noise, in the order of sampling; schedulers add the 0 at the end. Pipelines that take sigmas= follow the list with a scheduler of their own too, if it shifts nothing or is given unshifted(sigmas, shift).",
    );
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    text += "from diffusers import FlowMatchEulerDiscreteScheduler\n\n";
    text += &assignment("sigmas", &lists, ('[', ']'));
    text += DIFFUSERS;
    Ok((text.into_bytes(), losses))
}

/// Euler's method of k-diffusion takes the steps of a flow as they are; its other samplers are of sigma / alpha.
pub(super) fn k_diffusion(listing: &Listing<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    let chain = listing.chain("k-diffusion")?;
    if listing.sampler() != Sampler::Ddim {
        return Err(Error::NotExpressible {
            format: "k-diffusion",
            what: "steps of a flow but Euler's (ddim): its other samplers are of sigma / alpha",
        });
    }
    let mut losses = listing.step_losses(None);
    losses.extend(clipping(listing));
    let lists =
        listing.lists(|p| Ok(listing.sigmas(p, chain)?.into_iter().map(float).collect()))?;
    let mut text = comment(&format!(
        "sample(denoiser, shape, {}) follows the list; denoiser(x, sigma) returns the clean data: x - sigma * velocity.",
        one_of_several("sigmas", &lists)
    ));
    text += &comment(&format!(
        "Sigmas of a flow for k-diffusion: {}.",
        listing.conventions()
    ));
    text += &comment(
        "s of x = (1 - s) x0 + s noise, noisiest first, 0 at the end. sample_euler takes exactly the steps that the schedule was chosen for.",
    );
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    text += &assignment("sigmas", &lists, ('[', ']'));
    text += &sample_with(
        "sample_euler",
        "x = torch.randn(shape, **like) * torch.hypot(1 - sigmas[0], sigmas[0])",
    );
    Ok((text.into_bytes(), losses))
}

fn clipping(listing: &Listing<'_>) -> Option<String> {
    let clips = listing.clip_denoised() == Some(true);
    clips.then(|| "clipping of the predicted image".to_owned())
}
