//! Matrices in `.npy` files.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ddpm_files::npy::{NpyError, read_npy_header};
use ndarray::{Array2, Ix2};

use crate::error::{Error, Result};
use crate::render::plural;

/// Reads a matrix of f64 or f32; `what` it is, for a message.
pub(crate) fn read_matrix(path: &Path, what: &str) -> Result<Array2<f64>> {
    let refused = |source| Error::read(path, source);
    let other = |found: String| {
        Error::file(
            path,
            format!("expected a .npy file with a {what} of f64 or f32, found {found}"),
        )
    };
    let file = File::open(path).map_err(refused)?;
    let metadata = file.metadata().map_err(refused)?;
    if !metadata.is_file() {
        return Err(Error::file(
            path,
            "expected a regular file, found something else",
        ));
    }
    let unreadable = |error| match error {
        NpyError::Io(source) => refused(source),
        wrong => other(wrong.to_string()),
    };
    let mut file = BufReader::new(file);
    let header = read_npy_header(&mut file, metadata.len()).map_err(unreadable)?;
    if !matches!(header.element(), "f8" | "f4") {
        return Err(other(format!("elements of type {}", header.descr)));
    }
    let array = header.floats(&mut file).map_err(unreadable)?;
    let dimensions = plural(array.ndim() as u64, "dimension");
    array
        .into_dimensionality::<Ix2>()
        .map_err(|_| other(format!("an array of {dimensions}")))
}
