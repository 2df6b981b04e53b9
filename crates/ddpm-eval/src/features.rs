//! Images through a feature network.

use ddpm_model::FeatureNetwork;
use ndarray::{Array2, Array4, s};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::room::zeros;
use ddpm_data::ImageSet;

/// The features of the images at `indices`, one row each, in that order.
///
/// # Arguments
/// `batch`: images at once, above 0; the features do not depend on it.
///
/// # Errors
/// [`Error::Request`] for no batch, no images or an index beyond the set; [`Error::Data`] for an image that cannot be read;
/// [`Error::Features`] for images that the network cannot take or that give features that are not finite;
/// [`Error::Interrupted`].
pub fn extract_features(
    network: &FeatureNetwork,
    images: &ImageSet,
    indices: &[usize],
    batch: usize,
    progress: &dyn Progress,
) -> Result<Array2<f32>> {
    if batch == 0 || indices.is_empty() {
        return Err(Error::request(
            "features",
            "expected at least one image, and one in a batch",
        ));
    }
    images.check_indices("indices", indices)?;
    let &[channels, height, width] = images.shape() else {
        return Err(Error::request(
            "features",
            format!(
                "expected images [C, H, W], found data of shape {:?}",
                images.shape()
            ),
        ));
    };
    let dims = images.dims();
    let mut features = Array2::zeros((indices.len(), network.kind().dims()));
    progress.start(indices.len() as u64);
    for (number, chosen) in indices.chunks(batch).enumerate() {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let mut pixels = vec![0f32; chosen.len() * dims];
        chosen
            .par_iter()
            .zip(pixels.par_chunks_exact_mut(dims))
            .try_for_each(|(&index, pixels)| images.read_image(index, pixels))?;
        let x = Array4::from_shape_vec((chosen.len(), channels, height, width), pixels)
            .map_err(|e| Error::request("images", e.to_string()))?;
        let found = network.features(x.view())?;
        if let Some(image) = found
            .outer_iter()
            .position(|row| row.iter().any(|x| !x.is_finite()))
        {
            let source = ddpm_data::Error::Request {
                field: "features",
                problem: "expected finite numbers, found others".to_owned(),
            };
            return Err(Error::Data(ddpm_data::Error::Image {
                index: chosen[image],
                source: Box::new(source),
            }));
        }
        let first = number * batch;
        features
            .slice_mut(s![first..first + chosen.len(), ..])
            .assign(&found);
        progress.advance(chosen.len() as u64);
    }
    progress.finish();
    Ok(features)
}

/// The data themselves as their features, `[N, D]`, in the order of `indices`: what samples of a known distribution in few dimensions are
/// compared by.
///
/// # Errors
/// [`Error::Data`] for indices beyond the set, and when a datum cannot be read.
pub fn data_as_features(data: &ImageSet, indices: &[usize]) -> Result<Array2<f32>> {
    data.check_indices("indices", indices)?;
    let (rows, columns) = (indices.len(), data.dims());
    let zeros = zeros("raw data", &[rows, columns])?;
    let mut features = Array2::from_shape_vec((rows, columns), zeros)
        .map_err(|error| Error::request("raw data", error.to_string()))?;
    for (mut row, &index) in features.outer_iter_mut().zip(indices) {
        data.read_image(index, row.as_slice_mut().unwrap_or_default())?;
    }
    Ok(features)
}
