//! Arrays of numbers by name out of an `.npz` archive.

use std::path::Path;

use ndarray::{ArrayD, IxDyn};

use super::npz::Archive;
use crate::error::{Error, Result};

/// An open `.npz` archive of numbers. Nothing is allocated that the file's size does not warrant.
pub struct NumberArchive<'a> {
    path: &'a Path,
    archive: Archive<'a>,
}

impl<'a> NumberArchive<'a> {
    /// Opens an archive.
    ///
    /// # Errors
    /// A file that cannot be read or is no archive.
    pub fn open(path: &'a Path) -> Result<Self> {
        Ok(Self {
            path,
            archive: Archive::open(path)?,
        })
    }

    /// Whether there is an array of this name.
    pub fn contains(&self, key: &'static str) -> bool {
        self.archive.first_of(&[key]).is_some()
    }

    /// A real or integer array.
    ///
    /// # Errors
    /// No such array, or one of another type; the message names file and key.
    pub fn floats(&mut self, key: &'static str, expected: &str) -> Result<ArrayD<f64>> {
        self.archive.check(key, expected)?;
        macro_rules! attempt {
            ($($number:ty),*) => {$(
                if let Ok(found) = self.archive.array::<$number, IxDyn>(key) {
                    return Ok(found.mapv(|x| x as f64));
                }
            )*};
        }
        attempt!(f64, f32, i64, i32, u8);
        Err(self.wrong(key, expected, "elements of another type"))
    }

    /// An array of whole numbers from 0 up, or of booleans.
    ///
    /// # Errors
    /// No such array, one of another type, or a number below 0; the message names file and key.
    pub fn integers(&mut self, key: &'static str, expected: &str) -> Result<ArrayD<u64>> {
        self.archive.check(key, expected)?;
        if let Ok(found) = self.archive.array::<bool, IxDyn>(key) {
            return Ok(found.mapv(u64::from));
        }
        let Some(found) = self.archive.integers::<IxDyn>(key) else {
            return Err(self.wrong(key, expected, "elements of another type"));
        };
        match found.iter().find(|&&x| u64::try_from(x).is_err()) {
            Some(negative) => Err(self.wrong(key, expected, negative)),
            None => Ok(found.mapv(|x| u64::try_from(x).unwrap_or(0))),
        }
    }

    /// The complaint that an array is not what it has to be.
    pub fn wrong(&self, key: &'static str, expected: &str, found: impl std::fmt::Display) -> Error {
        Error::field(self.path, key, expected, found.to_string())
    }
}
