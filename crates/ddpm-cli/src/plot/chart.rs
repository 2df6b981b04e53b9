//! What a figure shows, whatever it is written as.

use ddpm_schedule::results::PlotPoint;

use super::axis::Scale;
use super::look::Look;

/// A figure with one pair of axes.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    /// What was measured on what, a line each: below the title, or in the caption.
    pub(crate) subtitle: Vec<String>,
    /// In what the curves differ, and in what not.
    pub(crate) differs: &'static str,
    /// Name, unit and scale of the abscissa.
    pub(crate) x: (&'static str, Scale),
    /// Those of the ordinate.
    pub(crate) y: (&'static str, Scale),
    /// The first lies on top.
    pub(crate) series: Vec<Series>,
}

/// Points that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Empty for a series that needs no key.
    pub(crate) name: String,
    /// What stands beside it, empty for nothing.
    pub(crate) label: String,
    pub(crate) shape: Shape,
    pub(crate) look: Look,
    pub(crate) points: Vec<PlotPoint>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Marks joined by a line, on a band of one standard error to each side.
    Both,
    /// A line alone.
    Line,
    /// Marks alone.
    Marks,
    /// Short strokes across the row of a point.
    Ticks,
    /// One number that holds for the whole width, wherever its point lies.
    Baseline,
}

impl Series {
    /// A series whose label is its name.
    pub(super) fn new(name: impl Into<String>, shape: Shape, look: Look) -> Self {
        let name = name.into();
        Self {
            label: name.clone(),
            name,
            shape,
            look,
            points: Vec::new(),
        }
    }

    pub(super) fn of(self, points: impl IntoIterator<Item = PlotPoint>) -> Self {
        let points = points.into_iter().collect();
        Self { points, ..self }
    }

    pub(super) fn labelled(self, label: impl Into<String>) -> Self {
        let label = label.into();
        Self { label, ..self }
    }
}

impl Chart {
    /// Whether the axes have a place for a point: finite, and positive on a logarithmic axis.
    pub(super) fn shows(&self, p: &PlotPoint) -> bool {
        self.x.1.shows(p.x) && self.y.1.shows(p.y)
    }

    /// What is shown, for the text beside a figure.
    pub(crate) fn caption(&self) -> String {
        let mut caption = format!("{}.", self.title);
        for line in &self.subtitle {
            let mut letters = line.chars();
            let first = letters.next().map(|first| first.to_uppercase());
            caption.extend(std::iter::once(' ').chain(first.into_iter().flatten()));
            caption += &format!("{}.", letters.as_str());
        }
        format!("{caption} {}", self.differs)
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
