//! What a JSON document calls itself, read without holding the rest of it.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::file_error::{FileError, FileResult};

/// The format and the version that a JSON document names. The rest is read over: it takes no memory, whatever it holds.
#[derive(Debug)]
pub struct DocumentHead {
    /// The entry `format`.
    pub format: Named,
    /// The entry `version`.
    pub version: Named,
}

/// An entry of a [`DocumentHead`]; shows itself as JSON, or as what it is where it is neither a word nor a number.
#[derive(Debug)]
pub enum Named {
    /// It is absent, or null.
    Nothing,
    /// A text.
    Word(String),
    /// A whole number from 0 up.
    Number(u64),
    /// What else it is.
    Else(&'static str),
}

impl DocumentHead {
    /// That of a document that names neither.
    const NONE: Self = Self {
        format: Named::Nothing,
        version: Named::Nothing,
    };

    /// Reads the head of a document; one that is no object has none.
    ///
    /// # Errors
    /// For what is not JSON.
    pub fn read(document: &[u8]) -> serde_json::Result<Self> {
        if document.trim_ascii_start().starts_with(b"{") {
            return serde_json::from_slice(document);
        }
        serde_json::from_slice(document).map(|IgnoredAny| Self::NONE)
    }

    /// Whether it names this format.
    pub fn is(&self, format: &str) -> bool {
        matches!(&self.format, Named::Word(found) if found == format)
    }

    /// The version, where it is a whole number.
    pub fn version(&self) -> Option<u64> {
        match self.version {
            Named::Number(version) => Some(version),
            _ => None,
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("null"),
            Self::Word(word) => f.write_str(&serde_json::Value::from(word.as_str()).to_string()),
            Self::Number(number) => number.fmt(f),
            Self::Else(what) => f.write_str(what),
        }
    }
}

impl<'de> Deserialize<'de> for DocumentHead {
    fn deserialize<D: Deserializer<'de>>(document: D) -> Result<Self, D::Error> {
        document.deserialize_map(OfHead)
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(entry: D) -> Result<Self, D::Error> {
        entry.deserialize_any(OfNamed)
    }
}

/// Reads an object's entries over but for two.
struct OfHead;

impl<'de> Visitor<'de> for OfHead {
    type Value = DocumentHead;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DocumentHead, A::Error> {
        let mut head = DocumentHead::NONE;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &*key {
                "format" => head.format = map.next_value()?,
                "version" => head.version = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(head)
    }
}

/// Keeps what a word or a number says, and of the rest what it is.
struct OfNamed;

impl<'de> Visitor<'de> for OfNamed {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Named, E> {
        Ok(Named::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Named, E> {
        Ok(Named::Else("a switch"))
    }

    fn visit_str<E>(self, word: &str) -> Result<Named, E> {
        Ok(Named::Word(word.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Named, E> {
        Ok(Named::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Named, E> {
        Ok(Named::Else("a number below 0"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Named, E> {
        Ok(Named::Else("a number that is not whole"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Named, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Named::Else("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Named::Else("an object"))
    }
}

/// The bytes of a file that has to be small: as values, JSON takes up to forty times the room that it has as text.
///
/// # Errors
/// For a file that cannot be read or has more than `most` bytes.
pub fn read_small(path: &Path, most: u64) -> FileResult<Vec<u8>> {
    use std::io::Read;

    let refused = |error| FileError::read(path, error);
    let file = std::fs::File::open(path).map_err(refused)?;
    let mut bytes = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(refused)?;
    if bytes.len() as u64 > most {
        let expected = format!("at most {most} bytes");
        return Err(FileError::field(path, "size", expected, "more"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_past_everything_else() {
        let head = DocumentHead::read(br#"{"a": [[{}]], "version": 3, "format": "x"}"#).unwrap();
        assert!(head.is("x") && !head.is("y"));
        assert_eq!(head.version(), Some(3));
        for (found, shown) in [
            ("null", "null"),
            ("true", "a switch"),
            ("-1", "a number below 0"),
            ("1.5", "a number that is not whole"),
            ("[1, [2]]", "a list"),
            ("{\"a\": 1}", "an object"),
            ("\"a\\n\"", "\"a\\n\""),
        ] {
            let document = format!("{{\"version\": {found}}}");
            let head = DocumentHead::read(document.as_bytes()).unwrap();
            assert_eq!(
                (head.version.to_string(), head.version()),
                (shown.into(), None)
            );
            assert_eq!(head.format.to_string(), "null");
        }
        for document in ["null", "true", "\"a\"", "1", "-1", "1.5", "[1, {}]"] {
            let head = DocumentHead::read(document.as_bytes()).unwrap();
            assert_eq!(head.format.to_string(), "null", "{document}");
        }
        assert!(DocumentHead::read(b"{").is_err());
    }

    #[test]
    fn a_file_that_is_too_long_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_small(&path, 5).unwrap(), b"12345");
        let error = read_small(&path, 4).unwrap_err().to_string();
        assert!(
            error.contains("c.json: size: expected at most 4 bytes"),
            "{error}"
        );
    }
}
