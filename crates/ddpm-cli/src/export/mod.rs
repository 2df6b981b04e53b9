//! Schedules in the words of other tools.
//!
//! Every tool counts timesteps from 0 and takes them noisiest first; our node t is its timestep t - 1. What a tool cannot
//! take over of a schedule is said in the export itself and again on stderr.

mod arrays;
mod diffusers;
mod improved_diffusion;
mod listing;
mod python;
mod sigmas;

use crate::args::ExportFormat;
use crate::error::Result;

pub(crate) use listing::Listing;

/// One export: the bytes of a file, and what the tool will not do as the schedule was chosen.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) bytes: Vec<u8>,
    /// Whether the bytes are text.
    pub(crate) text: bool,
    /// What the tool cannot take over, one sentence each.
    pub(crate) losses: Vec<String>,
}

/// Writes the schedules down in a format.
///
/// # Errors
/// A format that needs the noise schedule where it is not known, or a last node without any signal where sigmas are needed.
pub(crate) fn export(listing: &Listing, format: ExportFormat) -> Result<Exported> {
    match format {
        ExportFormat::Diffusers => diffusers::export(listing),
        ExportFormat::KDiffusion => sigmas::k_diffusion(listing),
        ExportFormat::Comfyui => sigmas::comfyui(listing),
        ExportFormat::ImprovedDiffusion => improved_diffusion::export(listing),
        ExportFormat::Csv => arrays::csv(listing),
        ExportFormat::Npy => arrays::npy(listing),
    }
}
