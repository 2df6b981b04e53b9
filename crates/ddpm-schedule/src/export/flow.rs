//! Networks of a rectified flow: s of x = (1 - s) x0 + s noise, which flow-matching programs call sigma.

use ddpm_core::Sampler;

use super::listing::Listing;
use super::python::{assignment, comment, float};
use crate::error::{Error, Result};

const DIFFUSERS: &str = r#"

def unshifted(sigmas, shift):
    # A scheduler with a shift (or under dynamic shifting, shift = exp(mu)) shifts every list that it is given: hand over what becomes this one.
    return [s / (shift - (shift - 1) * s) for s in sigmas]


def flow_scheduler(sigmas, **config):
    # It shifts nothing. Pipelines set its list anew: give them sigmas=sigmas with it, or loop over it yourself.
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(**{**dict(shift=1.0, use_dynamic_shifting=False), **config})
    scheduler.set_timesteps(sigmas=list(sigmas))
    return scheduler
"#;

const K_DIFFUSION: &str = r#"

def sample(denoiser, shape, sigmas, device="cpu"):
    # denoiser(x, sigma) returns the clean data: x - sigma * velocity.
    import torch
    from k_diffusion.sampling import sample_euler

    sigmas = torch.tensor(sigmas, device=device)
    x = torch.randn(shape, device=device) * torch.hypot(1 - sigmas[0], sigmas[0])
    return sample_euler(denoiser, x, sigmas)
"#;

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
    let mut text = comment(&format!(
        "Sigmas for flow-matching pipelines of diffusers: {}.",
        listing.conventions()
    ));
    text += &comment(
        "s of x = (1 - s) x0 + s noise, in the order of sampling; pipelines take them as sigmas=, and schedulers add the 0 at the end.",
    );
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    let lists = listing.lists(|p| {
        let mut sigmas = listing.sigmas(p, chain)?;
        sigmas.pop();
        Ok(sigmas.into_iter().map(float).collect())
    })?;
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
    let mut text = comment(&format!(
        "Sigmas of a flow for k-diffusion: {}.",
        listing.conventions()
    ));
    text += &comment(
        "s of x = (1 - s) x0 + s noise, noisiest first, 0 at the end. sample_euler takes exactly the steps that the schedule was chosen for.",
    );
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    let lists =
        listing.lists(|p| Ok(listing.sigmas(p, chain)?.into_iter().map(float).collect()))?;
    text += &assignment("sigmas", &lists, ('[', ']'));
    text += K_DIFFUSION;
    Ok((text.into_bytes(), losses))
}

fn clipping(listing: &Listing<'_>) -> Option<String> {
    let clips = listing.clip_denoised() == Some(true);
    clips.then(|| "clipping of the predicted image".to_owned())
}
