//! Errors of the libraries as exceptions.

use std::fmt::Display;
use std::path::Path;

use ddpm_files::FileError;
use pyo3::exceptions::{PyFileExistsError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// What is wrong with what the user gave, in the libraries' words.
pub(crate) fn invalid(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The same of a named argument.
pub(crate) fn argument(name: &str, error: impl Display) -> PyErr {
    PyValueError::new_err(format!("{name}: {error}"))
}

/// What the system refused.
pub(crate) fn system(what: impl Display, error: &std::io::Error) -> PyErr {
    // Python makes the subclass of it, FileNotFoundError and its kin.
    match error.raw_os_error() {
        Some(code) => PyOSError::new_err((code, format!("{what}: {error}"))),
        None => PyOSError::new_err(format!("{what}: {error}")),
    }
}

/// What images or files of them are not, or what could not be written.
pub(crate) fn of_data(error: ddpm_data::Error) -> PyErr {
    if let Some(FileError::Read { path, source }) = error.as_file() {
        return system(format_args!("cannot read {}", path.display()), source);
    }
    match &error {
        ddpm_data::Error::Write { path, source } => {
            system(format_args!("cannot write {}", path.display()), source)
        }
        _ => invalid(error),
    }
}

/// Why something was not measured.
pub(crate) fn of_eval(error: ddpm_eval::Error) -> PyErr {
    match error {
        ddpm_eval::Error::Data(error) => of_data(error),
        error => invalid(error),
    }
}

/// A file that would be lost.
pub(crate) fn in_the_way(path: &Path, advice: &str) -> PyErr {
    PyFileExistsError::new_err(format!("{} exists: {advice}", path.display()))
}

/// A fault of this package.
pub(crate) fn fault(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("a fault of ddpm_schedules: {what}"))
}
