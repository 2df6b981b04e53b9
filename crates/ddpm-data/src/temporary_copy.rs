//! Copies of arrays whose images are spread all over a file, since they are in column-major order.
//!
//! They are made once, piece by piece, in unnamed files of the system's folder for temporary files (`TMPDIR`); the system removes the
//! copy when the set is dropped or the process ends, however it ends.

use std::io::{BufWriter, Write};
use std::path::Path;

use ddpm_files::PositionedFile;

use crate::error::{Error, Result};
use crate::file_source::FileSource;

/// Bytes copied at a time.
const PIECE: usize = 1 << 20;

/// A temporary file of `bytes` bytes in place of `path`, written by `fill`.
fn copy(
    path: &Path,
    bytes: u64,
    fill: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
) -> Result<PositionedFile> {
    let refused = |source| Error::no_room(path, bytes, source);
    let file = tempfile::tempfile().map_err(refused)?;
    let mut out = BufWriter::with_capacity(PIECE, file);
    fill(&mut |piece| out.write_all(piece).map_err(refused))?;
    let file = out.into_inner().map_err(|e| refused(e.into_error()))?;
    Ok(PositionedFile::private(path, file, bytes))
}

/// The array of bytes of this shape that lies column-major at `start`, in row-major order.
pub(crate) fn row_major(file: &FileSource, start: u64, shape: &[usize]) -> Result<PositionedFile> {
    /// A few reads per column, and little memory.
    const BUFFER: usize = 16 << 20;
    let Some((&count, extents)) = shape.split_first() else {
        return row_major(file, start, &[1]);
    };
    let size: usize = extents.iter().product();
    let bytes = count as u64 * size as u64;
    let at_once = (BUFFER / size.max(1)).clamp(1, count.max(1));
    let mut column = vec![0; at_once];
    let mut rows = vec![0; at_once * size];
    copy(file.path(), bytes, |write| {
        for first in (0..count).step_by(at_once) {
            let n = at_once.min(count - first);
            for element in 0..size {
                // The position of the element among the columns: its first index runs fastest.
                let (mut rest, mut place, mut weight) = (element, size, 1);
                let mut index = 0u64;
                for &extent in extents {
                    place /= extent;
                    index += (rest / place) as u64 * weight;
                    rest %= place;
                    weight *= extent as u64;
                }
                let offset = start + index * count as u64 + first as u64;
                file.read_exact_at(offset, &mut column[..n])?;
                for (row, &value) in rows.chunks_exact_mut(size).zip(&column[..n]) {
                    row[element] = value;
                }
            }
            write(&rows[..n * size])?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_major_arrays_are_turned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let shape = [3usize, 2, 4, 3];
        let value = |n: usize, y: usize, x: usize, c: usize| (n * 64 + y * 32 + x * 4 + c) as u8;
        let mut stored = vec![9, 9];
        for c in 0..3 {
            for x in 0..4 {
                for y in 0..2 {
                    stored.extend((0..3).map(|n| value(n, y, x, c)));
                }
            }
        }
        std::fs::write(&path, stored).unwrap();
        let turned = row_major(&PositionedFile::open(&path).unwrap().into(), 2, &shape).unwrap();
        let mut bytes = vec![0; turned.length() as usize];
        turned.read_exact_at(0, &mut bytes).unwrap();
        let expected = ndarray::Array4::from_shape_fn(shape, |(n, y, x, c)| value(n, y, x, c));
        assert_eq!(bytes, expected.into_raw_vec_and_offset().0);
    }
}
