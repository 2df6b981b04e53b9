//! improved-diffusion and guided-diffusion: `SpacedDiffusion(use_timesteps=..)`.

use ddpm_core::{NoiseSchedule, NoiseScheduleName, Parameterization, Sampler, VarianceKind};

use super::listing::Listing;
use super::python::{assignment, comment, float, list, one_of_several};
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
        Some(Parameterization::X0) => Some("START_X"),
        Some(Parameterization::Epsilon) => Some("EPSILON"),
        None => None,
    };
    let losses = losses(listing);
    let lists = listing.lists(|p| Ok(p.timesteps().rev().map(|t| t.to_string()).collect()))?;
    let mut call = one_of_several("use_timesteps", &lists);
    if mean.is_none() {
        call += ", model_mean_type=gd.ModelMeanType...";
    }
    let sampling = match listing.sampler() {
        Sampler::Ddpm => "p_sample_loop",
        _ => "ddim_sample_loop",
    };
    let mut text = comment(&format!(
        "diffusion({call}).{sampling}(model, shape) follows the list, on the device of the model."
    ));
    text += &comment(&format!(
        "Timesteps for improved-diffusion and guided-diffusion: {}.",
        listing.conventions()
    ));
    text += &comment(
        "They count from 0. No --timestep_respacing string can express them, so build the diffusion as below.",
    );
    if listing.clip_denoised().is_none() {
        text += &comment(
            "Nothing says whether the schedule clips: the loops do, unless they are given clip_denoised=False.",
        );
    }
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    text += "from improved_diffusion import gaussian_diffusion as gd\nfrom improved_diffusion.respace import SpacedDiffusion\n\n";
    if known_name(chain).is_none() {
        text += "import numpy as np\n\n";
    }
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
    let mut class = "SpacedDiffusion";
    if variance != "LEARNED_RANGE" {
        text += FIXED_VARIANCES;
        class = "FixedVariances";
    }
    if listing.clip_denoised() == Some(false) {
        text += &UNCLIPPED.replace("CLASS", class);
        class = "Unclipped";
    }
    let (argument, ask) = match mean {
        Some(_) => ("", ""),
        None => (", model_mean_type=None", ASK_FOR_THE_MEAN),
    };
    let mean = mean.map_or_else(
        || "model_mean_type".to_owned(),
        |mean| format!("gd.ModelMeanType.{mean}"),
    );
    // MEAN_ARGUMENT before MEAN, which it begins with.
    let values = [
        ("MEAN_ARGUMENT", argument),
        ("ASK", ask),
        ("CLASS", class),
        ("BETAS", &betas),
        ("MEAN", &mean),
        ("VARIANCE", variance),
        ("RESCALE", rescale),
    ];
    let made = |text: String, (name, value): (&str, &str)| text.replace(name, value);
    text += &values.into_iter().fold(DIFFUSION.to_owned(), made);
    Ok((text.into_bytes(), losses))
}

const DIFFUSION: &str = include_str!("snippets/improved_diffusion.py");

/// Of a network that nobody told of.
const ASK_FOR_THE_MEAN: &str = r#"    if model_mean_type is None:
        raise ValueError(
            "model_mean_type: nothing says what your network predicts; expected gd.ModelMeanType.EPSILON or START_X"
        )
"#;

/// The loops of both programs clip by default.
const UNCLIPPED: &str = r#"

class Unclipped(CLASS):
    """Clips no estimate, as the schedule was chosen, whatever clip_denoised the loops ask for."""

    def p_mean_variance(self, model, x, t, clip_denoised=False, **kwargs):
        return super().p_mean_variance(model, x, t, clip_denoised=False, **kwargs)
"#;

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
