//! diffusers, for calibrated kernels, fitted coefficients and samplers that take no list there: a scheduler of its own, with the frozen numbers
//! of every step.
//!
//! No scheduler of diffusers has a place for a correction, a variance per band or coefficients, so that the export brings one: it has what pipelines
//! ask of theirs, and needs torch alone. `cargo xtask check-exports` holds it to the same steps in NumPy, and runs it in pipelines.

use ddpm_core::{LinearStep, MultistepStep, NoiseSchedule, Sampler, StepCoefficients};
use serde::Serialize;

use super::diffusers::{SAMPLE, in_a_pipeline, prediction_type};
use super::listing::Listing;
use super::python::comment;
use crate::corrections::{StoredBands, StoredStep};
use crate::error::{Error, Result};
use crate::file::steps_of;
use crate::kernel::{Kernel, KernelKind};
use crate::schedule::Schedule;

const SCHEDULER: &str = include_str!("snippets/calibrated.py");

/// The numbers of all schedules.
#[derive(Serialize)]
struct Kernels {
    bands: Option<StoredBands>,
    by_timestep: Vec<StoredStep>,
    schedules: Vec<Steps>,
}

/// One schedule: of its steps in ascending t; `signal` and `noise` of its nodes, from 0.
#[derive(Serialize)]
struct Steps {
    steps: usize,
    path: Vec<usize>,
    kernels: Vec<KernelKind>,
    log_variance: Vec<Option<f64>>,
    /// Of x_t (corrected), the estimate and what is remembered of the nodes before, as far as they are used.
    coefficients: Vec<StepCoefficients>,
    /// Of a sampler with a corrector, of the steps that have one: what x_t is corrected to, from the state before, the estimate and what is
    /// remembered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    correctors: Vec<Option<Vec<f64>>>,
    /// Of a sampler that remembers something else than estimates: the weights of x_t and the estimate in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remembered: Vec<[f64; 2]>,
    log_beta: Vec<f64>,
    /// Of the steps but that onto the data, whose entry is 0.
    log_posterior: Vec<f64>,
    snr_gain: Vec<f64>,
    signal: Vec<f64>,
    noise: Vec<f64>,
}

impl Steps {
    fn of(schedule: &Schedule, chain: &NoiseSchedule) -> Result<Self> {
        let nodes = schedule.path.nodes();
        let edges: Vec<_> = schedule
            .path
            .edges()
            .map(|(t, s)| chain.transition(t, s))
            .collect();
        let sampler = schedule.sampler;
        let multistep = sampler.multistep(chain, &schedule.path);
        // In ascending t, as the edges.
        let multistep: Vec<MultistepStep> = multistep.into_iter().flatten().rev().collect();
        let mut coefficients = Vec::with_capacity(edges.len());
        for (k, edge) in edges.iter().enumerate() {
            let own = || match (sampler, multistep.get(k)) {
                (_, Some(step)) => {
                    let terms = step.predictor().into_iter().map(|c| vec![c]).collect();
                    StepCoefficients::new(terms).ok_or(Error::NotExpressible {
                        format: "diffusers",
                        what: "a step whose weights are not finite",
                    })
                }
                (Sampler::Ddpm, None) => Ok(StepCoefficients::from(&LinearStep::ancestral(
                    edge,
                    f64::NEG_INFINITY,
                ))),
                (_, None) => {
                    let before = nodes.get(k + 2..).unwrap_or_default();
                    let step = sampler.flow_step(chain, before, edge.t, edge.s);
                    Ok(StepCoefficients::from(&step))
                }
            };
            coefficients.push(match schedule.fitted.get(k) {
                Some(fitted) => fitted.clone(),
                None => own()?,
            });
        }
        let correctors: Vec<Option<Vec<f64>>> =
            multistep.iter().map(MultistepStep::corrector).collect();
        let has_corrector = correctors.iter().any(Option::is_some);
        let remembered = nodes[1..].iter().map(|&t| sampler.remembered(chain, t));
        let remembers = sampler.remembers_noise();
        // JSON has no infinity, and the step onto the data no use for one.
        let finite = |x: f64| if x.is_finite() { x } else { 0.0 };
        Ok(Self {
            steps: schedule.steps(),
            path: nodes.to_vec(),
            kernels: schedule.kernels.iter().map(KernelKind::of).collect(),
            log_variance: schedule.kernels.iter().map(Kernel::number).collect(),
            coefficients,
            correctors: correctors.into_iter().filter(|_| has_corrector).collect(),
            remembered: remembered.filter(|_| remembers).collect(),
            log_beta: edges.iter().map(|e| e.log_beta).collect(),
            log_posterior: edges
                .iter()
                .map(|e| finite(e.log_posterior_variance))
                .collect(),
            snr_gain: edges.iter().map(|e| finite(e.snr_gain)).collect(),
            signal: nodes.iter().map(|&t| chain.alpha_bar(t).sqrt()).collect(),
            noise: nodes
                .iter()
                .map(|&t| chain.one_minus_alpha_bar(t).sqrt())
                .collect(),
        })
    }
}

/// The file, for schedules whose steps are told by their frozen numbers alone, and for samplers that take no list of timesteps there.
pub(super) fn export(listing: &Listing<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    listing.check_timesteps("diffusers")?;
    let chain = listing.chain("diffusers")?;
    let schedules = || listing.paths.iter().filter_map(|listed| listed.schedule);
    let steps = schedules().map(|schedule| Steps::of(schedule, chain));
    let kernels = Kernels {
        bands: schedules()
            .find_map(|s| s.bands.as_deref())
            .map(StoredBands::from),
        by_timestep: steps_of(schedules()),
        schedules: steps.collect::<Result<_>>()?,
    };
    let json = serde_json::to_string(&kernels).map_err(crate::file::not_json)?;
    let mut budgets = listing.paths.iter().map(|listed| listed.path.steps());
    let mut call = match (budgets.next(), budgets.next()) {
        (Some(only), None) => only.to_string(),
        _ => "K".to_owned(),
    };
    if listing.parameterization().is_none() {
        call += ", prediction_type=...";
    }
    let mut text = comment(&in_a_pipeline(&format!("CalibratedScheduler({call})")));
    text += &comment(&format!(
        "Steps for diffusers, those of ddpm sample, with the frozen numbers of each: {}.",
        listing.conventions()
    ));
    let losses = listing.scaling_loss();
    for loss in &losses {
        text += &comment(&format!("Not taken over: {loss}."));
    }
    let known = listing.parameterization().map(prediction_type);
    let prediction = known.map_or_else(|| "None".to_owned(), |known| format!("\"{known}\""));
    let clip = match listing.clip_denoised() {
        Some(false) => "False",
        _ => "True",
    };
    let ancestral = if listing.sampler() == Sampler::Ddpm {
        "True"
    } else {
        "False"
    };
    text += "import json\nimport math\nfrom collections import namedtuple\nfrom types import SimpleNamespace\n\nimport torch\n\n";
    text += &format!(
        "TRAIN_STEPS = {}\nPREDICTION_TYPES = (\"epsilon\", \"sample\", \"v_prediction\")\nPREDICTION_TYPE = {prediction}\nCLIP = {clip}\nANCESTRAL = {ancestral}\nKERNELS = json.loads(\n    '{json}'\n)\n",
        listing.train_steps
    );
    text += SCHEDULER;
    // torch alone.
    text += &SAMPLE.replace("randn_tensor", "white_noise");
    Ok((text.into_bytes(), losses))
}
