//! Every reader of the workspace as a function of bytes, and a fuzzer that runs on stable Rust.
//!
//! - [`TARGETS`] is the list: a reader with a name. `fuzz/corpus/NAME/` holds its inputs, valid ones and those that once were a finding;
//!   `cargo test -p ddpm-fuzz` reads them all. `fuzz/` is a package of cargo-fuzz over the same list, for those who have a nightly
//!   toolchain and libFuzzer.
//! - [`Mutator`] makes inputs of others; [`Campaign`] shows them to a target and keeps what panics, takes too long or takes too much
//!   memory. It knows nothing of coverage: what it lacks in cleverness it has in speed, and in a corpus that is valid to begin with.
//!
//! A reader may refuse, in words. It may not panic, abort, run for ten seconds or hold more than four times its input and 64 MiB.

// It talks to the person who started it.
#![allow(clippy::print_stdout)]

mod campaign;
mod corpus;
mod mutator;
mod sealed;
mod targets;

pub use campaign::{Campaign, Finding, Limits, Meter, Report};
pub use corpus::{folder, inputs, name_of, seeds};
pub use mutator::Mutator;
pub use targets::{Read, TARGETS, Target, target};
