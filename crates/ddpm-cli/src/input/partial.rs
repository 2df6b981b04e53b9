//! What a long run keeps of itself while it lasts: OUT.partial.

use std::path::{Path, PathBuf};

use super::files::with_ending;
use crate::error::{Error, Result};
use crate::output::Voice;
use crate::render::command_that_resumes;

/// An output and the file beside it that keeps what is finished of it.
#[derive(Debug)]
pub(crate) struct Partial {
    out: PathBuf,
    path: PathBuf,
}

/// What an earlier run of the same output left.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left<'a> {
    Nothing,
    /// The file of an interrupted run.
    Unfinished(&'a Path),
    /// The output of a run that ended.
    Finished(&'a Path),
}

impl Partial {
    pub(crate) fn of(out: &Path) -> Self {
        Self {
            out: out.to_owned(),
            path: Self::place(out),
        }
    }

    /// Where it is kept.
    pub(crate) fn place(out: &Path) -> PathBuf {
        with_ending(out, "partial")
    }

    /// What there is to go on from. What an interrupted run has finished (`finished` names it) took time: unless it is to be
    /// continued, it is not thrown away silently.
    pub(crate) fn left(&self, resume: bool, finished: &str) -> Result<Left<'_>> {
        // What a killed run has left of its savings goes; whether they can be written is seen at the first.
        let _ = ddpm_files::check_writable(&self.path);
        match (resume, self.path.exists()) {
            (true, true) => Ok(Left::Unfinished(&self.path)),
            (false, true) => Err(Error::file(
                &self.path,
                format_args!("holds the finished {finished} of an interrupted run"),
            )
            .advised("continue it by --resume, or remove the file")),
            (true, false) if self.out.exists() => Ok(Left::Finished(&self.out)),
            (_, false) => Ok(Left::Nothing),
        }
    }

    /// Writes what there is.
    pub(crate) fn keep(&self, bytes: &[u8]) -> ddpm_eval::Result<()> {
        ddpm_files::write_atomic(&self.path, bytes).map_err(|source| {
            ddpm_data::Error::Write {
                path: self.path.clone(),
                source,
            }
            .into()
        })
    }

    /// What ended a run that began with what was `left`, in the command's words.
    pub(crate) fn failure(&self, left: Left<'_>, error: ddpm_eval::Error) -> Error {
        match (error, left) {
            (ddpm_eval::Error::Interrupted, _) => Error::Interrupted {
                partial: self.path.exists().then(|| self.path.clone()),
                resume: command_that_resumes(),
            },
            (error @ ddpm_eval::Error::Resume { .. }, Left::Finished(file)) => {
                Error::file(file, error)
                    .advised("repeat the command that made it, or name another --out")
            }
            (error @ ddpm_eval::Error::Resume { .. }, _) => Error::file(&self.path, error).advised(
                "repeat the command of the interrupted run, or remove the file and begin anew",
            ),
            (error, _) => error.into(),
        }
    }

    /// The output is in its place: what was kept goes. A file that cannot be removed only takes space.
    pub(crate) fn remove(&self, voice: Voice) {
        if self.path.exists()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            voice.warn(format_args!(
                "cannot remove {}: {error}",
                self.path.display()
            ));
        }
    }
}
