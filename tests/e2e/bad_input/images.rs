//! Data sets that are none, or that do not fit the network.

use std::path::Path;

use safetensors::tensor::Dtype;

use crate::support::{images_of_shape, little_endian, safetensors, scratch, small, small_images};

fn bpd(data: &Path, named: &[&str]) {
    small("bpd")
        .words("--path 1,40")
        .file("--data", data)
        .fails(3, named);
}

#[test]
fn data_sets_that_are_none() {
    let folder = scratch();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    bpd(&empty, &["empty", "no images"]);
    bpd(
        &folder.path().join("absent"),
        &["absent", "no such file or folder"],
    );
    let text = folder.path().join("images.txt");
    std::fs::write(&text, "x").unwrap();
    bpd(&text, &["images.txt", "not an image set"]);
    std::fs::write(empty.join("broken.png"), "not a png").unwrap();
    bpd(&empty, &["broken.png"]);
}

#[test]
fn images_of_the_wrong_size() {
    let folder = scratch();
    let data = folder.path().join("x.safetensors");
    images_of_shape(&data, [1, 3, 32, 32], 0.0);
    bpd(
        &data,
        &["x.safetensors", "wrong image size", "3x16x16", "3x32x32"],
    );
    images_of_shape(&data, [1, 1, 16, 16], 0.0);
    bpd(&data, &["x.safetensors", "3x16x16", "1x16x16"]);
    images_of_shape(&data, [1, 3, 32, 32], 0.0);
    small("profile")
        .file("--data", &data)
        .file("--out", &folder.path().join("p"))
        .fails(3, &["x.safetensors", "wrong image size"]);
    small("bpd")
        .words("--path 1,40")
        .file("--images", &data)
        .fails(3, &["x.safetensors", "wrong image size"]);
}

#[test]
fn cifar_files_of_the_wrong_length() {
    let folder = scratch();
    for name in [
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
        "test_batch",
    ] {
        std::fs::write(folder.path().join(format!("{name}.bin")), vec![0; 3072]).unwrap();
    }
    bpd(
        folder.path(),
        &["test_batch.bin", "wrong length", "3072", "3073"],
    );
}

#[test]
fn fixed_images_and_noise() {
    let folder = scratch();
    let (images, noise) = (
        folder.path().join("x.safetensors"),
        folder.path().join("n.safetensors"),
    );
    small_images(&images, 2, 0.0);
    let run = || {
        small("bpd")
            .words("--path 1,40")
            .file("--images", &images)
            .file("--noise", &noise)
    };
    safetensors(
        &noise,
        &[(
            "noise",
            Dtype::F32,
            &[1, 3, 16, 16],
            little_endian(&[0.0; 768]),
        )],
    );
    run().fails(
        3,
        &["n.safetensors", "noise", "[2, 3, 16, 16]", "[1, 3, 16, 16]"],
    );
    safetensors(&noise, &[("z", Dtype::F32, &[1], little_endian(&[0.0]))]);
    run().fails(3, &["n.safetensors", "noise"]);
    safetensors(
        &images,
        &[(
            "cifar_test_index",
            Dtype::I64,
            &[1],
            3i64.to_le_bytes().to_vec(),
        )],
    );
    run().fails(2, &["--data"]);
    small("bpd")
        .words("--path 1,40 --data x")
        .file("--noise", &noise)
        .fails(2, &["--images"]);
}

#[test]
fn labels_of_a_class_conditional_network() {
    let folder = scratch();
    let data = folder.path().join("x.safetensors");
    small_images(&data, 1, 0.0);
    let of = |data: &Path, flags: &str| {
        crate::support::Ddpm::new("bpd")
            .arg(crate::support::golden("unet-classcond-noscale.pt"))
            .words("--num-heads 4 --image-size 16 --train-steps 40 --noise-schedule cosine --rescale-timesteps true --path 1,40")
            .file("--data", data)
            .words(flags)
    };
    let run = |flags: &str| of(&data, flags);
    run("").fails(3, &["x.safetensors", "labels", "10 classes"]);
    run("--class 10").fails(3, &["--class", "below 10", "found 10"]);
    run("--class 9").run().succeeds();
    run("--class 9 --variance learned").fails(3, &["--variance", "no variance output"]);
    // A set whose labels are of more classes.
    let named = folder.path().join("named.npz");
    let out = std::fs::File::create(&named).unwrap();
    let mut writer = ddpm::files::npz::NpzWriter::new(out);
    let images = ndarray::Array4::<u8>::zeros((1, 16, 16, 3));
    writer.add_array("arr_0", &images).unwrap();
    writer.add_array("arr_1", &ndarray::arr1(&[10i64])).unwrap();
    writer.finish().unwrap();
    of(&named, "").fails(3, &["named.npz", "labels below 10", "found 10"]);
}
