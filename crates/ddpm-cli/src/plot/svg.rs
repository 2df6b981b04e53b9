//! A chart as SVG. The same chart gives the same bytes.
#![allow(clippy::write_with_newline, reason = "some strings hold several lines")]

use std::fmt::Write;

use ddpm_schedule::results::PlotPoint;

use super::axis::{Axis, label};
use super::chart::{Chart, Series, Shape};
use crate::render::escape;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 350.0;
const LEFT: f64 = 70.0;
const LINE: f64 = 16.0;
/// Room at the right for the keys.
const KEYS: f64 = 170.0;
/// Room at the right without keys.
const MARGIN: f64 = 24.0;
/// The report's style sheet has another set of them for dark screens.
pub(crate) const COLOURS: [&str; 6] = [
    "#0b5cad", "#c4441c", "#2c7a4b", "#7a3b96", "#8a6d00", "#333333",
];
const DASHES: [&str; MOST_SERIES] = [
    "",
    "7 3",
    "2 3",
    "9 3 2 3",
    "12 4",
    "1 4",
    "5 5",
    "9 3 2 3 2 3",
    "16 3",
    "3 2 1 2",
    "12 3 4 3",
    "6 2 6 7",
];
/// So many series differ without colour: each has a dash of its own, and a mark of its own, six of them filled and six hollow.
pub(crate) const MOST_SERIES: usize = 12;

impl Chart {
    /// The figure.
    pub(crate) fn svg(&self) -> String {
        let top = 30.0 + LINE * self.subtitle.len() as f64 + 8.0;
        let keys = self.series.iter().any(|s| !s.name.is_empty());
        // All figures are equally wide, so that their words are equally large on a page.
        let width = if keys { WIDTH } else { WIDTH + KEYS - MARGIN };
        let (w, h) = (LEFT + WIDTH + KEYS, top + HEIGHT + 52.0);
        let points = self.series.iter().flat_map(|s| &s.points);
        let shown: Vec<&PlotPoint> = points.filter(|p| self.shows(p)).collect();
        let x = shown.iter().map(|p| p.x);
        let x = Axis::new(self.x.1, x, LEFT, LEFT + width, 12);
        // A bar that reaches below zero has no place on a logarithmic axis; its point has.
        let ends = |p: &&PlotPoint| [p.y, p.y - p.standard_error, p.y + p.standard_error];
        let y = shown.iter().flat_map(ends);
        let y = Axis::new(self.y.1, y, top + HEIGHT, top, 9);
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{0}\">\n<rect width=\"{w}\" height=\"{h}\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{0}</text>\n",
            escape(self.title)
        );
        for (i, line) in self.subtitle.iter().enumerate() {
            let at = 40.0 + LINE * i as f64;
            let _ = write!(
                svg,
                "<text x=\"{LEFT}\" y=\"{at}\" fill=\"#444\">{}</text>\n",
                escape(line)
            );
        }
        self.frame(&mut svg, &x, &y, top, width);
        for (i, series) in self.series.iter().enumerate() {
            self.series(&mut svg, series, i, &x, &y);
        }
        let named = self.series.iter().enumerate();
        let named = named.filter(|(_, s)| !s.name.is_empty());
        for (row, (i, series)) in named.enumerate() {
            let at = top + 12.0 + 20.0 * row as f64;
            let left = LEFT + WIDTH + 14.0;
            if matches!(series.shape, Shape::Both | Shape::Line) {
                let ends = format!("{left},{at:.1} {:.1},{at:.1}", left + 30.0);
                line(&mut svg, &ends, i);
            }
            if series.shape != Shape::Line {
                mark(&mut svg, left + 15.0, at, i, series.shape);
            }
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                left + 37.0,
                at + 4.0,
                escape(&series.name)
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Grid, ticks and names of the axes.
    fn frame(&self, svg: &mut String, x: &Axis, y: &Axis, top: f64, width: f64) {
        let (right, bottom) = (LEFT + width, top + HEIGHT);
        for &tick in y.ticks() {
            let at = y.place(tick);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                LEFT - 7.0,
                at + 4.0,
                label(tick)
            );
        }
        for &tick in x.ticks() {
            let at = x.place(tick);
            let _ = write!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom:.1}\" y2=\"{:.1}\" stroke=\"#000\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
                bottom + 5.0,
                bottom + 19.0,
                label(tick)
            );
        }
        let _ = write!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{width}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#000\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n<text transform=\"translate(17 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            LEFT + 0.5 * width,
            bottom + 40.0,
            escape(self.x.0),
            top + 0.5 * HEIGHT,
            escape(self.y.0)
        );
    }

    fn series(&self, svg: &mut String, series: &Series, i: usize, x: &Axis, y: &Axis) {
        let shown: Vec<_> = series.points.iter().filter(|p| self.shows(p)).collect();
        if matches!(series.shape, Shape::Both | Shape::Line) {
            let places: Vec<String> = shown
                .iter()
                .map(|p| format!("{:.1},{:.1}", x.place(p.x), y.place(p.y)))
                .collect();
            line(svg, &places.join(" "), i);
        }
        for p in shown {
            let at = x.place(p.x);
            if p.standard_error > 0.0 {
                let end = |v: f64| {
                    let shown = self.y.1.shows(v);
                    y.place(if shown { v } else { f64::MIN_POSITIVE })
                };
                let (low, high) = (end(p.y - p.standard_error), end(p.y + p.standard_error));
                let _ = write!(
                    svg,
                    "<path d=\"M{at:.1} {low:.1}V{high:.1}M{0:.1} {low:.1}h6M{0:.1} {high:.1}h6\" stroke=\"{1}\" fill=\"none\"/>\n",
                    at - 3.0,
                    COLOURS[i % COLOURS.len()]
                );
            }
            if series.shape != Shape::Line {
                mark(svg, at, y.place(p.y), i, series.shape);
            }
        }
    }
}

fn line(svg: &mut String, places: &str, i: usize) {
    let _ = write!(
        svg,
        "<polyline points=\"{places}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\" stroke-dasharray=\"{}\"/>\n",
        COLOURS[i % COLOURS.len()],
        DASHES[i % DASHES.len()]
    );
}

/// One of six marks, filled and hollow in turn; the next six are the same, hollow and filled.
fn mark(svg: &mut String, x: f64, y: f64, i: usize, shape: Shape) {
    let colour = COLOURS[i % COLOURS.len()];
    if shape == Shape::Ticks {
        let _ = write!(
            svg,
            "<path d=\"M{x:.1} {:.1}v8\" stroke=\"{colour}\" stroke-width=\"1.2\"/>\n",
            y - 4.0
        );
        return;
    }
    let path = match i % 6 {
        0 => format!(
            "M{:.1} {y:.1}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
            x - 3.5
        ),
        1 => format!("M{:.1} {:.1}h6.4v6.4h-6.4z", x - 3.2, y - 3.2),
        2 => format!("M{x:.1} {:.1}l4.2 7.2h-8.4z", y - 4.6),
        3 => format!("M{x:.1} {:.1}l4.4 4.4l-4.4 4.4l-4.4 -4.4z", y - 4.4),
        4 => format!("M{x:.1} {:.1}l-4.2 -7.2h8.4z", y + 4.6),
        // An hourglass.
        _ => format!("M{:.1} {:.1}h7.6l-7.6 8.4h7.6z", x - 3.8, y - 4.2),
    };
    let filled = (i + i / 6).is_multiple_of(2);
    let fill = if filled { colour } else { "#fff" };
    let _ = write!(
        svg,
        "<path d=\"{path}\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.3\"/>\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::axis::Scale;

    fn chart(points: Vec<PlotPoint>) -> Chart {
        Chart {
            title: "a < b & \"c\"",
            subtitle: vec!["below".to_owned()],
            x: ("x [1]", Scale::Log2),
            y: ("y [1]", Scale::Log10),
            series: vec![Series {
                name: "one".to_owned(),
                shape: Shape::Both,
                points,
            }],
        }
    }

    #[test]
    fn points_without_a_place_are_left_out() {
        let point = |x, y| PlotPoint {
            x,
            y,
            standard_error: 0.1,
        };
        let whole = chart(vec![point(1.0, 1.0), point(2.0, 3.0)]);
        let more = chart(vec![
            point(1.0, 1.0),
            point(0.0, 5.0),
            point(2.0, f64::NAN),
            point(2.0, 3.0),
        ]);
        assert_eq!(whole.svg(), more.svg());
        assert!(!whole.svg().contains("NaN"));
        // Nothing to show is still a figure.
        assert!(chart(Vec::new()).svg().ends_with("</svg>\n"));
    }

    /// Without colour, as a printer or a reader sees them.
    #[test]
    fn twelve_series_differ_in_black_and_white() {
        let without_colour = |i: usize, shape: Shape| {
            let mut svg = String::new();
            match shape {
                Shape::Line => line(&mut svg, "0,0 1,1", i),
                _ => mark(&mut svg, 0.0, 0.0, i, shape),
            }
            COLOURS
                .iter()
                .fold(svg, |svg, colour| svg.replace(colour, "black"))
        };
        for shape in [Shape::Line, Shape::Marks] {
            let looks: std::collections::BTreeSet<String> =
                (0..MOST_SERIES).map(|i| without_colour(i, shape)).collect();
            assert_eq!(looks.len(), MOST_SERIES, "{shape:?}: {looks:#?}");
        }
    }

    #[test]
    fn text_is_escaped() {
        let svg = chart(Vec::new()).svg();
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;") && !svg.contains("a < b"));
    }
}
