//! diffusers: timesteps, and schedulers that follow them.
//!
//! Of its schedulers three can take the steps of the ancestral sampler along an irregular list: DDPMScheduler, whose
//! `set_timesteps` takes one; DDIMScheduler with eta = 1, once it no longer steps by T // n; and DPMSolverMultistepScheduler of
//! order 1 with `sde-dpmsolver++`. `cargo xtask check-exports` runs all three and compares what the other schedulers do with docs/exports.md.

use ddpm_core::{NoiseSchedule, NoiseScheduleName, Parameterization, Sampler, VarianceKind};

use super::listing::{Listing, not_priced};
use super::python::{assignment, comment, float, list};
use crate::error::Result;
use crate::kernel::Kernel;

/// Kept in float32, as diffusers does, the table loses 1 - alpha_bar where that is small, and a long step of DDIMScheduler under
/// a cosine schedule becomes NaN.
const IN_DOUBLE: &str = r#"

def in_double(scheduler):
    # float32 has few digits of 1 - alpha_bar where alpha_bar is near 1 or 0. Products with x stay float32.
    scheduler.alphas_cumprod = (1 - scheduler.betas.double()).cumprod(0)
    return scheduler
"#;

const DDPM: &str = r#"

def ddpm_scheduler(timesteps, **config):
    scheduler = in_double(DDPMScheduler(**{**NOISE, **DDPM, **config}))
    scheduler.set_timesteps(timesteps=list(timesteps))
    return scheduler
"#;

/// DDPMScheduler adds noise wherever the timestep is above 0, the step onto the data included.
const DDPM_LISTED: &str = r#"

class ListedDDPMScheduler(DDPMScheduler):
    """DDPMScheduler without noise on the step onto the data, which need not start at timestep 0."""

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        out = super().step(model_output, timestep, sample, generator)
        if int(self.previous_timestep(timestep)) < 0:
            out.prev_sample = out.pred_original_sample
        return out if return_dict else tuple(out.values())


def ddpm_scheduler(timesteps, **config):
    scheduler = in_double(ListedDDPMScheduler(**{**NOISE, **DDPM, **config}))
    scheduler.set_timesteps(timesteps=list(timesteps))
    return scheduler
"#;

/// The analytic variances are numbers, one per step.
const DDPM_ANALYTIC: &str = r#"

class ListedDDPMScheduler(DDPMScheduler):
    """DDPMScheduler with these variances, and without noise on the step onto the data."""

    variances = None  # one per timestep, in the order of sampling

    def _get_variance(self, t, predicted_variance=None, variance_type=None):
        return torch.tensor(self.variances[int((self.timesteps == int(t)).nonzero()[0])])


def ddpm_scheduler(timesteps, variances, **config):
    scheduler = in_double(ListedDDPMScheduler(**{**NOISE, **DDPM, **config}))
    scheduler.set_timesteps(timesteps=list(timesteps))
    scheduler.variances = [*variances[:-1], 0.0]
    return scheduler
"#;

const DDIM: &str = r#"

class ListedDDIMScheduler(DDIMScheduler):
    """DDIMScheduler that follows a list; it would go from t to t - T // n."""

    def set_timesteps(self, num_inference_steps=None, device=None, timesteps=None):
        # A number of steps, as pipelines give it, does not change the list.
        if timesteps is not None:
            self.listed = [int(t) for t in timesteps]
        self.timesteps = torch.tensor(self.listed, device=device)
        self.num_inference_steps = len(self.listed)

    def step(self, model_output, timestep, sample, *args, **kwargs):
        below = dict(zip(self.listed, [*self.listed[1:], -1]))
        count = self.num_inference_steps
        # T // (T / gap) is the gap, as long as nothing is rounded.
        self.num_inference_steps = Fraction(
            self.config.num_train_timesteps, int(timestep) - below[int(timestep)]
        )
        try:
            return super().step(model_output, timestep, sample, *args, **kwargs)
        finally:
            self.num_inference_steps = count


def ddim_scheduler(timesteps, **config):
    # Give step() eta=1, use_clipped_model_output=True for the ancestral steps; eta=0 is DDIM.
    scheduler = in_double(ListedDDIMScheduler(**{**NOISE, **CLIP, **config}))
    scheduler.set_timesteps(timesteps=timesteps)
    return scheduler
"#;

const DPM_SOLVER: &str = r#"

def dpm_solver_scheduler(timesteps, **config):
    # Ancestral steps; algorithm_type="dpmsolver++" is DDIM. It does not clip.
    order = dict(solver_order=1, algorithm_type="sde-dpmsolver++")
    scheduler = in_double(DPMSolverMultistepScheduler(**{**NOISE, **order, **config}))
    scheduler.set_timesteps(timesteps=list(timesteps))
    return scheduler
"#;

const DPM_SOLVER_2M: &str = r#"

def dpm_solver_scheduler(timesteps, **config):
    # The last step, onto the data, is of first order. It does not clip.
    order = dict(solver_order=2, algorithm_type="dpmsolver++", solver_type="midpoint", final_sigmas_type="zero")
    scheduler = in_double(DPMSolverMultistepScheduler(**{**NOISE, **order, **config}))
    scheduler.set_timesteps(timesteps=list(timesteps))
    return scheduler
"#;

const DPM_SOLVER_3M: &str = r#"

def dpm_solver_scheduler(timesteps, **config):
    # The last step, onto the data, is of first order, the one before of second below 15 steps. It does not clip.
    order = dict(solver_order=3, algorithm_type="dpmsolver++", solver_type="midpoint", final_sigmas_type="zero")
    scheduler = in_double(DPMSolverMultistepScheduler(**{**NOISE, **order, **config}))
    scheduler.set_timesteps(timesteps=list(timesteps))
    return scheduler
"#;

const SAMPLE: &str = r#"

def sample(unet, scheduler, shape, generator=None, **step):
    x = torch.randn(shape, generator=generator)
    for t in scheduler.timesteps:
        with torch.no_grad():
            prediction = unet(x, t).sample
        if getattr(scheduler.config, "variance_type", None) not in ("learned", "learned_range"):
            # Other schedulers have no place for the variances that a network learns, its second half.
            prediction = prediction[:, : x.shape[1]]
        x = scheduler.step(prediction, t, x, generator=generator, **step).prev_sample
    return x
"#;

pub(super) fn export(listing: &Listing<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    listing.check_timesteps("diffusers")?;
    let chain = listing.chain("diffusers")?;
    let losses = losses(listing);
    let analytic = listing.variance() == Some(VarianceKind::Analytic);
    let mut text = comment(&format!(
        "Timesteps for diffusers: {}.",
        listing.conventions()
    ));
    text += &comment("They count from 0 and are in the order of sampling, noisiest first.");
    let takes = match listing.sampler() {
        Sampler::Ddpm => {
            "ddpm_scheduler takes the ancestral steps that the schedule was chosen for. ddim_scheduler (with eta=1) and dpm_solver_scheduler take them with fixed-small variances."
        }
        Sampler::Ddim => {
            "The schedule was chosen for DDIM: ddim_scheduler takes its steps; give step() eta=0, use_clipped_model_output=True, as sample() passes them on."
        }
        Sampler::DpmSolver2M => {
            "The schedule was chosen for DPM-Solver++(2M): dpm_solver_scheduler takes its steps."
        }
        Sampler::DpmSolver3M => {
            "The schedule is for DPM-Solver++(3M): dpm_solver_scheduler takes its steps."
        }
        other => return Err(not_priced("diffusers", other)),
    };
    text += &comment(&format!(
        "{takes} Pipelines call set_timesteps with a number of steps and forget a list, unless they take timesteps= themselves: use sample() below."
    ));
    if listing.ends_early() {
        text += &comment(
            "A schedule that begins below T - 1 starts from the same pure noise; no noise is to be added to it.",
        );
    }
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    text += match listing.sampler() {
        Sampler::Ddpm => {
            "from fractions import Fraction\n\nimport torch\nfrom diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler\n\n"
        }
        Sampler::Ddim => {
            "from fractions import Fraction\n\nimport torch\nfrom diffusers import DDIMScheduler\n\n"
        }
        _ => "import torch\nfrom diffusers import DPMSolverMultistepScheduler\n\n",
    };
    let lists = listing.lists(|p| Ok(p.timesteps().map(|t| t.to_string()).collect()))?;
    text += &assignment("timesteps", &lists, ('[', ']'));
    if analytic {
        // sigma^2 of every step, noisiest first.
        let of = |kernel: &Kernel| float(kernel.log_variance().map_or(0.0, f64::exp));
        let lists = listing.lists(|p| Ok(p.kernels().iter().rev().map(of).collect()))?;
        text += &assignment("variances", &lists, ('[', ']'));
    }
    text.push('\n');
    text += &noise(listing, chain);
    text += IN_DOUBLE;
    match listing.sampler() {
        Sampler::Ddpm => {
            text += if analytic {
                DDPM_ANALYTIC
            } else if needs_quiet_last_step(listing) {
                DDPM_LISTED
            } else {
                DDPM
            };
            text += DDIM;
            text += DPM_SOLVER;
        }
        Sampler::Ddim => text += DDIM,
        Sampler::DpmSolver3M => text += DPM_SOLVER_3M,
        _ => text += DPM_SOLVER_2M,
    }
    text += SAMPLE;
    Ok((text.into_bytes(), losses))
}

/// Whether DDPMScheduler would add noise to the result: it leaves that out at timestep 0 alone, and only the fixed-small
/// variance of a step onto the data is 0 by itself.
fn needs_quiet_last_step(listing: &Listing<'_>) -> bool {
    listing.skips_first() && listing.variance() != Some(VarianceKind::FixedSmall)
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
    let prediction = match listing.parameterization() {
        Some(Parameterization::Epsilon) => "\"epsilon\",",
        Some(Parameterization::X0) => "\"sample\",",
        Some(Parameterization::V) => "\"v_prediction\",",
        None => "\"epsilon\",  # as your network was trained",
    };
    let variance = match listing.variance() {
        Some(VarianceKind::Learned) => "learned_range",
        Some(VarianceKind::FixedLarge) => "fixed_large",
        _ => "fixed_small",
    };
    let clip = match listing.clip_denoised() {
        Some(true) => "CLIP = dict(clip_sample=True)",
        Some(false) => "CLIP = dict(clip_sample=False)",
        None => {
            "CLIP = dict(clip_sample=False)  # the schedule does not say; True for images in [-1, 1]"
        }
    };
    format!(
        "NOISE = dict(\n    num_train_timesteps={steps},\n    {betas},\n    prediction_type={prediction}\n)\n{clip}\nDDPM = dict(variance_type=\"{variance}\", **CLIP)\n"
    )
}

fn losses(listing: &Listing<'_>) -> Vec<String> {
    let mut losses = match listing.variance() {
        _ if listing.sampler() != Sampler::Ddpm => Vec::new(),
        Some(VarianceKind::Learned) => vec![
            "the learned variances, by ddim_scheduler and dpm_solver_scheduler; sample() cuts the network's output to its first half for them".to_owned(),
        ],
        Some(kind @ (VarianceKind::FixedLarge | VarianceKind::Analytic)) => vec![format!(
            "the {kind} variances, by ddim_scheduler and dpm_solver_scheduler"
        )],
        // Calibrated ones have an export of their own.
        _ => Vec::new(),
    };
    if listing.clip_denoised() == Some(true) && listing.sampler() != Sampler::Ddim {
        losses.push("clipping of the predicted image, by dpm_solver_scheduler".to_owned());
    }
    losses.extend(listing.scaling_loss());
    losses
}
