//! A folder of PNG files: 8-bit RGB or grey, all of one size, in the order of their names.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType};

use super::ImageSet;
use super::image_set::Pixels;
use crate::error::{Error, Result, shape as show};

/// Reads every `*.png` directly in `folder`, sorted by name.
pub(crate) fn read(folder: &Path) -> Result<ImageSet> {
    let files = files(folder)?;
    let Some(first) = files.first() else {
        return Err(Error::EmptyFolder {
            path: folder.to_owned(),
        });
    };
    let mut set_shape = None;
    let mut pixels = Vec::new();
    for path in &files {
        let (shape, planes) = read_png(path)?;
        let expected = *set_shape.get_or_insert(shape);
        if shape != expected {
            let name = first.file_name().unwrap_or_default().to_string_lossy();
            return Err(Error::field(
                path,
                "image size",
                format!("{} like {name}, the first of the folder", show(&expected)),
                show(&shape),
            ));
        }
        pixels.extend(planes);
    }
    let shape = set_shape.unwrap_or_default();
    Ok(ImageSet::from_parts(
        "png-folder",
        shape,
        Pixels::Bytes(pixels),
        None,
    ))
}

/// The folder's PNG files by name; by bytes, so that the order is the same everywhere.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::read(folder, e))? {
        let path = entry.map_err(|e| Error::read(folder, e))?.path();
        let is_png = path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("png"));
        if is_png && path.is_file() {
            files.push(path);
        }
    }
    files.sort_unstable_by(|a, b| {
        a.as_os_str()
            .as_encoded_bytes()
            .cmp(b.as_os_str().as_encoded_bytes())
    });
    Ok(files)
}

/// Shape and planes `[C, H, W]` of one file.
fn read_png(path: &Path) -> Result<([usize; 3], Vec<u8>)> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let malformed = |e: png::DecodingError| match e {
        png::DecodingError::IoError(source)
            if source.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            Error::read(path, source)
        }
        other => Error::field(path, "content", "a readable PNG image", other.to_string()),
    };
    let mut decoder = png::Decoder::new(BufReader::new(file));
    // Pixels as stored: a palette or 16 bits would have to be converted, and a model was trained on one way of it.
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(malformed)?;
    let (color, depth) = reader.output_color_type();
    let channels = match (color, depth) {
        (ColorType::Rgb, BitDepth::Eight) => 3,
        (ColorType::Grayscale, BitDepth::Eight) => 1,
        (ColorType::Rgba | ColorType::GrayscaleAlpha, _) => {
            return Err(Error::field(
                path,
                "colour type",
                "8-bit RGB or grey without transparency; composite the image on a background first",
                format!("{color:?} with an alpha channel"),
            ));
        }
        _ => {
            return Err(Error::field(
                path,
                "colour type",
                "8-bit RGB or grey",
                format!("{color:?} of {} bits", depth as u8),
            ));
        }
    };
    if reader.info().trns.is_some() {
        return Err(Error::field(
            path,
            "colour type",
            "8-bit RGB or grey without transparency; composite the image on a background first",
            "a transparent colour (tRNS chunk)",
        ));
    }
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let size = reader.output_buffer_size().ok_or_else(|| {
        Error::field(
            path,
            "image size",
            "one that fits in memory",
            format!("{width}x{height}"),
        )
    })?;
    let mut interleaved = vec![0; size];
    reader.next_frame(&mut interleaved).map_err(malformed)?;
    let planes = (0..channels)
        .flat_map(|c| interleaved.iter().skip(c).step_by(channels).copied())
        .collect();
    Ok(([channels, height, width], planes))
}
