//! ELBO profiles: additive sufficient statistics of a diffusion model, from which every cost table is rebuilt without the
//! network.
//!
//! # Flow
//!
//! 1. A [`ProfileLayout`] fixes, from the noise schedule alone, which timesteps are evaluated and at which points of which curves.
//! 2. [`ProfileLayout::measure`] reduces one image at one timestep to [`PointStatistics`]; a [`Block`] sums them over images.
//! 3. An [`ElboProfile`] holds the blocks with their [`Provenance`](ddpm_schedule::Provenance). It is a file ([`ElboProfile::to_bytes`]), and profiles of disjoint
//!    blocks merge, bit-identically in any order.
//! 4. [`Curves`] are the statistics as functions of every timestep, exact where they were measured.
//! 5. [`Curves::freeze`] fixes the numbers of a [`Scoring`](ddpm_schedule::Scoring), and a [`CostModel`] prices edges and paths under it; its table goes to [`ddpm_dp`].
//! 6. [`choose`] makes [`Schedules`](ddpm_schedule::Schedules) of it ([`choose_on`] goes all the way from a profile), [`jackknife`] gives error bars, [`table3`] the paper's table.
//!
//! # Why this is enough
//!
//! For s > 0 the interior term of the edge (t, s) depends on the image through e = x0 - xhat0(x_t, t) and v(x_t, t) only
//! (Watson et al. 2021, eq. 17; Nichol & Dhariwal 2021, eq. 15), and s enters through lambda = log((1 - abar_t)/(1 - abar_s))
//! alone:
//!
//! 2 L(t, s) = mean(e^{-v lambda} - 1 + v lambda) + (SNR_s - SNR_t) mean(e^2 e^{-v lambda}).
//!
//! Both means are smooth functions of lambda, kept at Chebyshev points: T^2 D work per image becomes T n D. Any scalar variance
//! needs mean(e^2) only. The decoder term, s = 0, is a function of one log-variance, kept at the values that paths ask for.
//!
//! # What the numbers are worth
//!
//! At evaluated timesteps, against pixel-by-pixel evaluation on the same images and noise (measured by the tests of this crate):
//! - interior terms: 2e-14 relative or absolute, for every variance, v spread over -0.3..=1.3, clipped or not;
//! - decoder terms, within 2 bits/dim of their column's minimum: 1e-12 where the second node was evaluated too and its variance is
//!   a knot; 5e-8 bits/dim in exhaustive profiles, where knots are thinned; up to 4e-4 bits/dim with 8 images (7e-4 with one) of 3072
//!   pixels for second nodes that were not evaluated, falling with the square root of the number of pixels.
//!
//! Between evaluated timesteps: below 1e-4 bits/dim for 64 of 1000 timesteps on statistics without noise.
//!
//! # Units and conventions
//!
//! t in 0..=T, 0 is clean data. Terms are per dimension and in nats unless a name says bits or `bpd`.
//!
//! ```
//! use ddpm_core::{DecoderKind, NoiseSchedule, NoiseScheduleName, VarianceKind};
//! use ddpm_profile::{CostModel, Curves, choose};
//! use ddpm_schedule::{Budgets, Scoring};
//!
//! // The mean squared errors of some network are all that its analytic variances need.
//! let noise = NoiseSchedule::named(NoiseScheduleName::Linear, 100)?;
//! let mse: Vec<f64> = (1..=100).map(|t| 0.25 / (1.0 + 0.25 * noise.snr(t))).collect();
//! let curves = Curves::from_mse(&noise, &mse)?;
//!
//! let scoring = Scoring::new(VarianceKind::Analytic).with_decoder(DecoderKind::Gaussian);
//! let model = CostModel::new(&curves, curves.freeze(&scoring)?)?;
//! let schedules = choose(&model, &Budgets::Only(vec![4, 8]), None)?;
//! assert_eq!(schedules.schedule(4)?.path.nodes().len(), 5);
//! assert!(schedules.budgets[1].cost < schedules.budgets[0].cost);
//! # Ok::<(), ddpm_profile::Error>(())
//! ```

mod band_curves;
mod band_moments;
mod band_sums;
mod block;
mod chebyshev;
mod choose;
mod column;
mod cost;
mod curves;
mod doubts;
mod error;
mod format;
mod freeze;
mod headline;
mod interior;
mod layout;
mod learned;
mod measure;
mod nodes;
mod pchip;
mod profile;
mod regroup;
mod squared_errors;
mod stability;
mod statistics;
mod table;
mod uncertainty;
mod vecmath;

pub use band_curves::BandFit;
pub use band_sums::BandSums;
pub use block::Block;
pub use choose::{choose, choose_on, with_standard_errors};
pub use cost::CostModel;
pub use curves::Curves;
pub use doubts::Doubt;
pub use error::{Error, Result};
pub use freeze::{Frozen, FrozenLearned};
pub use headline::headline;
pub use layout::ProfileLayout;
pub use profile::ElboProfile;
pub use squared_errors::SquaredErrors;
pub use stability::{USUAL_FOLDS, choices_of_stability, stability, with_stability};
pub use statistics::{PointStatistics, Reconstruction};
pub use table::{score_paths, table3};
pub use uncertainty::{Estimate, delete_block_estimate, jackknife};
