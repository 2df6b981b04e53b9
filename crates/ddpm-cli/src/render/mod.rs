//! How results look to a person: aligned tables with titles and units, and progress.

mod number;
mod path;
mod progress;
mod table;

pub(crate) use number::{scientific, with_error};
pub(crate) use path::{Indices, shorten};
pub(crate) use progress::ProgressLine;
pub(crate) use table::{Align, TextTable};
