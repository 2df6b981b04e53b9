//! Files: results in their place, and what a long run keeps of itself beside it.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use ddpm_files::write_atomic;
use pyo3::PyTypeInfo;
use pyo3::prelude::*;

use crate::calls::detached;
use crate::errors::{argument, in_the_way, system};
use crate::process::Process;

/// What makes an object again, and the bytes and the process to make it of: pickle's protocol.
pub(crate) type Pickled<'py> = (Bound<'py, PyAny>, (Cow<'static, [u8]>, Process));

/// What `T._again(bytes, process)` makes again.
pub(crate) fn pickled<'py, T: PyTypeInfo>(
    py: Python<'py>,
    bytes: Vec<u8>,
    process: &Process,
) -> PyResult<Pickled<'py>> {
    let again = py.get_type::<T>().getattr("_again")?;
    Ok((again, (bytes.into(), process.clone())))
}

/// Where a run's result goes, if it goes anywhere, and OUT.partial, as the command line keeps it.
pub(crate) struct Output {
    out: Option<PathBuf>,
    /// Whether a result was there, to go on with.
    replaces: bool,
    partial: PathBuf,
}

impl Output {
    /// Nothing of the user's is replaced: an earlier result or an unfinished run is gone on with, or in the way.
    pub(crate) fn of(out: Option<PathBuf>, resume: bool) -> PyResult<Self> {
        let out = out.map(|path| place(&path)).transpose()?;
        let partial = out.as_deref().map(partial_of).unwrap_or_default();
        if let Some(out) = out.as_deref().filter(|_| !resume) {
            if partial.exists() {
                let advice =
                    "an interrupted run left it; continue it by resume=True, or remove the file";
                return Err(in_the_way(&partial, advice));
            }
            if out.exists() {
                let advice = "remove it, name another, or take it as it is by resume=True";
                return Err(in_the_way(out, advice));
            }
        }
        if let Some(out) = out.as_deref()
            && out.exists()
            && partial.exists()
        {
            let advice =
                "an interrupted run lies beside it, OUT.partial; remove the one that is not wanted";
            return Err(in_the_way(out, advice));
        }
        if out.is_some() {
            // What a killed run has left of its savings goes.
            let _ = ddpm_files::check_writable(&partial);
        }
        let replaces = out.as_deref().is_some_and(Path::exists);
        Ok(Self {
            out,
            replaces,
            partial,
        })
    }

    /// What an earlier run left.
    pub(crate) fn earlier<T: Send, E: Display + Send>(
        &self,
        py: Python<'_>,
        parse: impl FnOnce(&[u8]) -> Result<T, E> + Send,
    ) -> PyResult<Option<T>> {
        let Some(out) = &self.out else {
            return Ok(None);
        };
        let found = [&self.partial, out].into_iter().find(|path| path.exists());
        found.map(|path| parsed(py, "out", path, parse)).transpose()
    }

    /// Writes what there is so far.
    pub(crate) fn keep(&self, bytes: impl FnOnce() -> Vec<u8>) -> ddpm_eval::Result<()> {
        if self.out.is_none() {
            return Ok(());
        }
        write_atomic(&self.partial, &bytes()).map_err(|source| {
            let path = self.partial.clone();
            ddpm_data::Error::Write { path, source }.into()
        })
    }

    /// Puts the result into its place.
    pub(crate) fn finish(&self, bytes: impl FnOnce() -> Vec<u8>) -> PyResult<()> {
        let Some(out) = &self.out else {
            return Ok(());
        };
        if out.exists() && !self.replaces {
            let _ = self.keep(bytes);
            let advice = "it was made while this ran; what was computed is in OUT.partial";
            return Err(in_the_way(out, advice));
        }
        write_atomic(out, &bytes())
            .map_err(|error| system(format_args!("cannot write {}", out.display()), &error))?;
        // A file that cannot be removed only takes space.
        let _ = std::fs::remove_file(&self.partial);
        Ok(())
    }
}

/// Where a file is written: what a link points to. Refuses what is no plain file, and a place where nothing can be written, before anything is computed.
fn place(path: &Path) -> PyResult<PathBuf> {
    let about =
        |error: &std::io::Error| system(format_args!("cannot write {}", path.display()), error);
    let found = match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => std::fs::canonicalize(path).map_err(|e| about(&e))?,
        _ => path.to_owned(),
    };
    match std::fs::metadata(&found) {
        Ok(there) if !there.is_file() => {
            let problem = std::io::Error::other("expected a plain file");
            Err(about(&problem))
        }
        _ => ddpm_files::check_writable(&found)
            .map(|()| found)
            .map_err(|e| about(&e)),
    }
}

fn partial_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// The bytes of a file.
fn read(path: &Path) -> PyResult<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| system(format_args!("cannot read {}", path.display()), &error))
}

/// What a file holds; errors name it.
pub(crate) fn read_as<T: Send, E: Display + Send>(
    py: Python<'_>,
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, E> + Send,
) -> PyResult<T> {
    parsed(py, &path.display().to_string(), path, parse)
}

fn parsed<T: Send, E: Display + Send>(
    py: Python<'_>,
    name: &str,
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, E> + Send,
) -> PyResult<T> {
    let bytes = read(path)?;
    detached(py, || parse(&bytes))?.map_err(|error| argument(name, error))
}

/// Writes a new file, or replaces one where that was asked for.
pub(crate) fn save(path: &Path, bytes: &[u8], overwrite: bool) -> PyResult<()> {
    if path.exists() && !overwrite {
        return Err(in_the_way(
            path,
            "remove it, name another, or say overwrite=True",
        ));
    }
    let path = place(path)?;
    write_atomic(&path, bytes)
        .map_err(|error| system(format_args!("cannot write {}", path.display()), &error))
}
