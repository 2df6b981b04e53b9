//! Enumerations that users name on a command line or in a file.

use crate::{Error, Result};

/// Finds `text` among named values; `-` and `_` are the same and case does not matter, because other
/// tools write `fixed_small` where this one writes `fixed-small`.
pub(crate) fn parse_name<T: Copy>(
    what: &'static str,
    text: &str,
    names: &[(&'static str, T)],
) -> Result<T> {
    let wanted = text.trim().to_ascii_lowercase().replace('_', "-");
    names
        .iter()
        .find(|(name, _)| name.replace('_', "-") == wanted)
        .map(|&(_, value)| value)
        .ok_or_else(|| Error::UnknownName {
            what,
            found: text.to_owned(),
            expected: names
                .iter()
                .map(|&(name, _)| name)
                .collect::<Vec<_>>()
                .join(", "),
        })
}
