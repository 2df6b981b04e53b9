//! Arrays of Python as those of Rust.

use ndarray::ArrayD;
use numpy::{PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::errors::argument;

/// NumPy's array of this type from anything that it can make one of.
fn as_array<'py>(
    name: &str,
    value: &Bound<'py, PyAny>,
    dtype: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let numpy = value.py().import("numpy")?;
    let made = numpy.call_method1("ascontiguousarray", (value, dtype));
    made.map_err(|error| {
        let py = value.py();
        if !(error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyValueError>(py)) {
            return error;
        }
        let refused = argument(name, format_args!("expected numbers: {error}"));
        refused.set_cause(py, Some(error));
        refused
    })
}

/// A list of f64.
pub(crate) fn floats(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    let array = as_array(name, value, "float64")?;
    let array: PyReadonlyArrayDyn<'_, f64> = array.extract()?;
    match array.as_array().ndim() {
        1 => Ok(array.as_array().iter().copied().collect()),
        axes => Err(argument(
            name,
            format_args!("expected one axis, found {axes}"),
        )),
    }
}

/// A matrix of f64.
pub(crate) fn matrix(name: &str, value: &Bound<'_, PyAny>) -> PyResult<ndarray::Array2<f64>> {
    let array = as_array(name, value, "float64")?;
    let array: PyReadonlyArrayDyn<'_, f64> = array.extract()?;
    let found = array.as_array().ndim();
    array
        .to_owned_array()
        .into_dimensionality()
        .map_err(|_| argument(name, format_args!("expected two axes, found {found}")))
}

/// An array of f32, of any shape.
pub(crate) fn singles(name: &str, value: &Bound<'_, PyAny>) -> PyResult<ArrayD<f32>> {
    let array = as_array(name, value, "float32")?;
    let array: PyReadonlyArrayDyn<'_, f32> = array.extract()?;
    Ok(array.to_owned_array())
}
