//! A folder of PNG files: 8-bit RGB or grey, all of one size, in the order of their names.
//!
//! The names are kept, the first file tells the size of all, and a file is decoded each time its image is read.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType};

use super::file_names::FileNames;
use super::records::to_planes;
use crate::error::{Error, Result, shape as show};

/// The longest side of an image: far beyond any diffusion model's, and small enough that a header alone cannot ask
/// for more memory than there is.
const MAX_SIDE: u32 = 16_384;
/// What the decoder may allocate beside the image itself.
const DECODER_BYTES: usize = 64 << 20;

const OPAQUE: &str =
    "8-bit RGB or grey without transparency; composite the image on a background first";

/// Every `*.png` directly in a folder, sorted by name.
#[derive(Debug)]
pub(crate) struct PngFolder {
    path: PathBuf,
    names: FileNames,
    /// `[C, H, W]` of the first.
    shape: [usize; 3],
    /// What else is in the folder, in words.
    left_out: Option<String>,
}

impl PngFolder {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (names, left_out) = names(path)?;
        if names.len() == 0 {
            return Err(Error::EmptyFolder {
                path: path.to_owned(),
                instead: left_out,
            });
        }
        let shape = Png::open(&path.join(names.get(0)))?.shape;
        Ok(Self {
            path: path.to_owned(),
            names,
            shape,
            left_out,
        })
    }

    /// What the folder holds beside its images and is not read: images of other formats, folders.
    pub(crate) fn left_out(&self) -> Option<&str> {
        self.left_out.as_deref()
    }

    pub(crate) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Decodes file `index` into `dst`, `[C, H, W]`.
    pub(crate) fn read(&self, index: usize, dst: &mut [u8]) -> Result<()> {
        let path = self.path.join(self.names.get(index));
        let png = Png::open(&path)?;
        if png.shape != self.shape {
            let name = self.names.get(0);
            return Err(Error::field(
                &path,
                "image size",
                format!(
                    "{} like {}, the first of the folder",
                    show(&self.shape),
                    name.display()
                ),
                show(&png.shape),
            ));
        }
        png.planes(&path, dst)
    }
}

/// Endings of images that are not read.
const OTHER_IMAGES: [&str; 8] = ["jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "ppm"];

/// The names of a folder's PNG files in ascending order, and what else is there that somebody may have meant. What begins with a dot is
/// hidden and nobody's image (`._0.png` of macOS).
fn names(folder: &Path) -> Result<(FileNames, Option<String>)> {
    let read = |e| Error::read(folder, e);
    let mut names = FileNames::default();
    let (mut others, mut folders) = (0, 0);
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let ends_with = |ending: &str| {
            let own = Path::new(&name).extension();
            own.is_some_and(|own| own.eq_ignore_ascii_case(ending))
        };
        // What a link leads to is looked up; of everything else the kind comes with the name.
        let (is_file, is_folder) = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => (kind.is_file(), kind.is_dir()),
            _ => (entry.path().is_file(), entry.path().is_dir()),
        };
        if is_file && ends_with("png") {
            names.push(folder, &name)?;
        } else if is_file && OTHER_IMAGES.into_iter().any(ends_with) {
            others += 1;
        } else if is_folder {
            folders += 1;
        }
    }
    names.sort();
    let counted = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    };
    let left_out: Vec<String> = [
        counted(others, "image of another format", "images of other formats"),
        counted(folders, "folder", "folders"),
    ]
    .into_iter()
    .flatten()
    .collect();
    Ok((
        names,
        (!left_out.is_empty()).then(|| left_out.join(" and ")),
    ))
}

/// A file whose header is read and whose pixels are not, so that nothing is allocated for an image of a wrong size.
struct Png {
    /// `[C, H, W]`.
    shape: [usize; 3],
    reader: png::Reader<BufReader<File>>,
}

impl Png {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::read(path, e))?;
        let limits = png::Limits {
            bytes: DECODER_BYTES,
        };
        let mut decoder = png::Decoder::new_with_limits(BufReader::new(file), limits);
        let header = decoder.read_header_info().map_err(|e| malformed(path, e))?;
        if header.width.max(header.height) > MAX_SIDE {
            return Err(Error::field(
                path,
                "image size",
                format!("at most {MAX_SIDE}x{MAX_SIDE}"),
                format!("{}x{}", header.width, header.height),
            ));
        }
        // Pixels as stored: a palette or 16 bits would have to be converted, and a model was trained on one way of it.
        decoder.set_transformations(png::Transformations::IDENTITY);
        let reader = decoder.read_info().map_err(|e| malformed(path, e))?;
        let (color, depth) = reader.output_color_type();
        let wrong = |expected, found| Err(Error::field(path, "colour type", expected, found));
        let channels = match (color, depth) {
            (ColorType::Rgb, BitDepth::Eight) => 3,
            (ColorType::Grayscale, BitDepth::Eight) => 1,
            (ColorType::Rgba | ColorType::GrayscaleAlpha, _) => {
                return wrong(OPAQUE, format!("{color:?} with an alpha channel"));
            }
            _ => {
                let found = format!("{color:?} of {} bits", depth as u8);
                return wrong("8-bit RGB or grey", found);
            }
        };
        if reader.info().trns.is_some() {
            return wrong(OPAQUE, "a transparent colour (tRNS chunk)".to_owned());
        }
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        Ok(Self {
            shape: [channels, height, width],
            reader,
        })
    }

    /// The pixels, `[C, H, W]`.
    fn planes(mut self, path: &Path, dst: &mut [u8]) -> Result<()> {
        let [channels, height, width] = self.shape;
        let size = self.reader.output_buffer_size().ok_or_else(|| {
            Error::field(
                path,
                "image size",
                "one that fits in memory",
                format!("{width}x{height}"),
            )
        })?;
        let mut interleaved = vec![0; size];
        self.reader
            .next_frame(&mut interleaved)
            .map_err(|e| malformed(path, e))?;
        to_planes(&interleaved, channels, dst);
        Ok(())
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
        header_only(&folder.path().join("a.png"), MAX_SIDE + 1, 1);
        let text = PngFolder::open(folder.path()).unwrap_err().to_string();
        assert!(
            text.contains("at most 16384x16384; found 16385x1"),
            "{text}"
        );
    }
}
