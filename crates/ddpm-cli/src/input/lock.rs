//! One run per output: a lock beside the file that a long run writes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::files::with_ending;
use crate::error::{Error, Result};
use crate::output::Voice;

/// The right to write one output, held until it is dropped.
///
/// It is a lock of the operating system on the file OUT.lock. The system releases it with the process, however that
/// ends: the file alone, left by a crash, keeps nobody out.
#[derive(Debug)]
pub(crate) struct OutputLock {
    path: PathBuf,
    /// Locked as long as it is open; `None` where the file system knows no locks.
    file: Option<File>,
}

impl OutputLock {
    /// Takes the lock of `out`. Where the file system knows no locks it says so and goes on without.
    /// What is no plain file is refused: the run keeps files beside its output.
    pub(crate) fn take(out: &Path, voice: Voice) -> Result<Self> {
        if std::fs::metadata(out).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            return Err(Error::file(
                out,
                "is a device or a pipe; expected a file, because a run keeps what it has finished beside it",
            ));
        }
        // Two names of one file are one output.
        let place = ddpm_files::destination(out).map_err(|source| Error::write(out, source))?;
        let path = with_ending(&place, "lock");
        refuse_what_is_no_lock(&path)?;
        loop {
            let file = open(&path).map_err(|source| Error::write(&path, source))?;
            let file = match file.try_lock() {
                Ok(()) => Some(file),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::file(
                        out,
                        format_args!(
                            "another run is writing it and holds {}; expected one run per output: wait for its end, or name another --out",
                            path.display()
                        ),
                    ));
                }
                Err(TryLockError::Error(error)) => {
                    voice.warn(format_args!(
                        "cannot lock {}: {error}; make sure yourself that no other run writes {}",
                        path.display(),
                        out.display()
                    ));
                    None
                }
            };
            // The file may have been removed by its last holder between the opening and the locking: such a lock keeps
            // nobody out. Once it is held and in its place it stays there, because only the holder removes it.
            let in_place = match &file {
                Some(file) => {
                    is_in_place(file, &path).map_err(|source| Error::read(&path, source))?
                }
                None => true,
            };
            if in_place {
                return Ok(Self { path, file });
            }
        }
    }
}

/// A lock is an empty file: whatever else has its name (`uv.lock`) is not written to, and not removed.
fn refuse_what_is_no_lock(path: &Path) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if !there.is_file() || there.len() > 0 => Err(Error::file(
            path,
            "is no lock of a run; expected an empty file or none",
        )
        .advised("name another --out: a run keeps OUT.lock while it lasts")),
        _ => Ok(()),
    }
}

impl Drop for OutputLock {
    /// Removes the file where that is safe; a file that stays is empty and in nobody's way.
    ///
    /// It has to go before the lock does. Elsewhere than on Unix nothing tells the next run that the file it has just
    /// locked is no longer the one in the folder, so it stays. It also stays if it could not be locked: it may be the
    /// lock of a run on another machine that can.
    fn drop(&mut self) {
        if cfg!(unix) && self.file.is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Whether `file` is what `path` names.
#[cfg(unix)]
fn is_in_place(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Nobody removes the file here.
#[cfg(not(unix))]
fn is_in_place(_file: &File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A folder of this test alone.
    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ddpm-lock-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn one_holder_at_a_time_whoever_removes_the_file() {
        let folder = folder("race");
        let out = folder.join("p");
        let voice = Voice::new(true);
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let Ok(lock) = OutputLock::take(&out, voice) else {
                            continue;
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                        taken.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(taken.into_inner() > 0);
        assert_eq!(out.with_extension("lock").exists(), cfg!(not(unix)));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_left_behind_keeps_nobody_out() {
        let folder = folder("stale");
        let out = folder.join("p");
        std::fs::write(folder.join("p.lock"), "").unwrap();
        let voice = Voice::new(true);
        let lock = OutputLock::take(&out, voice).unwrap();
        let refused = OutputLock::take(&out, voice).unwrap_err();
        assert!(matches!(refused, Error::Input(_)), "{refused:?}");
        let text = refused.to_string();
        assert!(
            text.contains("p.lock") && text.contains("expected"),
            "{text}"
        );
        assert!(OutputLock::take(&folder.join("q"), voice).is_ok());
        drop(lock);
        assert!(OutputLock::take(&out, voice).is_ok());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
