//! Files that are read at positions, by any number of threads at once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::file_error::{FileError, FileResult};

/// A file open for reading at positions.
#[derive(Debug)]
pub struct PositionedFile {
    /// What messages call it: the file, or the archive that was unpacked into it.
    path: PathBuf,
    handle: Handle,
    length: u64,
    /// When the file was last written before it was opened; `None` if nobody else can write it.
    modified: Option<SystemTime>,
}

impl PositionedFile {
    /// Opens a file of the user's.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn open(path: &Path) -> FileResult<Self> {
        let read = |e| FileError::read(path, e);
        let file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        Ok(Self {
            path: path.to_owned(),
            handle: Handle::new(file),
            length: metadata.len(),
            // Some file systems keep no such time; lengths are still compared there.
            modified: metadata.modified().ok(),
        })
    }

    /// A temporary file of our own, made from `path`.
    pub fn private(path: &Path, file: File, length: u64) -> Self {
        Self {
            path: path.to_owned(),
            handle: Handle::new(file),
            length,
            modified: None,
        }
    }

    /// What messages call it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file when it was opened.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `dst` with the bytes from `offset` on.
    ///
    /// # Errors
    /// The system's refusal; a file that is shorter, or that was written to since it was opened: what is read later would
    /// not belong to what was read before.
    pub fn read_exact_at(&self, offset: u64, dst: &mut [u8]) -> FileResult<()> {
        let read = self.handle.read_exact_at(offset, dst);
        let (length, modified) = self.now()?;
        if length != self.length {
            return Err(self.changed(format!(
                "one of {length} bytes: it has changed since it was opened"
            )));
        }
        if self.modified.is_some() && modified != self.modified {
            return Err(self.changed("one that was written to since it was opened"));
        }
        read.map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                self.changed(format!("no {} bytes from byte {offset} on", dst.len()))
            }
            _ => FileError::read(&self.path, e),
        })
    }

    /// Writes into a temporary file of our own.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        debug_assert!(self.modified.is_none(), "a file of the user's");
        self.handle.write_all_at(offset, bytes)
    }

    fn now(&self) -> FileResult<(u64, Option<SystemTime>)> {
        let metadata = self
            .handle
            .metadata()
            .map_err(|e| FileError::read(&self.path, e))?;
        Ok((metadata.len(), metadata.modified().ok()))
    }

    fn changed(&self, found: impl Into<String>) -> FileError {
        let expected = format!("a file of {} bytes that stays as it is", self.length);
        FileError::field(&self.path, "content", expected, found)
    }
}

/// Reads at positions without moving a cursor that others share.
#[cfg(unix)]
#[derive(Debug)]
struct Handle(File);

#[cfg(unix)]
impl Handle {
    fn new(file: File) -> Self {
        Self(file)
    }

    fn read_exact_at(&self, offset: u64, dst: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, dst, offset)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.0.metadata()
    }
}

/// One reader at a time, where the system has no reads at positions that leave the cursor alone.
#[cfg(not(unix))]
#[derive(Debug)]
struct Handle(std::sync::Mutex<File>);

#[cfg(not(unix))]
impl Handle {
    fn new(file: File) -> Self {
        Self(std::sync::Mutex::new(file))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, File> {
        // Every read sets the position first, so that a reader that died half way leaves nothing wrong behind.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn read_exact_at(&self, offset: u64, dst: &mut [u8]) -> io::Result<()> {
        use io::{Read, Seek};
        let mut file = self.lock();
        file.seek(io::SeekFrom::Start(offset))?;
        file.read_exact(dst)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        use io::{Seek, Write};
        let mut file = self.lock();
        file.seek(io::SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.lock().metadata()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_anywhere_and_notices_a_file_that_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        std::fs::write(&path, b"0123456789").unwrap();
        let file = PositionedFile::open(&path).unwrap();
        let read = |offset, length| {
            let mut bytes = vec![0; length];
            file.read_exact_at(offset, &mut bytes)
                .map(|()| String::from_utf8(bytes).unwrap())
                .map_err(|e| e.to_string())
        };
        assert_eq!((file.length(), file.path()), (10, path.as_path()));
        assert_eq!(read(7, 3).unwrap(), "789");
        assert_eq!(read(0, 4).unwrap(), "0123");
        let text = read(8, 3).unwrap_err();
        assert!(
            text.contains("a.bin") && text.contains("no 3 bytes from byte 8"),
            "{text}"
        );

        let handle = File::options().write(true).open(&path).unwrap();
        handle.set_len(5).unwrap();
        let text = read(0, 4).unwrap_err();
        assert!(
            text.contains("a file of 10 bytes") && text.contains("one of 5 bytes"),
            "{text}"
        );
        handle.set_len(10).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        handle.set_modified(later).unwrap();
        assert!(read(0, 4).unwrap_err().contains("written to since"));
    }
}
