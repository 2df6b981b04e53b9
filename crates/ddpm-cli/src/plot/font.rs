//! The bundled font: outlines for pixels, and how wide words are.

use std::collections::HashMap;
use std::sync::LazyLock;

/// DejaVu Sans, as `font/outline.py` writes it down: code point, advance and path of each glyph, in 1024ths of an em.
pub(super) const FONT: &str = include_str!("font/dejavu-sans.txt");
pub(super) const UNITS_PER_EM: f64 = 1024.0;

static GLYPHS: LazyLock<HashMap<char, (f64, &str)>> =
    LazyLock::new(|| FONT.lines().filter_map(line).collect());

/// One line of the font.
pub(super) fn line(line: &str) -> Option<(char, (f64, &str))> {
    let mut fields = line.splitn(3, ' ');
    let code = u32::from_str_radix(fields.next()?, 16).ok()?;
    let advance = fields.next()?.parse().ok()?;
    Some((
        char::from_u32(code)?,
        (advance, fields.next().unwrap_or("")),
    ))
}

/// Advance and path of a character; one that the font lacks is a box, not a gap.
pub(super) fn glyph(c: char) -> (f64, &'static str) {
    *GLYPHS
        .get(&c)
        .unwrap_or(&GLYPHS[&char::REPLACEMENT_CHARACTER])
}

/// The width of words of this size, in the unit of the size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let advance: f64 = text.chars().map(|c| glyph(c).0).sum();
    advance / UNITS_PER_EM * size
}
