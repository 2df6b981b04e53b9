//! Text that is safe inside another language: SVG and HTML, and the command line of a shell.

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

/// The words of a command line, quoted where a shell needs it.
fn shell_words(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    quoted.join(" ")
}

/// A word as a shell takes it.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// This command line with `--resume`.
pub(crate) fn command_that_resumes() -> String {
    let mut words: Vec<String> = std::env::args_os()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    if !words.iter().any(|word| word == "--resume") {
        words.push("--resume".to_owned());
    }
    shell_words(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_only_where_needed() {
        let words = ["ddpm", "profile", "my net.pt", "--path=1,2", "it's", ""].map(str::to_owned);
        assert_eq!(
            shell_words(&words),
            r"ddpm profile 'my net.pt' --path=1,2 'it'\''s' ''"
        );
    }

    #[test]
    fn nothing_is_left_that_is_markup() {
        assert_eq!(
            escape("<a href=\"x\">&\u{0}\r</a>\n"),
            "&lt;a href=&quot;x&quot;&gt;&amp;\u{fffd}\u{fffd}&lt;/a&gt;\n"
        );
    }
}
