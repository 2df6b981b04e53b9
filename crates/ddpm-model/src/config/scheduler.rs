//! diffusers' `scheduler_config.json`: the diffusion process that a network was trained with.
//!
//! Only what describes training is read; how diffusers would sample (`timestep_spacing` and so on) is another matter.

use ddpm_core::{BetaCurve, NoiseSchedule, NoiseScheduleName, Parameterization, VarianceKind};

use super::fields::Fields;
use super::options::ModelOptions;
use super::training_noise::TrainingNoise;
use crate::Result;
use crate::checkpoint::JsonFile;

/// Schedulers whose configuration describes a discrete variance-preserving process.
const CLASSES: [&str; 14] = [
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DDIMScheduler",
    "DDIMParallelScheduler",
    "DDIMInverseScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DEISMultistepScheduler",
    "UniPCMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
];

/// What the file tells.
pub(super) struct Process {
    /// T, prediction, variance and time scaling.
    pub(super) options: ModelOptions,
    pub(super) noise: TrainingNoise,
    /// Whether predicted images are clamped to [-1, 1].
    pub(super) clip_denoised: Option<bool>,
}

/// Reads the file; absent fields have diffusers' defaults.
pub(super) fn read(file: &JsonFile) -> Result<Process> {
    let fields = Fields::new(file);
    if let Some(class) = fields.word("_class_name")?
        && !CLASSES.contains(&class)
    {
        return Err(fields.unsupported("_class_name", &class, &CLASSES.join(", ")));
    }
    refuse_other_processes(&fields)?;
    let noise = noise(&fields)?;
    let prediction = fields.choice(
        "prediction_type",
        &[
            ("epsilon", Parameterization::Epsilon),
            ("sample", Parameterization::X0),
            ("v_prediction", Parameterization::V),
        ],
    )?;
    let options = ModelOptions {
        train_steps: Some(train_steps(&fields)?),
        // The network is fed diffusers' timestep i = t - 1 whatever T is.
        rescale_timesteps: Some(false),
        parameterization: Some(prediction.unwrap_or(Parameterization::Epsilon)),
        variance: variance(&fields)?,
        ..ModelOptions::default()
    };
    Ok(Process {
        options,
        noise,
        clip_denoised: clip(&fields)?,
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

fn clip(fields: &Fields<'_>) -> Result<Option<bool>> {
    // Another rule for predicted images, by the quantiles of each.
    if fields.switch("thresholding")? == Some(true) {
        return Err(fields.unsupported("thresholding", &true, "false"));
    }
    let clip = fields.switch("clip_sample")?;
    match (clip, fields.number("clip_sample_range")?) {
        (Some(true), Some(range)) if range != 1.0 => {
            Err(fields.unsupported("clip_sample_range", &range, "1"))
        }
        _ => Ok(clip),
    }
}

fn noise(fields: &Fields<'_>) -> Result<TrainingNoise> {
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
        None => by_curve(fields, steps)?,
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

fn by_curve(fields: &Fields<'_>, steps: usize) -> Result<TrainingNoise> {
    let curves = [
        ("linear", Some(BetaCurve::Linear)),
        ("scaled_linear", Some(BetaCurve::ScaledLinear)),
        ("sigmoid", Some(BetaCurve::Sigmoid)),
        ("squaredcos_cap_v2", None),
    ];
    let curve = fields.choice("beta_schedule", &curves)?;
    let Some(curve) = curve.unwrap_or(Some(BetaCurve::Linear)) else {
        return Ok(TrainingNoise::Named(NoiseScheduleName::Cosine));
    };
    let name = fields.word("beta_schedule")?.unwrap_or("linear");
    let start = fields.number("beta_start")?.unwrap_or(1e-4);
    let end = fields.number("beta_end")?.unwrap_or(0.02);
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
