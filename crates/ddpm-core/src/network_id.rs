//! Which weights a network has.

use std::fmt;

/// The weights of a network, as far as somebody vouches for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum NetworkId {
    /// SHA-256 of the checkpoint, hexadecimal.
    Sha256(String),
    /// A name that the user gave to a network without a file.
    Named(String),
    /// Nobody said. Such numbers are neither resumed nor merged.
    #[default]
    Unknown,
}

/// What stands for a text that nobody told.
pub(crate) const UNKNOWN: &str = "unknown";
const NAMED: &str = "name:";

impl NetworkId {
    /// Reads what [`Display`](fmt::Display) prints and files store.
    pub fn of_text(text: &str) -> Self {
        match text.strip_prefix(NAMED) {
            Some(name) => Self::Named(name.to_owned()),
            None if text == UNKNOWN => Self::Unknown,
            None => Self::Sha256(text.to_owned()),
        }
    }

    /// Its first 12 characters, for titles and warnings.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }

    /// Whether anything vouches for the network.
    pub fn is_known(&self) -> bool {
        match self {
            Self::Sha256(text) | Self::Named(text) => !text.is_empty(),
            Self::Unknown => false,
        }
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(hash) => f.write_str(hash),
            Self::Named(name) => write!(f, "{NAMED}{name}"),
            Self::Unknown => f.write_str(UNKNOWN),
        }
    }
}
