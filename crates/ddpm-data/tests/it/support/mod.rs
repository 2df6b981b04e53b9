//! What several subjects need.

pub(crate) mod archives;
pub(crate) mod cifar;

use std::path::PathBuf;

/// The file or folder that a variable of the environment names, which an ignored test needs.
pub(crate) fn needed(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    PathBuf::from(value.unwrap_or_else(|| panic!("this test needs {variable} in the environment")))
}
