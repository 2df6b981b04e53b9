//! Lines, bands and marks as SVG.

use super::look::{Look, Mark};

/// A line through these places.
pub(super) fn line(places: &[(f64, f64)], look: Look, stroke: f64) -> String {
    let places: Vec<String> = places
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{stroke}\"{}/>\n",
        places.join(" "),
        look.colour,
        dash(look),
    )
}

fn dash(look: Look) -> String {
    match look.dash {
        "" => String::new(),
        dash => format!(" stroke-dasharray=\"{dash}\""),
    }
}

/// From a curve's end to its name.
pub(super) fn leader((x, y): (f64, f64), to: (f64, f64), look: Look) -> String {
    format!(
        "<path d=\"M{x:.1} {y:.1}L{:.1} {:.1}\" fill=\"none\" stroke=\"{}\" stroke-width=\"0.7\"/>\n",
        to.0, to.1, look.colour
    )
}

/// What lies between two lines over the same places: (x, lower, upper).
pub(super) fn band(places: &[(f64, f64, f64)], look: Look) -> String {
    let there = places.iter().map(|(x, low, _)| format!("{x:.1},{low:.1}"));
    let back = places.iter().rev();
    let back = back.map(|(x, _, high)| format!("{x:.1},{high:.1}"));
    let outline: Vec<String> = there.chain(back).collect();
    format!(
        "<polygon points=\"{}\" fill=\"{}\" fill-opacity=\"0.16\"/>\n",
        outline.join(" "),
        look.colour
    )
}

/// An error bar.
pub(super) fn bar(x: f64, low: f64, high: f64, look: Look) -> String {
    format!(
        "<path d=\"M{x:.1} {low:.1}V{high:.1}M{0:.1} {low:.1}h6M{0:.1} {high:.1}h6\" stroke=\"{1}\" fill=\"none\"/>\n",
        x - 3.0,
        look.colour
    )
}

/// A stroke across a row.
pub(super) fn tick(x: f64, y: f64, look: Look) -> String {
    format!(
        "<path d=\"M{x:.1} {:.1}v8\" stroke=\"{}\" stroke-width=\"1.2\"/>\n",
        y - 4.0,
        look.colour
    )
}

/// A point.
pub(super) fn mark(x: f64, y: f64, look: Look) -> String {
    let path = match look.mark {
        Mark::Circle => format!(
            "M{:.1} {y:.1}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
            x - 3.5
        ),
        Mark::Square => format!("M{:.1} {:.1}h6.4v6.4h-6.4z", x - 3.2, y - 3.2),
        Mark::Triangle => format!("M{x:.1} {:.1}l4.2 7.2h-8.4z", y - 4.6),
        Mark::Diamond => format!("M{x:.1} {:.1}l4.4 4.4l-4.4 4.4l-4.4 -4.4z", y - 4.4),
        Mark::Wedge => format!("M{x:.1} {:.1}l-4.2 -7.2h8.4z", y + 4.6),
        Mark::Hourglass => format!("M{:.1} {:.1}h7.6l-7.6 8.4h7.6z", x - 3.8, y - 4.2),
    };
    let colour = look.colour;
    let fill = if look.filled { colour } else { "#fff" };
    format!("<path d=\"{path}\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.3\"/>\n")
}
