//! Tests of profiles, costs and schedules against direct evaluation, closed forms and published numbers.

mod cost;
mod decoder;
mod format;
mod interior;
mod oracle;
mod resolution;
mod size;
mod support;
