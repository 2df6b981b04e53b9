//! Memory that is asked for, not taken: a batch is as large as a flag says.

use crate::{Error, Result};

/// An empty vector with room for `len` floats.
///
/// # Errors
/// [`Error::Memory`] where the system does not give that much.
pub(crate) fn floats(len: usize) -> Result<Vec<f32>> {
    let mut room = Vec::new();
    match room.try_reserve_exact(len) {
        Ok(()) => Ok(room),
        Err(_) => Err(Error::Memory {
            megabytes: len as f64 * size_of::<f32>() as f64 / 1e6,
        }),
    }
}

/// So many zeros.
///
/// # Errors
/// As [`floats`].
pub(crate) fn zeros(len: usize) -> Result<Vec<f32>> {
    let mut room = floats(len)?;
    room.resize(len, 0.0);
    Ok(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_an_error_and_no_abort() {
        assert!(floats(3).unwrap().capacity() >= 3);
        assert_eq!(zeros(2).unwrap(), [0.0; 2]);
        for len in [1 << 50, usize::MAX] {
            let error = floats(len).unwrap_err().to_string();
            assert!(error.contains("no room for another"), "{error}");
        }
    }
}
