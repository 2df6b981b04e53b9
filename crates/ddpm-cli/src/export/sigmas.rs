//! Noise levels sigma = sqrt((1 - alpha_bar)/alpha_bar) for k-diffusion and ComfyUI, ending with 0.

use super::listing::variance_loss;
use super::python::{assignment, comment, float};
use super::{Exported, Listing};
use crate::error::Result;

pub(super) fn k_diffusion(listing: &Listing) -> Result<Exported> {
    let chain = listing.chain("k-diffusion")?;
    let mut losses = variance_loss(
        listing,
        "sample_euler_ancestral adds fixed-small noise, other samplers their own",
    );
    if listing.clip_denoised == Some(true) {
        losses.push(
            "clipping of the predicted image (the wrappers of k_diffusion.external do not clip)"
                .to_owned(),
        );
    }
    let mut text = comment(&format!(
        "Sigmas for k-diffusion: {}.",
        listing.conventions()
    ));
    text += &comment(
        "sigma = sqrt((1 - alpha_bar) / alpha_bar), noisiest first, 0 at the end. With eta = 1 (its default) sample_euler_ancestral takes exactly the steps of the ancestral sampler with fixed-small variances. Wrap the network with quantize=True, so that it is fed whole timesteps.",
    );
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    let lists = listing
        .schedules
        .iter()
        .map(|s| {
            let sigmas = s.sigmas(chain)?;
            Ok((s.steps, sigmas.into_iter().map(float).collect()))
        })
        .collect::<Result<Vec<(usize, Vec<String>)>>>()?;
    text += &assignment("sigmas", &lists, ('[', ']'));
    text += "\n\ndef sample(denoiser, shape, sigmas, device=\"cpu\"):\n    import torch\n    from k_diffusion.sampling import sample_euler_ancestral\n\n    sigmas = torch.tensor(sigmas, device=device)\n    # The noisiest x_t has variance 1, and k-diffusion's x is x_t / sqrt(alpha_bar).\n    x = torch.randn(shape, device=device) * (1 + sigmas[0] ** 2).sqrt()\n    return sample_euler_ancestral(denoiser, x, sigmas)\n";
    Ok(Exported {
        bytes: text.into_bytes(),
        text: true,
        losses,
    })
}

/// One line per schedule and nothing else: nodes that take sigmas as text pick up every number they see. No exponents, because
/// some of them read `1e-3` as 1 and 3.
pub(super) fn comfyui(listing: &Listing) -> Result<Exported> {
    let chain = listing.chain("comfyui")?;
    let mut text = String::new();
    for schedule in &listing.schedules {
        let sigmas: Vec<String> = schedule
            .sigmas(chain)?
            .into_iter()
            .map(|sigma| match sigma {
                0.0 => "0.0".to_owned(),
                sigma => sigma.to_string(),
            })
            .collect();
        text += &sigmas.join(", ");
        text.push('\n');
    }
    let mut losses = variance_loss(
        listing,
        "ComfyUI's ddpm and euler_ancestral samplers add fixed-small noise",
    );
    if listing.clip_denoised == Some(true) {
        losses.push("clipping of the predicted image (ComfyUI's samplers do not clip)".to_owned());
    }
    Ok(Exported {
        bytes: text.into_bytes(),
        text: true,
        losses,
    })
}
