//! What several subjects need.

pub(crate) mod formula;
pub(crate) mod models;
pub(crate) mod watchers;

use std::path::PathBuf;

/// The file or folder that a variable of the environment names, which an ignored test needs.
pub(crate) fn needed(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    PathBuf::from(value.unwrap_or_else(|| panic!("this test needs {variable} in the environment")))
}

/// A file of the golden set.
pub(crate) fn golden(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name)
}
