//! improved-diffusion and guided-diffusion: `SpacedDiffusion(use_timesteps=..)`.

use std::fmt::Write;

use ddpm_core::{NoiseSchedule, NoiseScheduleName, Parameterization, Sampler, VarianceKind};

use super::listing::Listing;
use super::python::{assignment, comment, float, list};
use crate::error::{Error, Result};

pub(super) fn export(listing: &Listing<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    listing.check_timesteps("improved-diffusion")?;
    let chain = listing.chain("improved-diffusion")?;
    let mean = match listing.parameterization() {
        Some(Parameterization::V) => {
            return Err(Error::NotExpressible {
                format: "improved-diffusion",
                what: "a network of v-prediction (its ModelMeanType knows EPSILON, START_X and PREVIOUS_X)",
            });
        }
        Some(Parameterization::X0) => "START_X",
        Some(Parameterization::Epsilon) | None => "EPSILON",
    };
    let losses = losses(listing);
    let mut text = comment(&format!(
        "Timesteps for improved-diffusion and guided-diffusion: {}.",
        listing.conventions()
    ));
    text += &comment(
        "They count from 0. No --timestep_respacing string can express them, so build the diffusion as below.",
    );
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    text += "from improved_diffusion import gaussian_diffusion as gd\nfrom improved_diffusion.respace import SpacedDiffusion\n\n";
    if known_name(chain).is_none() {
        text += "import numpy as np\n\n";
    }
    let lists = listing.lists(|p| Ok(p.timesteps().rev().map(|t| t.to_string()).collect()))?;
    text += &assignment("use_timesteps", &lists, ('{', '}'));
    let variance = match listing.variance() {
        Some(VarianceKind::Learned) => "LEARNED_RANGE",
        Some(VarianceKind::FixedLarge) => "FIXED_LARGE",
        _ => "FIXED_SMALL",
    };
    let rescale = match listing.rescale_timesteps() {
        Some(true) => "True,",
        Some(false) => "False,",
        None => "False,  # as your network was trained",
    };
    let betas = match known_name(chain) {
        Some(name) => format!(
            "gd.get_named_beta_schedule(\"{name}\", {})",
            listing.train_steps
        ),
        None => {
            let betas = (1..=listing.train_steps).map(|t| float(chain.transition(t, t - 1).beta));
            format!("np.array({})", list('[', betas, ']', 4))
        }
    };
    let class = if variance == "LEARNED_RANGE" {
        "SpacedDiffusion"
    } else {
        text += FIXED_VARIANCES;
        "FixedVariances"
    };
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "\n\ndef diffusion(use_timesteps):\n    return {class}(\n        use_timesteps=use_timesteps,\n        betas={betas},\n        model_mean_type=gd.ModelMeanType.{mean},\n        model_var_type=gd.ModelVarType.{variance},\n        loss_type=gd.LossType.MSE,\n        rescale_timesteps={rescale}\n    )\n"
    );
    Ok((text.into_bytes(), losses))
}

/// Fixed variances along a network that learns its own: the second half of its output is not the estimate's.
const FIXED_VARIANCES: &str = r#"

class FixedVariances(SpacedDiffusion):
    """SpacedDiffusion that takes the first half of the output of a network that learns its variance."""

    def p_mean_variance(self, model, x, t, **kwargs):
        def estimate(x, t, **model_kwargs):
            return model(x, t, **model_kwargs)[:, : x.shape[1]]

        return super().p_mean_variance(estimate, x, t, **kwargs)
"#;

/// The name of this noise schedule, where `get_named_beta_schedule` has it.
fn known_name(chain: &NoiseSchedule) -> Option<NoiseScheduleName> {
    chain
        .name()
        .filter(|name| matches!(name, NoiseScheduleName::Linear | NoiseScheduleName::Cosine))
}

fn losses(listing: &Listing<'_>) -> Vec<String> {
    let mut losses = Vec::new();
    match listing.sampler() {
        Sampler::Ddpm => {}
        Sampler::Ddim => losses.push(
            "the sampler: call ddim_sample_loop with eta=0, whose steps the schedule was chosen for"
                .to_owned(),
        ),
        Sampler::DpmSolver2M => losses.push(
            "the sampler: DPM-Solver++(2M), which the schedule was chosen for, is not there".to_owned(),
        ),
        other => losses.push(format!("the sampler: {other} is not there")),
    }
    if let Some(variance) = listing.variance().filter(|variance| variance.is_measured()) {
        losses.push(format!(
            "the {variance} variances (the diffusion below has fixed-small ones)"
        ));
    }
    losses.extend(listing.step_losses(None));
    losses
}
