//! The command line as clap parses it: plain values, nothing opened, nothing checked against
//! anything else.
//!
//! A value of a closed set (a variance, a decoder, a split) that is not in the set is a usage
//! error here. Values that describe a chain (noise schedule, path, budgets) stay text: the same
//! text may come from a file, so its mistakes are bad input wherever it stands. Each command turns
//! its arguments into validated values before it does any work.

mod chain;
mod cli;
mod conventions;
mod distance;
mod evaluation;
mod export;
mod inputs;
mod install;
mod network;
mod outputs;
mod plot;
mod profiles;
mod trajectory;
mod tune;

pub(crate) use chain::{Solve, Transitions};
pub(crate) use cli::{Cli, Command};
pub(crate) use conventions::{SolverArg, StepArgs};
pub(crate) use distance::Fid;
pub(crate) use evaluation::{Bpd, Sample};
pub(crate) use export::Export;
pub(crate) use inputs::{
    AttentionOrderArg, ChainArgs, CheckpointArgs, DeviceArg, ImageArgs, PrecisionArg,
};
pub(crate) use install::{Completions, Man};
pub(crate) use network::{Bench, Inspect, Predict};
pub(crate) use plot::{Figure, Plot, Report};
pub(crate) use profiles::{Merge, Profile, Schedule, Table};
pub(crate) use trajectory::Trajectory;
pub(crate) use tune::Tune;
