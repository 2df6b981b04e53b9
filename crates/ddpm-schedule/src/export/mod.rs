//! Schedules as text for other programs.
//!
//! Every program counts timesteps from 0 and takes them noisiest first; our node t is its timestep t - 1. What a program cannot take
//! over of a schedule is told in the export itself where that has comments, and in [`Export::losses`].
//!
//! ```
//! use ddpm_core::{NoiseSchedule, NoiseScheduleName, TimePath};
//! use ddpm_schedule::export::{Format, export_paths};
//!
//! let cosine = NoiseSchedule::named(NoiseScheduleName::Cosine, 60)?;
//! let path = TimePath::new([1, 12, 60], 60)?;
//! let export = export_paths(60, Some(&cosine), &[path], Format::Diffusers)?;
//! assert_eq!(export.lists[0].timesteps, [59, 11, 0]);
//! let text = String::from_utf8_lossy(&export.bytes);
//! assert!(text.contains("\ntimesteps = [59, 11, 0]\n"));
//! # Ok::<(), ddpm_schedule::Error>(())
//! ```

mod arrays;
mod calibrated;
mod diffusers;
mod flow;
mod improved_diffusion;
mod listing;
mod python;
mod sigmas;

use ddpm_core::{DecoderKind, NoiseSchedule, ProcessKind, TimePath, VarianceKind};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schedules::Budgets;
use crate::schedules::Schedules;
use listing::{Listed, Listing};

/// What an export is for.
///
/// Parsed from and printed as `diffusers`, `k-diffusion`, `comfyui`, `improved-diffusion`, `csv` and `npy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Python: timesteps and the schedulers that follow them.
    Diffusers,
    /// Python: sigmas, ending with 0.
    KDiffusion,
    /// One line of sigmas per schedule, as ComfyUI's nodes take them.
    Comfyui,
    /// Python: `use_timesteps` of `SpacedDiffusion`.
    ImprovedDiffusion,
    /// One row per step, with alpha_bar, sigma and log-variance.
    Csv,
    /// Timesteps as int64; several schedules are rows filled up with -1.
    Npy,
}

ddpm_core::names!(
    Format, "format",
    Diffusers => "diffusers",
    KDiffusion => "k-diffusion",
    Comfyui => "comfyui",
    ImprovedDiffusion => "improved-diffusion",
    Csv => "csv",
    Npy => "npy",
);

impl Format {
    /// Whether its files are text.
    pub fn is_text(self) -> bool {
        self != Self::Npy
    }
}

/// One export: the bytes of a file, what the program will not do as the schedules were chosen, and the same lists as numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// What it is for.
    pub format: Format,
    /// T.
    #[serde(rename = "T")]
    pub train_steps: usize,
    /// The noise schedule, `custom` for one without a name; `None` where it is not known.
    pub noise_schedule: Option<String>,
    /// The variance that the schedules were chosen under; `None` for bare paths.
    pub variance: Option<VarianceKind>,
    /// The decoder that the schedules were chosen under; `None` for bare paths.
    pub decoder: Option<DecoderKind>,
    /// The lists of the schedules, in the order asked for.
    #[serde(rename = "schedules")]
    pub lists: Vec<ExportedList>,
    /// What the program cannot take over, in words that follow "does not take over".
    #[serde(rename = "not_taken_over")]
    pub losses: Vec<String>,
    /// The file.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// One schedule as other programs count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportedList {
    /// K.
    pub steps: usize,
    /// From 0, noisiest first; none of a network of another clock.
    pub timesteps: Vec<usize>,
    /// sqrt((1 - alpha_bar)/alpha_bar) of every timestep (of a flow s), and 0 at the end; `None` where no noise schedule is known or a list begins
    /// where no sigma is finite.
    pub sigmas: Option<Vec<f64>>,
}

/// Writes schedules down in a format, the budgets in the order asked for.
///
/// # Errors
/// [`Error::NoBudget`] for a budget that there is no schedule of, [`Error::Field`] where there
/// is none at all; [`Error::NoSignal`] and [`Error::NotExpressible`] for schedules that
/// the format has no words for.
pub fn export(schedules: &Schedules, budgets: &Budgets, format: Format) -> Result<Export> {
    let chosen = schedules.select(budgets)?;
    if chosen.is_empty() {
        return Err(Error::field("budgets", "at least one", "none"));
    }
    let paths = chosen.into_iter().map(|chosen| Listed {
        path: &chosen.schedule.path,
        schedule: Some(&chosen.schedule),
    });
    let listing = Listing {
        train_steps: schedules.train_steps(),
        chain: Some(&schedules.noise_schedule),
        known: Some(schedules),
        paths: paths.collect(),
    };
    write(&listing, format)
}

/// Writes bare paths down, of which nothing is known but perhaps the noise schedule.
///
/// # Errors
/// [`Error::NeedsNoiseSchedule`] for a format that does, [`Error::NoSignal`] where
/// a sigma would be infinite.
pub fn export_paths(
    train_steps: usize,
    noise_schedule: Option<&NoiseSchedule>,
    paths: &[TimePath],
    format: Format,
) -> Result<Export> {
    let listing = Listing {
        train_steps,
        chain: noise_schedule,
        known: None,
        paths: paths
            .iter()
            .map(|path| Listed {
                path,
                schedule: None,
            })
            .collect(),
    };
    write(&listing, format)
}

fn write(listing: &Listing<'_>, format: Format) -> Result<Export> {
    let (bytes, losses) = match format {
        Format::Diffusers if listing.clock() == ProcessKind::Flow => flow::diffusers(listing)?,
        Format::Diffusers if listing.needs_a_scheduler() => calibrated::export(listing)?,
        Format::Diffusers => diffusers::export(listing)?,
        Format::KDiffusion => sigmas::k_diffusion(listing)?,
        Format::Comfyui => sigmas::comfyui(listing)?,
        Format::ImprovedDiffusion => improved_diffusion::export(listing)?,
        Format::Csv => arrays::csv(listing),
        Format::Npy => arrays::npy(listing)?,
    };
    let list = |listed: &Listed<'_>| ExportedList {
        steps: listed.path.steps(),
        timesteps: match listing.clock() {
            ProcessKind::Vp => listed.timesteps().collect(),
            _ => Vec::new(),
        },
        sigmas: listing
            .chain
            .and_then(|chain| listing.sigmas(listed, chain).ok()),
    };
    Ok(Export {
        format,
        train_steps: listing.train_steps,
        noise_schedule: listing.chain.map(NoiseSchedule::name_or_custom),
        variance: listing.variance(),
        decoder: listing.known.map(|known| known.scoring.decoder),
        lists: listing.paths.iter().map(list).collect(),
        losses,
        bytes,
    })
}
