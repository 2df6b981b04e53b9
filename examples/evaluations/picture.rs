//! The curve of losses against the number of evaluations, as SVG.
#![allow(clippy::write_with_newline, reason = "some strings hold several lines")]

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

/// The plotting area and its margins.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 48.0;
/// The ordinates, in thousandths of a bit/dim.
const LOWEST: f64 = -10.0;
const HIGHEST: f64 = 30.0;
/// The loss that 8,192 evaluations are asked about.
const TOLERANCE: f64 = 5.0;
/// One dash pattern and one mark per budget, so that black and white will do.
const DASHES: [&str; 6] = ["", "7 3", "2 3", "9 3 2 3", "1 4", "12 4"];
const COLOURS: [&str; 6] = [
    "#0b5cad", "#c4441c", "#2c7a4b", "#7a3b96", "#8a6d00", "#333333",
];

/// Losses and their one-sided upper bounds, in thousandths of a bit/dim.
fn pairs(row: &Value) -> Option<Vec<[f64; 2]>> {
    let (losses, errors) = (row["loss"].as_array()?, row["standard_error"].as_array()?);
    let pair = |(loss, error): (&Value, &Value)| {
        let (loss, error) = (1e3 * loss.as_f64()?, 1e3 * error.as_f64()?);
        Some([loss, loss + 2.0 * error])
    };
    losses.iter().zip(errors).map(pair).collect()
}

/// The mean loss, the smallest loss and the largest upper bound.
fn spread(pairs: &[[f64; 2]]) -> (f64, f64, f64) {
    let mean = pairs.iter().map(|[loss, _]| loss).sum::<f64>() / pairs.len() as f64;
    let low = pairs.iter().map(|p| p[0]).fold(f64::INFINITY, f64::min);
    let high = pairs.iter().map(|p| p[1]);
    (mean, low, high.fold(f64::NEG_INFINITY, f64::max))
}

/// Draws the rows of a losses file; `None` if it is not one.
pub(crate) fn draw(losses: &Value) -> Option<String> {
    let budgets: Vec<u64> = losses["budgets"]
        .as_array()?
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    // By number of evaluations, then budget: the losses of all seeds and their one-sided upper bounds.
    let mut found: BTreeMap<u64, Vec<Vec<[f64; 2]>>> = BTreeMap::new();
    for row in losses["rows"].as_array()? {
        let all = found
            .entry(row["evaluations"].as_u64()?)
            .or_insert_with(|| vec![Vec::new(); budgets.len()]);
        for (losses, pair) in all.iter_mut().zip(pairs(row)?) {
            losses.push(pair);
        }
    }
    let (first, last) = (*found.keys().next()? as f64, *found.keys().last()? as f64);
    let x = |evaluations: f64| {
        LEFT + WIDTH * (evaluations / first).log2() / (last / first).log2().max(1.0)
    };
    let y = |loss: f64| TOP + HEIGHT * (HIGHEST - loss.clamp(LOWEST, HIGHEST)) / (HIGHEST - LOWEST);
    let mut svg = String::new();
    let (w, h) = (LEFT + WIDTH + 140.0, TOP + HEIGHT + 56.0);
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"Loss of schedules against network evaluations\">\n<rect width=\"{w}\" height=\"{h}\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"20\" font-size=\"14\" font-weight=\"bold\">What a schedule loses when it is chosen on few network evaluations</text>\n<text x=\"{LEFT}\" y=\"37\" fill=\"#444\">CIFAR-10, T = 4000: cost over the exhaustive choice; mean of seeds, up to the largest loss + 2 standard errors</text>\n"
    );
    for tick in [-10.0, -5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0] {
        let (at, right) = (y(tick), LEFT + WIDTH);
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ccc\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>\n",
            LEFT - 6.0,
            at + 4.0
        );
    }
    let _ = write!(
        svg,
        "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#000\" stroke-dasharray=\"4 3\"/><text x=\"{LEFT}\" y=\"{2:.1}\" dx=\"4\">0.005 bits/dim</text>\n",
        LEFT + WIDTH,
        y(TOLERANCE),
        y(TOLERANCE) - 4.0
    );
    for &evaluations in found.keys() {
        let at = x(evaluations as f64);
        let _ = write!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{evaluations}</text>\n",
            TOP + HEIGHT + 18.0
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">network evaluations (log scale)</text>\n<text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">loss [0.001 bits/dim]</text>\n",
        LEFT + 0.5 * WIDTH,
        TOP + HEIGHT + 40.0,
        TOP + 0.5 * HEIGHT
    );
    for (i, budget) in budgets.iter().enumerate() {
        let (colour, dash) = (COLOURS[i % COLOURS.len()], DASHES[i % DASHES.len()]);
        let shift = 3.0 * (i as f64 - 2.5);
        let mut line = String::new();
        for (&evaluations, all) in &found {
            let (mean, low, high) = spread(&all[i]);
            let at = x(evaluations as f64) + shift;
            let _ = write!(line, "{at:.1},{:.1} ", y(mean));
            let _ = write!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-opacity=\"0.45\"/><circle cx=\"{at:.1}\" cy=\"{:.1}\" r=\"2.6\" fill=\"{colour}\"/>\n",
                y(low),
                y(high),
                y(mean)
            );
        }
        let key = TOP + 14.0 + 20.0 * i as f64;
        let right = LEFT + WIDTH + 18.0;
        let _ = write!(
            svg,
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{dash}\"/><line x1=\"{right}\" x2=\"{}\" y1=\"{key}\" y2=\"{key}\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{dash}\"/><text x=\"{}\" y=\"{}\">K = {budget}</text>\n",
            right + 24.0,
            right + 28.0,
            key + 4.0
        );
    }
    let key = TOP + 14.0 + 20.0 * budgets.len() as f64;
    for (j, larger) in losses["larger"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let (budget, images) = (larger["budget"].as_u64()?, larger["images"].as_u64()?);
        let i = budgets.iter().position(|&k| k == budget)?;
        let colour = COLOURS[i % COLOURS.len()];
        let (mean, low, high) = spread(&pairs(larger)?);
        // Left of the marks of the small reference.
        let at = x(larger["evaluations"].as_u64()? as f64) - 16.0 - 6.0 * j as f64;
        let (right, key) = (LEFT + WIDTH + 18.0, key + 36.0 * j as f64);
        for (at, from, to, middle) in [
            (at, y(low), y(high), y(mean)),
            (right + 12.0, key - 8.0, key + 8.0, key),
        ] {
            let _ = write!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\" stroke=\"{colour}\" stroke-width=\"2\"/><rect x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\" fill=\"#fff\" stroke=\"{colour}\" stroke-width=\"1.6\"/>\n",
                at - 3.5,
                middle - 3.5
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{0}\" y=\"{1}\">K = {budget},<tspan x=\"{0}\" dy=\"14\">{images} images</tspan></text>\n",
            right + 28.0,
            key + 4.0
        );
    }
    svg.push_str("</svg>\n");
    Some(svg)
}
