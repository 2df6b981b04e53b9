//! NumPy's `.npz` archives: arrays by name in a zip file.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::ops::RangeInclusive;
use std::path::Path;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use ndarray::{ArrayBase, ArrayD, Data, Dimension};
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::PositionedFile;
use crate::file_error::{FileError, FileResult};
use crate::npy::{NpyElement, NpyError, NpyHeader, read_npy_header, write_npy};

/// Deflate cannot shrink anything by more than this factor.
const BEST_COMPRESSION: u64 = 1032;

/// An open archive. Nothing is allocated that the file's size does not warrant, and messages name file and array.
pub struct NpzArchive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<File>>,
    /// Bytes of the file.
    bytes: u64,
    /// Names of the arrays, without `.npy`.
    names: Vec<String>,
}

/// What the shape of an array has to be. It is compared with the header before an element is read: a small archive unpacks to a
/// thousand times its size.
#[derive(Clone, Copy, Debug)]
pub enum Extents<'a> {
    /// One element, in whatever dimensions.
    One,
    /// So many elements at most, in whatever dimensions.
    AtMost(usize),
    /// As many dimensions, of an extent within each range.
    Of(&'a [RangeInclusive<usize>]),
}

impl Extents<'_> {
    fn fit(self, shape: &[usize]) -> bool {
        // The header was checked: the product is a size.
        let elements: usize = shape.iter().product();
        match self {
            Self::One => elements == 1,
            Self::AtMost(most) => elements <= most,
            Self::Of(ranges) => {
                let within =
                    |(range, extent): (&RangeInclusive<usize>, &usize)| range.contains(extent);
                ranges.len() == shape.len() && ranges.iter().zip(shape).all(within)
            }
        }
    }
}

/// What is known of an array before it is read.
pub struct Entry {
    index: usize,
    /// Its header.
    pub header: NpyHeader,
    /// Where it lies in the archive, header included, if it is stored as it is.
    pub stored: Option<StoredAt>,
    packed: PackedAt,
}

/// The part of an archive that an array is unpacked from.
struct PackedAt {
    begin: u64,
    /// Bytes in the archive.
    packed: u64,
    /// Bytes unpacked, header included.
    unpacked: u64,
    crc32: u32,
    /// Whether this is how it is packed.
    deflated: bool,
}

/// The part of an archive in which an array lies that is not compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredAt {
    /// Its first byte.
    pub begin: u64,
    /// The byte after its last.
    pub end: u64,
    /// What the archive declares to be its checksum.
    pub crc32: u32,
}

impl<'a> NpzArchive<'a> {
    /// Opens an archive.
    ///
    /// # Errors
    /// A file that cannot be read or is no archive.
    pub fn open(path: &'a Path) -> FileResult<Self> {
        let file = File::open(path).map_err(|e| FileError::read(path, e))?;
        let bytes = file.metadata().map_err(|e| FileError::read(path, e))?.len();
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| {
            FileError::field(path, "content", "a readable .npz archive", e.to_string())
        })?;
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

    /// The file.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// The names of all arrays.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The first of these arrays that is there.
    pub fn first_of(&self, keys: &[&'static str]) -> Option<&'static str> {
        let has = |key: &&str| self.names.iter().any(|name| name == key);
        keys.iter().copied().find(has)
    }

    /// Looks an array up; a name without `.npy` goes first, as in NumPy.
    ///
    /// # Errors
    /// No such array, or one that is larger than its part of the archive can be.
    pub fn entry(&mut self, key: &str, expected: &str) -> FileResult<Entry> {
        let (path, bytes) = (self.path, self.bytes);
        let refuse = |found: String| FileError::field(path, key, expected, found);
        let index = self
            .zip
            .index_for_name(key)
            .or_else(|| self.zip.index_for_name(&format!("{key}.npy")))
            .ok_or_else(|| refuse("no such array".to_owned()))?;
        let mut entry = self
            .zip
            .by_index(index)
            .map_err(|e| refuse(e.to_string()))?;
        let (packed, unpacked) = (entry.compressed_size(), entry.size());
        if packed > bytes || unpacked > packed.saturating_mul(BEST_COMPRESSION) {
            return Err(refuse(format!(
                "a damaged archive: it declares {unpacked} bytes, packed into {packed} of a file of {bytes}"
            )));
        }
        let header = read_npy_header(&mut entry, unpacked).map_err(|e| refuse(e.to_string()))?;
        let stored = entry.compression() == CompressionMethod::Stored && !entry.encrypted();
        let at = StoredAt {
            begin: entry.data_start(),
            end: entry.data_start().saturating_add(unpacked),
            crc32: entry.crc32(),
        };
        let packed = PackedAt {
            begin: at.begin,
            packed,
            unpacked,
            crc32: at.crc32,
            deflated: entry.compression() == CompressionMethod::Deflated && !entry.encrypted(),
        };
        Ok(Entry {
            index,
            header,
            stored: stored.then_some(at),
            packed,
        })
    }

    /// The elements of a compressed array, in a reader that outlives the archive.
    ///
    /// # Errors
    /// A file that cannot be read; an array that is not compressed as NumPy does it, as `key` of the file.
    pub fn member(&self, entry: &Entry, key: &str, expected: &str) -> FileResult<MemberReader> {
        let PackedAt {
            begin,
            packed,
            unpacked,
            crc32,
            deflated,
        } = entry.packed;
        if !deflated {
            return Err(self.wrong(key, expected, "another compression than NumPy's"));
        }
        let part = Part {
            file: PositionedFile::open(self.path)?,
            at: begin,
            end: begin.saturating_add(packed),
        };
        let mut member = MemberReader {
            content: DeflateDecoder::new(part),
            crc: Crc::new(),
            crc32,
            unpacked,
        };
        read_npy_header(&mut member, unpacked).map_err(|error| self.wrong(key, expected, error))?;
        Ok(member)
    }

    /// The elements of an array, and then its end.
    ///
    /// # Errors
    /// A damaged archive, as `key` of the file.
    pub fn content(&mut self, entry: &Entry, key: &str, expected: &str) -> FileResult<impl Read> {
        let path = self.path;
        let refuse = |found: String| FileError::field(path, key, expected, found);
        let mut content = self
            .zip
            .by_index(entry.index)
            .map_err(|e| refuse(e.to_string()))?;
        let size = content.size();
        read_npy_header(&mut content, size).map_err(|e| refuse(e.to_string()))?;
        Ok(content)
    }

    /// An array of these extents, by the reader of its elements.
    fn array<T>(
        &mut self,
        key: &str,
        expected: &str,
        extents: Extents<'_>,
        read: fn(&NpyHeader, &mut dyn Read) -> Result<ArrayD<T>, NpyError>,
    ) -> FileResult<ArrayD<T>> {
        let entry = self.entry(key, expected)?;
        let shape = &entry.header.shape;
        if !extents.fit(shape) {
            return Err(self.wrong(key, expected, format_args!("shape {shape:?}")));
        }
        let found = read(&entry.header, &mut self.content(&entry, key, expected)?);
        found.map_err(|e| self.wrong(key, expected, e))
    }

    /// A real or integer array.
    ///
    /// # Errors
    /// No such array, or one of another type or shape.
    pub fn floats(
        &mut self,
        key: &str,
        expected: &str,
        extents: Extents<'_>,
    ) -> FileResult<ArrayD<f64>> {
        self.array(key, expected, extents, |header, mut from| {
            header.refuse_booleans()?;
            header.floats(&mut from)
        })
    }

    /// An array of whole numbers, or of booleans.
    ///
    /// # Errors
    /// As [`floats`](Self::floats).
    pub fn integers(
        &mut self,
        key: &str,
        expected: &str,
        extents: Extents<'_>,
    ) -> FileResult<ArrayD<i128>> {
        self.array(key, expected, extents, |header, mut from| {
            header.integers(&mut from)
        })
    }

    /// The same of numbers from 0 up. Booleans count nothing.
    ///
    /// # Errors
    /// As [`floats`](Self::floats); a number below 0.
    pub fn counts(
        &mut self,
        key: &str,
        expected: &str,
        extents: Extents<'_>,
    ) -> FileResult<ArrayD<u64>> {
        let found = self.array(key, expected, extents, |header, mut from| {
            header.refuse_booleans()?;
            header.integers(&mut from)
        })?;
        match found.iter().find(|&&x| u64::try_from(x).is_err()) {
            Some(negative) => Err(self.wrong(key, expected, negative)),
            None => Ok(found.mapv(|x| u64::try_from(x).unwrap_or(0))),
        }
    }

    /// The complaint that an array is not what it has to be.
    pub fn wrong(&self, key: &str, expected: &str, found: impl std::fmt::Display) -> FileError {
        FileError::field(self.path, key, expected, found.to_string())
    }
}

/// A compressed array from its elements on; at its end its length and its checksum are compared.
#[derive(Debug)]
pub struct MemberReader {
    content: DeflateDecoder<Part>,
    crc: Crc,
    crc32: u32,
    unpacked: u64,
}

/// A part of a file that notices when the file changes.
#[derive(Debug)]
struct Part {
    file: PositionedFile,
    at: u64,
    end: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let n = left.min(buffer.len());
        let read = self.file.read_exact_at(self.at, &mut buffer[..n]);
        read.map_err(io::Error::other)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Read for MemberReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.content.read(buffer)?;
        self.crc.update(&buffer[..n]);
        let (done, declared) = (self.content.total_out(), self.unpacked);
        if done > declared || (n == 0 && !buffer.is_empty() && done != declared) {
            let found = format!("{done} bytes where {declared} are declared");
            return Err(io::Error::new(io::ErrorKind::InvalidData, found));
        }
        if n == 0 && !buffer.is_empty() && self.crc.sum() != self.crc32 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "another checksum",
            ));
        }
        Ok(n)
    }
}

/// A new archive. The same arrays make the same bytes: the files in it are dated 1980.
pub struct NpzWriter<W: Write + Seek> {
    zip: ZipWriter<W>,
    options: SimpleFileOptions,
}

impl<W: Write + Seek> NpzWriter<W> {
    /// An archive of arrays as they are (`numpy.savez`).
    pub fn new(writer: W) -> Self {
        Self::with(writer, CompressionMethod::Stored)
    }

    /// An archive of compressed arrays (`numpy.savez_compressed`).
    pub fn new_compressed(writer: W) -> Self {
        Self::with(writer, CompressionMethod::Deflated)
    }

    fn with(writer: W, method: CompressionMethod) -> Self {
        Self {
            zip: ZipWriter::new(writer),
            options: SimpleFileOptions::default().compression_method(method),
        }
    }

    /// Adds an array, as [`write_npy`] writes it.
    ///
    /// # Errors
    /// Those of the writer; a name that is there already.
    pub fn add_array<S, D>(&mut self, name: &str, array: &ArrayBase<S, D>) -> ZipResult<()>
    where
        S: Data<Elem: NpyElement>,
        D: Dimension,
    {
        self.zip.start_file(format!("{name}.npy"), self.options)?;
        let mut out = BufWriter::new(&mut self.zip);
        write_npy(&mut out, array)?;
        Ok(out.flush()?)
    }

    /// Writes the archive's directory and gives the writer back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(self) -> ZipResult<W> {
        let mut writer = self.zip.finish()?;
        writer.flush()?;
        Ok(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ndarray::{arr0, array};

    use super::*;

    #[test]
    fn an_array_of_another_shape_is_refused_by_its_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let mut writer = NpzWriter::new_compressed(Cursor::new(Vec::new()));
        let zeros = ndarray::Array2::<u8>::zeros((1 << 10, 1 << 10));
        writer.add_array("x", &zeros).unwrap();
        std::fs::write(&path, writer.finish().unwrap().into_inner()).unwrap();
        let mut archive = NpzArchive::open(&path).unwrap();
        for extents in [
            Extents::One,
            Extents::AtMost((1 << 20) - 1),
            Extents::Of(&[0..=usize::MAX]),
            Extents::Of(&[0..=usize::MAX, 1..=1023]),
        ] {
            let text = archive.floats("x", "x", extents).unwrap_err().to_string();
            assert!(text.contains("found shape [1024, 1024]"), "{text}");
        }
        let whole = Extents::Of(&[1..=1024, 1024..=1024]);
        assert_eq!(archive.counts("x", "x", whole).unwrap().len(), 1 << 20);
    }

    #[test]
    fn archives_of_both_kinds_come_back_and_damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        for compressed in [false, true] {
            let out = Cursor::new(Vec::new());
            let mut writer = if compressed {
                NpzWriter::new_compressed(out)
            } else {
                NpzWriter::new(out)
            };
            writer.add_array("x", &array![[0.5, 1.5]]).unwrap();
            writer.add_array("n", &array![3i64, -1]).unwrap();
            writer.add_array("flag", &arr0(true)).unwrap();
            let mut bytes = writer.finish().unwrap().into_inner();
            std::fs::write(&path, &bytes).unwrap();
            let mut archive = NpzArchive::open(&path).unwrap();
            assert_eq!(archive.names(), ["x", "n", "flag"]);
            assert_eq!(archive.first_of(&["y", "n", "x"]), Some("n"));
            assert_eq!(
                archive
                    .floats("x", "", Extents::Of(&[1..=1, 0..=2]))
                    .unwrap(),
                array![[0.5, 1.5]].into_dyn()
            );
            let two = Extents::AtMost(2);
            assert_eq!(
                archive.integers("n", "", two).unwrap(),
                array![3, -1].into_dyn()
            );
            assert_eq!(
                archive.integers("flag", "", Extents::One).unwrap(),
                arr0(1).into_dyn()
            );
            let as_number = archive.floats("flag", "numbers", Extents::One);
            assert!(as_number.unwrap_err().to_string().contains("type |b1"));
            let stored = archive.entry("x", "").unwrap().stored;
            assert_eq!(stored.is_none(), compressed);
            for (key, words) in [
                ("n", "found -1"),
                ("x", "elements of type <f8"),
                ("y", "no such"),
                ("flag", "elements of type |b1"),
            ] {
                let text = archive.counts(key, "counts", two).unwrap_err().to_string();
                assert!(text.contains("a.npz") && text.contains(words), "{text}");
            }
            if let Some(at) = stored {
                bytes[at.end as usize - 1] ^= 1;
                std::fs::write(&path, &bytes).unwrap();
                let text = NpzArchive::open(&path)
                    .unwrap()
                    .floats("x", "", two)
                    .unwrap_err();
                assert!(text.to_string().contains("checksum"), "{text}");
            }
        }
    }
}
