//! Figures: charts of points and lines as SVG, and as PNG.
//!
//! Series differ by mark and dash, never by shade alone, so that black and white will do.

mod axis;
mod chart;
pub(crate) mod figures;
mod png;
mod svg;

pub(crate) use chart::Chart;
pub(crate) use png::png;
#[cfg(test)]
pub(crate) use svg::COLOURS;
pub(crate) use svg::MOST_SERIES;
