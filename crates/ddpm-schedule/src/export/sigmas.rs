//! Noise levels sigma = sqrt((1 - alpha_bar)/alpha_bar) for k-diffusion and ComfyUI, ending with 0.

use ddpm_core::{ProcessKind, Sampler};

use super::flow;
use super::listing::{Listing, not_priced};
use super::python::{assignment, comment, float, one_of_several, sample_with};
use crate::error::Result;

pub(super) fn k_diffusion(listing: &Listing<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    if listing.clock() == ProcessKind::Flow {
        return flow::k_diffusion(listing);
    }
    let chain = listing.chain("k-diffusion")?;
    let mut losses = listing
        .variance_loss("sample_euler_ancestral adds fixed-small noise, other samplers their own");
    if listing.clip_denoised() == Some(true) {
        losses.push(
            "clipping of the predicted image (the wrappers of k_diffusion.external do not clip)"
                .to_owned(),
        );
    }
    losses.extend(scaling_loss(listing));
    let (sampler, takes) = match listing.sampler() {
        Sampler::Ddpm => (
            "sample_euler_ancestral",
            "With eta = 1 (its default) sample_euler_ancestral takes exactly the steps of the ancestral sampler with fixed-small variances.",
        ),
        Sampler::Ddim => (
            "sample_euler",
            "sample_euler takes exactly the steps of DDIM with eta = 0, which the schedule was chosen for.",
        ),
        Sampler::DpmSolver2M => (
            "sample_dpmpp_2m",
            "sample_dpmpp_2m takes the steps of DPM-Solver++(2M), which the schedule was chosen for.",
        ),
        other => return Err(not_priced("k-diffusion", other)),
    };
    let fed = match listing.clock() {
        ProcessKind::Vp => {
            "denoiser is a wrapper of k_diffusion.external, made with quantize=True, so that the network is fed whole timesteps."
        }
        _ => "denoiser(x, sigma) returns the clean data.",
    };
    let lists =
        listing.lists(|p| Ok(listing.sigmas(p, chain)?.into_iter().map(float).collect()))?;
    let mut text = comment(&format!(
        "sample(denoiser, shape, {}) follows the list; {fed}",
        one_of_several("sigmas", &lists)
    ));
    text += &comment(&format!(
        "Sigmas for k-diffusion: {}.",
        listing.conventions()
    ));
    text += &comment(&format!(
        "sigma = sqrt((1 - alpha_bar) / alpha_bar), noisiest first, 0 at the end. {takes}"
    ));
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    text += &assignment("sigmas", &lists, ('[', ']'));
    text += &sample_with(
        sampler,
        "# The noisiest x_t has variance 1, and k-diffusion's x is x_t / sqrt(alpha_bar).\n    x = torch.randn(shape, **like) * (1 + sigmas[0] ** 2).sqrt()",
    );
    Ok((text.into_bytes(), losses))
}

/// One line per schedule and nothing else: nodes that take sigmas as text pick up every number they see. No exponents, because
/// some of them read `1e-3` as 1 and 3.
pub(super) fn comfyui(listing: &Listing<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    let chain = listing.chain("comfyui")?;
    let mut text = String::new();
    for listed in &listing.paths {
        let sigmas: Vec<String> = listing
            .sigmas(listed, chain)?
            .into_iter()
            .map(|sigma| match sigma {
                0.0 => "0.0".to_owned(),
                sigma => sigma.to_string(),
            })
            .collect();
        text += &sigmas.join(", ");
        text.push('\n');
    }
    let mut losses =
        listing.variance_loss("ComfyUI's ddpm and euler_ancestral samplers add fixed-small noise");
    if listing.clip_denoised() == Some(true) {
        losses.push("clipping of the predicted image (ComfyUI's samplers do not clip)".to_owned());
    }
    losses.extend(scaling_loss(listing));
    if listing.ends_early() && listing.clock() == ProcessKind::Flow {
        losses.push("the scale of the first x, which is (1 - s) latent + s noise for ComfyUI and sqrt((1 - s)^2 + s^2) noise here, where a list begins below s = 1".to_owned());
    } else if listing.ends_early() {
        losses.push(
            "the variance of the first x, 1 + sigma^2 for a list that begins below the largest sigma of the model: ComfyUI adds sigma times noise to the latent image, which gives an empty one sigma^2"
                .to_owned(),
        );
    }
    let sampler = listing.sampler();
    let choose = |theirs: &str| format!("choose {theirs}, whose steps the schedule was chosen for");
    let advice = match sampler {
        Sampler::Ddpm => None,
        Sampler::Ddim => Some(choose("euler")),
        // Its 2M is of sigma / alpha.
        Sampler::DpmSolver2M if listing.clock() != ProcessKind::Flow => Some(choose("dpmpp_2m")),
        _ => Some("ComfyUI has none with exactly its steps".to_owned()),
    };
    losses.extend(advice.map(|advice| format!("the sampler {sampler}: {advice}")));
    Ok((text.into_bytes(), losses))
}

/// Both feed the network a timestep.
fn scaling_loss(listing: &Listing<'_>) -> Option<String> {
    listing.scales_timesteps().then(|| {
        format!(
            "the scaling of timesteps: this network is fed i * 1000 / {}; wrap it so that it is",
            listing.train_steps
        )
    })
}
