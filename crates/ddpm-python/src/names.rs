//! Names that Python gives as texts.

use std::str::FromStr;

use ddpm_core::NetworkOutput;
use pyo3::prelude::*;

use crate::errors::argument;

/// A value by its name; the error lists the names.
pub(crate) fn named<T: FromStr<Err = ddpm_core::Error>>(what: &str, text: &str) -> PyResult<T> {
    text.parse().map_err(|error| argument(what, error))
}

/// The same of an argument that may be left out.
pub(crate) fn maybe<T: FromStr<Err = ddpm_core::Error>>(
    what: &str,
    text: Option<&str>,
) -> PyResult<Option<T>> {
    text.map(|text| named(what, text)).transpose()
}

/// What a network puts out, by the name of its prediction.
pub(crate) fn output(prediction: &str, sigma_data: f64) -> PyResult<NetworkOutput> {
    match prediction {
        "epsilon" | "eps" | "noise" => Ok(NetworkOutput::Epsilon),
        "x0" | "sample" => Ok(NetworkOutput::X0),
        "v" | "v_prediction" => Ok(NetworkOutput::V),
        "velocity" | "flow" | "flow_prediction" => Ok(NetworkOutput::Velocity),
        "edm" if sigma_data > 0.0 && sigma_data.is_finite() => {
            Ok(NetworkOutput::Edm { sigma_data })
        }
        "edm" => Err(argument(
            "sigma_data",
            format_args!("expected a finite number above 0, found {sigma_data}"),
        )),
        other => Err(argument(
            "prediction",
            format_args!("expected epsilon, x0, v, velocity or edm, found {other:?}"),
        )),
    }
}
