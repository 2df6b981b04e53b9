//! Pictures of one size side by side, as one picture.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Encoder, Limits, Transformations};

use crate::error::{Located, Result};

/// Bytes that a picture may become, that of all pictures too.
const DECODED: usize = 256 << 20;

/// Pixels of a picture, three bytes each.
struct Pixels {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

/// The PNG files of `rows`, all of as many columns, `gap` white pixels apart; white where there is none. `None` where one of them cannot
/// be read or has another size, or where all of them are more than a page is for.
pub(super) fn montage(rows: &[Vec<Option<&[u8]>>], gap: usize) -> Result<Option<Vec<u8>>> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let Some(first) = rows
        .iter()
        .flatten()
        .flatten()
        .next()
        .and_then(|p| decode(p))
    else {
        return Ok(None);
    };
    let (width, height) = (first.width, first.height);
    let side = |count: usize, of: usize| count * (of + gap) - gap;
    let (across, down) = (side(columns, width), side(rows.len(), height));
    if across.saturating_mul(down).saturating_mul(3) > DECODED {
        return Ok(None);
    }
    let mut all = vec![255; across * down * 3];
    for (i, picture) in rows.iter().flatten().enumerate() {
        let Some(picture) = picture else { continue };
        let same = |cell: &Pixels| (cell.width, cell.height) == (width, height);
        let Some(cell) = decode(picture).filter(same) else {
            return Ok(None);
        };
        let (top, left) = (i / columns * (height + gap), i % columns * (width + gap));
        for (y, line) in cell.bytes.chunks_exact(width * 3).enumerate() {
            let at = ((top + y) * across + left) * 3;
            all[at..at + line.len()].copy_from_slice(line);
        }
    }
    let (Ok(across), Ok(down)) = (u32::try_from(across), u32::try_from(down)) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, across, down);
    encoder.set_color(ColorType::Rgb);
    let mut writer = encoder.write_header().or_internal()?;
    writer.write_image_data(&all).or_internal()?;
    writer.finish().or_internal()?;
    Ok(Some(bytes))
}

fn decode(bytes: &[u8]) -> Option<Pixels> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: DECODED });
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().ok()?;
    let (width, height) = reader.info().size();
    // In three colours, which grey ones become.
    let colours = (width as usize)
        .checked_mul(height as usize)?
        .checked_mul(3)?;
    if colours > DECODED {
        return None;
    }
    let size = reader
        .output_buffer_size()
        .filter(|&size| size <= DECODED)?;
    let mut raw = vec![0; size];
    let info = reader.next_frame(&mut raw).ok()?;
    if info.bit_depth != BitDepth::Eight {
        return None;
    }
    raw.truncate(info.buffer_size());
    // Grids of samples are opaque.
    let bytes = match info.color_type {
        ColorType::Rgb => raw,
        ColorType::Grayscale => raw.iter().flat_map(|&grey| [grey; 3]).collect(),
        _ => return None,
    };
    Some(Pixels {
        width: info.width as usize,
        height: info.height as usize,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, color: ColorType, values: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, width, 1);
        encoder.set_color(color);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(values).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn pictures_stand_where_their_row_and_column_say() {
        let red = picture(1, ColorType::Rgb, &[255, 0, 0]);
        let grey = picture(1, ColorType::Grayscale, &[7]);
        let rows = [vec![Some(&red[..]), None], vec![None, Some(&grey)]];
        let made = decode(&montage(&rows, 1).unwrap().unwrap()).unwrap();
        assert_eq!((made.width, made.height), (3, 3));
        let white = [255; 3];
        let expected = [
            [[255, 0, 0], white, white],
            [white; 3],
            [white, white, [7; 3]],
        ];
        assert_eq!(made.bytes, expected.as_flattened().as_flattened());
    }

    #[test]
    fn pictures_of_two_sizes_or_of_none_make_no_montage() {
        let one = picture(1, ColorType::Grayscale, &[7]);
        let two = picture(2, ColorType::Grayscale, &[7, 8]);
        for rows in [
            [vec![Some(&one[..]), Some(&two[..])]],
            [vec![Some(&one[..]), Some(b"no picture")]],
            [vec![None, None]],
        ] {
            assert!(montage(&rows, 1).unwrap().is_none());
        }
    }
}
