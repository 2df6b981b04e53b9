//! [`ImageSet`]: images, or other data, of one size, in one canonical order, read one at a time.

use std::sync::{Arc, OnceLock};

use ddpm_files::Sha256;
use ndarray::{ArrayD, ArrayView, Dimension};

use super::pixels::{Element, Pixels, floats};
use crate::error::{Error, Result, shape as show, wrong_size};

/// Images of one size, in the canonical order of their source; made by a program, data of any one shape.
///
/// A set is a handle: pixels stay where they are until an image is read, so that a set takes as much memory for a
/// million images as for one (beside their labels and, of files of an image each, their names). Reads may fail, since the source may
/// be damaged in the middle or change under way. Clones share the source.
///
/// Pixels are handed out as floats in [-1, 1]: a byte `p` is `p / 127.5 - 1`, as in improved-diffusion.
#[derive(Clone, Debug)]
pub struct ImageSet {
    name: String,
    shape: Vec<usize>,
    pixels: Arc<Pixels>,
    /// Indices of the images in `pixels`, where the set is not all of them in their order.
    chosen: Option<Arc<[usize]>>,
    labels: Option<Labels>,
    stand_in: bool,
    split_is_named: bool,
    left_out: Option<String>,
    sha256: Arc<OnceLock<String>>,
}

/// One for every image, or why they cannot be read: most networks have no use for any.
type Labels = std::result::Result<Arc<[usize]>, Arc<Error>>;

/// What a reader makes of the labels of a source that may have some.
pub(crate) type ReadLabels = Option<Result<Vec<usize>>>;

impl ImageSet {
    /// A set from parts that a reader has already checked.
    pub(crate) fn from_parts(
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        pixels: Pixels,
        labels: Option<Vec<usize>>,
    ) -> Self {
        Self::from_read_parts(name, shape, pixels, labels.map(Ok))
    }

    /// The same, with labels that may be of no use: whoever asks for them is told why.
    pub(crate) fn from_read_parts(
        name: impl Into<String>,
        shape: impl Into<Vec<usize>>,
        pixels: Pixels,
        labels: ReadLabels,
    ) -> Self {
        let fits = |labels: &Result<Vec<usize>>| {
            labels.as_ref().map_or(true, |l| l.len() == pixels.count())
        };
        debug_assert!(labels.as_ref().is_none_or(fits));
        Self {
            name: name.into(),
            shape: shape.into(),
            pixels: Arc::new(pixels),
            chosen: None,
            labels: labels.map(|labels| labels.map(Arc::from).map_err(Arc::new)),
            stand_in: false,
            split_is_named: false,
            left_out: None,
            sha256: Arc::default(),
        }
    }

    /// A set from floats `[N, ..]`: images `[N, C, H, W]` in [-1, 1], or any other data of one shape.
    ///
    /// # Errors
    /// When there is no pixel or no axis beside N, or a pixel is not finite.
    pub fn from_array<D: Dimension>(
        name: impl Into<String>,
        images: ArrayView<'_, f32, D>,
    ) -> Result<Self> {
        let shape = shape_of_one(images.shape())?;
        let dims = shape.iter().product();
        if let Some((i, x)) = images.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            return Err(Error::request(
                "images",
                format!("expected finite pixels, found {x} in image {}", i / dims),
            ));
        }
        let pixels = Pixels::floats(dims, images.iter().copied());
        Ok(Self::from_parts(name, shape, pixels, None))
    }

    /// A set from 8-bit pixels `[N, ..]`, of images `[N, C, H, W]`.
    ///
    /// # Errors
    /// When there is no pixel or no axis beside N.
    pub fn from_bytes<D: Dimension>(
        name: impl Into<String>,
        images: ArrayView<'_, u8, D>,
    ) -> Result<Self> {
        let shape = shape_of_one(images.shape())?;
        let pixels = Pixels::bytes(shape.iter().product(), images.iter().copied().collect());
        Ok(Self::from_parts(name, shape, pixels, None))
    }

    /// The same images with one class label each.
    ///
    /// # Errors
    /// When the number of labels is not the number of images.
    pub fn with_labels(mut self, labels: Vec<usize>) -> Result<Self> {
        check_labels(self.len(), &labels)?;
        self.labels = Some(Ok(labels.into()));
        Ok(self)
    }

    /// The same images, all of class `label` (replaces the labels of the source).
    pub fn with_class(mut self, label: usize) -> Self {
        self.labels = Some(Ok(vec![label; self.len()].into()));
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

    pub(crate) fn with_left_out(self, left_out: Option<String>) -> Self {
        Self { left_out, ..self }
    }

    /// The same images, said to be one part of a data set that has two.
    pub fn with_named_split(mut self) -> Self {
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
        self.check_indices("indices", indices)?;
        let chosen = indices.iter().map(|&i| self.source_index(i)).collect();
        let labels = self.labels.clone();
        let of_chosen = |all: Arc<[usize]>| indices.iter().map(|&i| all[i]).collect();
        Ok(Self {
            chosen: Some(chosen),
            labels: labels.map(|labels| labels.map(of_chosen)),
            sha256: Arc::default(),
            ..self.clone()
        })
    }

    /// What the set calls itself: the layout and the split, never a path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What lies beside the images of a folder and is not read, in words: images of other formats, folders.
    pub fn left_out(&self) -> Option<&str> {
        self.left_out.as_deref()
    }

    /// The shape of every image: `[C, H, W]` where they come from files.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of dimensions of an image, the product of its shape.
    pub fn dims(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.chosen
            .as_ref()
            .map_or(self.pixels.count(), |c| c.len())
    }

    /// Refuses indices beyond the set; `field` is what the message calls them.
    ///
    /// # Errors
    /// [`Error::Request`] with the first of them.
    pub fn check_indices(&self, field: &'static str, indices: &[usize]) -> Result<()> {
        let len = self.len();
        match indices.iter().find(|&&i| i >= len) {
            None => Ok(()),
            Some(i) => Err(Error::request(
                field,
                format!("expected indices below {len} (the number of images), found {i}"),
            )),
        }
    }

    /// Refuses a model whose data have another shape.
    ///
    /// # Errors
    /// [`Error::Request`] with both shapes.
    pub fn check_shape(&self, expected: &[usize]) -> Result<()> {
        if self.shape() == expected {
            return Ok(());
        }
        Err(Error::request("images", wrong_size(expected, self.shape())))
    }

    /// Never true of a set that a reader returned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Class label of every image, where the source has them.
    ///
    /// # Errors
    /// [`Error::Labels`] where what the source has in their place cannot be read.
    pub fn labels(&self) -> Result<Option<&[usize]>> {
        match &self.labels {
            None => Ok(None),
            Some(Ok(labels)) => Ok(Some(labels)),
            Some(Err(error)) => Err(Error::Labels(Arc::clone(error))),
        }
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

    /// Image `index` in [-1, 1], in row-major order, written to `dst` (length [`dims`](Self::dims)).
    ///
    /// # Errors
    /// [`Error::Image`] when the image cannot be read: the file is gone, was cut off or changed since the set was opened, or
    /// holds something else than what was expected; [`Error::Request`] when there is no such image or `dst` has another
    /// length.
    pub fn read_image(&self, index: usize, dst: &mut [f32]) -> Result<()> {
        if dst.len() != self.dims() {
            return Err(Error::request(
                "image",
                format!(
                    "expected room for {} values, found {}",
                    self.dims(),
                    dst.len()
                ),
            ));
        }
        let raw = self.raw(index)?;
        let dst = dst.iter_mut();
        match self.pixels.element() {
            Element::U8 => dst
                .zip(&raw)
                .for_each(|(x, &b)| *x = f32::from(b) / 127.5 - 1.0),
            Element::F32 | Element::Data => dst.zip(floats(&raw)).for_each(|(dst, x)| *dst = x),
        }
        Ok(())
    }

    /// Image `index` in [-1, 1], in row-major order.
    ///
    /// # Errors
    /// Those of [`read_image`](Self::read_image).
    pub fn image(&self, index: usize) -> Result<Vec<f32>> {
        let mut x = vec![0.0; self.dims()];
        self.read_image(index, &mut x)?;
        Ok(x)
    }

    /// The 8-bit pixels of image `index`; `None` where the source holds floats.
    ///
    /// # Errors
    /// Those of [`read_image`](Self::read_image).
    pub fn bytes(&self, index: usize) -> Result<Option<ArrayD<u8>>> {
        match self.pixels.element() {
            Element::F32 | Element::Data => Ok(None),
            Element::U8 => ArrayD::from_shape_vec(self.shape.as_slice(), self.raw(index)?)
                .map(Some)
                .map_err(|e| Error::request("image", e.to_string())),
        }
    }

    /// SHA-256 in hexadecimal over the number and shape of the images and their raw values in canonical order:
    /// the same images give the same hash whichever layout they were read from. Names and labels are left out.
    ///
    /// The first call reads every image once, in order, and compares the checksums of archives; the set and its clones
    /// remember the result.
    ///
    /// # Errors
    /// [`Error::Image`] when an image cannot be read, [`Error::File`] when an archive is damaged.
    pub fn sha256(&self) -> Result<String> {
        if let Some(known) = self.sha256.get() {
            return Ok(known.clone());
        }
        let found = self.compute_sha256()?;
        Ok(self.sha256.get_or_init(|| found).clone())
    }

    /// Bytes of the raw values of all images: what [`sha256`](Self::sha256) reads.
    pub fn raw_bytes(&self) -> u64 {
        self.len() as u64 * self.raw_size() as u64
    }

    fn compute_sha256(&self) -> Result<String> {
        let mut hash = Sha256::default();
        if self.shape.len() == 3 {
            hash.update(b"ddpm-images-1");
        } else {
            hash.update(b"ddpm-arrays-1");
            hash.update((self.shape.len() as u64).to_le_bytes());
        }
        hash.update(match self.pixels.element() {
            Element::U8 => b"u8 ",
            Element::F32 | Element::Data => b"f32",
        });
        hash.update((self.len() as u64).to_le_bytes());
        for &extent in &self.shape {
            hash.update((extent as u64).to_le_bytes());
        }
        let see = |raw: &[u8]| hash.update(raw);
        match &self.chosen {
            None => self.pixels.scan(see)?,
            Some(chosen) => self.pixels.scan_some(chosen.len(), |i| chosen[i], see)?,
        }
        Ok(hash.finish())
    }

    /// Bytes of the raw values of an image.
    fn raw_size(&self) -> usize {
        self.dims() * self.pixels.element().size()
    }

    fn raw(&self, index: usize) -> Result<Vec<u8>> {
        self.check_indices("image", &[index])?;
        let mut raw = vec![0; self.raw_size()];
        self.pixels.read(self.source_index(index), &mut raw)?;
        Ok(raw)
    }

    /// The index in the source of the image at `index`, which exists.
    fn source_index(&self, index: usize) -> usize {
        self.chosen.as_ref().map_or(index, |chosen| chosen[index])
    }
}

/// One label for each of `count` images.
pub(crate) fn check_labels(count: usize, labels: &[usize]) -> Result<()> {
    if labels.len() == count {
        return Ok(());
    }
    let problem = format!("expected {count} (one per image), found {}", labels.len());
    Err(Error::request("labels", problem))
}

/// The shape of one of the images of an array `[N, ..]`.
fn shape_of_one(shape: &[usize]) -> Result<Vec<usize>> {
    match shape {
        [_, one @ ..] if !one.is_empty() && !shape.contains(&0) => Ok(one.to_vec()),
        _ => Err(Error::request(
            "images",
            format!(
                "expected at least one pixel [N, ..], found an array of shape {}",
                show(shape)
            ),
        )),
    }
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
        assert_eq!(set.image(0).unwrap(), [-1.0, 1.0, 51.0f32 / 127.5 - 1.0]);
        assert_eq!(set.bytes(0).unwrap().unwrap()[[0, 0, 2]], 51);
        let text = set.bytes(1).unwrap_err().to_string();
        assert!(text.contains("below 1"), "{text}");
        assert!(set.read_image(0, &mut [0.0; 2]).is_err());
    }

    #[test]
    fn a_subset_takes_pixels_and_labels_along() {
        let set = small().with_labels(vec![5, 6, 7]).unwrap();
        let two = set.subset(&[2, 0]).unwrap();
        assert_eq!(two.len(), 2);
        assert_eq!(two.image(0).unwrap(), set.image(2).unwrap());
        assert_eq!(two.labels().unwrap(), Some(&[7, 5][..]));
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
        let sha256 = |set: ImageSet| set.sha256().unwrap();
        let hash = sha256(set.clone());
        assert_eq!(hash.len(), 64);
        assert_eq!(hash, sha256(set.clone().with_name("other").with_class(1)));
        assert_ne!(hash, sha256(set.subset(&[1, 0, 2]).unwrap()));
        let same = set.subset(&[1, 0, 2]).unwrap().subset(&[1, 0, 2]).unwrap();
        assert_eq!(hash, sha256(same));
        let flat = Array4::from_shape_fn((3, 1, 1, 4), |(n, _, _, x)| {
            (n * 80 + x / 2 * 20 + x % 2) as u8
        });
        assert_ne!(
            hash,
            sha256(ImageSet::from_bytes("flat", flat.view()).unwrap())
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
