//! The two streams: data on stdout, everything said to a person about the run on stderr.
//!
//! A closed stdout ends the command quietly; a closed stderr is ignored. Notes about the run are
//! shown only to a person who watches (stderr is a terminal and `--quiet` is off); warnings are
//! shown unless `--quiet`; errors always.

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
    say(format_args!("error: {error}"));
    if let Some(hint) = error.hint(command) {
        say(format_args!("hint: {hint}"));
    }
}

/// A line on stderr. That nobody reads it is no reason to fail.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
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
    print(|out| {
        serde_json::to_writer(&mut *out, &document).map_err(io::Error::from)?;
        out.write_all(b"\n")
    })
}

/// Writes text to stdout as it is.
pub(crate) fn print_text(text: &str) -> Result<()> {
    print(|out| out.write_all(text.as_bytes()))
}
