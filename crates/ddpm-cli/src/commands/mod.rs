//! One file per command: validate the arguments, compute, print.

mod bench;
mod bpd;
mod completions;
mod dispatch;
pub(crate) mod export;
mod fid;
mod inspect;
mod man;
mod merge;
mod plot;
mod predict;
mod profile;
mod report;
mod sample;
mod schedule;
mod schedule_on_trajectories;
mod solve;
pub(crate) mod table;
mod trajectory;
mod transitions;

pub(crate) use dispatch::run;
