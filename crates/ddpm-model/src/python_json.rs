//! JSON as Python writes it: with `NaN`, `Infinity` and `-Infinity`, and, from editors of Windows, a byte order mark.

use std::borrow::Cow;

use serde_json::Value;

/// Bytes of the longest file that is read: room for forty thousand betas.
pub(crate) const LONGEST: u64 = 1 << 20;

/// What Python writes for numbers that JSON has no words for.
const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// Parses a file. A number that JSON has no word for becomes the string of its name: where a number is needed it is refused by name, elsewhere it is
/// no matter.
///
/// # Errors
/// What is no JSON, in words.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(&in_quotes(bytes)).map_err(|error| format!("not JSON: {error}"))
}

/// The same text with those words in quotes.
fn in_quotes(bytes: &[u8]) -> Cow<'_, [u8]> {
    let outside = |at: usize| WORDS.iter().find(|word| bytes[at..].starts_with(word));
    let mut quoted = Vec::new();
    let (mut at, mut copied, mut in_string) = (0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 2,
            b'"' => {
                in_string = !in_string;
                at += 1;
            }
            _ if in_string => at += 1,
            _ => match outside(at) {
                Some(word) => {
                    quoted.extend(&bytes[copied..at]);
                    quoted.push(b'"');
                    quoted.extend(*word);
                    quoted.push(b'"');
                    at += word.len();
                    copied = at;
                }
                None => at += 1,
            },
        }
    }
    if copied == 0 {
        return Cow::Borrowed(bytes);
    }
    quoted.extend(&bytes[copied..]);
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_numbers_that_only_python_writes_are_words() {
        let text = br#"{"lambda_min_clipped": -Infinity, "a": [Infinity, NaN], "NaN": "say \"NaN, Infinity", "b": 1.5}"#;
        let expected = json!({"lambda_min_clipped": "-Infinity", "a": ["Infinity", "NaN"], "NaN": "say \"NaN, Infinity", "b": 1.5});
        assert_eq!(parse(text).unwrap(), expected);
        for broken in [
            &b"{\"a\": NaNs}"[..],
            b"NaN Infinity",
            b"{\"a\": -NaN}",
            b"\"\\",
            b"",
        ] {
            assert!(parse(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(parse(b"\xef\xbb\xbf{}").unwrap(), json!({}));
    }
}
