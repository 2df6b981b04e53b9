//! What can go wrong in a command, and the exit code each kind ends with.
//!
//! The codes are part of the command's stable contract: 0 done, 1 internal error, 2 usage,
//! 3 bad input, 4 interrupted but resumable, 5 the system refused. Messages are lowercase
//! fragments that name the file or flag, the field, and what was expected there.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ddpm_files::FileError;

use crate::advice;

/// The result of everything in this crate that can fail.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The flags contradict each other or one that is needed is missing.
    #[error("{0}")]
    Usage(String),

    /// A file is not what it has to be.
    #[error("{0}")]
    Input(String),

    /// The value of a flag is not what it has to be.
    #[error("{flag}: {message}")]
    Flag { flag: String, message: String },

    /// Any other failure, with what to do next.
    #[error("{error}")]
    Advised { error: Box<Error>, advice: String },

    /// The user stopped a run whose finished part is kept.
    #[error("interrupted; {}", match partial {
        Some(file) => format!("what is finished is kept in {}", file.display()),
        None => "nothing was finished yet".to_owned(),
    })]
    Interrupted {
        /// The file or folder with what is finished, if there is anything yet.
        partial: Option<PathBuf>,
        /// The command that continues.
        resume: String,
    },

    /// The operating system refused: full disk, permissions, a path that cannot be written.
    #[error("cannot {action}: {source}")]
    System {
        /// As in "write out.json".
        action: String,
        source: io::Error,
    },

    /// The reader of our output went away. Not an error: the command ends quietly.
    #[error("the reader of the output has closed it")]
    ClosedPipe,

    /// A promise between our own crates was broken.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// A usage error.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Bad contents of `file`.
    pub(crate) fn file(file: &Path, message: impl std::fmt::Display) -> Self {
        Self::Input(format!("{}: {message}", file.display()))
    }

    /// A flag whose value cannot be used.
    pub(crate) fn flag(flag: &str, message: impl std::fmt::Display) -> Self {
        Self::Flag {
            flag: flag.to_owned(),
            message: message.to_string(),
        }
    }

    /// The system's refusal of `action`.
    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System {
            action: action.into(),
            source,
        }
    }

    /// A failed write of `file`: always the system's refusal.
    pub(crate) fn write(file: &Path, source: io::Error) -> Self {
        let advice = advice::on_unwritable_output(file, source.kind());
        Self::system(format!("write {}", file.display()))(source).advised_maybe(advice)
    }

    /// A failed read of `file`: a file that is absent or of the wrong kind is bad input, everything
    /// else is the system's refusal.
    pub(crate) fn read(file: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Self::file(file, "no such file or folder; expected one that exists")
                    .advised(advice::on_missing_input(file))
            }
            io::ErrorKind::IsADirectory => Self::file(file, "is a folder; expected a file"),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::file(file, source),
            _ => Self::system(format!("read {}", file.display()))(source),
        }
    }

    /// A checkpoint that cannot be used. A value that nobody gave is a matter of the command line.
    pub(crate) fn checkpoint(file: &Path, error: ddpm_model::Error) -> Self {
        use ddpm_model::Error as E;
        if let Some(kind) = advice::own_kind(file) {
            return Self::file(file, format_args!("not a checkpoint: found {kind}"))
                .advised(advice::A_CHECKPOINT);
        }
        let advice = advice::on_checkpoint(&error);
        match error {
            E::File(error) => error.into(),
            E::MissingOptions(_) => Self::Usage(format!("{}: {error}", file.display())),
            E::Isa { .. } | E::Device { .. } => Self::Usage(error.to_string()),
            // These name the file themselves.
            E::NotACheckpoint { .. }
            | E::Truncated { .. }
            | E::Damaged { .. }
            | E::Unsupported { .. }
            | E::ForbiddenGlobal { .. }
            | E::UnknownNetwork { .. }
            | E::ModelFile { .. } => Self::Input(error.to_string()),
            _ => Self::file(file, error),
        }
        .advised_maybe(advice)
    }

    /// The same failure with what to do next. The first advice stays: it comes from where most is known.
    pub(crate) fn advised(self, advice: impl Into<String>) -> Self {
        match self {
            Self::Advised { .. } | Self::Internal(_) | Self::ClosedPipe => self,
            error => Self::Advised {
                error: Box::new(error),
                advice: advice.into(),
            },
        }
    }

    /// The same failure, met in one image of many.
    fn of_image(self, index: usize) -> Self {
        match self {
            Self::Input(text) => Self::Input(format!("image {index}: {text}")),
            Self::System { action, source } => {
                Self::system(format!("{action} (image {index})"))(source)
            }
            Self::Advised { error, advice } => Self::Advised {
                error: Box::new(error.of_image(index)),
                advice,
            },
            other => other,
        }
    }

    /// [`advised`](Self::advised) where there is advice.
    pub(crate) fn advised_maybe(self, advice: Option<impl Into<String>>) -> Self {
        match advice {
            Some(advice) => self.advised(advice),
            None => self,
        }
    }

    /// The hint printed on a line of its own below the message: what to do next. `command` is the one that failed.
    pub(crate) fn hint(&self, command: &str) -> Option<String> {
        match self {
            Self::Advised { advice, .. } => Some(advice.clone()),
            Self::Interrupted { resume, .. } => Some(format!("to continue: {resume}")),
            Self::Usage(_) | Self::Input(_) => Some(format!("see `ddpm {command} --help`")),
            Self::Flag { flag, .. } => {
                // A complaint about a value may name it: "--out x.jpeg".
                let flag = flag.split_whitespace().next().unwrap_or_default();
                Some(format!("see {flag} in `ddpm {command} --help`"))
            }
            Self::Internal(_) => Some("this is a fault of ddpm, not of the input".to_owned()),
            _ => None,
        }
    }

    /// The exit code of this kind of failure.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Advised { error, .. } => return error.exit_code(),
            Self::ClosedPipe => 0,
            Self::Internal(_) => 1,
            Self::Usage(_) => 2,
            Self::Input(_) | Self::Flag { .. } => 3,
            Self::Interrupted { .. } => 4,
            Self::System { .. } => 5,
        })
    }
}

impl From<ddpm_data::Error> for Error {
    fn from(error: ddpm_data::Error) -> Self {
        use ddpm_data::Error as E;
        let advice = advice::on_images(&error);
        match error {
            E::File(error) => error.into(),
            E::Labels(error) => match error.as_file() {
                Some(FileError::Read { path, source }) => {
                    Self::read(path, std::io::Error::new(source.kind(), source.to_string()))
                }
                _ => Self::Input(with_causes(&*error)),
            },
            E::Write { path, source } => Self::write(&path, source),
            E::Image { index, source } => Self::from(*source).of_image(index),
            E::Unpack {
                path,
                bytes,
                folder,
                source,
            } => Self::system(format!(
                    "unpack {} ({bytes} bytes) into a temporary file in {} (expected room there, or in another folder \
                     named by TMPDIR, or an archive that is not compressed, as numpy.savez writes)",
                    path.display(),
                    folder.display()
                ))(source),
            _ => Self::Input(with_causes(&error)),
        }
        .advised_maybe(advice)
    }
}

impl From<ddpm_eval::Error> for Error {
    fn from(error: ddpm_eval::Error) -> Self {
        match error {
            ddpm_eval::Error::Data(error) => error.into(),
            error => {
                let advice = advice::on_evaluation(&error);
                Self::Input(with_causes(&error)).advised_maybe(advice)
            }
        }
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Read { path, source } => Self::read(&path, source),
            other => Self::Input(other.to_string()),
        }
    }
}

/// An error with the errors that it wraps: a network's failure says why only in its cause.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// [`Error::advised`] for a result.
pub(crate) trait Advice {
    fn advised(self, advice: &str) -> Self;
}

impl<T> Advice for Result<T> {
    fn advised(self, advice: &str) -> Self {
        self.map_err(|error| error.advised(advice))
    }
}

/// Says where a library's complaint belongs: the libraries know the field, the command knows the file or flag.
pub(crate) trait Located<T> {
    /// The complaint is about the contents of `file`.
    fn in_file(self, file: &Path) -> Result<T>;
    /// The complaint is about the value of `flag`.
    fn in_flag(self, flag: &str) -> Result<T>;
    /// The complaint cannot be the user's doing.
    fn or_internal(self) -> Result<T>;
}

impl<T, E: std::fmt::Display> Located<T> for std::result::Result<T, E> {
    fn in_file(self, file: &Path) -> Result<T> {
        self.map_err(|error| Error::file(file, error))
    }

    fn in_flag(self, flag: &str) -> Result<T> {
        self.map_err(|error| Error::flag(flag, error))
    }

    fn or_internal(self) -> Result<T> {
        self.map_err(|error| Error::Internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_exit_code() {
        let io = || io::Error::other("x");
        let cases = [
            (Error::ClosedPipe, 0),
            (Error::Internal("x".into()), 1),
            (Error::usage("x"), 2),
            (Error::flag("--path", "x"), 3),
            (
                Error::Interrupted {
                    partial: None,
                    resume: "r".into(),
                },
                4,
            ),
            (Error::write(Path::new("out"), io()), 5),
        ];
        for (error, code) in cases {
            assert_eq!(error.exit_code(), ExitCode::from(code), "{error}");
        }
    }

    #[test]
    fn every_failure_of_the_user_says_what_to_do_next() {
        let hint = |error: Error| error.hint("sample").unwrap();
        assert_eq!(hint(Error::usage("x")), "see `ddpm sample --help`");
        assert_eq!(
            hint(Error::flag("--eta 2", "x")),
            "see --eta in `ddpm sample --help`"
        );
        let file = || Error::file(Path::new("a.pt"), "x");
        assert_eq!(hint(file()), "see `ddpm sample --help`");
        let advised = file().advised("copy it").advised("less is known here");
        assert_eq!(advised.exit_code(), ExitCode::from(3));
        assert_eq!(advised.to_string(), "a.pt: x");
        assert_eq!(hint(advised), "copy it");
    }

    #[test]
    fn a_failing_image_is_named_and_keeps_its_kind_of_failure() {
        let image = |kind: io::ErrorKind| {
            Error::from(ddpm_data::Error::Image {
                index: 7,
                source: Box::new(FileError::read(Path::new("a.png"), kind.into()).into()),
            })
        };
        let (gone, broken) = (
            image(io::ErrorKind::NotFound),
            image(io::ErrorKind::PermissionDenied),
        );
        assert_eq!(gone.exit_code(), ExitCode::from(3));
        assert_eq!(broken.exit_code(), ExitCode::from(5));
        for error in [gone, broken] {
            let text = error.to_string();
            assert!(text.contains("image 7") && text.contains("a.png"), "{text}");
        }
        let full = Error::from(ddpm_data::Error::Unpack {
            path: "a.npz".into(),
            bytes: 5,
            folder: "/tmp".into(),
            source: io::ErrorKind::StorageFull.into(),
        });
        assert_eq!(full.exit_code(), ExitCode::from(5));
        assert!(full.to_string().contains("TMPDIR"), "{full}");
    }

    #[test]
    fn an_absent_input_is_bad_input_and_a_forbidden_one_the_systems_refusal() {
        let absent = Error::read(Path::new("a.pt"), io::ErrorKind::NotFound.into());
        assert_eq!(absent.exit_code(), ExitCode::from(3));
        assert!(absent.to_string().contains("a.pt"));
        let forbidden = Error::read(Path::new("a.pt"), io::ErrorKind::PermissionDenied.into());
        assert_eq!(forbidden.exit_code(), ExitCode::from(5));
    }
}
