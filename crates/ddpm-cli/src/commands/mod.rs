//! One file per command: validate the arguments, compute, print.

pub(crate) mod bench;
pub(crate) mod bpd;
pub(crate) mod export;
pub(crate) mod fid;
pub(crate) mod inspect;
pub(crate) mod install;
pub(crate) mod merge;
pub(crate) mod plot;
pub(crate) mod predict;
pub(crate) mod profile;
pub(crate) mod sample;
pub(crate) mod schedule;
mod schedule_on_trajectories;
pub(crate) mod solve;
pub(crate) mod table;
pub(crate) mod table_of_paths;
pub(crate) mod trajectory;
pub(crate) mod transitions;
pub(crate) mod tune;
