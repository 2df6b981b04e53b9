//! The names of a folder's files, packed: a million of them take their letters and eight bytes each.

use std::ffi::OsStr;
use std::path::Path;

use crate::error::{Error, Result};

/// A list of names.
#[derive(Debug, Default)]
pub(crate) struct FileNames {
    /// All names one after the other.
    text: Vec<u8>,
    /// Start and length of each in `text`.
    places: Vec<(u32, u32)>,
}

impl FileNames {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Adds a name of a file of `folder`.
    ///
    /// # Errors
    /// More letters than 32 bits count; outside Unix, a name that is no text.
    pub(crate) fn push(&mut self, folder: &Path, name: &OsStr) -> Result<()> {
        let bytes = bytes(name)
            .ok_or_else(|| Error::field(folder, "file name", "text", name.display().to_string()))?;
        let place = (u32::try_from(self.text.len()), u32::try_from(bytes.len()));
        let (Ok(start), Ok(length)) = place else {
            let found = format!("more at {}", name.display());
            return Err(Error::field(
                folder,
                "file names",
                "at most 4 GiB of them",
                found,
            ));
        };
        self.places.push((start, length));
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    /// Sorts the names from place `first` on by their bytes, so that the order is the same everywhere.
    pub(crate) fn sort(&mut self, first: usize) {
        let Self { text, places } = self;
        places[first..].sort_unstable_by_key(|&place| slice(text, place));
        text.shrink_to_fit();
        places.shrink_to_fit();
    }

    /// Name `index`, which exists.
    pub(crate) fn get(&self, index: usize) -> &OsStr {
        name(slice(&self.text, self.places[index]))
    }
}

fn slice(text: &[u8], (start, length): (u32, u32)) -> &[u8] {
    &text[start as usize..][..length as usize]
}

#[cfg(unix)]
fn bytes(name: &OsStr) -> Option<&[u8]> {
    Some(std::os::unix::ffi::OsStrExt::as_bytes(name))
}

#[cfg(unix)]
fn name(bytes: &[u8]) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

#[cfg(not(unix))]
fn bytes(name: &OsStr) -> Option<&[u8]> {
    name.to_str().map(str::as_bytes)
}

#[cfg(not(unix))]
fn name(bytes: &[u8]) -> &OsStr {
    // Only text comes in.
    std::str::from_utf8(bytes).unwrap_or_default().as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_sorted() {
        let mut names = FileNames::default();
        for name in ["b.png", "10.png", "é.png", "9.PNG"] {
            names.push(Path::new("folder"), OsStr::new(name)).unwrap();
        }
        names.sort(0);
        let found: Vec<&OsStr> = (0..names.len()).map(|i| names.get(i)).collect();
        assert_eq!(found, ["10.png", "9.PNG", "b.png", "é.png"]);
    }
}
