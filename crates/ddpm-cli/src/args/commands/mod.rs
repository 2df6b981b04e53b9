//! One file per group of commands; each command's help ends with an example.

mod chain;
mod distance;
mod evaluation;
mod export;
mod install;
mod network;
mod plot;
mod profiles;
mod trajectory;

pub(crate) use chain::{Solve, Transitions};
pub(crate) use distance::Fid;
pub(crate) use evaluation::{Bpd, Sample};
pub(crate) use export::Export;
pub(crate) use install::{Completions, Man};
pub(crate) use network::{Bench, Inspect, Predict};
pub(crate) use plot::{Figure, Plot, Report};
pub(crate) use profiles::{Merge, Profile, Schedule, Table};
pub(crate) use trajectory::Trajectory;
