//! diffusers' `scheduler_config.json`: the diffusion process that a network was trained with.
//!
//! Only what describes training is read; how diffusers would sample (`timestep_spacing` and so on) is another matter.

use ddpm_core::{BetaCurve, NoiseSchedule, NoiseScheduleName, Parameterization, VarianceKind};

use super::fields::Fields;
use super::options::ModelOptions;
use super::training_noise::TrainingNoise;
use crate::Result;
use crate::checkpoint::JsonFile;

/// What a class of diffusers takes where its file is silent.
struct Class {
    name: &'static str,
    curve: &'static str,
    /// Of `beta_start` and `beta_end`.
    betas: (f64, f64),
    /// Of `clip_sample`; `None` where the class has no such entry, and never clips.
    clips: Option<bool>,
}

const LINEAR: (f64, f64) = (1e-4, 0.02);
/// Stable Diffusion's.
const NARROW: (f64, f64) = (0.00085, 0.012);

const fn class(
    name: &'static str,
    curve: &'static str,
    betas: (f64, f64),
    clips: Option<bool>,
) -> Class {
    Class {
        name,
        curve,
        betas,
        clips,
    }
}

/// Schedulers whose configuration describes a discrete variance-preserving process, the first one for files that name none
/// (`tests/golden/diffusers/scheduler-defaults.json`: read off diffusers itself).
const CLASSES: [Class; 22] = [
    class("DDPMScheduler", "linear", LINEAR, Some(true)),
    class("DDPMParallelScheduler", "linear", LINEAR, Some(true)),
    class("DDIMScheduler", "linear", LINEAR, Some(true)),
    class("DDIMParallelScheduler", "linear", LINEAR, Some(true)),
    class("DDIMInverseScheduler", "linear", LINEAR, Some(true)),
    class("RePaintScheduler", "linear", LINEAR, Some(true)),
    class("PNDMScheduler", "linear", LINEAR, None),
    class("DPMSolverMultistepScheduler", "linear", LINEAR, None),
    class("DPMSolverMultistepInverseScheduler", "linear", LINEAR, None),
    class("DPMSolverSinglestepScheduler", "linear", LINEAR, None),
    class("DEISMultistepScheduler", "linear", LINEAR, None),
    class("UniPCMultistepScheduler", "linear", LINEAR, None),
    class("SASolverScheduler", "linear", LINEAR, None),
    class("EulerDiscreteScheduler", "linear", LINEAR, None),
    class("EulerAncestralDiscreteScheduler", "linear", LINEAR, None),
    class("LMSDiscreteScheduler", "linear", LINEAR, None),
    class("HeunDiscreteScheduler", "linear", NARROW, Some(false)),
    class("DPMSolverSDEScheduler", "linear", NARROW, None),
    class("KDPM2DiscreteScheduler", "linear", NARROW, None),
    class("KDPM2AncestralDiscreteScheduler", "linear", NARROW, None),
    class("LCMScheduler", "scaled_linear", NARROW, Some(false)),
    class("TCDScheduler", "scaled_linear", NARROW, Some(false)),
];

/// What the file tells.
pub(super) struct Process {
    /// T, prediction, variance and time scaling.
    pub(super) options: ModelOptions,
    pub(super) noise: TrainingNoise,
    /// Whether predicted images are clamped to [-1, 1].
    pub(super) clip_denoised: bool,
}

/// Reads the file; absent fields have the defaults of its class in diffusers.
///
/// # Errors
/// The outer one for a file that contradicts itself. The inner one, which is [`Error::ModelFile`] too, for a process that is not read: it is
/// none of the user's mistakes, and of no matter where the process is told otherwise or not needed.
pub(super) fn read(file: &JsonFile) -> Result<Result<Process>> {
    let fields = Fields::new(file);
    let class = match fields.word("_class_name")? {
        None => &CLASSES[0],
        Some(name) => match CLASSES.iter().find(|class| class.name == name) {
            Some(class) => class,
            None => {
                let names = CLASSES.map(|class| class.name).join(", ");
                return Ok(Err(fields.unsupported("_class_name", &name, &names)));
            }
        },
    };
    if let Err(other) = refuse_other_processes(&fields) {
        return Ok(Err(other));
    }
    match process(&fields, class) {
        Err(other) if fields.has_met_unsupported() => Ok(Err(other)),
        process => process.map(Ok),
    }
}

fn process(fields: &Fields<'_>, class: &Class) -> Result<Process> {
    let noise = noise(fields, class)?;
    let prediction = fields.choice(
        "prediction_type",
        &[
            ("epsilon", Parameterization::Epsilon),
            ("sample", Parameterization::X0),
            ("v_prediction", Parameterization::V),
        ],
    )?;
    // Its word before diffusers 0.10.
    let predicts_x0 = fields.switch("predict_epsilon")? == Some(false);
    let before = if predicts_x0 {
        Parameterization::X0
    } else {
        Parameterization::Epsilon
    };
    let options = ModelOptions {
        train_steps: Some(train_steps(fields)?),
        // The network is fed diffusers' timestep i = t - 1 whatever T is.
        rescale_timesteps: Some(false),
        parameterization: Some(prediction.unwrap_or(before)),
        variance: variance(fields)?,
        ..ModelOptions::default()
    };
    Ok(Process {
        options,
        noise,
        clip_denoised: clip(fields, class)?,
    })
}

/// Entries under which the network is fed other times, or learns another process.
fn refuse_other_processes(fields: &Fields<'_>) -> Result<()> {
    fields.choice("timestep_type", &[("discrete", ())])?;
    if fields.switch("use_flow_sigmas")? == Some(true) {
        return Err(fields.unsupported("use_flow_sigmas", &true, "false"));
    }
    Ok(())
}

fn train_steps(fields: &Fields<'_>) -> Result<usize> {
    let steps = fields.count("num_train_timesteps")?.unwrap_or(1000);
    // diffusers takes the betas and forgets the number; a file in which they differ is a mistake.
    match betas(fields)? {
        Some(betas) if betas.len() != steps => Err(fields.error(format!(
            "field \"trained_betas\" has {} entries, expected num_train_timesteps = {steps}",
            betas.len()
        ))),
        _ => Ok(steps),
    }
}

fn betas(fields: &Fields<'_>) -> Result<Option<Vec<f64>>> {
    fields.list("trained_betas", "a list of numbers", |value| value.as_f64())
}

fn variance(fields: &Fields<'_>) -> Result<Option<VarianceKind>> {
    // The logarithm changes how diffusers clips the first step's variance, not what it is.
    fields.choice(
        "variance_type",
        &[
            ("fixed_small", VarianceKind::FixedSmall),
            ("fixed_small_log", VarianceKind::FixedSmall),
            ("fixed_large", VarianceKind::FixedLarge),
            ("fixed_large_log", VarianceKind::FixedLarge),
            ("learned_range", VarianceKind::Learned),
        ],
    )
}

fn clip(fields: &Fields<'_>, class: &Class) -> Result<bool> {
    // Another rule for predicted images, by the quantiles of each.
    if fields.switch("thresholding")? == Some(true) {
        return Err(fields.unsupported("thresholding", &true, "false"));
    }
    let Some(default) = class.clips else {
        return Ok(false);
    };
    let clip = fields.switch("clip_sample")?.unwrap_or(default);
    match fields.number("clip_sample_range")? {
        Some(range) if clip && range != 1.0 => {
            Err(fields.unsupported("clip_sample_range", &range, "1"))
        }
        _ => Ok(clip),
    }
}

fn noise(fields: &Fields<'_>, class: &Class) -> Result<TrainingNoise> {
    let zero_snr = fields.switch("rescale_betas_zero_snr")?.unwrap_or(false);
    let steps = train_steps(fields)?;
    let impossible =
        |key: &str, error: ddpm_core::Error| fields.error(format!("field \"{key}\": {error}"));
    let plain = match betas(fields)? {
        Some(betas) => TrainingNoise::Custom {
            description: "trained betas".into(),
            schedule: NoiseSchedule::from_betas(&betas)
                .map_err(|error| impossible("trained_betas", error))?,
        },
        None => by_curve(fields, class, steps)?,
    };
    if !zero_snr {
        return Ok(plain);
    }
    let (before, schedule) = match plain {
        TrainingNoise::Named(name) => {
            let schedule = NoiseSchedule::named(name, steps);
            let schedule = schedule.map_err(|error| impossible("num_train_timesteps", error))?;
            (name.to_string(), schedule)
        }
        TrainingNoise::Custom {
            description,
            schedule,
        } => (description, schedule),
    };
    Ok(TrainingNoise::Custom {
        description: format!("{before}, rescaled to zero terminal SNR"),
        schedule: schedule.zero_terminal_snr(),
    })
}

fn by_curve(fields: &Fields<'_>, class: &Class, steps: usize) -> Result<TrainingNoise> {
    let curves = [
        ("linear", Some(BetaCurve::Linear)),
        ("scaled_linear", Some(BetaCurve::ScaledLinear)),
        ("sigmoid", Some(BetaCurve::Sigmoid)),
        ("squaredcos_cap_v2", None),
    ];
    let name = fields.word("beta_schedule")?.unwrap_or(class.curve);
    let curve = match fields.choice("beta_schedule", &curves)? {
        Some(told) => told,
        None => curves
            .iter()
            .find(|(own, _)| *own == name)
            .and_then(|(_, curve)| *curve),
    };
    let Some(curve) = curve else {
        return Ok(TrainingNoise::Named(NoiseScheduleName::Cosine));
    };
    let start = fields.number("beta_start")?.unwrap_or(class.betas.0);
    let end = fields.number("beta_end")?.unwrap_or(class.betas.1);
    if let Some(name) = NoiseScheduleName::of_curve(curve, start, end) {
        return Ok(TrainingNoise::Named(name));
    }
    for (key, beta) in [("beta_start", start), ("beta_end", end)] {
        if !(beta > 0.0 && beta < 1.0) {
            return Err(fields.error(format!(
                "field \"{key}\" is {beta}, expected a number between 0 and 1"
            )));
        }
    }
    let schedule = NoiseSchedule::from_curve(curve, start, end, steps)
        .map_err(|error| fields.error(format!("the betas of \"beta_schedule\": {error}")))?;
    Ok(TrainingNoise::Custom {
        description: format!("{name} betas from {start} to {end}"),
        schedule,
    })
}
