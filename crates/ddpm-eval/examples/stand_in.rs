//! Splits sampled images into the stand-in data set that ships with the repository.
//!
//! Reads an `.npz` of samples and writes `train.safetensors` and `test.safetensors`, half of the images each,
//! marked so that every result computed from them says that it is not on real data.
//!
//! ```text
//! cargo run --release -p ddpm-eval --example stand_in -- samples.npz datasets/cifar10-stand-in
//! ```

use std::collections::HashMap;
use std::path::Path;

use ddpm_data::{Split, open};
use ddpm_files::write_atomic;
use safetensors::tensor::{Dtype, TensorView};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        return Err("expected two arguments: the .npz to read and the folder to write".into());
    };
    let images = open(Path::new(from), Split::Train, None)?;
    std::fs::create_dir_all(to)?;
    let half = images.len() / 2;
    for (split, range) in [("train", 0..half), ("test", half..images.len())] {
        let mut pixels = Vec::new();
        for index in range.clone() {
            let image = images.bytes(index)?.ok_or("expected uint8 images")?;
            pixels.extend(image.iter().copied());
        }
        let shape = [&[range.len()], images.shape()].concat();
        let view = TensorView::new(Dtype::U8, shape, &pixels)?;
        // A single key: the order of several would differ from run to run.
        let marks = HashMap::from([("stand_in".to_owned(), "true".to_owned())]);
        let bytes = safetensors::serialize([("images", view)], Some(marks))?;
        write_atomic(&Path::new(to).join(format!("{split}.safetensors")), &bytes)?;
    }
    Ok(())
}
