//! The two streams: data on stdout, everything said to a person about the run on stderr.
//!
//! A closed stdout ends the command quietly; a closed stderr is ignored. Notes about the run are
//! shown only to a person who watches (stderr is a terminal and `--quiet` is off); warnings, and
//! what a log has of a long run, unless `--quiet`; errors always.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Write};

use ddpm_schedule::results;
use serde::Serialize;

use crate::error::{Error, Located, Result};

/// How much a command says on stderr.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    notes: bool,
    warnings: bool,
}

impl Voice {
    /// Notes need a terminal; `quiet` silences notes and warnings.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            notes: !quiet && io::stderr().is_terminal(),
            warnings: !quiet,
        }
    }

    /// Whether progress and notes are shown.
    pub(crate) fn is_watched(self) -> bool {
        self.notes
    }

    /// Whether stderr is a log of what somebody reads later.
    pub(crate) fn is_logged(self) -> bool {
        self.warnings && !self.notes
    }

    /// Says what is being done.
    pub(crate) fn note(self, message: impl std::fmt::Display) {
        if self.notes {
            say(format_args!("{message}"));
        }
    }

    /// Says what the reader of the result has to know.
    pub(crate) fn warn(self, message: impl std::fmt::Display) {
        if self.warnings {
            say(format_args!("warning: {message}"));
        }
    }
}

/// Prints a failure of `ddpm COMMAND`.
pub(crate) fn report(error: &Error, command: &str) {
    if matches!(error, Error::ClosedPipe) {
        return;
    }
    say(format_args!("error: {}", shortened(&error.to_string())));
    if let Some(hint) = error.hint(command) {
        say(format_args!("hint: {hint}"));
    }
}

/// Prints help, or what clap says of a mistake. A word that would act on a terminal is shown as it is written, and then without colours:
/// a name may be a stranger's (`ddpm inspect *`).
pub(crate) fn print_usage(message: &clap::Error) {
    let mut words = std::env::args_os();
    if words.any(|word| word.to_string_lossy().contains(acts)) && message.use_stderr() {
        say(format_args!("{}", message.render().to_string().trim_end()));
    } else {
        // A closed pipe is no error.
        let _ = message.print();
    }
}

/// A line on stderr. That nobody reads it is no reason to fail.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{}", harmless(&line.to_string()));
}

/// Whether a character moves a terminal's cursor, sets its title or turns its direction round.
fn acts(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Marks, embeddings, overrides and isolates of the direction of writing; separators of lines.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            true
        }
        c => c.is_control(),
    }
}

/// The same text with escapes in place of what acts on a terminal: names out of files are a stranger's.
fn harmless(text: &str) -> Cow<'_, str> {
    escaped(text, |plain, c| plain.extend(c.escape_unicode()))
}

/// The same for a JSON document, in its own escapes: outside of its strings there are no such characters.
fn harmless_json(document: &str) -> Cow<'_, str> {
    // All of them have four digits.
    escaped(document, |plain, c| {
        plain.push_str(&format!("\\u{:04x}", u32::from(c)))
    })
}

fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            escape(&mut plain, c);
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

/// The beginning and the end of a message that a file has made too long to read.
fn shortened(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 4096;
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    let head = text.floor_char_boundary(LONGEST / 2);
    let tail = text.ceil_char_boundary(text.len() - LONGEST / 4);
    Cow::Owned(format!("{} ... {}", &text[..head], &text[tail..]))
}

/// Writes data to stdout; that the reader has gone is [`Error::ClosedPipe`].
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    write(&mut out)
        .and_then(|()| out.flush())
        .map_err(|source| match source.kind() {
            io::ErrorKind::BrokenPipe => Error::ClosedPipe,
            _ => Error::system("write to stdout")(source),
        })
}

/// Writes a result as one JSON document and a newline to stdout.
pub(crate) fn print_json(result: &impl Serialize) -> Result<()> {
    let document = results::document(result).or_internal()?;
    let text = serde_json::to_string(&document).or_internal()?;
    print_json_text(&(text + "\n"))
}

/// The same for a result whose list `key` is too long to hold: it is empty in `result`, and its items are written one by one.
pub(crate) fn print_json_with<T: Serialize>(
    result: &impl Serialize,
    key: &str,
    items: impl Iterator<Item = T>,
) -> Result<()> {
    let text = |document| serde_json::to_string(&document).or_internal();
    let around = text(results::document(result).or_internal()?)?;
    let place = format!("\"{key}\":[");
    let Some((before, after)) = around.split_once(&place) else {
        return Err(Error::Internal(format!("no list {key} in a result")));
    };
    print(|out| {
        out.write_all(harmless_json(before).as_bytes())?;
        out.write_all(place.as_bytes())?;
        for (i, item) in items.enumerate() {
            if i > 0 {
                out.write_all(b",")?;
            }
            // As it is within a document: a list of one, without its brackets.
            let list = serde_json::to_string(&results::document(&[item])?)?;
            let item = list.strip_prefix('[').and_then(|l| l.strip_suffix(']'));
            out.write_all(harmless_json(item.unwrap_or(&list)).as_bytes())?;
        }
        out.write_all(harmless_json(after).as_bytes())?;
        out.write_all(b"\n")
    })
}

/// Writes a JSON document that is written already to stdout.
pub(crate) fn print_json_text(document: &str) -> Result<()> {
    print(|out| out.write_all(harmless_json(document).as_bytes()))
}

/// Writes text for people to stdout.
pub(crate) fn print_text(text: &str) -> Result<()> {
    print(|out| out.write_all(harmless(text).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_out_of_files_do_nothing_to_a_terminal() {
        assert_eq!(harmless("a\tb\nç é 漢"), "a\tb\nç é 漢");
        let evil = "\u{1b}]0;title\u{7}\r\u{9b}2J\u{202e}gnp.exe\u{2066}";
        let plain = harmless(evil);
        assert_eq!(
            plain,
            "\\u{1b}]0;title\\u{7}\\u{d}\\u{9b}2J\\u{202e}gnp.exe\\u{2066}"
        );
    }

    #[test]
    fn json_stays_json() {
        let evil = serde_json::json!({"name": "\u{1b}[2J\u{9b}\u{202e}\u{7f}é"});
        let text = harmless_json(&evil.to_string()).into_owned();
        assert!(!text.contains(acts), "{text}");
        let again: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(again, evil);
    }

    #[test]
    fn a_name_of_a_megabyte_is_shortened() {
        let long = format!("begins {} ends", "é".repeat(1 << 20));
        let short = shortened(&long);
        assert!(short.len() < 4096, "{}", short.len());
        assert!(short.starts_with("begins") && short.ends_with("ends"));
        assert_eq!(shortened("as it is"), "as it is");
    }
}
