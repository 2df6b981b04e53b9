//! Images of one size in a file, one record after the other.

use std::path::Path;

use ddpm_files::npz::StoredAt;
use rayon::prelude::*;

use super::file_source::FileSource;
use super::member_checksum::MemberChecksum;
use crate::error::{Error, Result};

/// In which order the values of an image are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// `[C, H, W]`: the canonical order.
    Planes,
    /// `[H, W, C]`, bytes.
    Interleaved {
        /// C.
        channels: usize,
    },
}

/// Where the images of a file lie.
#[derive(Debug)]
pub(crate) struct Records {
    file: FileSource,
    /// First byte of the first image.
    start: u64,
    /// Bytes of an image.
    size: usize,
    /// Bytes from the start of an image to the start of the next.
    stride: usize,
    order: Order,
    count: usize,
    checksum: Option<StoredAt>,
}

impl Records {
    /// `count` images of `size` bytes without gaps.
    pub(crate) fn new(
        file: impl Into<FileSource>,
        start: u64,
        size: usize,
        count: usize,
        order: Order,
    ) -> Self {
        Self {
            file: file.into(),
            start,
            size,
            stride: size,
            order,
            count,
            checksum: None,
        }
    }

    /// The same with `stride` bytes from the start of an image to the start of the next.
    pub(crate) fn with_stride(mut self, stride: usize) -> Self {
        debug_assert!(stride >= self.size);
        self.stride = stride;
        self
    }

    /// The same, of images without gaps that are part of something with a checksum.
    pub(crate) fn with_checksum(mut self, checksum: Option<StoredAt>) -> Self {
        self.checksum = checksum;
        self
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The file that messages name.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Fills `dst`, a whole number of images, with consecutive images from `first` on, in the canonical order.
    pub(crate) fn read(&self, first: usize, dst: &mut [u8]) -> Result<()> {
        self.load(first, dst)?;
        self.arrange(dst);
        Ok(())
    }

    /// Gives all images to `see`, in the canonical order, as many at a time as fit into `room` (at least one), each time with
    /// the index of the first; indices begin with `begin`. At the end the checksum is compared, if there is one.
    ///
    /// # Errors
    /// [`Error::Image`] when images cannot be read, another checksum, and those of `see`.
    pub(crate) fn scan(
        &self,
        begin: usize,
        room: &mut [u8],
        mut see: impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let at_once = room.len() / self.size;
        let mut running = match self.checksum {
            Some(checksum) => Some(MemberChecksum::start(checksum, &self.file, self.start)?),
            None => None,
        };
        for first in (0..self.count).step_by(at_once) {
            let images = &mut room[..at_once.min(self.count - first) * self.size];
            let index = begin + first;
            self.load(first, images)
                .map_err(|e| Error::image(index, e))?;
            if let Some(running) = &mut running {
                running.update(images);
            }
            self.arrange(images);
            see(index, images)?;
        }
        match running {
            Some(running) => running.finish(&self.file),
            None => Ok(()),
        }
    }

    /// The images as they are stored, without what lies between them.
    fn load(&self, first: usize, dst: &mut [u8]) -> Result<()> {
        let offset = self.start + first as u64 * self.stride as u64;
        let count = dst.len() / self.size;
        if self.stride == self.size || count == 0 {
            return self.file.read_exact_at(offset, dst);
        }
        // What follows the last image may not be there.
        let mut records = vec![0; (count - 1) * self.stride + self.size];
        self.file.read_exact_at(offset, &mut records)?;
        let images = records.chunks(self.stride);
        for (dst, record) in dst.chunks_exact_mut(self.size).zip(images) {
            dst.copy_from_slice(&record[..self.size]);
        }
        Ok(())
    }

    /// From the stored order to the canonical one.
    fn arrange(&self, images: &mut [u8]) {
        let Order::Interleaved { channels } = self.order else {
            return;
        };
        let arrange = |image: &mut [u8]| {
            let interleaved = image.to_vec();
            to_planes(&interleaved, channels, image);
        };
        if images.len() == self.size {
            arrange(images)
        } else {
            images.par_chunks_exact_mut(self.size).for_each(arrange)
        }
    }
}

/// From `[H, W, C]` to `[C, H, W]`.
pub(crate) fn to_planes(interleaved: &[u8], channels: usize, planes: &mut [u8]) {
    let pixels = interleaved.len() / channels;
    for (c, plane) in planes.chunks_exact_mut(pixels).enumerate() {
        let values = interleaved[c..].iter().step_by(channels);
        for (dst, &value) in plane.iter_mut().zip(values) {
            *dst = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use ddpm_files::PositionedFile;

    use super::*;

    #[test]
    fn records_with_gaps_and_in_either_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        // A byte before every image of 2x1x2, none after the last.
        std::fs::write(&path, b"-abcd-efgh-ijkl").unwrap();
        let records = |order| {
            let file = PositionedFile::open(&path).unwrap();
            Records::new(file, 1, 4, 3, order).with_stride(5)
        };
        let read = |records: &Records, first, count: usize| {
            let mut bytes = vec![0; 4 * count];
            records.read(first, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let planes = records(Order::Planes);
        assert_eq!(read(&planes, 0, 3), "abcdefghijkl");
        assert_eq!(read(&planes, 2, 1), "ijkl");
        assert_eq!(read(&planes, 1, 0), "");
        let interleaved = records(Order::Interleaved { channels: 2 });
        assert_eq!(read(&interleaved, 1, 2), "egfhikjl");
        assert_eq!(read(&interleaved, 0, 1), "acbd");
    }
}
