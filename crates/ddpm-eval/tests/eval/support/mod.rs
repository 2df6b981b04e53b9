//! What several subjects need.

pub(crate) mod formula;
pub(crate) mod models;
pub(crate) mod watchers;

use std::path::PathBuf;

/// A file of the golden set.
pub(crate) fn golden(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name)
}
