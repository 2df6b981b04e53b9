//! What a figure shows, whatever it is written as.

use ddpm_schedule::results::PlotPoint;

use super::axis::Scale;

/// A figure with one pair of axes.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    /// Lines below the title: what was measured on what.
    pub(crate) subtitle: Vec<String>,
    /// Name, unit and scale of the abscissa.
    pub(crate) x: (&'static str, Scale),
    /// Those of the ordinate.
    pub(crate) y: (&'static str, Scale),
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
    /// Whether the axes have a place for a point: finite, and positive on a logarithmic axis.
    pub(super) fn shows(&self, p: &PlotPoint) -> bool {
        self.x.1.shows(p.x) && self.y.1.shows(p.y)
    }
}

/// A point that is exactly there.
pub(super) fn point(x: usize, y: f64) -> PlotPoint {
    PlotPoint {
        x: x as f64,
        y,
        standard_error: 0.0,
    }
}
