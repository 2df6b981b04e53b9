//! Every layout gives back the images that were written to it.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use ddpm_data::{
    ImageSet, Images, Split, open, open_fixed_images, read_noise, write_npz, write_png_folder,
};
use ddpm_files::npz::NpzWriter;
use ndarray::{Array1, Array4, ArrayView4};
use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::support::{cifar, needed};

/// `[N, C, H, W]` bytes from a formula.
fn bytes(shape: [usize; 4]) -> Array4<u8> {
    Array4::from_shape_fn(shape, |(n, c, y, x)| {
        (n * 50 + c * 80 + y * 9 + x * 3) as u8
    })
}

fn reference(images: ArrayView4<'_, u8>) -> ImageSet {
    ImageSet::from_bytes("reference", images).unwrap()
}

fn save_safetensors(path: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)], stand_in: bool) {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (*name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let metadata = stand_in.then(|| [("stand_in".to_owned(), "true".to_owned())].into());
    fs::write(path, serialize(views, metadata).unwrap()).unwrap();
}

#[test]
fn cifar_binary_folder_file_and_unpacked_archive() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("cifar-10-batches-bin");
    fs::create_dir(&archive).unwrap();
    cifar::write_binary_folder(&archive, 3);
    let train = open(&archive, Split::Train, Some(&[3, 32, 32])).unwrap();
    assert_eq!(
        (train.len(), train.shape(), train.name()),
        (15, &[3, 32, 32][..], "cifar10-train")
    );
    assert!(train.split_is_named() && !train.stand_in());
    // Image 7 is the second image of the third file.
    assert_eq!(
        train.labels().unwrap().unwrap()[7],
        usize::from(cifar::label(3, 1))
    );
    let image = train.bytes(7).unwrap().unwrap();
    assert!(
        image
            .iter()
            .enumerate()
            .all(|(i, &p)| p == cifar::pixel(3, 1, i))
    );
    assert_eq!(image[[2, 5, 9]], cifar::pixel(3, 1, 2 * 1024 + 5 * 32 + 9));

    let outer = open(folder.path(), Split::Train, None).unwrap();
    assert_eq!(outer.sha256().unwrap(), train.sha256().unwrap());
    let test = open(&archive, Split::Test, None).unwrap();
    let file = open(&archive.join("test_batch.bin"), Split::Train, None).unwrap();
    assert_eq!(test.sha256().unwrap(), file.sha256().unwrap());
    assert!(test.split_is_named() && !file.split_is_named());
}

#[test]
fn png_folders_in_sorted_order_grey_and_colour() {
    for channels in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let images = bytes([4, channels, 5, 6]);
        write_png_folder(
            folder.path(),
            &Images::from_bytes(images.clone()).unwrap(),
            0,
        )
        .unwrap();
        fs::write(folder.path().join("notes.txt"), "not an image").unwrap();
        let set = open(folder.path(), Split::Test, Some(&[channels, 5, 6])).unwrap();
        assert_eq!(
            set.sha256().unwrap(),
            reference(images.view()).sha256().unwrap()
        );
        assert!(!set.split_is_named());
    }
}

/// Files that Pillow wrote, and what it reads of them.
#[test]
fn pictures_of_every_kind_have_the_pixels_of_pillow() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/pictures");
    let mut seen = 0;
    for entry in fs::read_dir(&golden).unwrap() {
        let path = entry.unwrap().path();
        let ending = path.extension().unwrap().to_str().unwrap().to_owned();
        if ending == "npy" {
            continue;
        }
        seen += 1;
        let folder = tempfile::tempdir().unwrap();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        let found = open(folder.path(), Split::Test, None).unwrap();
        let expected = open(&path.with_extension("npy"), Split::Test, None).unwrap();
        assert_eq!(found.shape(), expected.shape(), "{}", path.display());
        let levels = |set: &ImageSet| set.bytes(0).unwrap().unwrap();
        let (found, expected) = (levels(&found), levels(&expected));
        let errors = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
        let (most, sum) = errors.fold((0, 0.0), |(most, sum), e| (e.max(most), sum + f64::from(e)));
        let mean = sum / found.len() as f64;
        // Decoders of JPEG round differently, and spread colour of half the size differently.
        let allowed = if ending == "jpg" { (4, 0.5) } else { (0, 0.0) };
        assert!(
            most <= allowed.0 && mean <= allowed.1,
            "{}: {most}, {mean:.3}",
            path.display()
        );
    }
    assert_eq!(seen, 7);
}

#[test]
fn folders_of_classes_have_labels() {
    let folder = tempfile::tempdir().unwrap();
    let images = bytes([5, 1, 4, 4]);
    for (class, range) in [("dog", 0..2), ("ant", 2..5)] {
        let below = folder.path().join(class);
        fs::create_dir(&below).unwrap();
        let part = images.slice_axis(ndarray::Axis(0), range.into()).to_owned();
        write_png_folder(&below, &Images::from_bytes(part).unwrap(), 0).unwrap();
    }
    // What macOS leaves in archives is no class; folders below are left out.
    fs::create_dir_all(folder.path().join("__MACOSX/ant")).unwrap();
    fs::create_dir(folder.path().join("ant/deeper")).unwrap();
    let set = open(folder.path(), Split::Test, Some(&[1, 4, 4])).unwrap();
    assert_eq!(set.labels().unwrap(), Some(&[0, 0, 0, 1, 1][..]));
    assert_eq!(set.left_out(), Some("1 folder"));
    let order = [2, 3, 4, 0, 1];
    for (index, &of) in order.iter().enumerate() {
        let one = set.bytes(index).unwrap().unwrap();
        assert!(one.iter().eq(images.index_axis(ndarray::Axis(0), of)));
    }
    // An image beside the folders: it is the set, and they are left out.
    fs::copy(
        folder.path().join("dog/000000.png"),
        folder.path().join("a.png"),
    )
    .unwrap();
    let set = open(folder.path(), Split::Test, None).unwrap();
    assert_eq!((set.len(), set.labels().unwrap()), (1, None));
    assert_eq!(set.left_out(), Some("2 folders"));
}

#[test]
fn named_splits_of_folders_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = (bytes([3, 3, 4, 4]), bytes([2, 3, 4, 4]));
    let train_folder = folder.path().join("train");
    fs::create_dir(&train_folder).unwrap();
    write_png_folder(
        &train_folder,
        &Images::from_bytes(train.clone()).unwrap(),
        0,
    )
    .unwrap();
    write_npz(
        &folder.path().join("test.npz"),
        &Images::from_bytes(test.clone()).unwrap(),
        None,
    )
    .unwrap();
    let read = |split| open(folder.path(), split, Some(&[3, 4, 4])).unwrap();
    assert_eq!(
        read(Split::Train).sha256().unwrap(),
        reference(train.view()).sha256().unwrap()
    );
    assert_eq!(
        read(Split::Test).sha256().unwrap(),
        reference(test.view()).sha256().unwrap()
    );
    assert!(read(Split::Train).split_is_named() && read(Split::Test).split_is_named());
}

#[test]
fn npz_with_and_without_labels_under_both_names_and_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let images = bytes([3, 3, 4, 5]);
    let set = Images::from_bytes(images.clone()).unwrap();
    let path = folder.path().join("a.npz");
    write_npz(&path, &set, Some(&[4, 0, 9])).unwrap();
    let read = open(&path, Split::Train, None).unwrap();
    assert_eq!(
        read.sha256().unwrap(),
        reference(images.view()).sha256().unwrap()
    );
    assert_eq!(read.labels().unwrap(), Some(&[4, 0, 9][..]));
    write_npz(&path, &set, None).unwrap();
    assert_eq!(
        open(&path, Split::Train, None).unwrap().labels().unwrap(),
        None
    );

    let mut writer = NpzWriter::new_compressed(Cursor::new(Vec::new()));
    writer
        .add_array("images", &images.view().permuted_axes([0, 2, 3, 1]))
        .unwrap();
    writer
        .add_array("labels", &Array1::from_vec(vec![1u8, 2, 3]))
        .unwrap();
    fs::write(&path, writer.finish().unwrap().into_inner()).unwrap();
    let read = open(&path, Split::Test, Some(&[3, 4, 5])).unwrap();
    assert_eq!(
        read.sha256().unwrap(),
        reference(images.view()).sha256().unwrap()
    );
    assert_eq!(read.labels().unwrap(), Some(&[1, 2, 3][..]));
}

#[test]
fn safetensors_of_floats_and_of_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let floats: Vec<f32> = (0..24).map(|i| i as f32 / 12.0 - 1.0).collect();
    let data = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
    save_safetensors(
        &path,
        &[("x_start", Dtype::F32, vec![2, 3, 2, 2], data)],
        false,
    );
    let set = open(&path, Split::Train, Some(&[3, 2, 2])).unwrap();
    assert_eq!(set.image(1).unwrap(), floats[12..]);
    assert!(!set.stand_in() && set.labels().unwrap().is_none());

    let images = bytes([2, 3, 2, 2]);
    let labels = [3i64, 1].iter().flat_map(|l| l.to_le_bytes()).collect();
    save_safetensors(
        &path,
        &[
            (
                "images",
                Dtype::U8,
                vec![2, 3, 2, 2],
                images.iter().copied().collect(),
            ),
            ("labels", Dtype::I64, vec![2], labels),
        ],
        true,
    );
    let set = open(&path, Split::Train, None).unwrap();
    assert_eq!(
        set.sha256().unwrap(),
        reference(images.view()).sha256().unwrap()
    );
    assert_eq!(set.labels().unwrap(), Some(&[3, 1][..]));
    assert!(set.stand_in());
}

#[test]
fn fixed_images_by_value_and_by_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fixed.safetensors");
    let indices = [4i64, 0].iter().flat_map(|l| l.to_le_bytes()).collect();
    save_safetensors(
        &path,
        &[("cifar_test_index", Dtype::I64, vec![2], indices)],
        false,
    );
    let images = bytes([5, 1, 2, 2]);
    let set = reference(images.view());
    let fixed = open_fixed_images(&path, Some(&set)).unwrap();
    assert_eq!(
        fixed.sha256().unwrap(),
        set.subset(&[4, 0]).unwrap().sha256().unwrap()
    );
    let text = open_fixed_images(&path, None).unwrap_err().to_string();
    assert!(
        text.contains("cifar_test_index") && text.contains("--data"),
        "{text}"
    );
    let few = set.subset(&[0, 1]).unwrap();
    let text = open_fixed_images(&path, Some(&few))
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("below 2") && text.contains("found 4"),
        "{text}"
    );

    let golden = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/golden/cifar10-small-procedural/images.safetensors"
    ));
    let set = open_fixed_images(golden, None).unwrap();
    assert_eq!((set.len(), set.shape()), (8, &[3, 32, 32][..]));
    assert_eq!(
        read_noise(golden, &[8, 3, 32, 32]).unwrap().shape(),
        [8, 3, 32, 32]
    );
    let text = read_noise(golden, &[7, 3, 32, 32]).unwrap_err().to_string();
    assert!(
        text.contains("noise") && text.contains("[7, 3, 32, 32]"),
        "{text}"
    );
}

mod needs_data {
    use super::*;

    #[test]
    #[ignore = "needs DDPM_DATA"]
    fn real_cifar10() {
        let folder = needed("DDPM_DATA");
        let hashes = [
            "c860e53852db502dadafc1285a0aeec3e0eda7b699535d1de52d348a2c400498",
            "9639f60bf174bcc1c5dacb17e00ae57a12c3c571603f01bc0ac1bd3dadde7fcb",
        ];
        for ((split, len), hash) in [(Split::Train, 50_000), (Split::Test, 10_000)]
            .into_iter()
            .zip(hashes)
        {
            let set = open(&folder, split, Some(&[3, 32, 32])).unwrap();
            assert_eq!(set.len(), len);
            assert_eq!(set.sha256().unwrap(), hash);
            // Every class has the same number of images.
            let mut counts = [0; 10];
            for &label in set.labels().unwrap().unwrap() {
                counts[label] += 1;
            }
            assert_eq!(counts, [len / 10; 10]);
            // The known mean of the red channel of the training set is 0.4914 (x / 255).
            let red: f64 = (0..len)
                .map(|i| {
                    set.bytes(i)
                        .unwrap()
                        .unwrap()
                        .iter()
                        .take(1024)
                        .map(|&p| f64::from(p))
                        .sum::<f64>()
                })
                .sum();
            let mean = red / (len as f64 * 1024.0 * 255.0);
            assert!((mean - 0.492).abs() < 0.004, "{split}: {mean}");
        }
    }
}
