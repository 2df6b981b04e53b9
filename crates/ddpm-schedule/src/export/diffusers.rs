//! diffusers: timesteps, and schedulers that follow them.
//!
//! Of its schedulers three can take the steps of the ancestral sampler along an irregular list: DDPMScheduler, whose
//! `set_timesteps` takes one; DDIMScheduler with eta = 1, once it no longer steps by T // n; and DPMSolverMultistepScheduler of
//! order 1 with `sde-dpmsolver++`. Pipelines call `set_timesteps` with a number of steps, upon which all three forget a list: the export's
//! subclasses keep it. `cargo xtask check-exports` runs them, in pipelines too, and compares what the other schedulers do with docs/exports.md.

use ddpm_core::{NoiseSchedule, NoiseScheduleName, Parameterization, Sampler, VarianceKind};

use super::listing::{Listing, not_priced};
use super::python::{assignment, comment, float, list, one_of_several};
use crate::error::Result;
use crate::kernel::Kernel;

const FOLLOW: &str = include_str!("snippets/follow.py");
const DDPM: &str = include_str!("snippets/ddpm.py");
const DDPM_ANALYTIC: &str = include_str!("snippets/ddpm_analytic.py");
const DDIM: &str = include_str!("snippets/ddim.py");
const DPM_SOLVER: &str = include_str!("snippets/dpm_solver.py");
/// For calibrated kernels too.
pub(super) const SAMPLE: &str = include_str!("snippets/sample.py");

/// The words that stand for the type of an unknown network's output in [`FOLLOW`].
const ASK_FOR_THE_TYPE: &str = r#"    if "prediction_type" not in config:
        raise ValueError(
            'prediction_type: nothing says what your network predicts; expected prediction_type="epsilon", "sample" or "v_prediction"'
        )
"#;

pub(super) fn export(listing: &Listing<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    listing.check_timesteps("diffusers")?;
    let chain = listing.chain("diffusers")?;
    let losses = losses(listing);
    let analytic = listing.variance() == Some(VarianceKind::Analytic);
    let (scheduler, takes) = match listing.sampler() {
        Sampler::Ddpm => (
            "ddpm_scheduler",
            "ddpm_scheduler takes the ancestral steps that the schedule was chosen for. ddim_scheduler and dpm_solver_scheduler take them with fixed-small variances.",
        ),
        Sampler::Ddim => (
            "ddim_scheduler",
            "The schedule was chosen for DDIM: ddim_scheduler takes its steps.",
        ),
        Sampler::DpmSolver2M => (
            "dpm_solver_scheduler",
            "The schedule was chosen for DPM-Solver++(2M): dpm_solver_scheduler takes its steps.",
        ),
        Sampler::DpmSolver3M => (
            "dpm_solver_scheduler",
            "The schedule is for DPM-Solver++(3M): dpm_solver_scheduler takes its steps.",
        ),
        other => return Err(not_priced("diffusers", other)),
    };
    let lists = listing.lists(|p| Ok(p.timesteps().map(|t| t.to_string()).collect()))?;
    let mut call = one_of_several("timesteps", &lists);
    if analytic && scheduler == "ddpm_scheduler" {
        call += ", ";
        call += &one_of_several("variances", &lists);
    }
    if listing.parameterization().is_none() {
        call += ", prediction_type=...";
    }
    let mut text = comment(&in_a_pipeline(&format!("{scheduler}({call})")));
    text += &comment(&format!(
        "Timesteps for diffusers: {}.",
        listing.conventions()
    ));
    text += &comment(&format!(
        "They count from 0 and are in the order of sampling, noisiest first. {takes}"
    ));
    if listing.ends_early() {
        text += &comment(
            "A schedule that begins below T - 1 starts from the same pure noise; no noise is to be added to it.",
        );
    }
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    text += &imports(listing.sampler());
    text += &assignment("timesteps", &lists, ('[', ']'));
    if analytic {
        // sigma^2 of every step, noisiest first.
        let of = |kernel: &Kernel| float(kernel.log_variance().map_or(0.0, f64::exp));
        let lists = listing.lists(|p| Ok(p.kernels().iter().rev().map(of).collect()))?;
        text += &assignment("variances", &lists, ('[', ']'));
    }
    text.push('\n');
    text += &noise(listing, chain);
    text += &follow(listing);
    let dpm_solver = |order: &str, words: &str| {
        let own = DPM_SOLVER.replace("ORDER_WORDS", words);
        own.replace("ORDER", order)
    };
    let multistep = |order: usize| {
        format!(
            "solver_order={order}, algorithm_type=\"dpmsolver++\", solver_type=\"midpoint\", final_sigmas_type=\"zero\""
        )
    };
    text += &match listing.sampler() {
        Sampler::Ddpm => {
            let ddpm = if analytic { DDPM_ANALYTIC } else { DDPM };
            let ddim = DDIM.replace("ETA", "1.0");
            let solver = dpm_solver(
                "solver_order=1, algorithm_type=\"sde-dpmsolver++\"",
                "Ancestral steps; algorithm_type=\"dpmsolver++\" is DDIM.",
            );
            format!("{ddpm}{ddim}{solver}")
        }
        Sampler::Ddim => DDIM.replace("ETA", "0.0"),
        Sampler::DpmSolver3M => dpm_solver(
            &multistep(3),
            "The last step, onto the data, is of first order, the one before of second below 15 steps.",
        ),
        _ => dpm_solver(
            &multistep(2),
            "The last step, onto the data, is of first order.",
        ),
    };
    text += SAMPLE;
    Ok((text.into_bytes(), losses))
}

/// How an export is used by default; its first line.
pub(super) fn in_a_pipeline(scheduler: &str) -> String {
    format!(
        "pipe.scheduler = {scheduler} makes a finished pipeline follow the list, whatever number of steps it is called with. Not DDIMPipeline(unet, scheduler): it makes a DDIMScheduler of what it is given. Without a pipeline: sample(unet, scheduler, shape)."
    )
}

fn imports(sampler: Sampler) -> String {
    let (fractions, schedulers) = match sampler {
        Sampler::Ddpm => (
            true,
            "DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler",
        ),
        Sampler::Ddim => (true, "DDIMScheduler"),
        _ => (false, "DPMSolverMultistepScheduler"),
    };
    let fractions = if fractions {
        "from fractions import Fraction\n\n"
    } else {
        ""
    };
    format!(
        "{fractions}import torch\nfrom diffusers import {schedulers}\nfrom diffusers.utils.torch_utils import randn_tensor\n\n"
    )
}

/// What makes schedulers keep to a list, and refuses a network of which nobody said what it predicts.
fn follow(listing: &Listing<'_>) -> String {
    let made = "    scheduler = in_double(";
    match listing.parameterization() {
        Some(_) => FOLLOW.to_owned(),
        None => FOLLOW.replace(made, &format!("{ASK_FOR_THE_TYPE}{made}")),
    }
}

/// The configuration of the schedulers.
fn noise(listing: &Listing<'_>, chain: &NoiseSchedule) -> String {
    let steps = listing.train_steps;
    let range = |name: &str, start: f64, end: f64| {
        format!(
            "beta_schedule=\"{name}\",\n    beta_start={},\n    beta_end={}",
            float(start),
            float(end)
        )
    };
    let scale = 1000.0 / steps as f64;
    let betas = match chain.name() {
        Some(NoiseScheduleName::Linear) => range("linear", scale * 1e-4, scale * 0.02),
        Some(NoiseScheduleName::LinearUnscaled) => range("linear", 1e-4, 0.02),
        Some(NoiseScheduleName::ScaledLinear) => range("scaled_linear", 0.00085, 0.012),
        Some(NoiseScheduleName::Cosine) => "beta_schedule=\"squaredcos_cap_v2\"".to_owned(),
        // Only some schedulers know sigmoid, none a custom one.
        Some(NoiseScheduleName::Sigmoid) | None => {
            let betas = (1..=steps).map(|t| float(chain.transition(t, t - 1).beta));
            format!("trained_betas={}", list('[', betas, ']', 4))
        }
    };
    // Of a network that nobody told of, the schedulers ask.
    let prediction = listing
        .parameterization()
        .map_or_else(String::new, |known| {
            format!("\n    prediction_type=\"{}\",", prediction_type(known))
        });
    let clip = match listing.clip_denoised() {
        Some(true) => "CLIP = True",
        Some(false) => "CLIP = False",
        None => "CLIP = False  # the schedule does not say; True for images in [-1, 1]",
    };
    let variance = match (listing.sampler(), listing.variance()) {
        (Sampler::Ddpm, Some(VarianceKind::Learned)) => "VARIANCE = \"learned_range\"\n",
        (Sampler::Ddpm, Some(VarianceKind::FixedLarge)) => "VARIANCE = \"fixed_large\"\n",
        // Numbers of its own.
        (Sampler::Ddpm, Some(VarianceKind::Analytic)) => "",
        (Sampler::Ddpm, _) => "VARIANCE = \"fixed_small\"\n",
        _ => "",
    };
    format!(
        "NOISE = dict(\n    num_train_timesteps={steps},\n    {betas},{prediction}\n)\n{clip}\n{variance}"
    )
}

/// What diffusers calls a network's output.
pub(super) fn prediction_type(parameterization: Parameterization) -> &'static str {
    match parameterization {
        Parameterization::Epsilon => "epsilon",
        Parameterization::X0 => "sample",
        Parameterization::V => "v_prediction",
    }
}

fn losses(listing: &Listing<'_>) -> Vec<String> {
    let mut losses = match listing.variance() {
        _ if listing.sampler() != Sampler::Ddpm => Vec::new(),
        Some(VarianceKind::Learned) => vec![
            "the learned variances, by ddim_scheduler and dpm_solver_scheduler, which take the first half of the network's output".to_owned(),
        ],
        Some(kind @ (VarianceKind::FixedLarge | VarianceKind::Analytic)) => vec![format!(
            "the {kind} variances, by ddim_scheduler and dpm_solver_scheduler"
        )],
        // Calibrated ones have an export of their own.
        _ => Vec::new(),
    };
    losses.extend(listing.scaling_loss());
    losses
}
