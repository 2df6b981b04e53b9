//! The one error type of the crate: every way a reader or a writer of images can fail.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddpm_files::FileError;

use crate::Split;

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, where, and what was expected instead.
///
/// Messages are lowercase fragments that complete "failed to ...".
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that cannot be read, or a field of it that is not what it has to be.
    #[error(transparent)]
    File(#[from] FileError),
    /// The labels of images cannot be read, and somebody asked for them.
    #[error(transparent)]
    Labels(Arc<Error>),
    /// The operating system refused to write a file or folder.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file whose name and content belong to no image format this crate reads.
    #[error(
        "{}: not an image set; expected a CIFAR-10 folder (binary or python pickles), a folder of .png or .jpg files, \
         or a .npz, .npy, .safetensors or CIFAR .bin file",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A folder in which there is no image.
    #[error(
        "{}: no images found; expected CIFAR-10 or ImageNet batch files, .png or .jpg files, folders of those, or train and test subfolders{}",
        path.display(),
        instead.as_deref().map_or_else(String::new, |found| format!(", found {found} (convert other formats to PNG)"))
    )]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
        /// What is in it that somebody may have meant.
        instead: Option<String>,
    },
    /// The folder names its splits, but the one asked for is not among them.
    #[error("{}: the {split} split is missing; expected {expected}", path.display())]
    MissingSplit {
        /// The folder.
        path: PathBuf,
        /// The split asked for.
        split: Split,
        /// The file or folder that would have held it.
        expected: String,
    },
    /// A CIFAR-10 binary file that is not a whole number of records.
    #[error(
        "{}: wrong length: {length} bytes; expected a positive multiple of 3073 \
         (one label byte and 3072 pixel bytes per image)",
        path.display()
    )]
    CifarLength {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
    },
    /// Images whose size is not the one the model was made for.
    #[error(
        "{}: {}", path.display(), wrong_size(expected, found)
    )]
    ImageSize {
        /// The file or folder.
        path: PathBuf,
        /// The model's `[C, H, W]`.
        expected: Vec<usize>,
        /// The images' `[C, H, W]`.
        found: Vec<usize>,
    },
    /// An image that cannot be read, found when it was asked for.
    #[error("image {index}: {source}")]
    Image {
        /// Index of the image in its data set.
        index: usize,
        /// What is wrong with its file, and what was expected there.
        source: Box<Error>,
    },
    /// An array that has to be copied to a temporary file before it can be read, and the copy failed.
    #[error(
        "cannot unpack {} ({bytes} bytes) into a temporary file in {}: {source}; \
         expected room there, or in another folder named by TMPDIR, or an archive that is not compressed (numpy.savez)",
        path.display(), folder.display()
    )]
    Unpack {
        /// The file that the array is in.
        path: PathBuf,
        /// Bytes of the array.
        bytes: u64,
        /// The folder of temporary files.
        folder: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A request that cannot be served.
    #[error("{field}: {problem}")]
    Request {
        /// The field of the request.
        field: &'static str,
        /// What is wrong with it and what was expected.
        problem: String,
    },
}

impl Error {
    /// The system's refusal of a temporary file of `bytes` bytes in place of `path`.
    pub(crate) fn no_room(path: &Path, bytes: u64, source: std::io::Error) -> Self {
        Self::Unpack {
            path: path.to_owned(),
            bytes,
            folder: std::env::temp_dir(),
            source,
        }
    }

    /// What is wrong with a file, of labels that cannot be read too.
    pub fn as_file(&self) -> Option<&FileError> {
        match self {
            Self::File(error) => Some(error),
            Self::Labels(error) => error.as_file(),
            _ => None,
        }
    }

    pub(crate) fn read(path: &Path, source: std::io::Error) -> Self {
        FileError::read(path, source).into()
    }

    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn field(
        path: &Path,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        FileError::field(path, field, expected, found).into()
    }

    pub(crate) fn image(index: usize, source: Self) -> Self {
        Self::Image {
            index,
            source: Box::new(source),
        }
    }

    pub(crate) fn request(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Request {
            field,
            problem: problem.into(),
        }
    }
}

/// A shape as people write it.
pub(crate) fn shape(extents: &[usize]) -> String {
    let extents: Vec<String> = extents.iter().map(ToString::to_string).collect();
    extents.join("x")
}

/// Says that data are not of the model's shape.
pub(crate) fn wrong_size(expected: &[usize], found: &[usize]) -> String {
    let (what, axes) = if (expected.len(), found.len()) == (3, 3) {
        ("image size", " (channels x height x width)")
    } else {
        ("shape", "")
    };
    format!(
        "wrong {what}: expected {} (the model's), found {}{axes}",
        shape(expected),
        shape(found)
    )
}
