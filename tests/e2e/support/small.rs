//! A small random-weight network, images for it, and profiles of both: seconds, not minutes.

use std::path::{Path, PathBuf};

use safetensors::tensor::Dtype;

use super::command::Ddpm;
use super::files::{golden, little_endian, safetensors};

/// T of the small network's chain.
pub(crate) const T: usize = 40;

/// What the small network's weights cannot tell.
const FLAGS: &str = "--num-heads 2 --image-size 16 --train-steps 40 --noise-schedule cosine --rescale-timesteps true";

/// The small network: 3x16x16, learned variance.
pub(crate) fn small_checkpoint() -> PathBuf {
    golden("unet-hybrid-16px.pt")
}

/// `ddpm COMMAND CKPT` with everything the small network needs.
pub(crate) fn small(command: &str) -> Ddpm {
    Ddpm::new(command).arg(small_checkpoint()).words(FLAGS)
}

/// Writes `count` smooth images of 3x16x16 as float tensors; `phase` makes another set.
pub(crate) fn small_images(path: &Path, count: usize, phase: f32) {
    images_of_shape(path, [count, 3, 16, 16], phase);
}

/// Writes smooth images of any shape.
pub(crate) fn images_of_shape(path: &Path, shape: [usize; 4], phase: f32) {
    let [n, c, h, w] = shape;
    let mut values = Vec::with_capacity(n * c * h * w);
    for i in 0..n {
        for channel in 0..c {
            for y in 0..h {
                for x in 0..w {
                    let angle =
                        phase + i as f32 * 0.7 + channel as f32 + 0.3 * y as f32 - 0.2 * x as f32;
                    // As if read from bytes.
                    values.push((angle.sin() * 127.0).round() / 127.5);
                }
            }
        }
    }
    safetensors(
        path,
        &[("x_start", Dtype::F32, &shape, little_endian(&values))],
    );
}

/// A profile of the small network on `images` images of `phase`, every timestep.
pub(crate) fn small_profile(folder: &Path, name: &str, images: usize, phase: f32) -> PathBuf {
    let data = folder.join(format!("{name}.images.safetensors"));
    small_images(&data, images, phase);
    let out = folder.join(format!("{name}.profile"));
    small("profile").file("--data", &data).writes(&out);
    out
}
