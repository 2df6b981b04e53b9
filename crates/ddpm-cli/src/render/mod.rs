//! How results look to a person: aligned tables with titles and units, and progress.

mod eta;
mod notes;
mod number;
mod origin;
mod path;
mod progress;
mod quoting;
mod table;
mod table_files;
pub(crate) mod timing;

pub(crate) use ddpm_schedule::clip_in_words as clip;
pub(crate) use ddpm_schedule::results::with_error;
pub(crate) use notes::{
    NOTE_ON_ONE_STEP, mark_of_decoder, note_on_density, note_on_density_of, note_on_interpolation,
    note_on_pictures, note_without_errors,
};
pub(crate) use number::{kid_times_1000, mean_with_error, or_dash, plural};
pub(crate) use origin::{and_coefficients, and_mean, chain_of, describe_images, images_of};
pub(crate) use path::{Indices, join, shorten};
pub(crate) use progress::ProgressLine;
pub(crate) use quoting::{command_that_resumes, escape, quote};
pub(crate) use table::{Align, TextTable};
