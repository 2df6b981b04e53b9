//! Arrays of bytes in files, and the images that they hold.

use std::path::Path;

use ddpm_files::PositionedFile;
use ddpm_files::npy::{NpyHeader, read_npy_header};
use ddpm_files::npz::StoredAt;

use super::ImageSet;
use super::pixels::{Element, Pixels};
use super::records::{Order, Records};
use super::unpacked;
use crate::error::{Error, Result};

/// What [`ArrayFile::interleaved`] reads.
pub(crate) const IMAGES: &str = "uint8 [images, height, width, channels]";

/// A uint8 array that lies in one piece in a file, row-major.
#[derive(Debug)]
pub(crate) struct ArrayFile {
    file: PositionedFile,
    /// First byte of the first element.
    start: u64,
    shape: Vec<usize>,
    checksum: Option<StoredAt>,
}

impl ArrayFile {
    /// The array whose elements begin at `start`.
    ///
    /// # Errors
    /// Elements that are no bytes; `key` names the array in the message and `expected` says what it has to be. An array
    /// in column-major order that cannot be turned.
    pub(crate) fn new(
        file: PositionedFile,
        start: u64,
        header: NpyHeader,
        key: &str,
        expected: &str,
    ) -> Result<Self> {
        check_bytes(file.path(), &header, key, expected)?;
        let shape = header.shape;
        if header.fortran_order && !shape.contains(&0) {
            let file = unpacked::row_major(&file, start, &shape)?;
            return Ok(Self {
                file,
                start: 0,
                shape,
                checksum: None,
            });
        }
        Ok(Self {
            file,
            start,
            shape,
            checksum: None,
        })
    }

    /// The same, of an array that is part of something with a checksum. (That a turned copy no longer is.)
    pub(crate) fn with_checksum(mut self, checksum: StoredAt) -> Self {
        if self.start > 0 {
            self.checksum = Some(checksum);
        }
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Images `[N, H, W, C]`: `[C, H, W]` of each, and where they lie.
    pub(crate) fn interleaved(self, key: &str) -> Result<([usize; 3], Records)> {
        let Ok([n, h, w, c]) = <[usize; 4]>::try_from(&self.shape[..]) else {
            let found = format!("shape {}", shown(&self.shape));
            return Err(Error::field(self.path(), key, IMAGES, found));
        };
        if n * h * w == 0 || !matches!(c, 1 | 3) {
            return Err(Error::field(
                self.path(),
                key,
                "at least one image, [images, height, width, channels] with 1 or 3 channels",
                format!("shape {}", shown(&self.shape)),
            ));
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
pub(crate) fn check_bytes(
    path: &Path,
    header: &NpyHeader,
    key: &str,
    expected: &str,
) -> Result<()> {
    if header.element() == "u1" {
        return Ok(());
    }
    let found = format!("{} of shape {}", header.descr, shown(&header.shape));
    Err(Error::field(path, key, expected, found))
}

/// Reads a `.npy` file of images.
pub(crate) fn read_npy(path: &Path) -> Result<ImageSet> {
    const KEY: &str = "array";
    let file = PositionedFile::open(path)?;
    let mut content = std::fs::File::open(path).map_err(|e| Error::read(path, e))?;
    let header = read_npy_header(&mut content, file.length())
        .map_err(|e| Error::field(path, KEY, IMAGES, e.to_string()))?;
    let start = header.length;
    let (shape, records) = ArrayFile::new(file, start, header, KEY, IMAGES)?.interleaved(KEY)?;
    let pixels = Pixels::files(Element::U8, shape.iter().product(), vec![records]);
    Ok(ImageSet::from_parts("npy", shape, pixels, None))
}

/// A shape as people write it.
pub(crate) fn shown(shape: &[usize]) -> String {
    let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
    extents.join("x")
}
