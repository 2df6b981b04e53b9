//! How large a figure is, in units and on paper.

/// Units per inch: words of 12 units are 8 points, the size of captions in most journals.
pub(super) const PER_INCH: f64 = 108.0;

/// The outer form of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// A file that stands alone: with its title and what was measured above it.
    Alone,
    /// On a page that has a caption for it.
    OnPage,
    /// For a paper, which has a caption too: so many inches wide.
    Inches(f64),
}

impl Form {
    /// Widths that a page can have, in inches; below, ticks would lie on each other.
    pub(crate) const INCHES: std::ops::RangeInclusive<f64> = 2.0..=24.0;

    /// The whole width in units.
    pub(super) fn width(self) -> f64 {
        match self {
            Self::Alone | Self::OnPage => 800.0,
            Self::Inches(inches) => inches * PER_INCH,
        }
    }

    pub(super) fn has_heading(self) -> bool {
        self == Self::Alone
    }

    /// A length in the attribute of an SVG file.
    pub(super) fn length(self, units: f64) -> String {
        match self {
            Self::Inches(_) => format!("{}in", round(units / PER_INCH)),
            _ => round(units).to_string(),
        }
    }

    /// Pixels per unit: fine enough for print, 300 to the inch where inches were asked for.
    pub(super) fn pixels_per_unit(self) -> f64 {
        match self {
            Self::Inches(_) => 300.0 / PER_INCH,
            _ => 2.0,
        }
    }
}

/// Three digits after the point.
fn round(length: f64) -> f64 {
    (length * 1e3).round() / 1e3
}
