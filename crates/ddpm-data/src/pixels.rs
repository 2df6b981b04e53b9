//! The pixels of a set: where they lie, and how they are read.

use rayon::prelude::*;

use super::image_folder::ImageFolder;
use super::records::Records;
use crate::error::{Error, Result};

/// Raw bytes read at a time where all are read.
const PIECE: usize = 1 << 20;
/// Rounding slack of pixels that were computed in f32.
const BEYOND: f32 = 1e-6;

/// What a value of an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// A level from 0 to 255.
    U8,
    /// A float in [-1, 1], little endian.
    F32,
    /// Any finite float, little endian.
    Data,
}

impl Element {
    pub(crate) fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 | Self::Data => 4,
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
    Folder(ImageFolder),
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

    pub(crate) fn folder(folder: ImageFolder) -> Self {
        Self {
            element: Element::U8,
            size: folder.shape().iter().product(),
            count: folder.len(),
            store: Store::Folder(folder),
        }
    }

    pub(crate) fn element(&self) -> Element {
        self.element
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Fills `dst` with raw image `index`, which exists.
    pub(crate) fn read(&self, index: usize, dst: &mut [u8]) -> Result<()> {
        let read = match &self.store {
            Store::Memory(values) => {
                dst.copy_from_slice(&values[index * self.size..][..self.size]);
                return Ok(());
            }
            Store::Files(files) => {
                let at = files.partition_point(|(begin, _)| *begin <= index);
                let (begin, records) = &files[at - 1];
                records
                    .read(index - begin, dst)
                    .and_then(|()| self.check(records, dst))
            }
            Store::Folder(folder) => folder.read(index, dst),
        };
        read.map_err(|e| Error::image(index, e))
    }

    /// Gives all raw images to `see`, in order and each once; what files have to be as a whole is checked too.
    ///
    /// # Errors
    /// [`Error::Image`], or a file whose checksum is another.
    pub(crate) fn scan(&self, mut see: impl FnMut(&[u8])) -> Result<()> {
        let Store::Files(files) = &self.store else {
            return self.scan_some(self.count, |i| i, see);
        };
        let mut room = self.room(self.count);
        for (begin, records) in files {
            records.scan(*begin, &mut room, |first, raw| {
                for (i, image) in raw.chunks_exact(self.size).enumerate() {
                    self.check(records, image)
                        .map_err(|e| Error::image(first + i, e))?;
                }
                see(raw);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Gives `count` raw images to `see`, in order: the `i`-th is `index(i)`.
    pub(crate) fn scan_some(
        &self,
        count: usize,
        index: impl Fn(usize) -> usize + Sync,
        mut see: impl FnMut(&[u8]),
    ) -> Result<()> {
        let mut room = self.room(count);
        let at_once = room.len() / self.size;
        for first in (0..count).step_by(at_once) {
            let raw = &mut room[..at_once.min(count - first) * self.size];
            let images = raw.par_chunks_exact_mut(self.size).enumerate();
            let done: Vec<Result<()>> = images
                .map(|(i, dst)| self.read(index(first + i), dst))
                .collect();
            done.into_iter().collect::<Result<()>>()?;
            see(raw);
        }
        Ok(())
    }

    /// Room for some of `count` images, at least one.
    fn room(&self, count: usize) -> Vec<u8> {
        vec![0; (PIECE / self.size).clamp(1, count.max(1)) * self.size]
    }

    /// Floats are in [-1, 1], data finite.
    fn check(&self, records: &Records, raw: &[u8]) -> Result<()> {
        let (most, key, expected) = match self.element {
            Element::U8 => return Ok(()),
            Element::F32 => (1.0 + BEYOND, "x_start", "pixels in [-1, 1]"),
            Element::Data => (f32::MAX, "data", "finite numbers"),
        };
        match floats(raw).find(|x| x.is_nan() || x.abs() > most) {
            None => Ok(()),
            Some(x) => {
                let path = records.path();
                Err(Error::field(path, key, expected, x.to_string()))
            }
        }
    }
}

/// The floats of raw values.
pub(crate) fn floats(raw: &[u8]) -> impl Iterator<Item = f32> {
    raw.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))
}
