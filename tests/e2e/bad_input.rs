//! Every kind of bad input: its exit code, a message that names the thing, and no file left behind.

mod chains;
mod checkpoints;
mod images;
mod outputs;
mod stored_files;
mod tables;
