//! One file per command: validate the arguments, compute, print.

mod dispatch;
mod inspect;
mod predict;
mod solve;
mod transitions;

pub(crate) use dispatch::run;
