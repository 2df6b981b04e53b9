//! Samples of a bed of the plane, as dots beside one another.

use std::fmt::Write;

use ddpm::core::Sampler;
use ndarray::Array2;

use crate::Outcome;
use crate::bed::Bed;

/// Dots of each panel.
const DOTS: usize = 1200;
/// Rivals that are shown beside even steps.
const NEAREST: usize = 2;
/// The side of a panel, and the room between two, in units of the picture.
const SIDE: f64 = 190.0;
const GAP: f64 = 10.0;
/// The part of the plane that a panel shows: [-REACH, REACH].
const REACH: f64 = 1.05;

/// What the first choosing seed has chosen, the rivals that are nearest to the data, and even steps: one panel each, from the same noise.
pub(crate) fn draw(bed: &mut Bed, sampler: Sampler, steps: usize) -> Outcome<String> {
    let seed = bed.choosing_seeds[0];
    let mut chosen = bed.chosen(sampler, steps, seed)?;
    chosen.reverse();
    let count = chosen.len();
    let mut found = Vec::new();
    for (name, schedule) in chosen.into_iter().chain(bed.rivals(sampler, steps)?) {
        let samples = bed.sample(&schedule, bed.sampling_seeds[0], bed.samples)?;
        let features = bed.features(&samples)?;
        let distance = bed.judge.judge(features.view())?.estimate();
        found.push((name, distance, features));
    }
    // Of the rivals those that are nearest, and what everybody knows.
    let mut rivals = found.split_off(count);
    rivals.sort_by(|a, b| a.1.value.total_cmp(&b.1.value));
    let (nearest, others) = rivals.split_at(NEAREST.min(rivals.len()));
    found.extend_from_slice(nearest);
    found.extend(others.iter().find(|(name, ..)| name == "even").cloned());
    let mut panels = vec![("data".to_owned(), String::new(), bed.data(DOTS)?)];
    for (name, distance, features) in found {
        let distance = format!("{:.4} ± {:.4}", distance.value, distance.standard_error);
        panels.push((name, distance, features));
    }
    if panels.iter().any(|(_, _, points)| points.ncols() != 2) {
        return Err("--picture: expected a bed of two dimensions".into());
    }
    let width = panels.len() as f64 * (SIDE + GAP) - GAP;
    let height = SIDE + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>{steps} steps of {sampler} on {}: samples and their energy distance from the data</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        bed.name
    );
    for (i, (name, distance, points)) in panels.iter().enumerate() {
        panel(&mut svg, i as f64 * (SIDE + GAP), name, distance, points)?;
    }
    Ok(svg + "</svg>\n")
}

fn panel(
    svg: &mut String,
    left: f64,
    name: &str,
    distance: &str,
    points: &Array2<f32>,
) -> Outcome<()> {
    let middle = left + SIDE / 2.0;
    writeln!(
        svg,
        "<rect x=\"{left}\" y=\"0.5\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"#cccccc\"/>"
    )?;
    // One path of dots of no length: a tenth of the bytes of circles.
    write!(
        svg,
        "<path stroke=\"#1f4e79\" stroke-width=\"1.7\" stroke-linecap=\"round\" stroke-opacity=\"0.6\" d=\""
    )?;
    for point in points.outer_iter().take(DOTS) {
        let at = |x: f32| SIDE * 0.5 * (1.0 + f64::from(x) / REACH);
        let (x, y) = (at(point[0]), at(-point[1]));
        if (0.0..=SIDE).contains(&x) && (0.0..=SIDE).contains(&y) {
            write!(svg, "M{:.1} {:.1}h0", left + x, y)?;
        }
    }
    writeln!(svg, "\"/>")?;
    writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        SIDE + 17.0,
        name.replace('<', "&lt;")
    )?;
    writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{distance}</text>",
        SIDE + 34.0
    )?;
    Ok(())
}
