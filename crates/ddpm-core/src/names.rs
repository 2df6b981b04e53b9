//! Enumerations that users name on a command line or in a file.

use crate::{Error, Result};

/// Gives an enumeration its names: `name`, `ALL`, `Display`, `FromStr` (which knows further names too) and the JSON form, a string.
///
/// For the enumerations of this workspace; the crate that uses it needs serde.
#[doc(hidden)]
#[macro_export]
macro_rules! names {
    ($type:ident, $what:literal, $($variant:ident => $name:literal $(| $other:literal)*),+ $(,)?) => {
        impl $type {
            /// Every value, in the order in which they are listed to people.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name: what is printed, stored and parsed.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::Error;

            fn from_str(text: &str) -> $crate::Result<Self> {
                const NAMES: &[(&str, $type)] = &[$(($name, $type::$variant)),+ $($(, ($other, $type::$variant))*)+];
                $crate::parse_name($what, text, NAMES)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                name.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use names;

/// Finds `text` among named values; `-` and `_` are the same and case does not matter, because other
/// tools write `fixed_small` where this one writes `fixed-small`.
pub fn parse_name<T: Copy>(
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
