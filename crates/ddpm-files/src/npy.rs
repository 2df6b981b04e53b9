//! NumPy's `.npy` data.
//!
//! Nothing of the size that a header declares is allocated before the elements are known to be there, and no bracket of it
//! is followed into the depth.

use std::io::{self, Read, Write};

use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn, ShapeBuilder};

/// NumPy itself refuses longer headers than 10,000 bytes.
const LONGEST_HEADER: usize = 1 << 16;
/// A structured type of NumPy nests less deep.
const DEEPEST_NESTING: usize = 8;

/// Bytes that elements may become beside four times what they are in the file.
const SPARE: u128 = 64 << 20;

/// Bytes of elements read at a time; a multiple of every element's size.
const PIECE: usize = 1 << 16;

/// What is wrong with an array; the text completes "found ..".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// The data cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The data are no array, not all of it, or one of other elements than were asked for.
    #[error("{0}")]
    Content(String),
}

impl From<&str> for NpyError {
    fn from(found: &str) -> Self {
        Self::Content(found.to_owned())
    }
}

/// What a header declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyHeader {
    /// The type of the elements, such as `<f8`; of a structure, the list of its fields.
    pub descr: String,
    /// Whether the first index runs fastest.
    pub fortran_order: bool,
    /// The extents.
    pub shape: Vec<usize>,
    /// Bytes before the first element.
    pub length: u64,
}

impl NpyHeader {
    /// The kind of the elements and the bytes of one, whatever their order: `f8`.
    pub fn element(&self) -> &str {
        self.descr.trim_start_matches(['|', '<', '>', '='])
    }

    /// The elements of real or whole numbers that `reader` is at, and then its end.
    ///
    /// # Errors
    /// [`NpyError`]; more bytes than are declared.
    pub fn floats(&self, reader: &mut impl Read) -> Result<ArrayD<f64>, NpyError> {
        match self.element() {
            "f8" => self.elements(reader, f64::from_le_bytes),
            "f4" => self.elements(reader, |b| f32::from_le_bytes(b).into()),
            // Of integers beyond 2^53, the nearest.
            _ => self.whole(reader, |x| x as f64),
        }
    }

    /// The same of whole numbers, and of booleans as 0 and 1.
    ///
    /// # Errors
    /// As [`floats`](Self::floats).
    pub fn integers(&self, reader: &mut impl Read) -> Result<ArrayD<i128>, NpyError> {
        self.whole(reader, |x| x)
    }

    /// Refuses answers where numbers are meant.
    pub(crate) fn refuse_booleans(&self) -> Result<(), NpyError> {
        match self.element() {
            "b1" => Err(self.other_type()),
            _ => Ok(()),
        }
    }

    fn other_type(&self) -> NpyError {
        NpyError::Content(format!("elements of type {}", self.descr))
    }

    /// Whole numbers as something else, which nothing larger is held beside.
    fn whole<T>(
        &self,
        reader: &mut impl Read,
        of: impl Fn(i128) -> T,
    ) -> Result<ArrayD<T>, NpyError> {
        match self.element() {
            "i8" => self.elements(reader, |b| of(i64::from_le_bytes(b).into())),
            "i4" => self.elements(reader, |b| of(i32::from_le_bytes(b).into())),
            "i2" => self.elements(reader, |b| of(i16::from_le_bytes(b).into())),
            "i1" => self.elements(reader, |b| of(i8::from_le_bytes(b).into())),
            "u8" => self.elements(reader, |b| of(u64::from_le_bytes(b).into())),
            "u4" => self.elements(reader, |b| of(u32::from_le_bytes(b).into())),
            "u2" => self.elements(reader, |b| of(u16::from_le_bytes(b).into())),
            "u1" => self.elements(reader, |[b]| of(b.into())),
            "b1" => self.elements(reader, |[b]| of((b != 0).into())),
            _ => Err(self.other_type()),
        }
    }

    fn elements<T, const N: usize>(
        &self,
        reader: &mut impl Read,
        read: impl Fn([u8; N]) -> T,
    ) -> Result<ArrayD<T>, NpyError> {
        let big_endian = self.descr.starts_with('>');
        // The header was checked: this is no more than the data that there are.
        let mut left: usize = self.shape.iter().product();
        // Packed zeros take next to nothing: what they become is bounded by what they are unpacked.
        let bound = 4 * (left as u128 * N as u128) + SPARE;
        if left as u128 * size_of::<T>() as u128 > bound {
            let found = format!(
                "{left} elements of type {}, too many of this type",
                self.descr
            );
            return Err(NpyError::Content(found));
        }
        let mut values = Vec::new();
        values.try_reserve_exact(left).map_err(|_| {
            NpyError::Content(format!(
                "{left} elements, more than the system gives memory for"
            ))
        })?;
        let mut piece = [0; PIECE];
        while left > 0 {
            let count = left.min(PIECE / N);
            fill(reader, &mut piece[..count * N])?;
            values.extend(
                piece[..count * N]
                    .as_chunks::<N>()
                    .0
                    .iter()
                    .map(|&element| {
                        let mut element = element;
                        if big_endian {
                            element.reverse();
                        }
                        read(element)
                    }),
            );
            left -= count;
        }
        // An archive compares its checksum at the end.
        if reader.read(&mut [0])? > 0 {
            return Err("bytes after the last element".into());
        }
        let shape = IxDyn(&self.shape).set_f(self.fortran_order);
        ArrayD::from_shape_vec(shape, values).map_err(|_| "a shape that is no list of sizes".into())
    }
}

/// Reads the header of `.npy` data from `reader`, which is left at the first element, and checks that the elements it
/// declares are there.
///
/// # Arguments
/// `total`: bytes of the data, header included.
///
/// # Errors
/// [`NpyError`]; nothing larger than 64 KiB is allocated to find out.
pub fn read_npy_header(reader: &mut impl Read, total: u64) -> Result<NpyHeader, NpyError> {
    let mut start = [0u8; 8];
    fill(reader, &mut start)?;
    if start[..6] != *b"\x93NUMPY" {
        return Err("something that is no .npy data".into());
    }
    let (length, before) = match start[6] {
        1 => {
            let mut length = [0; 2];
            fill(reader, &mut length)?;
            (usize::from(u16::from_le_bytes(length)), 10)
        }
        2 | 3 => {
            let mut length = [0; 4];
            fill(reader, &mut length)?;
            (u32::from_le_bytes(length) as usize, 12)
        }
        _ => return Err("an unknown version of the .npy format".into()),
    };
    if length > LONGEST_HEADER {
        return Err("a header of more than 64 KiB".into());
    }
    let mut header = vec![0; length];
    fill(reader, &mut header)?;
    let header = std::str::from_utf8(&header).map_err(|_| "a header that is no text")?;
    check_nesting(header)?;
    let shape_text = shape(header)?;
    let extents = extents(shape_text)?;
    let descr = descr(header).unwrap_or_default();
    let element = element_size(descr);
    // An extent of 0 leaves no elements, but the other extents still have to be a size.
    let size = extents
        .iter()
        .filter(|&&extent| extent > 0)
        .try_fold(element, |size, &extent| size.checked_mul(extent.into()))
        .filter(|&size| size <= isize::MAX as u128);
    let huge = || {
        let shape = shape_text.trim();
        NpyError::Content(format!("a shape that no memory holds: ({shape})"))
    };
    let size = size.ok_or_else(huge)?;
    let declared = if extents.contains(&0) { 0 } else { size };
    let before = before + length as u64;
    let available = total.saturating_sub(before);
    if declared > available.into() {
        return Err(NpyError::Content(format!(
            "a file that ends too early: its header declares shape ({}), {declared} bytes of elements, and {available} follow",
            shape_text.trim()
        )));
    }
    let shape = extents.iter().map(|&extent| usize::try_from(extent));
    Ok(NpyHeader {
        descr: descr.to_owned(),
        fortran_order: fortran_order(header)?,
        shape: shape.collect::<Result<_, _>>().map_err(|_| huge())?,
        length: before,
    })
}

fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> Result<(), NpyError> {
    reader.read_exact(bytes).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => "a file that ends too early".into(),
        _ => e.into(),
    })
}

fn check_nesting(header: &str) -> Result<(), NpyError> {
    // With an escape, a name could be spelled so that we and the parser read two different shapes.
    if header.contains('\\') {
        return Err("a header with escaped characters".into());
    }
    let mut depth = 0usize;
    for c in header.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST_NESTING {
            return Err("a header of deep nesting".into());
        }
    }
    Ok(())
}

/// What stands in the brackets after the one key `shape`.
fn shape(header: &str) -> Result<&str, NpyError> {
    const NONE: &str = "a header without one shape";
    let mut parts = header.split("shape");
    let (_, Some(after), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NONE.into());
    };
    let after = after
        .strip_prefix(['\'', '"'])
        .and_then(|rest| rest.trim_start().strip_prefix(':'))
        .and_then(|rest| rest.trim_start().strip_prefix('('));
    let (inside, _) = after.and_then(|rest| rest.split_once(')')).ok_or(NONE)?;
    Ok(inside)
}

fn extents(shape: &str) -> Result<Vec<u64>, NpyError> {
    let shape = shape.trim();
    let shape = shape.strip_suffix(',').unwrap_or(shape);
    if shape.is_empty() {
        return Ok(Vec::new());
    }
    shape
        .split(',')
        // Python 2 wrote long integers with an L.
        .map(|extent| extent.trim().trim_end_matches('L').parse())
        .collect::<Result<_, _>>()
        .map_err(|_| "a shape that is no list of sizes".into())
}

/// What follows `key` and its colon.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(key)?;
    Some(rest.get(1..)?.trim_start().strip_prefix(':')?.trim_start())
}

/// The name of a simple type such as `<f8`, or what describes a structure up to its last bracket.
fn descr(header: &str) -> Option<&str> {
    let rest = value(header, "descr")?;
    match rest.chars().next()? {
        quote @ ('\'' | '"') => rest[1..].split(quote).next(),
        '[' => Some(&rest[..=rest.rfind(']')?]),
        _ => None,
    }
}

/// Bytes of one element: the digits that end the name of a simple type.
fn element_size(descr: &str) -> u128 {
    let digits = descr.trim_start_matches(|c: char| !c.is_ascii_digit());
    match digits.parse::<u32>() {
        Ok(size) => size.max(1).into(),
        // Objects and structures: nobody reads such elements, and who tries is told of their type before anything is allocated.
        Err(_) => 1,
    }
}

fn fortran_order(header: &str) -> Result<bool, NpyError> {
    match value(header, "fortran_order") {
        Some(rest) if rest.starts_with("True") => Ok(true),
        Some(rest) if rest.starts_with("False") => Ok(false),
        _ => Err("a header without fortran_order".into()),
    }
}

/// A type of elements that is written.
pub trait NpyElement: Copy {
    /// Its name in a header.
    const DESCR: &'static str;

    /// Appends the bytes of a value.
    fn write(self, bytes: &mut Vec<u8>);
}

macro_rules! elements {
    ($($type:ty: $descr:literal),*) => {$(
        impl NpyElement for $type {
            const DESCR: &'static str = $descr;

            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
        }
    )*};
}
elements!(f64: "<f8", f32: "<f4", i64: "<i8", i32: "<i4", u8: "|u1");

impl NpyElement for bool {
    const DESCR: &'static str = "|b1";

    fn write(self, bytes: &mut Vec<u8>) {
        bytes.push(self.into());
    }
}

/// Writes an array; one that lies column-major in memory is stored so, any other row-major.
///
/// # Errors
/// Those of `writer`.
pub fn write_npy<S, D>(writer: &mut impl Write, array: &ArrayBase<S, D>) -> io::Result<()>
where
    S: Data<Elem: NpyElement>,
    D: Dimension,
{
    let columns = array.t();
    let fortran_order = columns.is_standard_layout() && !array.is_standard_layout();
    let python = if fortran_order { "True" } else { "False" };
    let extents: Vec<String> = array.shape().iter().map(usize::to_string).collect();
    let comma = if extents.len() == 1 { "," } else { "" };
    let mut header = format!(
        "{{'descr': '{}', 'fortran_order': {python}, 'shape': ({}{comma})}}",
        S::Elem::DESCR,
        extents.join(", ")
    );
    // Magic, version and length take 10 bytes; the whole is a multiple of 64 and ends a line.
    let unpadded = 10 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', 64 - unpadded % 64));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(io::Error::other)?;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    let mut put = |value: &S::Elem| {
        value.write(&mut bytes);
        if bytes.len() >= PIECE {
            writer.write_all(&bytes)?;
            bytes.clear();
        }
        Ok::<(), io::Error>(())
    };
    if fortran_order {
        columns.iter().try_for_each(&mut put)?;
    } else {
        array.iter().try_for_each(&mut put)?;
    }
    writer.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, arr0, array};

    use super::*;

    fn npy(version: u8, header: &str) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((header.len() as u16).to_le_bytes()),
            _ => bytes.extend((header.len() as u32).to_le_bytes()),
        }
        bytes.extend(header.as_bytes());
        bytes
    }

    fn check(bytes: &[u8], data: u64) -> Result<(), String> {
        read_npy_header(&mut &bytes[..], bytes.len() as u64 + data)
            .map(drop)
            .map_err(|e| e.to_string())
    }

    fn dict(descr: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}   \n")
    }

    #[test]
    fn honest_headers_pass_with_exactly_their_data() {
        for version in [1, 2, 3] {
            for (descr, shape, size) in [
                ("<f8", "(3, 4)", 96),
                ("<f4", "(3, 4)", 48),
                ("|u1", "(5,)", 5),
                ("<i8", "()", 8),
                (">i2", "(2L, 3L)", 12),
                ("|b1", "(0, 32, 32, 3)", 0),
                ("|O", "(2,)", 2),
            ] {
                let bytes = npy(version, &dict(descr, shape));
                assert_eq!(check(&bytes, size), Ok(()), "{descr} {shape}");
                if size > 0 {
                    let short = check(&bytes, size - 1).unwrap_err();
                    assert!(short.contains("ends too early"), "{short}");
                }
            }
        }
    }

    #[test]
    fn a_header_is_read_as_it_is() {
        let mut bytes = npy(1, &dict("|u1", "(3, 4)").replace("False", "True"));
        bytes.extend([7; 12]);
        let total = bytes.len() as u64;
        let mut rest = &bytes[..];
        let header = read_npy_header(&mut rest, total).unwrap();
        assert_eq!(rest, [7; 12]);
        let expected = NpyHeader {
            descr: "|u1".to_owned(),
            fortran_order: true,
            shape: vec![3, 4],
            length: total - 12,
        };
        assert_eq!(header, expected);
        let without = "{'descr': '|u1', 'shape': (1,), }\n";
        let text = check(&npy(1, without), 1).unwrap_err();
        assert!(text.contains("fortran_order"), "{text}");
    }

    #[test]
    fn shapes_beyond_their_data_or_any_memory_are_named() {
        let found = |shape: &str| check(&npy(1, &dict("<f8", shape)), 64).unwrap_err();
        assert!(found("(1000000000, 1000)").contains("1000000000, 1000"));
        for huge in [
            "(4294967296, 4294967296)",
            "(18446744073709551615, 18446744073709551615, 18446744073709551615)",
            "(0, 18446744073709551615, 2)",
        ] {
            assert!(found(huge).contains("no memory holds"), "{huge}");
        }
        for odd in ["(-1, 2)", "(18446744073709551616,)", "(a,)", "(1.5,)"] {
            assert!(found(odd).contains("no list of sizes"), "{odd}");
        }
    }

    #[test]
    fn hostile_headers_are_refused_before_they_are_parsed() {
        let deep = format!("{{'descr': {}", "(".repeat(60_000));
        assert!(check(&npy(2, &deep), 0).unwrap_err().contains("nesting"));
        let twice = "{'shape': (1,), 'descr': '<f8', 'shape': (99999999999,), }\n";
        assert!(check(&npy(1, twice), 8).unwrap_err().contains("one shape"));
        let escaped = r"{'sh\x61pe': (99999999999,), 'descr': '<f8', 'fortran_order': False}";
        assert!(check(&npy(1, escaped), 8).unwrap_err().contains("escaped"));
        // A length of 4 GiB that is not there.
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        assert!(check(&long, 0).unwrap_err().contains("64 KiB"));
        assert!(
            check(b"\x93NUMPY\x01\x00\xff", 0)
                .unwrap_err()
                .contains("early")
        );
        assert!(
            check(b"\x93NUMPY\x09\x00\x00\x00", 0)
                .unwrap_err()
                .contains("version")
        );
        assert!(
            check(b"not an array", 0)
                .unwrap_err()
                .contains("no .npy data")
        );
    }

    fn written<S: Data<Elem: NpyElement>, D: Dimension>(array: &ArrayBase<S, D>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_npy(&mut bytes, array).unwrap();
        bytes
    }

    fn floats(mut bytes: &[u8]) -> Result<ArrayD<f64>, NpyError> {
        let total = bytes.len() as u64;
        read_npy_header(&mut bytes, total)?.floats(&mut bytes)
    }

    /// The bytes of `numpy.save`, but for a comma and the space after the dictionary.
    #[test]
    fn arrays_are_written_as_numpy_writes_them() {
        let bytes = written(&array![1i64, -2]);
        let mut expected = b"\x93NUMPY\x01\x00v\x00".to_vec();
        expected.extend(b"{'descr': '<i8', 'fortran_order': False, 'shape': (2,)}");
        expected.resize(127, b' ');
        expected.push(b'\n');
        expected.extend(1i64.to_le_bytes());
        expected.extend((-2i64).to_le_bytes());
        assert_eq!(bytes, expected);
        assert!(written(&arr0(true)).ends_with(b" \n\x01"));
    }

    #[test]
    fn arrays_of_every_kind_and_layout_come_back() {
        let whole = array![[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]];
        let rows = whole.clone().into_dyn();
        assert_eq!(floats(&written(&whole)).unwrap(), rows);
        assert_eq!(floats(&written(&whole.mapv(|x| x as f32))).unwrap(), rows);
        assert_eq!(floats(&written(&whole.mapv(|x| x as i32))).unwrap(), rows);
        let columns = Array2::from_shape_fn((3, 2).f(), |(i, j)| whole[[j, i]]);
        for turned in [columns.view(), whole.t()] {
            let bytes = written(&turned);
            assert!(bytes.windows(4).any(|w| w == b"True"));
            assert_eq!(floats(&bytes).unwrap(), turned.into_dyn());
        }
        // Neither order.
        let slice = whole.slice(ndarray::s![.., ..;2]);
        assert_eq!(floats(&written(&slice)).unwrap(), slice.into_dyn());
        let many = ndarray::Array1::from_iter((0..20_000).map(f64::from));
        assert_eq!(floats(&written(&many)).unwrap(), many.into_dyn());

        let mut big = npy(1, &dict(">i2", "(2,)"));
        big.extend([0, 1, 0xff, 0xff]);
        assert_eq!(floats(&big).unwrap(), array![1.0, -1.0].into_dyn());
        let found = |bytes: &[u8]| floats(bytes).unwrap_err().to_string();
        big.push(0);
        assert!(found(&big).contains("after the last element"));
        let mut object = npy(1, &dict("|O", "(2,)"));
        object.extend([0; 2]);
        assert!(found(&object).contains("elements of type |O"));
    }
}
