//! How results look to a person: aligned tables with titles and units, and progress.

mod decoder;
mod escape;
mod eta;
pub(crate) mod manual;
mod number;
mod origin;
mod path;
mod progress;
mod shell;
mod table;
pub(crate) mod timing;

pub(crate) use decoder::{NOTE_ON_ONE_STEP, mark_of_decoder};
pub(crate) use escape::escape;
pub(crate) use number::{mean_with_error, plural, scientific, with_error};
pub(crate) use origin::{chain_of, clip, describe_images, images_of};
pub(crate) use path::{Indices, shorten};
pub(crate) use progress::ProgressLine;
pub(crate) use shell::{command_that_resumes, quote};
pub(crate) use table::{Align, TextTable};
