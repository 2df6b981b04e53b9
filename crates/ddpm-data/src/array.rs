//! Arrays of bytes in files, and the images that they hold.

use std::path::Path;

use ddpm_files::PositionedFile;
use ddpm_files::npy::{NpyHeader, read_npy_header};
use ddpm_files::npz::{Extents, NpzArchive, StoredAt};

use super::ImageSet;
use super::file_source::FileSource;
use super::lazy_copy::LazyCopy;
use super::pixels::{Element, Pixels};
use super::records::{Order, Records};
use super::temporary_copy;
use crate::error::{Error, Result, shape as show};

/// What [`ArrayFile::interleaved`] reads.
pub(crate) const IMAGES: &str = "uint8 [images, height, width, channels]";

/// A uint8 array that lies in one piece in a file, row-major.
#[derive(Debug)]
pub(crate) struct ArrayFile {
    file: FileSource,
    /// First byte of the first element.
    start: u64,
    shape: Vec<usize>,
    checksum: Option<StoredAt>,
}

impl ArrayFile {
    /// The array of bytes whose elements begin at `start`, turned if it is column-major; `checksum` is of what it is part of,
    /// which a turned copy no longer is.
    fn new(
        file: FileSource,
        start: u64,
        header: NpyHeader,
        checksum: Option<StoredAt>,
    ) -> Result<Self> {
        let shape = header.shape;
        let turned = header.fortran_order && !shape.contains(&0);
        let (file, start, checksum) = if turned {
            let copy = temporary_copy::row_major(&file, start, &shape)?;
            (copy.into(), 0, None)
        } else {
            (file, start, checksum)
        };
        Ok(Self {
            file,
            start,
            shape,
            checksum,
        })
    }

    /// A uint8 array, to be read where it lies or, if it is compressed, unpacked as far as it is read.
    pub(crate) fn of_archive(
        archive: &mut NpzArchive<'_>,
        key: &'static str,
        expected: &str,
    ) -> Result<Self> {
        let entry = archive.entry(key, expected)?;
        // Before gigabytes are unpacked.
        check_bytes(archive.path(), &entry.header, key, expected)?;
        if let Some(stored) = entry.stored {
            let file = PositionedFile::open(archive.path())?;
            if stored.end > file.length() {
                let found = "a file that ends too early";
                return Err(archive.wrong(key, expected, found).into());
            }
            let start = stored.begin + entry.header.length;
            return Self::new(file.into(), start, entry.header, Some(stored));
        }
        let elements = entry.header.shape.iter().map(|&n| n as u64).product();
        let member = archive.member(&entry, key, expected)?;
        let copy = LazyCopy::new(archive.path(), key, member, elements)?;
        Self::new(FileSource::Copy(Box::new(copy)), 0, entry.header, None)
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Images `[N, H, W, C]`: `[C, H, W]` of each, and where they lie.
    pub(crate) fn interleaved(self, key: &str) -> Result<([usize; 3], Records)> {
        let wrong = |expected| {
            let found = format!("shape {}", show(&self.shape));
            Err(Error::field(self.file.path(), key, expected, found))
        };
        let Ok([n, h, w, c]) = <[usize; 4]>::try_from(&self.shape[..]) else {
            return wrong(IMAGES);
        };
        if n * h * w == 0 || !matches!(c, 1 | 3) {
            return wrong(
                "at least one image, [images, height, width, channels] with 1 or 3 channels",
            );
        }
        let order = match c {
            1 => Order::Planes,
            channels => Order::Interleaved { channels },
        };
        let records = Records::new(self.file, self.start, h * w * c, n, order);
        Ok(([c, h, w], records.with_checksum(self.checksum)))
    }

    /// The rows `[N, values]` as images whose planes follow one another.
    pub(crate) fn planes(self) -> Records {
        let count = self.shape.first().copied().unwrap_or(1);
        let size = self.shape.iter().skip(1).product();
        Records::new(self.file, self.start, size, count, Order::Planes).with_checksum(self.checksum)
    }
}

/// Refuses elements that are no bytes.
fn check_bytes(path: &Path, header: &NpyHeader, key: &str, expected: &str) -> Result<()> {
    if header.element() == "u1" {
        return Ok(());
    }
    let of = match &header.shape[..] {
        [] => "no dimensions".to_owned(),
        shape => format!("shape {}", show(shape)),
    };
    let found = format!("{} of {of}", header.descr);
    Err(Error::field(path, key, expected, found))
}

/// Reads a `.npy` file of images.
pub(crate) fn read_npy(path: &Path) -> Result<ImageSet> {
    const KEY: &str = "array";
    let file = PositionedFile::open(path)?;
    let mut content = std::fs::File::open(path).map_err(|e| Error::read(path, e))?;
    let header = read_npy_header(&mut content, file.length())
        .map_err(|e| Error::field(path, KEY, IMAGES, e.to_string()))?;
    check_bytes(path, &header, KEY, IMAGES)?;
    let start = header.length;
    let (shape, records) = ArrayFile::new(file.into(), start, header, None)?.interleaved(KEY)?;
    let pixels = Pixels::files(Element::U8, shape.iter().product(), vec![records]);
    Ok(ImageSet::from_parts("npy", shape, pixels, None))
}

/// The labels of `count` images; NumPy users store them as whatever integer they had.
pub(crate) fn integer_labels(
    archive: &mut NpzArchive<'_>,
    key: &'static str,
    count: usize,
) -> Result<Vec<usize>> {
    const EXPECTED: &str = "a one-dimensional array of integer labels";
    // Before they are read: there may be no use for them.
    let shape = archive.entry(key, EXPECTED)?.header.shape;
    let &[labels] = &shape[..] else {
        let found = format!("{} dimensions", shape.len());
        return Err(archive.wrong(key, EXPECTED, found).into());
    };
    if labels != count {
        let expected = format!("{count} labels, one per image");
        return Err(archive.wrong(key, &expected, labels).into());
    }
    let found = archive.integers(key, EXPECTED, Extents::Of(&[count..=count]))?;
    let from_zero = |&label: &i128| {
        usize::try_from(label).map_err(|_| {
            archive
                .wrong(key, "labels from 0 up", format!("label {label}"))
                .into()
        })
    };
    found.iter().map(from_zero).collect()
}
