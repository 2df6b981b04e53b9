//! A figure as pixels, with words in the outlines of one bundled font: the same on every machine, whatever fonts it has.

use std::fmt::Write;

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::roxmltree::{Document, Node};
use resvg::usvg::{Options, Tree};

use super::font::{self, UNITS_PER_EM};
use super::size::{Form, PER_INCH};
use crate::error::{Error, Located, Result};

/// The stroke that makes a glyph bold, in the font's unit: it has no bold face here.
const BOLD: f64 = 50.0;
const INCHES_PER_METRE: f64 = 1.0 / 0.0254;

/// Draws an SVG figure of this form. The file says how large its pixels are on paper.
pub(crate) fn png(svg: &str, form: Form) -> Result<Vec<u8>> {
    let per_unit = form.pixels_per_unit();
    let pixels = pixels(svg, form.width() * per_unit)?;
    let per_metre = (per_unit * PER_INCH * INCHES_PER_METRE).round() as u32;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    // A figure has a background: every pixel is opaque.
    let colours: Vec<u8> = pixels
        .pixels()
        .iter()
        .flat_map(|p| [p.red(), p.green(), p.blue()])
        .collect();
    let mut writer = encoder.write_header().or_internal()?;
    writer.write_image_data(&colours).or_internal()?;
    writer.finish().or_internal()?;
    Ok(bytes)
}

/// The figure so many pixels wide.
fn pixels(svg: &str, width: f64) -> Result<Pixmap> {
    let tree = Tree::from_str(&outlined(svg)?, &Options::default()).or_internal()?;
    let size = tree.size();
    let scale = width as f32 / size.width();
    let side = |length: f32| (length * scale).round() as u32;
    let mut pixels = Pixmap::new(side(size.width()), side(size.height()))
        .ok_or_else(|| Error::Internal("a figure without pixels".to_owned()))?;
    // The last row of pixels may be a part of one.
    pixels.fill(Color::WHITE);
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut pixels.as_mut(),
    );
    Ok(pixels)
}

/// The same figure with outlines in place of its words, which resvg would leave out.
fn outlined(svg: &str) -> Result<String> {
    let document = Document::parse(svg).or_internal()?;
    let (mut figure, mut done) = (String::new(), 0);
    for text in document.descendants().filter(|n| n.has_tag_name("text")) {
        figure.push_str(&svg[done..text.range().start]);
        outline(&mut figure, text);
        done = text.range().end;
    }
    figure.push_str(&svg[done..]);
    Ok(figure)
}

fn outline(figure: &mut String, text: Node<'_, '_>) {
    let inherited = |name: &str| text.ancestors().find_map(|node| node.attribute(name));
    let number = |value: Option<&str>| value.and_then(|v| v.parse().ok()).unwrap_or(0.0);
    let (mut advances, mut paths) = (0.0, String::new());
    // Writing to a string does not fail.
    for c in text.text().unwrap_or("").chars() {
        let (advance, path) = font::glyph(c);
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
    use crate::plot::font::FONT;

    /// Left, top, right and bottom of what is not white.
    fn ink(text: &str) -> [u32; 4] {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"200\" height=\"200\" font-size=\"20\"><rect width=\"200\" height=\"200\" fill=\"#fff\"/>{text}</svg>"
        );
        let pixels = pixels(&svg, 400.0).unwrap();
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
        let glyphs: Vec<_> = FONT.lines().filter_map(font::line).collect();
        assert_eq!(glyphs.len(), FONT.lines().count());
        let known = |c: char| glyphs.iter().any(|(known, _)| *known == c);
        assert!(
            (' '..='~')
                .chain("±×·–−…éßλσε⁰¹²³⁴⁵⁶⁷⁸⁹⁻".chars())
                .all(known)
        );
        // Markup is read as the character that it stands for.
        let figure = outlined("<svg><text>&lt;</text> <text>&amp;</text></svg>").unwrap();
        assert!(
            !figure.contains("<text") && figure.matches("<path").count() == 2,
            "{figure}"
        );
    }
}
