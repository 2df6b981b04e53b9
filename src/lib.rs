//! Exact optimal inference schedules for pretrained diffusion models, for every step budget at once.
//!
//! This crate is a façade: it re-exports the crates of the workspace under short names and holds
//! no logic of its own. The README tells what the project is; ARCHITECTURE.md is the map.
//!
//! # A network of your own
//!
//! Anything that implements [`Denoiser`](core::Denoiser) gets an optimal schedule, its bits per dimension and samples; data have any
//! shape. Here the network is the ideal one of independent numbers of variance 1/4; `examples/own_denoiser.rs` is a longer one.
//!
//! ```
//! use ddpm::core::{
//!     DecoderKind, Denoiser, DenoiserError, NoiseSchedule, NoiseScheduleName, Parameterization, Prediction, VarianceKind,
//! };
//! use ddpm::data::{ImageSet, Split};
//! use ddpm::eval::{BitsPerDimPlan, ProfilePlan, SamplingPlan, Silent, bits_per_dim, profile, sample};
//! use ddpm::profile::choose_on;
//! use ddpm::schedule::{Budgets, Scoring};
//! use ndarray::{Array2, ArrayViewD, Axis};
//!
//! struct Mine(NoiseSchedule);
//!
//! impl Denoiser for Mine {
//!     fn noise_schedule(&self) -> &NoiseSchedule {
//!         &self.0
//!     }
//!     fn shape(&self) -> Vec<usize> {
//!         vec![16]
//!     }
//!     fn parameterization(&self) -> Parameterization {
//!         Parameterization::X0
//!     }
//!     fn predict(&self, x: ArrayViewD<f32>, t: &[usize], _: Option<&[usize]>) -> Result<Prediction, DenoiserError> {
//!         let mut mean = x.to_owned();
//!         for (mut row, &t) in mean.axis_iter_mut(Axis(0)).zip(t) {
//!             let (signal, noise) = (self.0.alpha_bar(t), self.0.one_minus_alpha_bar(t));
//!             row *= (0.25 * signal.sqrt() / (0.25 * signal + noise)) as f32;
//!         }
//!         Ok(Prediction { mean, variance: None })
//!     }
//! }
//!
//! let model = Mine(NoiseSchedule::named(NoiseScheduleName::Cosine, 100)?);
//! let numbers = Array2::from_shape_fn((96, 16), |(i, j)| 0.7 * ((i * 16 + j) as f32).sin());
//! let data = ImageSet::from_array("sines", numbers.view())?;
//! let plan = ProfilePlan::new((1..=100).collect(), (0..64).collect(), 32, 0);
//! let measured = profile(&model, &data, &plan, Split::Train, None, &Silent, &mut |_| Ok(()))?;
//! let scoring = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::Gaussian);
//! let schedules = choose_on(&measured, &scoring, &Budgets::Only(vec![4, 8]))?;
//! let schedule = schedules.schedule(8)?.clone();
//! let score = bits_per_dim(&model, &data, &BitsPerDimPlan::new(schedule.clone(), (64..96).collect()), &Silent)?;
//! let samples = sample(&model, &SamplingPlan::new(schedule, 2), &Silent)?;
//! assert_eq!((score.terms.len(), samples.shape()), (8, &[2, 16][..]));
//! # Ok::<(), ddpm::eval::Error>(())
//! ```

pub use ddpm_core as core;
pub use ddpm_data as data;
pub use ddpm_dp as dp;
pub use ddpm_eval as eval;
pub use ddpm_files as files;
pub use ddpm_model as model;
pub use ddpm_profile as profile;
pub use ddpm_schedule as schedule;
pub use ddpm_trajectory as trajectory;

/// Runs the README's Rust examples with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
