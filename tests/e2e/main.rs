//! End-to-end tests: the real binary, its files, streams and exit codes.

mod predict;

mod solve;
mod streams;
mod support;
mod transitions;
