//! Data sets larger than memory: what a profile of many images takes, and what happens when there is no room.

#[cfg(target_os = "linux")]
mod memory;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use ddpm_data::Images;
use ddpm_files::npz::NpzWriter;
use ndarray::{Array4, Axis};

use crate::support::{Ddpm, scratch, small_checkpoint};

/// `ddpm profile` of the small network on images of `side`, every one of `timesteps` timesteps.
fn profile(data: &Path, side: usize, timesteps: usize) -> Ddpm {
    let out = data.with_extension("profile");
    Ddpm::new("profile")
        .arg(small_checkpoint())
        .words("--num-heads 2 --noise-schedule cosine --rescale-timesteps true")
        // Batches of one size, since a larger one takes more memory.
        .words(&format!(
            "--image-size {side} --train-steps {timesteps} --batch 16"
        ))
        .file("--data", data)
        .file("--out", &out)
}

/// Images that do not compress well, `[N, H, W, C]`.
fn noisy(count: usize, side: usize) -> Array4<u8> {
    let mut state = 1u64;
    Array4::from_shape_simple_fn((count, side, side, 3), || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        (state >> 56) as u8
    })
}

fn npz(folder: &Path, count: usize, side: usize, compressed: bool) -> PathBuf {
    let path = folder.join(format!("{count}-{compressed}.npz"));
    let out = BufWriter::new(File::create(&path).unwrap());
    let mut writer = match compressed {
        true => NpzWriter::new_compressed(out),
        false => NpzWriter::new(out),
    };
    writer.add_array("arr_0", &noisy(count, side)).unwrap();
    writer.finish().unwrap();
    path
}

fn pngs(folder: &Path, count: usize, side: usize) -> PathBuf {
    let path = folder.join(format!("{count}"));
    std::fs::create_dir(&path).unwrap();
    let planes = noisy(count, side).permuted_axes([0, 3, 1, 2]);
    for (i, image) in planes.axis_chunks_iter(Axis(0), 1).enumerate() {
        // A grid of one image is that image.
        let png = Images::from_bytes(image.to_owned()).unwrap().to_png_grid();
        std::fs::write(path.join(format!("{i:06}.png")), png).unwrap();
    }
    path
}

#[test]
fn no_room_to_unpack_into_is_the_systems_refusal() {
    let folder = scratch();
    let archive = npz(folder.path(), 4, 16, true);
    let absent = folder.path().join("absent");
    profile(&archive, 16, 2)
        .env("TMPDIR", absent.to_str().unwrap())
        .fails(5, &["4-true.npz", "3072 bytes", "absent", "TMPDIR"]);
    // Nothing is unpacked of an archive that is stored.
    profile(&npz(folder.path(), 4, 16, false), 16, 2)
        .env("TMPDIR", absent.to_str().unwrap())
        .run()
        .succeeds();
}

#[test]
fn a_broken_image_among_good_ones_is_named_before_anything_is_evaluated() {
    let folder = scratch();
    let images = pngs(folder.path(), 40, 4);
    std::fs::write(images.join("000033.png"), "broken").unwrap();
    let named = ["image 33", "000033.png", "readable PNG"];
    profile(&images, 4, 20).fails(3, &named);
    assert!(!images.with_extension("profile.partial").exists());
    let bpd = |limit: &str| {
        Ddpm::new("bpd")
            .arg(small_checkpoint())
            .words("--num-heads 2 --noise-schedule cosine --rescale-timesteps true --image-size 4 --train-steps 20 --path 1,20")
            .file("--data", &images)
            .words(limit)
    };
    bpd("").fails(3, &named);
    // Nobody looks at images that were not asked for.
    bpd("--limit 1").run().succeeds();
}
