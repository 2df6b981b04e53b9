//! The pixels of a set: where they lie, and how they are read.

use rayon::prelude::*;

use super::png_folder::PngFolder;
use super::records::Records;
use crate::error::{Error, Result};

/// Rounding slack of pixels that were computed in f32.
const BEYOND: f32 = 1e-6;

/// What a value of an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// A level from 0 to 255.
    U8,
    /// A float in [-1, 1], little endian.
    F32,
}

impl Element {
    pub(crate) fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 => 4,
        }
    }
}

/// Images of one size, addressed by their index; read from any thread in any order.
///
/// *Raw* values are the elements of `[C, H, W]` in row-major order, floats as little-endian bytes.
#[derive(Debug)]
pub(crate) struct Pixels {
    element: Element,
    /// Raw bytes of an image.
    size: usize,
    count: usize,
    store: Store,
}

#[derive(Debug)]
enum Store {
    /// Raw image after image.
    Memory(Vec<u8>),
    /// Files one after the other, each with the index of its first image.
    Files(Vec<(usize, Records)>),
    Pngs(PngFolder),
}

impl Pixels {
    /// Bytes in memory.
    pub(crate) fn bytes(dims: usize, values: Vec<u8>) -> Self {
        Self::memory(Element::U8, dims, values)
    }

    /// Floats in memory.
    pub(crate) fn floats(dims: usize, values: impl Iterator<Item = f32>) -> Self {
        Self::memory(
            Element::F32,
            dims,
            values.flat_map(f32::to_le_bytes).collect(),
        )
    }

    fn memory(element: Element, dims: usize, values: Vec<u8>) -> Self {
        let size = dims * element.size();
        debug_assert!(values.len().is_multiple_of(size));
        Self {
            element,
            size,
            count: values.len() / size,
            store: Store::Memory(values),
        }
    }

    /// Images of `dims` values each in files.
    pub(crate) fn files(element: Element, dims: usize, files: Vec<Records>) -> Self {
        let mut count = 0;
        let files = files
            .into_iter()
            .map(|records| {
                let first = count;
                count += records.count();
                (first, records)
            })
            .collect();
        Self {
            element,
            size: dims * element.size(),
            count,
            store: Store::Files(files),
        }
    }

    pub(crate) fn pngs(folder: PngFolder) -> Self {
        Self {
            element: Element::U8,
            size: folder.shape().iter().product(),
            count: folder.len(),
            store: Store::Pngs(folder),
        }
    }

    pub(crate) fn element(&self) -> Element {
        self.element
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Fills `dst`, a whole number of raw images, with consecutive images from `first` on.
    ///
    /// # Errors
    /// [`Error::Image`] with the index of the image, or of the first of the images, that cannot be read.
    pub(crate) fn read(&self, first: usize, dst: &mut [u8]) -> Result<()> {
        match &self.store {
            Store::Memory(values) => {
                let start = first * self.size;
                dst.copy_from_slice(&values[start..start + dst.len()]);
                Ok(())
            }
            Store::Files(files) => self.read_files(files, first, dst),
            Store::Pngs(folder) => each_image(dst, self.size, |i, dst| {
                folder
                    .read(first + i, dst)
                    .map_err(|e| Error::image(first + i, e))
            }),
        }
    }

    /// The images at `indices`, by the threads together.
    pub(crate) fn read_some(&self, indices: &[usize], dst: &mut [u8]) -> Result<()> {
        each_image(dst, self.size, |i, dst| self.read(indices[i], dst))
    }

    fn read_files(
        &self,
        files: &[(usize, Records)],
        mut first: usize,
        mut dst: &mut [u8],
    ) -> Result<()> {
        while !dst.is_empty() {
            let at = files.partition_point(|(begin, _)| *begin <= first);
            let (begin, records) = &files[at - 1];
            let left = begin + records.count() - first;
            let (now, rest) = dst.split_at_mut(dst.len().min(left * self.size));
            records
                .read(first - begin, now)
                .map_err(|e| Error::image(first, e))?;
            if self.element == Element::F32 {
                self.check_range(records, first, now)?;
            }
            first += now.len() / self.size;
            dst = rest;
        }
        Ok(())
    }

    fn check_range(&self, records: &Records, first: usize, raw: &[u8]) -> Result<()> {
        let bad = floats(raw).position(|x| x.is_nan() || x.abs() > 1.0 + BEYOND);
        match bad.and_then(|at| Some((at, floats(raw).nth(at)?))) {
            None => Ok(()),
            Some((at, x)) => Err(Error::image(
                first + at * Element::F32.size() / self.size,
                Error::field(
                    records.file().path(),
                    "x_start",
                    "pixels in [-1, 1]",
                    x.to_string(),
                ),
            )),
        }
    }
}

/// The floats of raw values.
pub(crate) fn floats(raw: &[u8]) -> impl Iterator<Item = f32> {
    raw.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))
}

/// Reads images by the threads together; of several that fail, the first is named.
fn each_image(
    dst: &mut [u8],
    size: usize,
    read: impl Fn(usize, &mut [u8]) -> Result<()> + Sync,
) -> Result<()> {
    if dst.len() == size {
        return read(0, dst);
    }
    let images = dst.par_chunks_exact_mut(size).enumerate();
    let done: Vec<Result<()>> = images.map(|(i, dst)| read(i, dst)).collect();
    done.into_iter().collect()
}
