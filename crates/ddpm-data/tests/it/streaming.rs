//! Images are read when they are asked for: the same ones from every layout, in any order, and what has changed since the
//! set was opened is an error that names file and image.

use std::fs::{self, File};
use std::io::Cursor;
use std::path::Path;

use ddpm_data::{Error, ImageSet, Images, Split, open, write_npz, write_png_folder};
use ddpm_files::npy::write_npy;
use ddpm_files::npz::NpzWriter;
use ndarray::{Array1, Array4, ArrayView, Dimension, ShapeBuilder};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::support::cifar;

/// Of [`four`], from the definition of the hash by another program. Profiles store such hashes: it must never change.
const HASH: &str = "9f75b422f41c567f70a534f79a2db78980bebe4002b22634921fb716bde22340";
/// The same of the floats of [`float_tensor`].
const FLOAT_HASH: &str = "d42b666018303276f0054865dd90767632a09960aa56692aac143547741364e9";

/// Four images of 3x4x4.
fn four() -> Array4<u8> {
    Array4::from_shape_fn((4, 3, 4, 4), |(n, c, y, x)| {
        (n * 50 + c * 80 + y * 9 + x * 3) as u8
    })
}

/// An array in column-major order.
fn column_major(array: &Array4<u8>) -> Array4<u8> {
    let mut turned = Array4::zeros(array.raw_dim().f());
    turned.assign(array);
    turned
}

/// A writer whose arrays are stored or deflated.
fn archive(compressed: bool) -> NpzWriter<Cursor<Vec<u8>>> {
    let out = Cursor::new(Vec::new());
    if compressed {
        NpzWriter::new_compressed(out)
    } else {
        NpzWriter::new(out)
    }
}

/// Puts what was written into a file.
fn finish(path: &Path, writer: NpzWriter<Cursor<Vec<u8>>>) {
    fs::write(path, writer.finish().unwrap().into_inner()).unwrap();
}

fn save_npz<D: Dimension>(path: &Path, compressed: bool, key: &str, array: ArrayView<'_, u8, D>) {
    let mut writer = archive(compressed);
    writer.add_array(key, &array).unwrap();
    finish(path, writer);
}

fn save_npy(path: &Path, array: &Array4<u8>) {
    write_npy(&mut File::create(path).unwrap(), array).unwrap();
}

fn save_tensor(path: &Path, key: &str, dtype: Dtype, shape: &[usize], data: &[u8]) {
    let view = TensorView::new(dtype, shape.to_vec(), data).unwrap();
    fs::write(path, serialize([(key, view)], None).unwrap()).unwrap();
}

fn float_tensor(path: &Path) {
    let floats: Vec<u8> = (0..24)
        .flat_map(|i| ((i % 9) as f32 / 4.0 - 1.0).to_le_bytes())
        .collect();
    save_tensor(path, "x_start", Dtype::F32, &[2, 3, 2, 2], &floats);
}

/// Every layout that can hold [`four`], under `folder`.
fn every_layout(folder: &Path) -> Vec<ImageSet> {
    let images = four();
    let interleaved = images
        .view()
        .permuted_axes([0, 2, 3, 1])
        .as_standard_layout()
        .into_owned();
    let rows = images.view().into_shape_with_order((4, 48)).unwrap();
    let path = |name: &str| folder.join(name);
    for compressed in [false, true] {
        let name = |kind: &str| path(&format!("{kind}-{compressed}.npz"));
        save_npz(&name("rows"), compressed, "arr_0", interleaved.view());
        save_npz(
            &name("columns"),
            compressed,
            "images",
            column_major(&interleaved).view(),
        );
        save_npz(&name("imagenet"), compressed, "data", rows);
    }
    save_npy(&path("rows.npy"), &interleaved);
    save_npy(&path("columns.npy"), &column_major(&interleaved));
    let pixels: Vec<u8> = images.iter().copied().collect();
    save_tensor(
        &path("bytes.safetensors"),
        "images",
        Dtype::U8,
        &[4, 3, 4, 4],
        &pixels,
    );
    let png = Images::from_bytes(images.clone()).unwrap();
    write_png_folder(&path("png"), &png, 0).unwrap();
    let parts = path("parts");
    fs::create_dir(&parts).unwrap();
    for (i, range) in [0..1, 1..3, 3..4].into_iter().enumerate() {
        let part = rows.slice(ndarray::s![range, ..]);
        let name = format!("train_data_batch_{}.npz", i + 1);
        save_npz(&parts.join(name), i == 1, "data", part);
    }
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert_eq!(names.len(), 11);
    names
        .iter()
        .map(|path| open(path, Split::Train, Some(&[3, 4, 4])).unwrap())
        .collect()
}

#[test]
fn every_layout_has_the_known_hash() {
    let folder = tempfile::tempdir().unwrap();
    let reference = ImageSet::from_bytes("reference", four().view()).unwrap();
    assert_eq!(reference.sha256().unwrap(), HASH);
    for set in every_layout(folder.path()) {
        assert_eq!(set.sha256().unwrap(), HASH, "{}", set.name());
        assert_eq!((set.len(), set.raw_bytes()), (4, 4 * 48));
    }
    let path = folder.path().join("floats.safetensors");
    float_tensor(&path);
    let set = open(&path, Split::Test, None).unwrap();
    assert_eq!(set.sha256().unwrap(), FLOAT_HASH);
    assert_eq!(set.raw_bytes(), 24 * 4);
}

#[test]
fn images_come_in_any_order_from_any_thread() {
    let folder = tempfile::tempdir().unwrap();
    let reference = ImageSet::from_bytes("reference", four().view()).unwrap();
    let expected: Vec<_> = (0..4).map(|i| reference.image(i).unwrap()).collect();
    for set in every_layout(folder.path()) {
        (0..64usize).into_par_iter().for_each(|i| {
            let index = i * 7 % 4;
            assert_eq!(set.image(index).unwrap(), expected[index], "{}", set.name());
        });
        let some = set.subset(&[3, 0]).unwrap();
        assert_eq!(some.image(0).unwrap(), expected[3]);
        assert_eq!(some.bytes(1).unwrap(), reference.bytes(0).unwrap());
        assert_eq!(
            some.sha256().unwrap(),
            reference.subset(&[3, 0]).unwrap().sha256().unwrap()
        );
    }
    let cifar = folder.path().join("cifar");
    fs::create_dir(&cifar).unwrap();
    cifar::write_binary_folder(&cifar, 3);
    let set = open(&cifar, Split::Train, None).unwrap();
    (0..15usize).into_par_iter().rev().for_each(|index| {
        let (file, n) = (1 + index / 3, index % 3);
        let image = set.bytes(index).unwrap().unwrap();
        let expected = (0..3072).map(|i| cifar::pixel(file, n, i));
        assert!(image.iter().copied().eq(expected), "image {index}");
    });
}

#[test]
fn sets_larger_than_a_read_hash_the_same() {
    // More than the megabyte that is read at a time, in files of different lengths.
    let folder = tempfile::tempdir().unwrap();
    let images = Array4::from_shape_fn((300, 3, 64, 64), |(n, c, y, x)| {
        (n * 31 + c * 80 + y * 9 + x * 5) as u8
    });
    let rows = images
        .view()
        .into_shape_with_order((300, 3 * 64 * 64))
        .unwrap();
    for (number, range) in [(1, 0..129), (2, 129..130), (3, 130..300)] {
        let name = format!("train_data_batch_{number}.npz");
        let part = rows.slice(ndarray::s![range, ..]);
        save_npz(&folder.path().join(name), number == 3, "data", part);
    }
    let set = open(folder.path(), Split::Train, None).unwrap();
    assert_eq!((set.len(), set.name()), (300, "imagenet64-train"));
    let reference = ImageSet::from_bytes("reference", images.view()).unwrap();
    assert_eq!(set.sha256().unwrap(), reference.sha256().unwrap());
    let path = folder.path().join("a.npz");
    write_npz(&path, &Images::from_bytes(images).unwrap(), None).unwrap();
    let set = open(&path, Split::Train, None).unwrap();
    assert_eq!(set.sha256().unwrap(), reference.sha256().unwrap());
}

/// Reading image `index` fails and names it, the file and all of `wanted`; hashing fails and names the file and `wanted`.
fn fails(set: &ImageSet, index: usize, wanted: &[&str]) {
    let error = set.image(index).unwrap_err();
    assert!(
        matches!(error, Error::Image { index: found, .. } if found == index),
        "{error}"
    );
    let text = error.to_string();
    assert!(text.starts_with(&format!("image {index}: ")), "{text}");
    for text in [text, set.sha256().unwrap_err().to_string()] {
        for part in wanted {
            assert!(text.contains(part), "expected {part:?} in {text:?}");
        }
    }
}

#[test]
fn files_that_change_after_they_were_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let images = four();
    let png = Images::from_bytes(images.clone()).unwrap();
    write_npz(&path("a.npz"), &png, None).unwrap();
    let interleaved = images.view().permuted_axes([0, 2, 3, 1]);
    save_npy(
        &path("b.npy"),
        &interleaved.as_standard_layout().into_owned(),
    );
    float_tensor(&path("c.safetensors"));
    fs::write(path("d.bin"), cifar::binary(1, 3)).unwrap();
    for name in ["a.npz", "b.npy", "c.safetensors", "d.bin"] {
        let set = open(&path(name), Split::Train, None).unwrap();
        set.image(1).unwrap();
        let length = fs::metadata(path(name)).unwrap().len();
        let file = File::options().write(true).open(path(name)).unwrap();
        let cut = length / 3 + 1;
        file.set_len(cut).unwrap();
        let text = format!("one of {cut} bytes");
        let stays = format!("a file of {length} bytes that stays");
        fails(&set, 1, &[name, &stays, &text]);
        // Cut off before it is opened, it does not open.
        open(&path(name), Split::Train, None).unwrap_err();
    }
}

#[test]
fn a_compressed_archive_may_go_after_it_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let images = four();
    let interleaved = images.view().permuted_axes([0, 2, 3, 1]);
    save_npz(
        &path,
        true,
        "arr_0",
        interleaved.as_standard_layout().view(),
    );
    let set = open(&path, Split::Train, None).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(set.sha256().unwrap(), HASH);
}

/// All data are compared with their checksum when all of them are read.
#[test]
fn damaged_archives_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let images = Array4::from_shape_fn((4, 16, 16, 3), |(n, y, x, c)| {
        ((n * 77) ^ (y * 131) ^ (x * 29) ^ (c * 53)) as u8
    });
    let damaged = |compressed| {
        save_npz(&path, compressed, "arr_0", images.view());
        open(&path, Split::Train, None).unwrap().sha256().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        open(&path, Split::Train, None)
    };
    let text = damaged(true).and_then(|set| set.sha256());
    let text = text.unwrap_err().to_string();
    assert!(text.contains("a.npz") && text.contains("arr_0"), "{text}");
    let set = damaged(false).unwrap();
    set.image(0).unwrap();
    let text = set.sha256().unwrap_err().to_string();
    for part in ["a.npz", "as the archive declares", "the file is damaged"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn png_files_that_change_after_they_were_listed() {
    let folder = tempfile::tempdir().unwrap();
    let png = Images::from_bytes(four()).unwrap();
    write_png_folder(folder.path(), &png, 0).unwrap();
    let open = || open(folder.path(), Split::Train, None).unwrap();
    let set = open();
    let third = folder.path().join("000002.png");
    let good = fs::read(&third).unwrap();
    fs::remove_file(&third).unwrap();
    fails(&set, 2, &["image 2", "000002.png", "cannot read"]);
    fs::write(&third, &good[..good.len() - 20]).unwrap();
    fails(&set, 2, &["image 2", "000002.png", "readable PNG"]);
    // The others are as good as before.
    set.image(3).unwrap();

    let small = Images::from_bytes(Array4::zeros((1, 3, 2, 2))).unwrap();
    write_png_folder(folder.path(), &small, 2).unwrap();
    let named = ["000002.png", "3x4x4 like 000000.png", "found 3x2x2"];
    fails(&open(), 2, &named);
    fs::write(&third, good).unwrap();
    assert_eq!(open().sha256().unwrap(), HASH);
}

/// One archive of downsampled ImageNet: `count` images whose every pixel is `value`, and these labels.
fn imagenet(path: &Path, side: usize, value: u8, labels: &[i64]) {
    let mut writer = NpzWriter::new(Cursor::new(Vec::new()));
    let data = ndarray::Array2::from_elem((labels.len(), 3 * side * side), value);
    writer.add_array("data", &data).unwrap();
    writer
        .add_array("labels", &Array1::from_vec(labels.to_vec()))
        .unwrap();
    writer
        .add_array("mean", &Array1::<f64>::zeros(3 * side * side))
        .unwrap();
    finish(path, writer);
}

#[test]
fn imagenet_as_it_is_distributed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // Ten and eleven come after nine.
    for number in 1..=11u8 {
        let name = format!("train_data_batch_{number}.npz");
        imagenet(&path(&name), 8, number, &[i64::from(number), 1000]);
    }
    fs::write(path("train_data_batch_01.npz"), "not one of them").unwrap();
    let error = open(folder.path(), Split::Test, None).unwrap_err();
    assert!(
        matches!(&error, Error::MissingSplit { expected, .. } if expected.contains("val_data.npz")),
        "{error}"
    );
    imagenet(&path("val_data.npz"), 8, 99, &[1, 2, 3]);

    let train = open(folder.path(), Split::Train, Some(&[3, 8, 8])).unwrap();
    assert_eq!((train.len(), train.name()), (22, "imagenet8-train"));
    assert!(train.split_is_named());
    for (i, &label) in train.labels().unwrap().unwrap().iter().enumerate() {
        let number = 1 + i / 2;
        assert_eq!(label, if i % 2 == 0 { number - 1 } else { 999 });
        let image = train.bytes(i).unwrap().unwrap();
        assert!(image.iter().all(|&p| usize::from(p) == number));
    }
    let test = open(folder.path(), Split::Test, None).unwrap();
    assert_eq!((test.len(), test.name()), (3, "imagenet8-test"));
    assert_eq!(test.labels().unwrap(), Some(&[0, 1, 2][..]));
    let file = open(&path("val_data.npz"), Split::Train, None).unwrap();
    assert_eq!(file.name(), "imagenet8-file");
    assert_eq!(file.sha256().unwrap(), test.sha256().unwrap());
    assert!(!file.split_is_named());

    // The folders of the two splits beside each other.
    let outer = tempfile::tempdir().unwrap();
    for split in ["train", "test"] {
        fs::create_dir(outer.path().join(split)).unwrap();
    }
    imagenet(
        &outer.path().join("train/train_data_batch_1.npz"),
        8,
        1,
        &[5],
    );
    imagenet(&outer.path().join("test/val_data.npz"), 8, 1, &[6]);
    for (split, label) in [(Split::Train, 4), (Split::Test, 5)] {
        let set = open(outer.path(), split, None).unwrap();
        assert_eq!(set.labels().unwrap(), Some(&[label][..]));
    }
}

#[test]
fn imagenet_that_is_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let refuses = |path: &Path, wanted: &[&str]| {
        let read = open(path, Split::Train, None).and_then(|set| set.labels().map(drop));
        let text = read.unwrap_err().to_string();
        for part in wanted {
            assert!(text.contains(part), "expected {part:?} in {text:?}");
        }
    };
    imagenet(&path("train_data_batch_1.npz"), 8, 1, &[1]);
    imagenet(&path("train_data_batch_3.npz"), 8, 1, &[1]);
    refuses(
        folder.path(),
        &["train split is missing", "train_data_batch_2.npz"],
    );
    imagenet(&path("train_data_batch_2.npz"), 16, 1, &[1]);
    refuses(
        folder.path(),
        &[
            "train_data_batch_2.npz",
            "image size",
            "3x8x8 like",
            "found 3x16x16",
        ],
    );
    let file = path("a.npz");
    for label in [0, 1001] {
        imagenet(&file, 8, 1, &[1, label]);
        let found = format!("found {label}");
        refuses(
            &file,
            &["a.npz", "label of image 1", "from 1 to 1000", &found],
        );
    }
    save_npz(&file, false, "data", ndarray::Array2::zeros((2, 50)).view());
    refuses(&file, &["a.npz", "data", "3 x side x side", "2x50"]);
    save_npz(&file, false, "data", ndarray::Array2::zeros((0, 48)).view());
    refuses(&file, &["a.npz", "data", "0x48"]);
    save_npz(&file, true, "data", ndarray::Array1::zeros(48).view());
    refuses(&file, &["a.npz", "data", "shape 48"]);
    let mut writer = archive(false);
    writer
        .add_array("data", &ndarray::Array2::<f32>::zeros((2, 48)))
        .unwrap();
    finish(&file, writer);
    refuses(&file, &["a.npz", "data", "uint8", "<f4 of shape 2x48"]);
}
