//! A compressed array, unpacked into an unnamed temporary file as far as it is read.
//!
//! Compressed data have no positions: whoever wants the third image unpacks what is before it, and no more. The system removes the
//! file when the set is dropped or the process ends, however it ends.

use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ddpm_files::npz::MemberReader;
use ddpm_files::{FileError, PositionedFile};

use crate::error::{Error, Result};

/// Bytes unpacked at a time.
const PIECE: usize = 1 << 20;

/// The elements of an array, of which those are in a file that somebody has asked for.
#[derive(Debug)]
pub(crate) struct LazyCopy {
    key: &'static str,
    file: PositionedFile,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rest: MemberReader,
    /// Bytes in the file.
    done: u64,
    /// Why there are no more: what is read after a failure would not belong to its place.
    wrong: Option<String>,
}

impl LazyCopy {
    /// The next `bytes` bytes of `rest`, the elements of the array `key` of the archive at `path`.
    ///
    /// # Errors
    /// [`Error::Unpack`] where no temporary file can be made.
    pub(crate) fn new(
        path: &Path,
        key: &'static str,
        rest: MemberReader,
        bytes: u64,
    ) -> Result<Self> {
        let refused = |error| Error::no_room(path, bytes, error);
        let file = tempfile::tempfile().map_err(refused)?;
        // Where files may have holes only what is written takes room.
        file.set_len(bytes).map_err(refused)?;
        Ok(Self {
            key,
            file: PositionedFile::private(path, file, bytes),
            state: Mutex::new(State {
                rest,
                done: 0,
                wrong: None,
            }),
        })
    }

    /// The archive.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Fills `dst` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`Error::Unpack`] where there is no room for what comes before; a damaged archive, as the field `key` of the file.
    pub(crate) fn read_exact_at(&self, offset: u64, dst: &mut [u8]) -> Result<()> {
        self.unpack_to(offset.saturating_add(dst.len() as u64))?;
        Ok(self.file.read_exact_at(offset, dst)?)
    }

    fn unpack_to(&self, end: u64) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.file.length();
        let end = end.min(bytes);
        let damaged = |found| Error::field(self.path(), self.key, "a readable array", found);
        if let Some(found) = &state.wrong {
            return Err(damaged(found.clone()));
        }
        if state.done >= end {
            return Ok(());
        }
        // Of an unreadable file the system's own words, the first time.
        let told = |error: std::io::Error| match error.downcast::<FileError>() {
            Ok(error) => error.into(),
            Err(error) => damaged(error.to_string()),
        };
        let mut piece = vec![0; PIECE];
        while state.done < end {
            let wanted = usize::try_from(bytes - state.done).map_or(PIECE, |left| left.min(PIECE));
            // Until it is in the file, what is read now is in no place.
            state.wrong = Some("elements that could not be unpacked before".to_owned());
            let n = match state.rest.read(&mut piece[..wanted]) {
                Ok(0) => {
                    let done = state.done;
                    let found = format!("{done} bytes of elements where {bytes} are declared");
                    state.wrong = Some(found.clone());
                    return Err(damaged(found));
                }
                Ok(n) => n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    state.wrong = Some(error.to_string());
                    return Err(told(error));
                }
            };
            let written = self.file.write_all_at(state.done, &piece[..n]);
            written.map_err(|error| Error::no_room(self.path(), bytes, error))?;
            state.done += n as u64;
            state.wrong = None;
        }
        if state.done == bytes {
            // At its end the reader compares the checksum.
            let rest = std::io::copy(&mut state.rest, &mut std::io::sink());
            if let Err(error) = rest {
                state.wrong = Some(error.to_string());
                return Err(told(error));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ddpm_files::npz::{NpzArchive, NpzWriter};
    use ndarray::Array1;

    use super::*;

    fn open(path: &Path, bytes: u64) -> LazyCopy {
        let mut archive = NpzArchive::open(path).unwrap();
        let entry = archive.entry("x", "").unwrap();
        let rest = archive.member(&entry, "x", "").unwrap();
        LazyCopy::new(path, "x", rest, bytes).unwrap()
    }

    fn archive(folder: &Path) -> (std::path::PathBuf, Array1<u8>) {
        let path = folder.join("a.npz");
        let values = Array1::from_iter((0..4 * PIECE).map(|i| (i * i / 7) as u8));
        let mut writer = NpzWriter::new_compressed(std::fs::File::create(&path).unwrap());
        writer.add_array("x", &values).unwrap();
        writer.finish().unwrap();
        (path, values)
    }

    #[test]
    fn only_what_is_read_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let (path, values) = archive(folder.path());
        let copy = open(&path, values.len() as u64);
        let done = || copy.state.lock().unwrap().done as usize;
        let mut bytes = [0; 10];
        copy.read_exact_at(7, &mut bytes).unwrap();
        assert_eq!(bytes[..], values.as_slice().unwrap()[7..17]);
        assert!(done() >= 17 && done() <= PIECE, "{}", done());
        copy.read_exact_at(2 * PIECE as u64, &mut bytes).unwrap();
        assert_eq!(bytes[..], values.as_slice().unwrap()[2 * PIECE..][..10]);
        copy.read_exact_at(0, &mut bytes).unwrap();
        assert_eq!(bytes[..], values.as_slice().unwrap()[..10]);
        assert!(done() < values.len());
        let mut last = [0];
        copy.read_exact_at(values.len() as u64 - 1, &mut last)
            .unwrap();
        assert_eq!(Some(&last[0]), values.last());
        assert!(copy.read_exact_at(values.len() as u64, &mut last).is_err());
    }

    #[test]
    fn what_is_short_or_damaged_is_found_where_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, values) = archive(folder.path());
        let copy = open(&path, values.len() as u64 + 5);
        let mut last = [0];
        copy.read_exact_at(0, &mut last).unwrap();
        let error = copy
            .read_exact_at(values.len() as u64, &mut last)
            .unwrap_err();
        assert!(
            error.to_string().contains("bytes of elements where"),
            "{error}"
        );
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(&path, bytes).unwrap();
        let copy = open(&path, values.len() as u64);
        let error = copy
            .read_exact_at(values.len() as u64 - 1, &mut last)
            .unwrap_err();
        let wanted = "a.npz: x: expected a readable array";
        assert!(error.to_string().contains(wanted), "{error}");
        // It stays so, for what was read before too: nobody knows what is damaged.
        let error = copy.read_exact_at(0, &mut last).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}
