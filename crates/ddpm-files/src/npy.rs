//! NumPy's `.npy` data.

use std::io::{self, Write};

use ndarray::{ArrayBase, Data, Dimension};

/// Bytes that are written at a time.
const PIECE: usize = 1 << 16;

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
