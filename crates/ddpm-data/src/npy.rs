//! A look at the header of `.npy` data before anything of the size it declares is allocated.
//!
//! The library that reads the arrays trusts their headers: it allocates what the shape asks for, and its parser
//! recurses once per bracket. A file from a stranger gets past neither here.

use std::io::{self, Read};

/// NumPy itself refuses longer headers than 10,000 bytes.
const LONGEST_HEADER: usize = 1 << 16;
/// A structured type of NumPy nests less deep.
const DEEPEST_NESTING: usize = 8;

/// What is wrong with a header; the text completes "found ..".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpyHeaderError {
    /// The data cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The data ends within the header.
    #[error("a file that ends too early")]
    Short,
    /// No header of version 1, 2 or 3.
    #[error("{0}")]
    Malformed(&'static str),
    /// The array is larger than the data.
    #[error(
        "a file that ends too early: its header declares shape ({shape}), {declared} bytes of elements, and {available} follow"
    )]
    Truncated {
        /// The extents as the header has them.
        shape: String,
        /// Bytes that the elements would take.
        declared: u128,
        /// Bytes that there are.
        available: u64,
    },
    /// The array is larger than any memory.
    #[error("a shape that no memory holds: ({shape})")]
    Huge {
        /// The extents as the header has them.
        shape: String,
    },
}

/// What a header declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NpyHeader {
    /// The type of the elements, such as `<f8`; empty for objects and structures.
    pub(crate) descr: String,
    /// Whether the first index runs fastest.
    pub(crate) fortran_order: bool,
    pub(crate) shape: Vec<usize>,
    /// Bytes before the first element.
    pub(crate) length: u64,
}

/// Reads the header of `.npy` data from `reader` and checks that the elements it declares are there.
///
/// # Arguments
/// `total`: bytes of the data, header included.
///
/// # Errors
/// [`NpyHeaderError`]; nothing larger than 64 KiB is allocated to find out.
pub fn check_npy_header(reader: &mut impl Read, total: u64) -> Result<(), NpyHeaderError> {
    read_npy_header(reader, total).map(drop)
}

/// The same with what the header says; `reader` is left at the first element.
pub(crate) fn read_npy_header(
    reader: &mut impl Read,
    total: u64,
) -> Result<NpyHeader, NpyHeaderError> {
    let mut start = [0u8; 8];
    fill(reader, &mut start)?;
    if start[..6] != *b"\x93NUMPY" {
        return Err(NpyHeaderError::Malformed("something that is no .npy data"));
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
        _ => {
            return Err(NpyHeaderError::Malformed(
                "an unknown version of the .npy format",
            ));
        }
    };
    if length > LONGEST_HEADER {
        return Err(NpyHeaderError::Malformed("a header of more than 64 KiB"));
    }
    let mut header = vec![0; length];
    fill(reader, &mut header)?;
    let header = std::str::from_utf8(&header)
        .map_err(|_| NpyHeaderError::Malformed("a header that is no text"))?;
    check_nesting(header)?;
    let shape_text = shape(header)?;
    let extents = extents(shape_text)?;
    let descr = descr(header);
    let element = element_size(descr);
    // An extent of 0 leaves no elements, but the other extents still have to be a size.
    let size = extents
        .iter()
        .filter(|&&extent| extent > 0)
        .try_fold(element, |size, &extent| size.checked_mul(extent.into()))
        .filter(|&size| size <= isize::MAX as u128);
    let shown = || shape_text.trim().to_owned();
    let Some(size) = size else {
        return Err(NpyHeaderError::Huge { shape: shown() });
    };
    let declared = if extents.contains(&0) { 0 } else { size };
    let before = before + length as u64;
    let available = total.saturating_sub(before);
    if declared > available.into() {
        return Err(NpyHeaderError::Truncated {
            shape: shown(),
            declared,
            available,
        });
    }
    let shape = extents.iter().map(|&extent| usize::try_from(extent));
    Ok(NpyHeader {
        descr: descr.unwrap_or_default().to_owned(),
        fortran_order: fortran_order(header)?,
        shape: shape
            .collect::<Result<_, _>>()
            .map_err(|_| NpyHeaderError::Huge { shape: shown() })?,
        length: before,
    })
}

fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> Result<(), NpyHeaderError> {
    reader.read_exact(bytes).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => NpyHeaderError::Short,
        _ => e.into(),
    })
}

fn check_nesting(header: &str) -> Result<(), NpyHeaderError> {
    // With an escape, a name could be spelled so that we and the parser read two different shapes.
    if header.contains('\\') {
        return Err(NpyHeaderError::Malformed(
            "a header with escaped characters",
        ));
    }
    let mut depth = 0usize;
    for c in header.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST_NESTING {
            return Err(NpyHeaderError::Malformed("a header of deep nesting"));
        }
    }
    Ok(())
}

/// What stands in the brackets after the one key `shape`.
fn shape(header: &str) -> Result<&str, NpyHeaderError> {
    const NONE: NpyHeaderError = NpyHeaderError::Malformed("a header without one shape");
    let mut parts = header.split("shape");
    let (_, Some(after), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NONE);
    };
    let after = after
        .strip_prefix(['\'', '"'])
        .and_then(|rest| rest.trim_start().strip_prefix(':'))
        .and_then(|rest| rest.trim_start().strip_prefix('('));
    match after.and_then(|rest| rest.split_once(')')) {
        Some((inside, _)) => Ok(inside),
        None => Err(NONE),
    }
}

fn extents(shape: &str) -> Result<Vec<u64>, NpyHeaderError> {
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
        .map_err(|_| NpyHeaderError::Malformed("a shape that is no list of sizes"))
}

/// What follows `key` and its colon.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(key)?;
    Some(rest.get(1..)?.trim_start().strip_prefix(':')?.trim_start())
}

/// The name of a simple type such as `<f8`; none for objects of many parts.
fn descr(header: &str) -> Option<&str> {
    let rest = value(header, "descr")?;
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    rest[1..].split(quote).next()
}

/// Bytes of one element: the digits that end the name of a simple type.
fn element_size(descr: Option<&str>) -> u128 {
    let size = descr.and_then(|name| {
        name.trim_start_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .ok()
    });
    match size {
        Some(size) => u128::from(u32::max(size, 1)),
        // Objects and structures: nobody reads such elements, and who tries is told of their type before anything is allocated.
        None => 1,
    }
}

fn fortran_order(header: &str) -> Result<bool, NpyHeaderError> {
    match value(header, "fortran_order") {
        Some(rest) if rest.starts_with("True") => Ok(true),
        Some(rest) if rest.starts_with("False") => Ok(false),
        _ => Err(NpyHeaderError::Malformed("a header without fortran_order")),
    }
}

#[cfg(test)]
mod tests {
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
        check_npy_header(&mut &bytes[..], bytes.len() as u64 + data).map_err(|e| e.to_string())
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
}
