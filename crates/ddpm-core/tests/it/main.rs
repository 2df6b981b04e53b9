//! The mathematics against other implementations' numbers, closed forms and invariants.

mod gaussian;
mod golden_constants;
mod golden_likelihood;
mod golden_respacing;
mod likelihood;
mod linear_steps;
mod names;
mod noise;
mod paths;
mod predictions;
mod schedules;
mod support;
mod transitions;
