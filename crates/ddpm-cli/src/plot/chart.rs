//! What a figure shows, whatever it is written as.

use ddpm_schedule::results::PlotPoint;

use super::axis::Scale;

/// A figure with one pair of axes.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// Lines below the title: what was measured on what.
    pub(crate) subtitle: Vec<String>,
    /// Name and unit of the abscissa.
    pub(crate) x: String,
    pub(crate) x_scale: Scale,
    /// Name and unit of the ordinate.
    pub(crate) y: String,
    pub(crate) y_scale: Scale,
    pub(crate) series: Vec<Series>,
}

/// Points that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Empty for a series that needs no key.
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) points: Vec<PlotPoint>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Marks joined by a line.
    Both,
    /// A line alone.
    Line,
    /// Marks alone.
    Marks,
    /// Short strokes across the row of a point.
    Ticks,
}

impl Chart {
    /// The points that the axes can show: finite, and positive on a logarithmic axis.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &PlotPoint> {
        self.series
            .iter()
            .flat_map(|s| &s.points)
            .filter(|p| self.x_scale.shows(p.x) && self.y_scale.shows(p.y))
    }
}
