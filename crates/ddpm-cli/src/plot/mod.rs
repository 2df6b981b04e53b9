//! Figures: charts of points and lines as SVG, and as PNG.
//!
//! Series differ by mark and dash, never by shade alone, so that black and white will do. `look` gives every stride and every variance
//! one colour, dash and mark; `labels` puts names beside the ends of curves.

mod axis;
mod chart;
pub(crate) mod figures;
mod font;
mod labels;
mod look;
mod marks;
mod png;
mod size;
mod svg;

pub(crate) use chart::Chart;
#[cfg(test)]
pub(crate) use look::COLOURS;
pub(crate) use look::MOST_SERIES;
pub(crate) use png::png;
pub(crate) use size::Form;
