//! `.npz` archives: `arr_0` (or `images`) uint8 `[N, H, W, C]`, and labels in `arr_1` (or `labels`) if any, as
//! improved-diffusion and guided-diffusion write their samples.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ndarray::{Array, Array1, Array4, Dimension};
use ndarray_npy::{ReadNpyError, ReadNpyExt, ReadableElement};
use zip::ZipArchive;
use zip::result::ZipError;

use super::ImageSet;
use super::npy::check_npy_header;
use crate::error::{Error, Result};

/// Deflate cannot shrink anything by more than this factor.
const BEST_COMPRESSION: u64 = 1032;
const IMAGES: &str = "uint8 [images, height, width, channels]";

/// Reads an archive, compressed or not.
pub(crate) fn read(path: &Path) -> Result<ImageSet> {
    let mut archive = Archive::open(path)?;
    let has = |name: &&str| archive.names.iter().any(|n| n == name);
    let key_of_labels = ["arr_1", "labels"].into_iter().find(has);
    let Some(key) = ["arr_0", "images"].into_iter().find(has) else {
        let found = match archive.names.is_empty() {
            true => "no arrays".to_owned(),
            false => format!("only {}", archive.names.join(", ")),
        };
        return Err(Error::field(
            path,
            "arr_0",
            "an array arr_0 or images, uint8 [images, height, width, channels]",
            found,
        ));
    };
    archive.check(key, IMAGES)?;
    let images: Array4<u8> = archive
        .array(key)
        .map_err(|e| Error::field(path, key, IMAGES, e.to_string()))?;
    let (n, h, w, c) = images.dim();
    if n * h * w == 0 || !matches!(c, 1 | 3) {
        return Err(Error::field(
            path,
            key,
            "at least one image, [images, height, width, channels] with 1 or 3 channels",
            format!("shape {n}x{h}x{w}x{c}"),
        ));
    }
    let set = ImageSet::from_bytes("npz", images.permuted_axes([0, 3, 1, 2]).view())?;

    match key_of_labels {
        None => Ok(set),
        Some(key) => {
            let labels = archive.labels(key)?;
            if labels.len() != n {
                return Err(Error::field(
                    path,
                    key,
                    format!("{n} labels, one per image"),
                    labels.len().to_string(),
                ));
            }
            set.with_labels(labels)
        }
    }
}

/// An open archive.
struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    /// Bytes of the file.
    bytes: u64,
    /// Names of the arrays, without `.npy`.
    names: Vec<String>,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::read(path, e))?;
        let bytes = file.metadata().map_err(|e| Error::read(path, e))?.len();
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|e| Error::field(path, "content", "a readable .npz archive", e.to_string()))?;
        let names = zip
            .file_names()
            .map(|name| name.strip_suffix(".npy").unwrap_or(name).to_owned())
            .collect();
        Ok(Self {
            path,
            zip,
            bytes,
            names,
        })
    }

    /// Position of an array; a name without `.npy` goes first, as in NumPy.
    fn index(&self, key: &str) -> Option<usize> {
        self.zip
            .index_for_name(key)
            .or_else(|| self.zip.index_for_name(&format!("{key}.npy")))
    }

    /// Refuses an array that is larger than its part of the archive can be, before anything is allocated for it.
    fn check(&mut self, key: &'static str, expected: &str) -> Result<()> {
        let (path, bytes) = (self.path, self.bytes);
        let refuse = |found: String| Err(Error::field(path, key, expected, found));
        let Some(index) = self.index(key) else {
            return refuse("no such array".to_owned());
        };
        let mut entry = match self.zip.by_index(index) {
            Ok(entry) => entry,
            Err(e) => return refuse(e.to_string()),
        };
        let (packed, unpacked) = (entry.compressed_size(), entry.size());
        if packed > bytes || unpacked > packed.saturating_mul(BEST_COMPRESSION) {
            return refuse(format!(
                "a damaged archive: it declares {unpacked} bytes, packed into {packed} of a file of {bytes}"
            ));
        }
        match check_npy_header(&mut entry, unpacked) {
            Ok(()) => Ok(()),
            Err(e) => refuse(e.to_string()),
        }
    }

    /// An array that has been checked.
    fn array<A: ReadableElement, D: Dimension>(
        &mut self,
        key: &str,
    ) -> std::result::Result<Array<A, D>, ReadNpyError> {
        let other = |e: ZipError| ReadNpyError::Io(e.into());
        let index = self
            .index(key)
            .ok_or_else(|| other(ZipError::FileNotFound))?;
        Array::read_npy(self.zip.by_index(index).map_err(other)?)
    }

    /// NumPy users store labels as whatever integer they had.
    fn labels(&mut self, key: &'static str) -> Result<Vec<usize>> {
        const EXPECTED: &str = "a one-dimensional array of integer labels";
        self.check(key, EXPECTED)?;
        let path = self.path;
        macro_rules! attempt {
            ($($integer:ty),*) => {$(
                let read: std::result::Result<Array1<$integer>, _> = self.array(key);
                if let Ok(labels) = read {
                    return labels
                        .iter()
                        .map(|&l| {
                            usize::try_from(l).map_err(|_| {
                                Error::field(path, key, "labels from 0 up", format!("label {l}"))
                            })
                        })
                        .collect();
                }
            )*};
        }
        attempt!(i64, i32, u8, u64, u32, i16, u16, i8);
        Err(Error::field(path, key, EXPECTED, "another type or shape"))
    }
}
