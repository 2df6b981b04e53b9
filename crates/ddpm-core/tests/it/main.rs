//! The mathematics against other implementations' numbers, closed forms and invariants.

mod gaussian;
mod gaussian_samplers;
mod golden_constants;
mod golden_likelihood;
mod golden_respacing;
mod golden_samplers;
mod likelihood;
mod linear_steps;
mod model_id;
mod multistep;
mod names;
mod noise;
mod paths;
mod predictions;
mod processes;
mod schedules;
mod support;
mod transitions;
