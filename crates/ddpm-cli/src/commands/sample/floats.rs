//! Samples as floats: pieces of consecutive data while the run lasts, then one `.safetensors` file that is read as data.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ddpm_data::Split;
use ddpm_schedule::SampleRecord;
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn};
use safetensors::tensor::{Dtype, TensorView};

use crate::error::{Error, Result};

/// The name that data have in files of tensors.
const KEY: &str = "data";

/// How many data a piece holds.
pub(super) fn count(piece: &Path) -> Result<usize> {
    Ok(ddpm_data::open(piece, Split::Test, None)?.len())
}

/// Keeps samples as pieces, each named by its first index.
pub(super) fn keep(
    folder: &Path,
    indices: &[usize],
    samples: ArrayViewD<'_, f32>,
) -> std::result::Result<(), ddpm_data::Error> {
    let mut at = 0;
    for run in indices.chunk_by(|a, b| a + 1 == *b) {
        let piece = samples.slice_axis(Axis(0), (at..at + run.len()).into());
        at += run.len();
        let path = folder.join(format!("{:06}.safetensors", run[0]));
        ddpm_files::write_atomic(&path, &bytes_of(piece, None))
            .map_err(|source| ddpm_data::Error::Write { path, source })?;
    }
    Ok(())
}

/// Puts the file together from its pieces.
pub(super) fn finish(
    out: &Path,
    pieces: impl Iterator<Item = (PathBuf, Range<usize>)>,
    record: &SampleRecord,
    labels: Option<&[usize]>,
) -> Result<()> {
    let shape = [&[record.count], &record.model.shape[..]].concat();
    let mut all = ArrayD::<f32>::zeros(IxDyn(&shape));
    let mut missing = vec![true; record.count];
    for (path, held) in pieces {
        let set = ddpm_data::open(&path, Split::Test, None)?;
        if set.shape() != record.model.shape {
            let why = format!(
                "expected data of shape {:?}, found {:?}",
                record.model.shape,
                set.shape()
            );
            return Err(Error::file(&path, why));
        }
        for (place, index) in held.enumerate() {
            let Some(row) = index
                .checked_sub(record.start_index)
                .filter(|&i| i < record.count)
            else {
                continue;
            };
            let mut datum = vec![0.0; set.dims()];
            set.read_image(place, &mut datum)?;
            let mut row_of_all = all.index_axis_mut(Axis(0), row);
            row_of_all.iter_mut().zip(datum).for_each(|(x, y)| *x = y);
            missing[row] = false;
        }
    }
    if let Some(row) = missing.iter().position(|&gone| gone) {
        let index = record.start_index + row;
        return Err(Error::file(
            out,
            format!("sample {index} is gone from the partial output"),
        ));
    }
    let bytes = bytes_of(all.view(), labels);
    ddpm_files::write_atomic(out, &bytes).map_err(|source| Error::write(out, source))
}

fn bytes_of(data: ArrayViewD<'_, f32>, labels: Option<&[usize]>) -> Vec<u8> {
    let floats: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    let integers: Option<Vec<u8>> = labels.map(|labels| {
        labels
            .iter()
            .flat_map(|&l| (l as i64).to_le_bytes())
            .collect()
    });
    let mut tensors = vec![(KEY, view(Dtype::F32, data.shape().to_vec(), &floats))];
    if let (Some(bytes), Some(labels)) = (&integers, labels) {
        tensors.push(("labels", view(Dtype::I64, vec![labels.len()], bytes)));
    }
    safetensors::serialize(tensors, None)
        .expect("names are distinct and sizes are those of the shapes")
}

fn view(dtype: Dtype, shape: Vec<usize>, bytes: &[u8]) -> TensorView<'_> {
    TensorView::new(dtype, shape, bytes).expect("as many bytes as the shape has")
}
