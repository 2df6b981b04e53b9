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

    /// The file of an interrupted run to go on from. What it has finished (`finished` names it) took time: unless it is to be
    /// continued, it is not thrown away silently.
    pub(crate) fn unfinished(&self, resume: bool, finished: &str) -> Result<Option<&Path>> {
        let kind = std::fs::metadata(&self.path);
        if kind.is_ok_and(|there| !there.is_file()) {
            return Err(Error::file(
                &self.path,
                "is no file; expected what an interrupted run has kept, or nothing",
            )
            .advised("name another --out: a run keeps OUT.partial while it lasts"));
        }
        // What a killed run has left of its savings goes; whether they can be written is seen at the first.
        let _ = ddpm_files::check_writable(&self.path);
        match (resume, self.path.exists()) {
            (_, false) => Ok(None),
            (true, true) => Ok(Some(&self.path)),
            (false, true) => Err(Error::file(
                &self.path,
                format_args!("holds the finished {finished} of an interrupted run"),
            )
            .advised("continue it by --resume, or remove the file")),
        }
    }

    /// The output of an earlier run of this very command, as `read` finds it to be. Another's is in the way, unless `force` replaces it.
    pub(crate) fn finished<T>(
        &self,
        force: bool,
        read: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<Option<T>> {
        if !ddpm_files::replaces(&self.out) {
            return Ok(None);
        }
        match read(&self.out) {
            Err(_) if force => Ok(None),
            found => found.map(Some),
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

    /// What ended a run that went on with `unfinished` or not, in the command's words.
    pub(crate) fn failure(&self, unfinished: Option<&Path>, error: ddpm_eval::Error) -> Error {
        match (error, unfinished) {
            (ddpm_eval::Error::Interrupted, _) => Error::Interrupted {
                partial: self.path.exists().then(|| self.path.clone()),
                resume: command_that_resumes(),
            },
            (error @ ddpm_eval::Error::Resume { .. }, Some(file)) => Error::file(file, error)
                .advised(
                    "repeat the command of the interrupted run, or remove the file and begin anew",
                ),
            (error, _) => of_another_run(&self.out, error),
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

/// An error of a run; one that says what differs is of an output that another run made.
pub(crate) fn of_another_run(out: &Path, error: ddpm_eval::Error) -> Error {
    let ddpm_eval::Error::Resume {
        field,
        expected,
        found,
    } = error
    else {
        return error.into();
    };
    Error::file(
        out,
        format_args!(
            "holds the result of another run: {field}: expected {expected} (this run's), found {found}"
        ),
    )
    .advised("repeat the command that made it, name another place, or replace it by --force")
}
