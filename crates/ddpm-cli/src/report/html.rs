//! Pieces of a page.

use std::fmt::Display;
use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use png::{Decoder, DecodingError};

use crate::plot::{Chart, Form};
use crate::render::escape;

/// A part of the page with a heading.
pub(super) struct Section {
    /// Its anchor.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// HTML.
    pub(super) body: String,
}

impl Section {
    /// `None` where there is nothing to show.
    pub(super) fn unless_empty(
        id: &'static str,
        title: &'static str,
        body: String,
    ) -> Option<Self> {
        (!body.is_empty()).then_some(Self { id, title, body })
    }
}

/// A paragraph of plain text.
pub(super) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// A paragraph that is not to be overlooked.
pub(super) fn warning(text: &str) -> String {
    format!("<p class=\"warning\">{}</p>\n", escape(text))
}

/// Text as it is, which is moved sideways where it is wide.
pub(super) fn verbatim(text: &str) -> String {
    format!(
        "<pre class=\"wide\" tabindex=\"0\">{}</pre>\n",
        escape(text)
    )
}

/// Words below what they are about.
pub(super) fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", escape(text))
}

/// Links to files in the folder beside the page: words and names.
pub(super) fn files(folder: &str, files: &[(&str, String)]) -> String {
    let link = |(words, name): &(&str, String)| {
        let address = format!("{}/{name}", in_address(folder));
        format!("<a href=\"{address}\">{words}</a>")
    };
    let links: Vec<String> = files.iter().map(link).collect();
    format!("<span class=\"files\">{}</span>", links.join(" "))
}

/// A name as a part of an address.
fn in_address(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let part = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(part).collect()
}

/// Lines that begin with a word each, as a list of words and what they say.
pub(super) fn card(lines: &[String]) -> String {
    let split = |line: &String| {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        format!(
            "<dt>{}</dt><dd>{}</dd>\n",
            escape(word),
            escape(rest.trim_start())
        )
    };
    let rows: String = lines.iter().map(split).collect();
    format!("<dl class=\"card\">\n{rows}</dl>\n")
}

/// A chart of its own with its caption and links to its files (HTML); on a small screen it is moved sideways and not shrunk beyond reading.
pub(super) fn figure(chart: &Chart, files: &str) -> String {
    // Inside HTML the name space is understood.
    let svg = chart
        .svg(Form::OnPage)
        .replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    let caption = escape(&chart.caption());
    format!(
        "<figure class=\"chart\"><div class=\"wide\" tabindex=\"0\">{svg}</div><figcaption>{caption} {files}</figcaption></figure>\n"
    )
}

/// Something that opens.
pub(super) fn details(summary: impl Display, open: bool, body: &str) -> String {
    let (summary, open) = (
        escape(&summary.to_string()),
        if open { " open=\"\"" } else { "" },
    );
    format!("<details{open}><summary>{summary}</summary>\n{body}</details>\n")
}

/// Something that is closed at first.
pub(super) fn folded(summary: impl Display, body: &str) -> String {
    details(summary, false, body)
}

/// A list of names and values.
pub(super) fn pairs_of_words<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows: String = rows
        .into_iter()
        .map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(&value)))
        .collect();
    format!("<dl>\n{rows}</dl>\n")
}

/// Pixels of a picture that a browser may be asked to hold.
const PIXELS: u64 = 64 << 20;

/// A PNG file.
pub(super) struct Image {
    bytes: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Image {
    /// A picture that can be read to its end.
    ///
    /// # Errors
    /// Why a page is no place for it.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, &'static str> {
        let why = |error| match error {
            DecodingError::LimitsExceeded => "an image of longer lines than are read",
            _ => "a damaged PNG: it cannot be read to its end",
        };
        // A line at a time: only a browser holds all of it.
        let mut reader = Decoder::new(Cursor::new(&bytes)).read_info().map_err(why)?;
        let (width, height) = reader.info().size();
        if u64::from(width) * u64::from(height) > PIXELS {
            return Err("an image of more than 64 million pixels");
        }
        while reader.next_row().map_err(why)?.is_some() {}
        reader.finish().map_err(why)?;
        Ok(Self {
            bytes,
            width,
            height,
        })
    }

    /// The file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its address, which holds all of it.
    pub(super) fn address(&self) -> String {
        format!("data:image/png;base64,{}", STANDARD.encode(&self.bytes))
    }
}
