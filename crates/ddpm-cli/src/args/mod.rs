//! The command line as clap parses it: plain values, nothing opened, nothing checked against
//! anything else.
//!
//! A value of a closed set (a variance, a decoder, a split) that is not in the set is a usage
//! error here. Values that describe a chain (noise schedule, path, budgets) stay text: the same
//! text may come from a file, so its mistakes are bad input wherever it stands. Each command turns
//! its arguments into validated values before it does any work.

mod chain;
mod checkpoint;
mod cli;
mod commands;
mod conventions;
mod images;

pub(crate) use chain::ChainArgs;
pub(crate) use checkpoint::{AttentionOrderArg, CheckpointArgs, DeviceArg, PrecisionArg};
pub(crate) use cli::{Cli, Command};
pub(crate) use commands::{
    Bench, Bpd, Completions, Export, Fid, Figure, Inspect, Man, Merge, Plot, Predict, Profile,
    Report, Sample, Schedule, Solve, Table, Trajectory, Transitions,
};
pub(crate) use conventions::{
    ClipArgs, SolverArg, StepArgs, decoders, objectives, samplers, splits, starts, variances,
};
pub(crate) use images::ImageArgs;
