//! `.npz` archives: `arr_0` (or `images`) uint8 `[N, H, W, C]`, and labels in `arr_1` (or `labels`) if any, as
//! improved-diffusion and guided-diffusion write their samples; or the `data` of downsampled ImageNet (see
//! [`imagenet`](super::imagenet)).
//!
//! A stored array is read where it lies. A compressed one is unpacked once, into a temporary file.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ndarray::{Array, Dimension, Ix1};
use ndarray_npy::{ReadNpyError, ReadNpyExt, ReadableElement};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::array::{ArrayFile, IMAGES, check_bytes};
use super::checksum::Checksum;
use super::npy::{NpyHeader, read_npy_header};
use super::pixels::{Element, Pixels};
use super::positioned::PositionedFile;
use super::{ImageSet, imagenet, unpacked};
use crate::error::{Error, Result};

/// Deflate cannot shrink anything by more than this factor.
const BEST_COMPRESSION: u64 = 1032;

/// Reads an archive, compressed or not.
pub(crate) fn read(path: &Path) -> Result<ImageSet> {
    let mut archive = Archive::open(path)?;
    let key_of_labels = archive.first_of(&["arr_1", "labels"]);
    let Some(key) = archive.first_of(&["arr_0", "images"]) else {
        if archive.first_of(&[imagenet::KEY]).is_some() {
            return imagenet::read_files("file", &[path.to_owned()]);
        }
        let found = match archive.names.is_empty() {
            true => "no arrays".to_owned(),
            false => format!("only {}", archive.names.join(", ")),
        };
        return Err(Error::field(
            path,
            "arr_0",
            "an array arr_0 or images, uint8 [images, height, width, channels], or data, uint8 [images, 3 x side x side]",
            found,
        ));
    };
    let (shape, records) = archive.bytes(key, IMAGES)?.interleaved(key)?;
    let labels = match key_of_labels {
        None => None,
        Some(key) => Some(archive.labels(key, records.count())?),
    };
    let pixels = Pixels::files(Element::U8, shape.iter().product(), vec![records]);
    Ok(ImageSet::from_parts("npz", shape, pixels, labels))
}

/// An open archive.
pub struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    /// Bytes of the file.
    bytes: u64,
    /// Names of the arrays, without `.npy`.
    names: Vec<String>,
}

/// What is known of an array before it is read.
struct Entry {
    index: usize,
    header: NpyHeader,
    /// Where it lies in the archive, if it is stored as it is.
    stored: Option<Checksum>,
    /// Bytes of its elements.
    elements: u64,
}

impl<'a> Archive<'a> {
    /// Opens the archive and reads its directory.
    ///
    /// # Errors
    /// A file that cannot be read or is no `.npz`.
    pub fn open(path: &'a Path) -> Result<Self> {
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

    /// The first of these arrays that is there.
    pub fn first_of(&self, keys: &[&'static str]) -> Option<&'static str> {
        let has = |key: &&str| self.names.iter().any(|name| name == key);
        keys.iter().copied().find(has)
    }

    /// A uint8 array, to be read where it lies or, if it is compressed, from a temporary copy.
    pub(crate) fn bytes(&mut self, key: &'static str, expected: &str) -> Result<ArrayFile> {
        let Entry {
            index,
            header,
            stored,
            elements,
        } = self.entry(key, expected)?;
        // Before gigabytes are unpacked.
        check_bytes(self.path, &header, key, expected)?;
        if let Some(member) = stored {
            let file = PositionedFile::open(self.path)?;
            if member.end <= file.length() {
                let start = member.begin + header.length;
                let array = ArrayFile::new(file, start, header, key, expected)?;
                return Ok(array.with_checksum(member));
            }
            let found = "a file that ends too early".to_owned();
            return Err(Error::field(self.path, key, expected, found));
        }
        let damaged = |found: String| Error::field(self.path, key, expected, found);
        let mut entry = self
            .zip
            .by_index(index)
            .map_err(|e| damaged(e.to_string()))?;
        let size = entry.size();
        read_npy_header(&mut entry, size).map_err(|e| damaged(e.to_string()))?;
        let file = unpacked::unpack(self.path, key, &mut entry, elements)?;
        ArrayFile::new(file, 0, header, key, expected)
    }

    /// The labels of `count` images; NumPy users store them as whatever integer they had.
    pub(crate) fn labels(&mut self, key: &'static str, count: usize) -> Result<Vec<usize>> {
        const EXPECTED: &str = "a one-dimensional array of integer labels";
        self.check(key, EXPECTED)?;
        let path = self.path;
        let wrong = |expected: &str, found: String| Error::field(path, key, expected, found);
        let found = self
            .integers::<Ix1>(key)
            .ok_or_else(|| wrong(EXPECTED, "another type or shape".to_owned()))?;
        let labels = found
            .iter()
            .map(|&l| {
                usize::try_from(l).map_err(|_| wrong("labels from 0 up", format!("label {l}")))
            })
            .collect::<Result<Vec<usize>>>()?;
        match labels.len() == count {
            true => Ok(labels),
            false => {
                let expected = format!("{count} labels, one per image");
                Err(wrong(&expected, labels.len().to_string()))
            }
        }
    }

    /// An array of integers of whatever width, that has been checked; `None` for other types, or another number of dimensions.
    pub fn integers<D: Dimension>(&mut self, key: &str) -> Option<Array<i128, D>> {
        macro_rules! attempt {
            ($($integer:ty),*) => {$(
                if let Ok(found) = self.array::<$integer, D>(key) {
                    return Some(found.mapv(i128::from));
                }
            )*};
        }
        attempt!(i64, i32, u8, u64, u32, i16, u16, i8);
        None
    }

    /// Position of an array; a name without `.npy` goes first, as in NumPy.
    fn index(&self, key: &str) -> Option<usize> {
        self.zip
            .index_for_name(key)
            .or_else(|| self.zip.index_for_name(&format!("{key}.npy")))
    }

    /// Refuses an array that is larger than its part of the archive can be, before anything is allocated for it.
    fn entry(&mut self, key: &'static str, expected: &str) -> Result<Entry> {
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
        let header = match read_npy_header(&mut entry, unpacked) {
            Ok(header) => header,
            Err(e) => return refuse(e.to_string()),
        };
        let stored = entry.compression() == CompressionMethod::Stored && !entry.encrypted();
        let member = Checksum {
            begin: entry.data_start(),
            end: entry.data_start().saturating_add(unpacked),
            crc32: entry.crc32(),
        };
        let elements = header.shape.iter().map(|&extent| extent as u64).product();
        Ok(Entry {
            index,
            stored: stored.then_some(member),
            elements,
            header,
        })
    }

    /// Refuses an array that [`array`](Self::array) must not be asked for.
    pub fn check(&mut self, key: &'static str, expected: &str) -> Result<()> {
        self.entry(key, expected).map(drop)
    }

    /// An array that has been checked.
    pub fn array<A: ReadableElement, D: Dimension>(
        &mut self,
        key: &str,
    ) -> std::result::Result<Array<A, D>, ReadNpyError> {
        let other = |e: ZipError| ReadNpyError::Io(e.into());
        let index = self
            .index(key)
            .ok_or_else(|| other(ZipError::FileNotFound))?;
        Array::read_npy(self.zip.by_index(index).map_err(other)?)
    }
}
