//! Writing files so that nobody ever sees half of one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` atomically: a temporary file beside it is written, flushed to disk and renamed.
///
/// Whoever opens `path` sees the old content or the new one, never a mixture, even after a crash or on a full
/// disk. On failure the temporary file is removed and the old content, if any, is untouched.
///
/// # Errors
/// The operating system's error from creating, writing, flushing or renaming.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    let written = write_and_flush(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; a leftover that cannot be removed adds nothing to it.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    // Makes the rename itself durable where folders can be flushed; elsewhere the data are safe all the same.
    if let Ok(folder) = File::open(parent(path)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Finds out whether [`write_atomic`] could write `path`, and leaves nothing behind.
///
/// # Errors
/// `path` is a folder, or the operating system's error from creating a file beside it.
pub fn check_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "is a folder; expected a file",
        ));
    }
    // Only a file that did not exist before may be removed afterwards.
    let mut probe = temporary_beside(path)?;
    loop {
        match File::create_new(&probe) {
            Ok(_) => return fs::remove_file(&probe),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => probe = temporary_beside(&probe)?,
            Err(e) => return Err(e),
        }
    }
}

fn write_and_flush(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// A hidden name beside `path`, so that the rename stays on one file system; the process id keeps two runs apart.
fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.partial", std::process::id()));
    Ok(parent(path).join(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_old_content_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_target_and_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        // The target is a folder, so that the rename at the very end fails.
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"x").unwrap();
        assert!(write_atomic(&path, b"new").is_err());
        let names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["taken"]);
    }

    #[test]
    fn a_check_touches_no_file_and_refuses_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        let others = [
            folder.path().join("out.json.probe"),
            temporary_beside(&path).unwrap(),
        ];
        for other in &others {
            fs::write(other, b"mine").unwrap();
        }
        check_writable(&path).unwrap();
        for other in &others {
            assert_eq!(fs::read(other).unwrap(), b"mine");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(check_writable(folder.path()).is_err());
        assert!(check_writable(&folder.path().join("absent/out.json")).is_err());
    }

    #[test]
    fn a_path_under_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(write_atomic(&file.join("below"), b"x").is_err());
        assert!(write_atomic(Path::new("/"), b"x").is_err());
    }
}
