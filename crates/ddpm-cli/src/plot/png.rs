//! A figure as pixels, with words in the outlines of one bundled font: the same on every machine, whatever fonts it has.

use std::collections::HashMap;
use std::fmt::Write;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::roxmltree::{Document, Node};
use resvg::usvg::{Options, Tree};

use crate::error::{Error, Located, Result};

/// Pixels per unit of the figure: fine enough for print at its size on a page.
const SCALE: f32 = 2.0;

/// DejaVu Sans, as `font/outline.py` writes it down: code point, advance and path of each glyph, in 1024ths of an em.
const FONT: &str = include_str!("font/dejavu-sans.txt");
const UNITS_PER_EM: f64 = 1024.0;
/// The stroke that makes a glyph bold, in the same unit: the font has no bold face here.
const BOLD: f64 = 50.0;

/// Draws an SVG figure.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
    pixels(svg)?.encode_png().or_internal()
}

fn pixels(svg: &str) -> Result<Pixmap> {
    let tree = Tree::from_str(&outlined(svg)?, &Options::default()).or_internal()?;
    let size = tree.size();
    let side = |length: f32| (length * SCALE).ceil() as u32;
    let mut pixels = Pixmap::new(side(size.width()), side(size.height()))
        .ok_or_else(|| Error::Internal("a figure without pixels".to_owned()))?;
    resvg::render(
        &tree,
        Transform::from_scale(SCALE, SCALE),
        &mut pixels.as_mut(),
    );
    Ok(pixels)
}

/// The same figure with outlines in place of its words, which resvg would leave out.
fn outlined(svg: &str) -> Result<String> {
    let glyphs: HashMap<char, (f64, &str)> = FONT.lines().filter_map(glyph).collect();
    let document = Document::parse(svg).or_internal()?;
    let (mut figure, mut done) = (String::new(), 0);
    for text in document.descendants().filter(|n| n.has_tag_name("text")) {
        figure.push_str(&svg[done..text.range().start]);
        outline(&mut figure, text, &glyphs);
        done = text.range().end;
    }
    figure.push_str(&svg[done..]);
    Ok(figure)
}

/// One line of the font.
fn glyph(line: &str) -> Option<(char, (f64, &str))> {
    let mut fields = line.splitn(3, ' ');
    let code = u32::from_str_radix(fields.next()?, 16).ok()?;
    let advance = fields.next()?.parse().ok()?;
    Some((
        char::from_u32(code)?,
        (advance, fields.next().unwrap_or("")),
    ))
}

fn outline(figure: &mut String, text: Node<'_, '_>, glyphs: &HashMap<char, (f64, &str)>) {
    let inherited = |name: &str| text.ancestors().find_map(|node| node.attribute(name));
    let number = |value: Option<&str>| value.and_then(|v| v.parse().ok()).unwrap_or(0.0);
    let (mut advances, mut paths) = (0.0, String::new());
    // Writing to a string does not fail.
    for c in text.text().unwrap_or("").chars() {
        // A character that the font lacks is a box, not a gap.
        let (advance, path) = glyphs
            .get(&c)
            .unwrap_or(&glyphs[&char::REPLACEMENT_CHARACTER]);
        let _ = write!(
            paths,
            "<path transform=\"translate({advances})\" d=\"{path}\"/>"
        );
        advances += advance;
    }
    let before = match inherited("text-anchor") {
        Some("end") => advances,
        Some("middle") => 0.5 * advances,
        _ => 0.0,
    };
    let fill = inherited("fill").unwrap_or("#000");
    let bold = inherited("font-weight") == Some("bold");
    let scale = number(inherited("font-size")) / UNITS_PER_EM;
    let _ = write!(
        figure,
        "<g transform=\"{} translate({} {}) scale({scale} -{scale}) translate(-{before})\" fill=\"{fill}\" stroke=\"{fill}\" stroke-width=\"{}\">{paths}</g>",
        text.attribute("transform").unwrap_or(""),
        number(text.attribute("x")),
        number(text.attribute("y")),
        if bold { BOLD } else { 0.0 },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left, top, right and bottom of what is not white.
    fn ink(text: &str) -> [u32; 4] {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"200\" height=\"200\" font-size=\"20\"><rect width=\"200\" height=\"200\" fill=\"#fff\"/>{text}</svg>"
        );
        let pixels = pixels(&svg).unwrap();
        let inked = pixels
            .pixels()
            .iter()
            .zip(0u32..)
            .filter(|(p, _)| p.red() < 128);
        let places = inked.map(|(_, i)| [i % pixels.width(), i / pixels.width()]);
        places.fold([u32::MAX, u32::MAX, 0, 0], |[l, t, r, b], [x, y]| {
            [l.min(x), t.min(y), r.max(x), b.max(y)]
        })
    }

    #[test]
    fn words_stand_where_they_are_anchored() {
        let at = |attributes: &str, words: &str| {
            ink(&format!(
                "<text x=\"100\" y=\"100\" {attributes}>{words}</text>"
            ))
        };
        // In pixels, two to a unit; a letter is a bit narrower than its advance.
        let [left, top, right, bottom] = at("", "HHHH");
        assert!((200..206).contains(&left) && right > 250, "{left} {right}");
        assert!(top < 175 && (198..=200).contains(&bottom), "{top} {bottom}");
        let width = right - left;
        let [left, _, right, _] = at("text-anchor=\"end\"", "HHHH");
        assert!((194..=200).contains(&right) && right - left == width);
        let [left, _, right, _] = at("text-anchor=\"middle\"", "HHHH");
        assert!((left + right).abs_diff(400) <= 2, "{left} {right}");
        let [left, _, right, _] = at("font-size=\"10\"", "HHHH");
        assert!((right - left).abs_diff(width / 2) <= 2);
        let [left, _, right, _] = at("font-weight=\"bold\"", "HHHH");
        assert!((width + 1..width + 6).contains(&(right - left)));
    }

    #[test]
    fn words_turn() {
        let [left, top, right, bottom] = ink(
            "<text transform=\"translate(50 100) rotate(-90)\" text-anchor=\"middle\">HHHH</text>",
        );
        assert!(bottom - top > 2 * (right - left));
        assert!(
            (top + bottom).abs_diff(400) <= 2,
            "upwards about the middle"
        );
        assert!(
            left < 80 && (98..=100).contains(&right),
            "left of the base line"
        );
    }

    #[test]
    fn a_character_that_the_font_lacks_is_a_box() {
        let text = |words: &str| ink(&format!("<text x=\"9\" y=\"50\">{words}</text>"));
        let nothing = [u32::MAX, u32::MAX, 0, 0];
        assert_eq!(text(" "), nothing);
        assert_ne!(text("漢"), nothing);
        assert_eq!(text("漢"), text("\u{fffd}"));
        assert_ne!(text("±"), text("\u{fffd}"));
    }

    #[test]
    fn every_line_of_the_font_is_a_glyph() {
        let glyphs: Vec<_> = FONT.lines().filter_map(glyph).collect();
        assert_eq!(glyphs.len(), FONT.lines().count());
        let known = |c: char| glyphs.iter().any(|(known, _)| *known == c);
        assert!((' '..='~').chain("±×·–−…éßλσε".chars()).all(known));
        // Markup is read as the character that it stands for.
        let figure = outlined("<svg><text>&lt;</text> <text>&amp;</text></svg>").unwrap();
        assert!(
            !figure.contains("<text") && figure.matches("<path").count() == 2,
            "{figure}"
        );
    }
}
