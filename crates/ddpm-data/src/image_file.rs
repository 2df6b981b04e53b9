//! An image in a file: PNG or JPEG.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use ndarray::Array3;
use png::{BitDepth, ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::records::to_planes;
use crate::error::{Error, Result};

/// The longest side of an image: far beyond any diffusion model's, and small enough that a header alone cannot ask
/// for more memory than there is.
const MAX_SIDE: usize = 16_384;
/// Deflate makes at most 1,032 bytes of one, and a byte holds 8 pixels of one bit.
const PNG_PIXELS: u64 = 1_032 * 8;
/// Every block of 64 pixels takes a bit at least, the difference of its mean from the one before.
const JPEG_PIXELS: u64 = 64 * 8;
/// What the decoder may allocate beside the image itself.
const DECODER_BYTES: usize = 64 << 20;

const OPAQUE: &str = "RGB or grey without transparency; composite the image on a background first";

/// Endings of images that are read.
const READ: [&str; 3] = ["png", "jpg", "jpeg"];
/// Endings of images that are not.
const OTHERS: [&str; 6] = ["webp", "gif", "bmp", "tif", "tiff", "ppm"];

fn ends_with_one_of(name: &OsStr, endings: &[&str]) -> bool {
    let own = Path::new(name).extension();
    own.is_some_and(|own| {
        endings
            .iter()
            .any(|ending| own.eq_ignore_ascii_case(ending))
    })
}

/// Whether a name is that of an image that is read.
pub(crate) fn is_read(name: &OsStr) -> bool {
    ends_with_one_of(name, &READ)
}

/// Whether a name is that of an image that is not read.
pub(crate) fn is_another_image(name: &OsStr) -> bool {
    ends_with_one_of(name, &OTHERS)
}

/// A file whose header is read and whose pixels are not, so that nothing is allocated for an image of a wrong size.
pub(crate) enum ImageFile {
    Png(Box<Png>),
    Jpeg(Box<Jpeg>),
}

impl ImageFile {
    /// What the content is, whatever the name: a JPEG that is called `.png` is one.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let read = |e| Error::read(path, e);
        let mut file = File::open(path).map_err(read)?;
        let mut begins = [0; 2];
        let length = file.read(&mut begins).map_err(read)?;
        file.rewind().map_err(read)?;
        if begins[..length] == [0xff, 0xd8] {
            Jpeg::open(path).map(Box::new).map(Self::Jpeg)
        } else {
            Png::open(path, file).map(Box::new).map(Self::Png)
        }
    }

    /// `[C, H, W]`.
    pub(crate) fn shape(&self) -> [usize; 3] {
        match self {
            Self::Png(png) => png.shape,
            Self::Jpeg(jpeg) => jpeg.shape,
        }
    }

    /// The pixels, `[C, H, W]`.
    pub(crate) fn planes(self, path: &Path, dst: &mut [u8]) -> Result<()> {
        let channels = self.shape()[0];
        let interleaved = match self {
            Self::Png(png) => png.interleaved(path)?,
            Self::Jpeg(jpeg) => jpeg.interleaved(path)?,
        };
        if interleaved.len() != dst.len() {
            let found = format!("{} values", interleaved.len());
            return Err(Error::field(
                path,
                "content",
                format!("{} values", dst.len()),
                found,
            ));
        }
        to_planes(&interleaved, channels, dst);
        Ok(())
    }
}

/// The pixels of a PNG or JPEG file, `[C, H, W]`.
///
/// # Errors
/// A file that cannot be read, is no such image, is transparent or too large.
pub fn read_picture(path: &Path) -> Result<Array3<u8>> {
    let image = ImageFile::open(path)?;
    let mut pixels = Array3::zeros(image.shape());
    let dst = pixels.as_slice_mut().unwrap_or_default();
    image.planes(path, dst)?;
    Ok(pixels)
}

/// The shape of a PNG or JPEG file, `[C, H, W]`, without its pixels.
///
/// # Errors
/// Those of [`read_picture`] but for the pixels.
pub fn picture_shape(path: &Path) -> Result<[usize; 3]> {
    ImageFile::open(path).map(|image| image.shape())
}

/// `most`: pixels that a byte of the file can stand for, at the very most.
fn check_size(path: &Path, width: usize, height: usize, most: u64) -> Result<()> {
    let wrong = |expected| {
        Err(Error::field(
            path,
            "image size",
            expected,
            format!("{width}x{height}"),
        ))
    };
    if width.max(height) > MAX_SIDE || width.min(height) == 0 {
        return wrong(format!("at most {MAX_SIDE}x{MAX_SIDE}"));
    }
    let bytes = std::fs::metadata(path)
        .map_err(|e| Error::read(path, e))?
        .len();
    if (width * height) as u64 > most * bytes {
        return wrong(format!("no more pixels than {bytes} bytes can hold"));
    }
    Ok(())
}

/// As Pillow's `convert("RGB")` and `convert("L")` have them: palettes and fewer bits are spread to 8 bits. Of 16 bits the upper 8 are taken,
/// where Pillow clips grey ones.
pub(crate) struct Png {
    shape: [usize; 3],
    reader: png::Reader<BufReader<File>>,
}

impl Png {
    fn open(path: &Path, file: File) -> Result<Self> {
        let limits = png::Limits {
            bytes: DECODER_BYTES,
        };
        let mut decoder = png::Decoder::new_with_limits(BufReader::new(file), limits);
        let header = decoder.read_header_info().map_err(|e| malformed(path, e))?;
        check_size(
            path,
            header.width as usize,
            header.height as usize,
            PNG_PIXELS,
        )?;
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let reader = decoder.read_info().map_err(|e| malformed(path, e))?;
        let wrong = |found| Err(Error::field(path, "colour type", OPAQUE, found));
        // Before `EXPAND` makes an alpha channel of it.
        if reader.info().trns.is_some() {
            return wrong("a transparent colour (tRNS chunk)".to_owned());
        }
        let channels = match reader.output_color_type() {
            (ColorType::Rgb, BitDepth::Eight) => 3,
            (ColorType::Grayscale, BitDepth::Eight) => 1,
            (color, _) => return wrong(format!("{color:?} with an alpha channel")),
        };
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        Ok(Self {
            shape: [channels, height, width],
            reader,
        })
    }

    fn interleaved(mut self, path: &Path) -> Result<Vec<u8>> {
        let [_, height, width] = self.shape;
        let size = self.reader.output_buffer_size().ok_or_else(|| {
            let found = format!("{width}x{height}");
            Error::field(path, "image size", "one that fits in memory", found)
        })?;
        let mut interleaved = vec![0; size];
        let frame = self.reader.next_frame(&mut interleaved);
        frame.map_err(|e| malformed(path, e))?;
        Ok(interleaved)
    }
}

fn malformed(path: &Path, error: png::DecodingError) -> Error {
    match error {
        png::DecodingError::IoError(source)
            if source.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            Error::read(path, source)
        }
        other => Error::field(path, "content", "a readable PNG image", other.to_string()),
    }
}

/// Baseline or progressive, grey or of three channels. Decoders of JPEG differ by a level or two.
pub(crate) struct Jpeg {
    shape: [usize; 3],
    decoder: JpegDecoder<Cursor<Vec<u8>>>,
}

impl Jpeg {
    fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
        let options = DecoderOptions::default()
            .set_max_width(usize::MAX)
            .set_max_height(usize::MAX);
        let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
        decoder.decode_headers().map_err(|e| unreadable(path, e))?;
        let (width, height) = decoder.dimensions().unwrap_or_default();
        check_size(path, width, height, JPEG_PIXELS)?;
        let (channels, out) = match decoder.input_colorspace() {
            Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
            Some(ColorSpace::YCbCr | ColorSpace::RGB) => (3, ColorSpace::RGB),
            other => {
                let found = other.map_or("none".to_owned(), |color| format!("{color:?}"));
                return Err(Error::field(
                    path,
                    "colour type",
                    "grey or three channels",
                    found,
                ));
            }
        };
        decoder.set_options(options.jpeg_set_out_colorspace(out));
        Ok(Self {
            shape: [channels, height, width],
            decoder,
        })
    }

    fn interleaved(mut self, path: &Path) -> Result<Vec<u8>> {
        self.decoder.decode().map_err(|e| unreadable(path, e))
    }
}

fn unreadable(path: &Path, error: zune_jpeg::errors::DecodeErrors) -> Error {
    Error::field(path, "content", "a readable JPEG image", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_only(path: &Path, width: u32, height: u32) {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(ColorType::Grayscale);
        // Finishing would demand the pixels; dropping the writer ends the file after the header.
        drop(encoder.write_header().unwrap());
        std::fs::write(path, out).unwrap();
    }

    #[test]
    fn a_header_that_asks_for_too_much_is_refused_before_anything_is_allocated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        for (width, height, expected) in [
            (MAX_SIDE as u32 + 1, 1, "at most 16384x16384; found 16385x1"),
            (16_384, 16_384, "no more pixels than"),
        ] {
            header_only(&path, width, height);
            let text = ImageFile::open(&path).err().unwrap().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
