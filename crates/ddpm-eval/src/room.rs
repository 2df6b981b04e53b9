//! Memory that is asked for, not taken: sizes come from flags and files.

use ndarray::ArrayD;

use crate::error::{Error, Result};

/// So many zeros as the product of `sizes`.
///
/// # Errors
/// [`Error::Request`] about `field` where the system does not give that much.
pub(crate) fn zeros<T: Clone + Default>(field: &'static str, sizes: &[usize]) -> Result<Vec<T>> {
    let mut room = reserved(field, sizes)?;
    // The product was checked.
    room.resize(sizes.iter().product(), T::default());
    Ok(room)
}

/// The room for so many values, none of them written: whether others may take it.
///
/// # Errors
/// As [`zeros`].
pub(crate) fn reserved<T>(field: &'static str, sizes: &[usize]) -> Result<Vec<T>> {
    let refused = || {
        let bytes: f64 =
            sizes.iter().map(|&size| size as f64).product::<f64>() * size_of::<T>() as f64;
        Error::request(
            field,
            format!(
                "needs {:.1} GB of memory, which the system does not give; take fewer or smaller ones",
                bytes / 1e9
            ),
        )
    };
    let product = |all: usize, &size: &usize| all.checked_mul(size);
    let count = sizes.iter().try_fold(1, product).ok_or_else(refused)?;
    let mut room = Vec::new();
    room.try_reserve_exact(count).map_err(|_| refused())?;
    Ok(room)
}

/// The same as an array of that shape.
///
/// # Errors
/// As [`zeros`].
pub(crate) fn zeros_of<T: Clone + Default>(
    field: &'static str,
    shape: &[usize],
) -> Result<ArrayD<T>> {
    let values = zeros(field, shape)?;
    ArrayD::from_shape_vec(shape, values)
        .map_err(|error| Error::request(field, format!("shape {shape:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_an_error_and_no_abort() {
        assert_eq!(zeros::<f64>("batch", &[2, 3]).unwrap(), [0.0; 6]);
        for sizes in [[1 << 40, 1 << 12], [usize::MAX, 2]] {
            let error = zeros::<f64>("batch", &sizes).unwrap_err().to_string();
            assert!(
                error.starts_with("batch: needs") && error.contains("GB"),
                "{error}"
            );
        }
    }
}
