//! What a schedule is: the conventions it was chosen under, its path and kernels, where it comes from, and its file.
//!
//! # Flow
//!
//! 1. A [`Scoring`] says which variance, decoder, objective and start a number is for.
//! 2. Choosing (in `ddpm-profile` and `ddpm-trajectory`) makes [`Schedules`]: for each of the [`Budgets`] asked for a [`Chosen`] with its
//!    cost.
//! 3. The [`Schedule`] of one budget is what evaluation and sampling run: a path and a frozen [`Kernel`] per step.
//! 4. [`Schedules`] are a file, which names the origin of its numbers: a [`Provenance`] or a [`TrajectoryOrigin`], and [`mod@export`] writes them down for other programs.
//! 5. What the `ddpm` command prints of all this as JSON has its types in [`results`].
//!
//! ```
//! use ddpm_core::{NoiseSchedule, NoiseScheduleName, TimePath, VarianceKind};
//! use ddpm_schedule::{Schedule, Scoring};
//!
//! let cosine = NoiseSchedule::named(NoiseScheduleName::Cosine, 100)?;
//! let path = TimePath::new([1, 10, 100], 100)?;
//! let schedule = Schedule::of_path(&cosine, path, &Scoring::new(VarianceKind::FixedSmall))?;
//! assert_eq!(schedule.kernels.len(), 3);
//! # Ok::<(), ddpm_schedule::Error>(())
//! ```

mod corrections;
mod error;
pub mod export;
mod file;
mod kernel;
mod provenance;
pub mod results;
mod sample_record;
mod schedule;
mod schedules;
mod scoring;
mod trajectory_origin;

pub use corrections::{Corrections, StoredBands};
pub use error::{Error, Result};
pub use kernel::Kernel;
pub use provenance::{Provenance, check_known};
pub use sample_record::SampleRecord;
pub use schedule::Schedule;
pub use schedules::{Budgets, Chosen, Schedules, Stability};
pub use scoring::{GaussianDecoder, Scoring, clip_in_words};
pub use trajectory_origin::{TrajectoryKind, TrajectoryOrigin};
