//! The mathematics of discrete-time diffusion models, and nothing else.
//!
//! The formulas of the diffusion process are written once, here, in `f64`. Betas are computed in the arithmetic of the code that each
//! schedule comes from (cosine betas cancel there, and so here); from them on nothing cancels: schedules are kept as
//! `log(alpha_bar)`, and differences go through `log1p` and `expm1`.
//! The crate reads no files, knows no tensor framework and holds no hidden random state.
//!
//! # Flow
//!
//! 1. A [`NoiseSchedule`] says how much of the signal is left at each training timestep.
//! 2. A [`TimePath`], often made by a [`Stride`], selects the timesteps a short chain visits.
//! 3. Each edge of the path is a [`Transition`]: every constant of the Gaussians involved.
//! 4. A [`Denoiser`] predicts; [`predict_x0`] turns its output into an estimate of the clean data.
//! 5. [`edge_nll`] scores an edge in nats per dimension; [`ancestral_step`] or a [`LinearStep`] (DDIM, DPM-Solver++)
//!    samples along it.
//!
//! Noise comes from [`standard_normal`], a pure function of a [`NoiseKey`], so that results depend
//! neither on batches nor on threads. [`GaussianDenoiser`] is a model whose every term is known in
//! closed form; the tests, docs and benches of all crates use it.
//!
//! # Index convention
//!
//! `t` runs over `0..=T` and `t = 0` is clean data, so `alpha_bar(0) = 1`. The 0-based index `i` of
//! improved-diffusion and diffusers is `t = i + 1`. A path is `0 = t_0 < t_1 < ... < t_K <= T`; its
//! edges are pairs `(t, s)` with `s < t`. Likelihoods are in nats per dimension unless a name says
//! `bits` or `bpd`.
//!
//! # Example
//!
//! What four steps cost instead of a thousand, for data whose optimal denoiser is known:
//!
//! ```
//! use ddpm_core::{
//!     GaussianDenoiser, NoiseSchedule, NoiseScheduleName, Parameterization, PathSpec, VarianceKind,
//! };
//! use ndarray::Array3;
//!
//! let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 1000)?;
//! let model = GaussianDenoiser::new(
//!     schedule.clone(),
//!     Array3::zeros((3, 8, 8)),
//!     Array3::from_elem((3, 8, 8), 0.25),
//!     Parameterization::Epsilon,
//! )?;
//! // The bound on -log p(x_0), in nats per dimension.
//! let bound = |path: &str| -> ddpm_core::Result<f64> {
//!     let path = path.parse::<PathSpec>()?.resolve(&schedule, false)?;
//!     let terms: ddpm_core::Result<f64> = path
//!         .edges()
//!         .map(|edge| model.term(edge, VarianceKind::FixedSmall))
//!         .sum();
//!     Ok(terms? + model.prior(path.end()))
//! };
//! assert!(bound("1,10,100,1000")? > bound("all")?);
//! assert!(bound("all")? > model.entropy());
//! # Ok::<(), ddpm_core::Error>(())
//! ```

mod bands;
mod conventions;
mod denoiser;
mod error;
mod gaussian;
mod likelihood;
mod mean_correction;
mod model_id;
mod names;
mod network_id;
mod network_output;
mod noise;
mod noise_schedule;
mod numeric;
mod parameterization;
mod path_spec;
mod process;
mod respacing;
mod sampler;
mod stride;
mod time_path;
mod transition;

pub use bands::Bands;
pub use conventions::{DecoderKind, MeanKind, Objective, StartRule, VarianceKind};
pub use denoiser::{Denoiser, DenoiserError, Prediction};
pub use error::{Error, Result};
pub use gaussian::GaussianDenoiser;
pub use likelihood::{
    StepVariance, discretized_gaussian_nll, edge_nll, gaussian_nll, interior_fixed,
    interior_learned_pixel, nats_to_bits, prior_kl,
};
pub use mean_correction::MeanCorrection;
pub use model_id::{Difference, ModelId, differences, extra_differences};
#[doc(hidden)]
pub use names::parse_name;
pub use network_id::NetworkId;
pub use network_output::NetworkOutput;
pub use noise::{NoiseDomain, NoiseKey, permutation, philox4x32, standard_normal};
pub use noise_schedule::{BetaCurve, NoiseSchedule, NoiseScheduleName};
pub use parameterization::{Parameterization, diffuse, predict_x0};
pub use path_spec::PathSpec;
pub use process::{OnProcess, Process, ProcessKind};
pub use respacing::{RespacedChain, space_timesteps};
pub use sampler::{
    CoefficientKind, FlowEdge, LinearStep, MultistepState, MultistepStep, Sampler,
    StepCoefficients, ancestral_step, clipped_noise_limit,
};
pub use stride::Stride;
pub use time_path::TimePath;
pub use transition::{
    Transition, analytic_variance, learned_log_variance, respaced_decoder_log_variance,
};
