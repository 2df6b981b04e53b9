//! Text of files inside SVG and HTML.

/// Text that is neither markup nor ends an attribute in double quotes; characters that XML has no place for are replaced.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_is_markup() {
        assert_eq!(
            escape("<a href=\"x\">&\u{0}\r</a>\n"),
            "&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}\u{fffd}&lt;/a&gt;\n"
        );
    }
}
