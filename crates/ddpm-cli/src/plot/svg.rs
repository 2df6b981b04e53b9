//! A chart as SVG. The same chart gives the same bytes.
#![allow(clippy::write_with_newline, reason = "some strings hold several lines")]

use std::fmt::Write;

use ddpm_schedule::results::PlotPoint;

use super::axis::{Axis, labels};
use super::chart::{Chart, Series, Shape};
use super::labels::{LINE, spread};
use super::size::Form;
use super::{font, marks};
use crate::render::escape;

const FONT_SIZE: f64 = 12.0;
/// From the end of the axis to a name beside it: a leader, a piece of the line with its mark, a gap.
const KEY: [f64; 3] = [16.0, 28.0, 6.0];
/// Between two names below the axes.
const GAP: f64 = 18.0;

/// Where everything lies, in units.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    names: Names,
}

/// A name beside the end of its curve.
struct NameAtEnd {
    /// Which of the chart's.
    series: usize,
    /// The end of its curve.
    end: (f64, f64),
    /// Where the name stands.
    height: f64,
}

/// Where the names of curves stand.
enum Names {
    /// There are none.
    Nowhere,
    /// At the ends of the curves.
    AtEnds(Vec<NameAtEnd>),
    /// Beside the axes, in their order.
    Beside,
    /// Below the axes, in rows.
    Below(Vec<Vec<usize>>),
}

impl Chart {
    /// The figure.
    pub(crate) fn svg(&self, form: Form) -> String {
        let (frame, x, y) = self.layout(form);
        let heading = if form.has_heading() {
            &self.subtitle[..]
        } else {
            &[]
        };
        let rows = match &frame.names {
            Names::Below(rows) => rows.len() as f64,
            _ => 0.0,
        };
        let (w, h) = (
            form.width(),
            (frame.bottom + 52.0 + 1.2 * LINE * rows).ceil(),
        );
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {w} {h}\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"{FONT_SIZE}\" role=\"img\" aria-label=\"{}\">\n<rect width=\"{w}\" height=\"{h}\" fill=\"#fff\"/>\n",
            form.length(w),
            form.length(h),
            escape(self.title)
        );
        if form.has_heading() {
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
                frame.left,
                escape(self.title)
            );
        }
        for (i, line) in heading.iter().enumerate() {
            let at = 40.0 + LINE * i as f64;
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{at}\" fill=\"#444\">{}</text>\n",
                frame.left,
                escape(line)
            );
        }
        self.axes(&mut svg, &frame, &x, &y);
        // The first lies on top; bands lie below all lines.
        for series in self.series.iter().rev() {
            svg += &self.band(series, &frame, &x, &y);
        }
        for series in self.series.iter().rev() {
            svg += &self.curve(series, &frame, &x, &y);
        }
        self.names(&mut svg, &frame);
        svg.push_str("</svg>\n");
        svg
    }

    /// Finds a place for everything.
    fn layout(&self, form: Form) -> (Frame, Axis, Axis) {
        let top = match form.has_heading() {
            true => 38.0 + LINE * self.subtitle.len() as f64,
            false => 10.0,
        };
        let left = 70.0_f64.min(0.12 * form.width() + 20.0);
        let named: Vec<&Series> = self.series.iter().filter(|s| !s.label.is_empty()).collect();
        let widest = named.iter().map(|s| font::width(&s.label, FONT_SIZE));
        let beside = widest.fold(0.0, f64::max) + KEY.iter().sum::<f64>() + 6.0;
        // Without names beside them the axes take the whole width, but for half of the last tick's label.
        let whole = form.width() - 24.0;
        let narrow = form.width() - beside;
        let fits = !named.is_empty() && narrow - left >= 0.5 * form.width();
        let right = if fits { narrow } else { whole };
        let bottom = top + (0.62 * (form.width() - left - 24.0)).min(350.0);
        let shown: Vec<&PlotPoint> = self.points(|s| s.shape != Shape::Baseline);
        let everything = self.points(|_| true);
        let room = |length: f64, per: f64| ((length / per) as usize).max(3);
        let x = shown.iter().map(|p| p.x);
        let x = Axis::new(self.x.1, x, left, right, room(right - left, 42.0).min(12));
        // A band that reaches below zero has no place on a logarithmic axis; its point has.
        let ends = |p: &&PlotPoint| [p.y, p.y - p.standard_error, p.y + p.standard_error];
        let y = everything.iter().flat_map(ends);
        let y = Axis::new(self.y.1, y, bottom, top, room(bottom - top, 30.0).min(9));
        let names = match (named.is_empty(), fits) {
            (true, _) => Names::Nowhere,
            (false, true) => self
                .at_ends(&x, &y, [left, right, top, bottom])
                .map_or(Names::Beside, Names::AtEnds),
            (false, false) => Names::Below(self.rows(right - left)),
        };
        let frame = Frame {
            left,
            right,
            top,
            bottom,
            names,
        };
        (frame, x, y)
    }

    /// The points that have a place, of these series.
    fn points(&self, of: impl Fn(&Series) -> bool) -> Vec<&PlotPoint> {
        let series = self.series.iter().filter(|s| of(s));
        let points = series.flat_map(|s| &s.points);
        points.filter(|p| self.shows(p)).collect()
    }

    /// Names beside the ends of their curves, where every curve ends near the end of the axis and the names fit there.
    fn at_ends(
        &self,
        x: &Axis,
        y: &Axis,
        [left, right, top, bottom]: [f64; 4],
    ) -> Option<Vec<NameAtEnd>> {
        let mut ends = Vec::new();
        for (i, series) in self.series.iter().enumerate() {
            if series.label.is_empty() {
                continue;
            }
            let shown = series.points.iter().filter(|p| self.shows(p));
            let last = shown.max_by(|a, b| a.x.total_cmp(&b.x))?;
            let at = match series.shape {
                Shape::Baseline => right,
                _ => x.place(last.x),
            };
            if at < right - 0.15 * (right - left) {
                return None;
            }
            ends.push((i, (at, y.place(last.y))));
        }
        let wanted: Vec<f64> = ends.iter().map(|(_, (_, y))| *y).collect();
        let heights = spread(&wanted, top + 4.0, bottom - 4.0)?;
        let placed = ends.into_iter().zip(heights);
        let name = |((series, end), height)| NameAtEnd {
            series,
            end,
            height,
        };
        Some(placed.map(name).collect())
    }

    /// Names in rows of this width.
    fn rows(&self, width: f64) -> Vec<Vec<usize>> {
        let mut rows: Vec<Vec<usize>> = Vec::new();
        let mut used = f64::INFINITY;
        for (i, series) in self.series.iter().enumerate() {
            if series.label.is_empty() {
                continue;
            }
            let needed = entry(&series.label);
            if used + needed - GAP > width {
                rows.push(Vec::new());
                used = 0.0;
            }
            used += needed;
            if let Some(row) = rows.last_mut() {
                row.push(i);
            }
        }
        rows
    }

    /// Grid, ticks and names of the axes.
    fn axes(&self, svg: &mut String, frame: &Frame, x: &Axis, y: &Axis) {
        let Frame {
            left,
            right,
            top,
            bottom,
            ..
        } = *frame;
        for (&tick, words) in y.ticks().iter().zip(labels(self.y.1, y.ticks())) {
            let at = y.place(tick);
            let _ = write!(
                svg,
                "<line x1=\"{left}\" x2=\"{right:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><line x1=\"{:.1}\" x2=\"{left}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#000\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{words}</text>\n",
                left - 5.0,
                left - 8.0,
                at + 4.0,
            );
        }
        for (&tick, words) in x.ticks().iter().zip(labels(self.x.1, x.ticks())) {
            let at = x.place(tick);
            let _ = write!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom:.1}\" y2=\"{:.1}\" stroke=\"#000\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{words}</text>\n",
                bottom + 5.0,
                bottom + 19.0,
            );
        }
        let _ = write!(
            svg,
            "<path d=\"M{left} {top}V{bottom:.1}H{right:.1}\" fill=\"none\" stroke=\"#000\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n<text transform=\"translate(15 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            0.5 * (left + right),
            bottom + 40.0,
            escape(self.x.0),
            0.5 * (top + bottom),
            escape(self.y.0)
        );
    }

    /// The height of a number, that of the end of the axis where it has no place.
    fn height(&self, value: f64, y: &Axis) -> f64 {
        let shown = self.y.1.shows(value);
        y.place(if shown { value } else { f64::MIN_POSITIVE })
    }

    /// One standard error to each side.
    fn band(&self, series: &Series, frame: &Frame, x: &Axis, y: &Axis) -> String {
        let baseline = series.shape == Shape::Baseline;
        if !(baseline || series.shape == Shape::Both) {
            return String::new();
        }
        let shown = series.points.iter().filter(|p| self.shows(p));
        let ends = |p: &PlotPoint| {
            let height = |sign: f64| self.height(p.y + sign * p.standard_error, y);
            (x.place(p.x), height(-1.0), height(1.0))
        };
        let mut places: Vec<(f64, f64, f64)> =
            shown.filter(|p| p.standard_error > 0.0).map(ends).collect();
        if let ([(_, low, high)], true) = (&places[..], baseline) {
            places = vec![(frame.left, *low, *high), (frame.right, *low, *high)];
        }
        match places.len() {
            0 => String::new(),
            1 => {
                let (x, low, high) = places[0];
                marks::bar(x, low, high, series.look)
            }
            _ => marks::band(&places, series.look),
        }
    }

    fn curve(&self, series: &Series, frame: &Frame, x: &Axis, y: &Axis) -> String {
        let look = series.look;
        let shown: Vec<&PlotPoint> = series.points.iter().filter(|p| self.shows(p)).collect();
        let places: Vec<(f64, f64)> = shown.iter().map(|p| (x.place(p.x), y.place(p.y))).collect();
        if series.shape == Shape::Baseline {
            let across = |(_, y): &(f64, f64)| {
                let ends = [(frame.left, *y), (frame.right, *y)];
                marks::line(&ends, look, 1.3)
            };
            return places.iter().map(across).collect();
        }
        let mut svg = String::new();
        if matches!(series.shape, Shape::Both | Shape::Line) {
            svg += &marks::line(&places, look, 1.7);
        }
        for (p, (at, height)) in shown.iter().zip(places) {
            svg += &match series.shape {
                Shape::Ticks => marks::tick(at, height, look),
                Shape::Both => marks::mark(at, height, look),
                Shape::Marks if p.standard_error > 0.0 => {
                    let end = |sign: f64| self.height(p.y + sign * p.standard_error, y);
                    marks::bar(at, end(-1.0), end(1.0), look) + &marks::mark(at, height, look)
                }
                Shape::Marks => marks::mark(at, height, look),
                Shape::Line | Shape::Baseline => String::new(),
            };
        }
        svg
    }

    fn names(&self, svg: &mut String, frame: &Frame) {
        let beside = frame.right + KEY[0];
        match &frame.names {
            Names::Nowhere => {}
            Names::AtEnds(placed) => {
                for name in placed {
                    let series = &self.series[name.series];
                    *svg += &marks::leader(name.end, (beside, name.height), series.look);
                    *svg += &key(series, beside, name.height);
                }
            }
            Names::Beside => {
                let named = self.series.iter().filter(|s| !s.label.is_empty());
                for (row, series) in named.enumerate() {
                    *svg += &key(series, beside, frame.top + 12.0 + 1.2 * LINE * row as f64);
                }
            }
            Names::Below(rows) => {
                for (row, series) in rows.iter().enumerate() {
                    let mut at = frame.left;
                    for &i in series {
                        let height = frame.bottom + 58.0 + 1.2 * LINE * row as f64;
                        *svg += &key(&self.series[i], at, height);
                        at += entry(&self.series[i].label);
                    }
                }
            }
        }
    }
}

/// The width of a name below the axes, with its key and the gap to the next.
fn entry(label: &str) -> f64 {
    KEY[1] + KEY[2] + font::width(label, FONT_SIZE) + GAP
}

/// A piece of the line with its mark, and the name.
fn key(series: &Series, left: f64, height: f64) -> String {
    let mut svg = String::new();
    if series.shape != Shape::Marks {
        let ends = [(left, height), (left + KEY[1], height)];
        svg += &marks::line(&ends, series.look, 1.7);
    }
    if matches!(series.shape, Shape::Both | Shape::Marks) {
        svg += &marks::mark(left + 0.5 * KEY[1], height, series.look);
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
        left + KEY[1] + KEY[2],
        height + 4.0,
        escape(&series.label)
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::axis::Scale;
    use crate::plot::look::{self, ALL};

    fn point(x: f64, y: f64) -> PlotPoint {
        PlotPoint {
            x,
            y,
            standard_error: 0.1,
        }
    }

    fn chart(series: Vec<Series>) -> Chart {
        Chart {
            title: "a < b & \"c\"",
            subtitle: vec!["below".to_owned()],
            differs: "",
            x: ("x [1]", Scale::Log2),
            y: ("y [1]", Scale::Log10),
            series,
        }
    }

    fn one(points: Vec<PlotPoint>) -> Chart {
        chart(vec![
            Series::new("one", Shape::Both, look::nth(0)).of(points),
        ])
    }

    #[test]
    fn points_without_a_place_are_left_out() {
        let whole = one(vec![point(1.0, 1.0), point(2.0, 3.0)]);
        let more = one(vec![
            point(1.0, 1.0),
            point(0.0, 5.0),
            point(2.0, f64::NAN),
            point(2.0, 3.0),
        ]);
        assert_eq!(whole.svg(Form::Alone), more.svg(Form::Alone));
        assert!(!whole.svg(Form::Alone).contains("NaN"));
        // Nothing to show is still a figure.
        for form in [Form::Alone, Form::OnPage, Form::Inches(2.0)] {
            assert!(one(Vec::new()).svg(form).ends_with("</svg>\n"));
        }
    }

    /// All steps are a line over the few that are compared with them, not an end of the axis.
    #[test]
    fn a_baseline_does_not_stretch_the_axis() {
        let curve = |y: f64| {
            let points = [point(8.0, y), point(16.0, 3.0)];
            Series::new("optimal", Shape::Both, look::nth(0)).of(points)
        };
        let all = Series::new("all", Shape::Baseline, ALL).of([point(4000.0, 2.0)]);
        let svg = chart(vec![curve(5.0), all]).svg(Form::Alone);
        assert!(svg.contains(">16</text>") && !svg.contains(">4000</text>"));
        assert!(svg.contains(">all</text>") && svg.contains("stroke-dasharray=\"5 4\""));
        assert_eq!(svg.matches("<polygon").count(), 2);
    }

    #[test]
    fn the_first_series_lies_on_top() {
        let curve = |i: usize| {
            let points = [point(8.0, 4.0), point(16.0, 3.0)];
            Series::new(format!("s{i}"), Shape::Both, look::nth(i)).of(points)
        };
        let svg = chart(vec![curve(0), curve(1)]).svg(Form::Alone);
        let line = |i: usize| {
            let stroke = format!("fill=\"none\" stroke=\"{}\"", look::nth(i).colour);
            svg.find(&stroke).unwrap()
        };
        assert!(line(1) < line(0));
    }

    #[test]
    fn a_width_in_inches_is_the_width_on_paper() {
        let svg = one(vec![point(1.0, 1.0), point(2.0, 3.0)]).svg(Form::Inches(3.25));
        assert!(svg.contains("width=\"3.25in\"") && svg.contains("viewBox=\"0 0 351 "));
        // The paper has a caption.
        assert!(!svg.contains("below"));
    }

    #[test]
    fn names_that_do_not_fit_beside_the_axes_stand_below_them() {
        let named = |name: &str| {
            let points = [point(1.0, 1.0), point(2.0, 3.0)];
            Series::new(name, Shape::Both, look::nth(0)).of(points)
        };
        let chart = chart(vec![
            named("a name of some length"),
            named("another such name"),
        ]);
        let height = |form: Form| chart.layout(form).0;
        assert!(matches!(height(Form::Alone).names, Names::AtEnds(_)));
        match height(Form::Inches(2.5)).names {
            Names::Below(rows) => assert_eq!(rows, [vec![0], vec![1]]),
            _ => panic!("expected names below the axes"),
        }
    }

    #[test]
    fn text_is_escaped() {
        let svg = one(Vec::new()).svg(Form::Alone);
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;") && !svg.contains("a < b"));
    }
}
