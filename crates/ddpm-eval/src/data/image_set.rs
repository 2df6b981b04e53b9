//! [`ImageSet`]: images of one size in memory, in one canonical order.

use ndarray::{ArrayView3, ArrayView4};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result, shape as show};

/// Images of one size, in the canonical order of their source.
///
/// Pixels are kept as they came (bytes or floats) and handed out as floats in [-1, 1]: a byte `p` is
/// `p / 127.5 - 1`, as in improved-diffusion.
#[derive(Clone, Debug)]
pub struct ImageSet {
    name: String,
    shape: [usize; 3],
    pixels: Pixels,
    labels: Option<Vec<usize>>,
    stand_in: bool,
    split_is_named: bool,
}

/// Image after image, each `[C, H, W]` in row-major order.
#[derive(Clone, Debug)]
pub(crate) enum Pixels {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Pixels {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(p) => p.len(),
            Self::Floats(p) => p.len(),
        }
    }
}

impl ImageSet {
    /// A set from parts that a reader has already checked.
    pub(crate) fn from_parts(
        name: impl Into<String>,
        shape: [usize; 3],
        pixels: Pixels,
        labels: Option<Vec<usize>>,
    ) -> Self {
        let dims: usize = shape.iter().product();
        debug_assert!(dims > 0 && pixels.len().is_multiple_of(dims));
        debug_assert!(
            labels
                .as_ref()
                .is_none_or(|l| l.len() * dims == pixels.len())
        );
        Self {
            name: name.into(),
            shape,
            pixels,
            labels,
            stand_in: false,
            split_is_named: false,
        }
    }

    /// A set from images `[N, C, H, W]` that are already floats (in [-1, 1] if they are images).
    ///
    /// # Errors
    /// When there is no pixel, or one of them is not finite.
    pub fn from_array(name: impl Into<String>, images: ArrayView4<'_, f32>) -> Result<Self> {
        let (n, c, h, w) = images.dim();
        if n * c * h * w == 0 {
            return Err(Error::request(
                "images",
                format!("expected at least one pixel, found an array of shape {n}x{c}x{h}x{w}"),
            ));
        }
        if let Some(((i, ..), x)) = images.indexed_iter().find(|(_, x)| !x.is_finite()) {
            return Err(Error::request(
                "images",
                format!("expected finite pixels, found {x} in image {i}"),
            ));
        }
        let pixels = Pixels::Floats(images.iter().copied().collect());
        Ok(Self::from_parts(name, [c, h, w], pixels, None))
    }

    /// A set from images `[N, C, H, W]` of 8-bit pixels.
    ///
    /// # Errors
    /// When there is no pixel.
    pub fn from_bytes(name: impl Into<String>, images: ArrayView4<'_, u8>) -> Result<Self> {
        let (n, c, h, w) = images.dim();
        if n * c * h * w == 0 {
            return Err(Error::request(
                "images",
                format!("expected at least one pixel, found an array of shape {n}x{c}x{h}x{w}"),
            ));
        }
        let pixels = Pixels::Bytes(images.iter().copied().collect());
        Ok(Self::from_parts(name, [c, h, w], pixels, None))
    }

    /// The same images with one class label each.
    ///
    /// # Errors
    /// When the number of labels is not the number of images.
    pub fn with_labels(mut self, labels: Vec<usize>) -> Result<Self> {
        if labels.len() != self.len() {
            return Err(Error::request(
                "labels",
                format!(
                    "expected {} (one per image), found {}",
                    self.len(),
                    labels.len()
                ),
            ));
        }
        self.labels = Some(labels);
        Ok(self)
    }

    /// The same images, all of class `label` (replaces the labels of the source).
    pub fn with_class(mut self, label: usize) -> Self {
        self.labels = Some(vec![label; self.len()]);
        self
    }

    /// The same images marked as a stand-in (`true`) for a data set that could not be had, or not.
    pub fn with_stand_in(mut self, stand_in: bool) -> Self {
        self.stand_in = stand_in;
        self
    }

    /// The same set under another name.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    pub(crate) fn with_named_split(mut self) -> Self {
        self.split_is_named = true;
        self
    }

    /// The images at `indices`, with their labels, in the order given. Their indices change with it, and so does
    /// the noise they meet.
    ///
    /// # Errors
    /// When an index is beyond the set, or none is given.
    pub fn subset(&self, indices: &[usize]) -> Result<Self> {
        if indices.is_empty() {
            return Err(Error::request("indices", "expected at least one image"));
        }
        check_indices("indices", indices, self.len())?;
        let d = self.dims();
        let pixels = match &self.pixels {
            Pixels::Bytes(p) => Pixels::Bytes(
                indices
                    .iter()
                    .flat_map(|&i| &p[i * d..(i + 1) * d])
                    .copied()
                    .collect(),
            ),
            Pixels::Floats(p) => Pixels::Floats(
                indices
                    .iter()
                    .flat_map(|&i| &p[i * d..(i + 1) * d])
                    .copied()
                    .collect(),
            ),
        };
        Ok(Self {
            pixels,
            labels: self
                .labels
                .as_ref()
                .map(|l| indices.iter().map(|&i| l[i]).collect()),
            name: self.name.clone(),
            ..*self
        })
    }

    /// What the set calls itself: the layout and the split, never a path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `[C, H, W]` of every image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Number of dimensions of an image, `C * H * W`.
    pub fn dims(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.dims()
    }

    /// Never true of a set that a reader returned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Class label of every image, where the source has them.
    pub fn labels(&self) -> Option<&[usize]> {
        self.labels.as_deref()
    }

    /// Whether the set stands in for one that could not be had.
    pub fn stand_in(&self) -> bool {
        self.stand_in
    }

    /// Whether the source has train and test apart. Where it has not, one and the same set was read for either
    /// split, and a schedule chosen on one is not tested by the other.
    pub fn split_is_named(&self) -> bool {
        self.split_is_named
    }

    /// Image `index` in [-1, 1], `[C, H, W]` in row-major order, written to `dst` (length [`dims`](Self::dims)).
    ///
    /// # Panics
    /// When `index >= len()` or `dst` has another length; both are errors of the caller, not of the data.
    pub fn read_image(&self, index: usize, dst: &mut [f32]) {
        let d = self.dims();
        let range = index * d..(index + 1) * d;
        match &self.pixels {
            Pixels::Bytes(p) => {
                assert_eq!(dst.len(), d);
                for (x, &b) in dst.iter_mut().zip(&p[range]) {
                    *x = f32::from(b) / 127.5 - 1.0;
                }
            }
            Pixels::Floats(p) => dst.copy_from_slice(&p[range]),
        }
    }

    /// Image `index` in [-1, 1], `[C, H, W]` in row-major order.
    ///
    /// # Panics
    /// When `index >= len()`.
    pub fn image(&self, index: usize) -> Vec<f32> {
        let mut x = vec![0.0; self.dims()];
        self.read_image(index, &mut x);
        x
    }

    /// The 8-bit pixels of image `index`, `[C, H, W]`; `None` where the source held floats or there is no such
    /// image.
    pub fn bytes(&self, index: usize) -> Option<ArrayView3<'_, u8>> {
        let d = self.dims();
        match &self.pixels {
            Pixels::Bytes(p) => {
                ArrayView3::from_shape(self.shape, p.get(index * d..(index + 1) * d)?).ok()
            }
            Pixels::Floats(_) => None,
        }
    }

    /// SHA-256 in hexadecimal over the number and shape of the images and their raw values in canonical order:
    /// the same images give the same hash whichever layout they were read from. Names and labels are left out.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"ddpm-images-1");
        hash.update(match &self.pixels {
            Pixels::Bytes(_) => b"u8 ",
            Pixels::Floats(_) => b"f32",
        });
        hash.update((self.len() as u64).to_le_bytes());
        for extent in self.shape {
            hash.update((extent as u64).to_le_bytes());
        }
        match &self.pixels {
            Pixels::Bytes(p) => hash.update(p),
            Pixels::Floats(p) => {
                for x in p {
                    hash.update(x.to_le_bytes());
                }
            }
        }
        hexadecimal(&hash.finalize())
    }
}

/// Lowercase hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Every index below `len`.
pub(crate) fn check_indices(field: &'static str, indices: &[usize], len: usize) -> Result<()> {
    match indices.iter().find(|&&i| i >= len) {
        None => Ok(()),
        Some(i) => Err(Error::request(
            field,
            format!("expected indices below {len} (the number of images), found {i}"),
        )),
    }
}

/// The images' shape is the model's.
pub(crate) fn check_shape(data: &ImageSet, expected: [usize; 3]) -> Result<()> {
    if data.shape() == expected {
        return Ok(());
    }
    Err(Error::request(
        "images",
        format!(
            "wrong image size: expected {} (the model's), found {} (channels x height x width)",
            show(&expected),
            show(&data.shape())
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    fn small() -> ImageSet {
        let images =
            Array4::from_shape_fn((3, 1, 2, 2), |(n, _, y, x)| (n * 80 + y * 20 + x) as u8);
        ImageSet::from_bytes("small", images.view()).unwrap()
    }

    #[test]
    fn bytes_map_to_the_unit_interval() {
        let set = ImageSet::from_bytes("ends", ndarray::array![[[[0u8, 255, 51]]]].view()).unwrap();
        assert_eq!(set.image(0), [-1.0, 1.0, 51.0f32 / 127.5 - 1.0]);
        assert_eq!(set.bytes(0).unwrap()[[0, 0, 2]], 51);
        assert!(set.bytes(1).is_none());
    }

    #[test]
    fn a_subset_takes_pixels_and_labels_along() {
        let set = small().with_labels(vec![5, 6, 7]).unwrap();
        let two = set.subset(&[2, 0]).unwrap();
        assert_eq!(two.len(), 2);
        assert_eq!(two.image(0), set.image(2));
        assert_eq!(two.labels(), Some(&[7, 5][..]));
        assert!(
            set.subset(&[3])
                .unwrap_err()
                .to_string()
                .contains("below 3")
        );
        assert!(set.subset(&[]).is_err());
    }

    #[test]
    fn the_hash_sees_pixels_order_and_shape_and_nothing_else() {
        let set = small();
        let hash = set.sha256();
        assert_eq!(hash.len(), 64);
        assert_eq!(hash, set.clone().with_name("other").with_class(1).sha256());
        assert_ne!(hash, set.subset(&[1, 0, 2]).unwrap().sha256());
        let flat = Array4::from_shape_fn((3, 1, 1, 4), |(n, _, _, x)| {
            (n * 80 + x / 2 * 20 + x % 2) as u8
        });
        assert_ne!(
            hash,
            ImageSet::from_bytes("flat", flat.view()).unwrap().sha256()
        );
    }

    #[test]
    fn refuses_nothing_and_infinite_pixels() {
        assert!(ImageSet::from_array("none", Array4::zeros((0, 3, 2, 2)).view()).is_err());
        assert!(ImageSet::from_bytes("none", Array4::zeros((1, 3, 0, 2)).view()).is_err());
        let bad = Array4::from_elem((1, 1, 1, 1), f32::NAN);
        let message = ImageSet::from_array("nan", bad.view())
            .unwrap_err()
            .to_string();
        assert!(message.contains("finite"), "{message}");
        assert!(small().with_labels(vec![1]).is_err());
    }
}
