//! Tests of profiles, costs and schedules against direct evaluation, closed forms and published numbers.

mod decoder;
mod interior;
mod size;
mod support;
