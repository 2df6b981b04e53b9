//! Tests of profiles, costs and schedules against direct evaluation, closed forms and published numbers.

mod closed_form;
mod cost;
mod decoder;
mod format;
mod interior;
mod oracle;
mod resolution;
mod schedules;
mod size;
mod support;
mod table;
