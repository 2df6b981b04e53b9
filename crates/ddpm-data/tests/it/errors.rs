//! Every way a data set can be wrong has a message that names the file, the field and what was expected.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use ddpm_data::{Error, Split, open};
use ddpm_files::FileError;
use ddpm_files::npz::NpzWriter;
use ndarray::{Array1, Array3, Array4};
use png::{BitDepth, ColorType};
use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::support::cifar;

fn error(path: &Path, split: Split, shape: Option<&[usize]>) -> Error {
    open(path, split, shape).unwrap_err()
}

/// The set does not open, or not all of its images and labels can be read.
fn expect(path: &Path, wanted: &[&str]) {
    let text = open(path, Split::Test, None)
        .and_then(|set| set.sha256().and_then(|_| set.labels().map(drop)))
        .unwrap_err()
        .to_string();
    for part in wanted {
        assert!(text.contains(part), "expected {part:?} in {text:?}");
    }
}

fn write_png(path: &Path, size: (u32, u32), color: ColorType, depth: BitDepth, bytes: usize) {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size.0, size.1);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder
        .write_header()
        .unwrap()
        .write_image_data(&vec![1; bytes])
        .unwrap();
    fs::write(path, out).unwrap();
}

#[test]
fn paths() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nowhere");
    assert!(matches!(
        error(&missing, Split::Train, None),
        Error::File(FileError::Read { .. })
    ));
    expect(&missing, &["nowhere", "cannot read"]);
    expect(folder.path(), &["no images found", "expected CIFAR-10"]);
    assert!(matches!(
        error(folder.path(), Split::Train, None),
        Error::EmptyFolder { .. }
    ));
    let text = folder.path().join("notes.txt");
    fs::write(&text, "hello").unwrap();
    assert!(matches!(
        error(&text, Split::Train, None),
        Error::UnknownFormat { .. }
    ));
    expect(folder.path(), &["no images found"]);
}

#[test]
fn cifar_binary() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test_batch.bin");
    for bytes in [Vec::new(), vec![1; 3072], vec![1; 2 * 3073 + 1]] {
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(
            error(folder.path(), Split::Test, None),
            Error::CifarLength { .. }
        ));
        expect(
            folder.path(),
            &[
                "test_batch.bin",
                "multiple of 3073",
                &format!("{} bytes", bytes.len()),
            ],
        );
    }
    fs::write(&path, vec![10; 3073]).unwrap();
    expect(
        folder.path(),
        &["test_batch.bin", "label of image 0", "below 10", "found 10"],
    );

    fs::write(&path, cifar::binary(6, 1)).unwrap();
    let missing = error(folder.path(), Split::Train, None);
    assert!(matches!(
        missing,
        Error::MissingSplit {
            split: Split::Train,
            ..
        }
    ));
    assert!(
        missing.to_string().contains("data_batch_1.bin"),
        "{missing}"
    );
    let size = error(folder.path(), Split::Test, Some(&[3, 16, 16]));
    assert!(matches!(
        &size,
        Error::ImageSize { found, .. } if found[..] == [3, 32, 32]
    ));
    assert!(
        size.to_string()
            .contains("expected 3x16x16 (the model's), found 3x32x32"),
        "{size}"
    );
}

#[test]
fn a_split_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("train")).unwrap();
    let missing = error(folder.path(), Split::Test, None);
    assert!(matches!(
        missing,
        Error::MissingSplit {
            split: Split::Test,
            ..
        }
    ));
    expect(folder.path(), &["test split is missing", "test.npz"]);
    // The subfolder that is there is empty.
    let empty = error(folder.path(), Split::Train, None);
    assert!(
        matches!(&empty, Error::EmptyFolder { path, .. } if path.ends_with("train")),
        "{empty}"
    );
    assert!(
        "validation"
            .parse::<Split>()
            .unwrap_err()
            .to_string()
            .contains("train, test")
    );
    assert_eq!("test".parse::<Split>().unwrap(), Split::Test);
}

#[test]
fn png() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.png");
    let eight = BitDepth::Eight;
    let cases = [
        (ColorType::Rgba, eight, 16, "alpha channel"),
        (ColorType::GrayscaleAlpha, eight, 8, "alpha channel"),
        (ColorType::Rgba, BitDepth::Sixteen, 32, "alpha channel"),
    ];
    for (color, depth, bytes, found) in cases {
        write_png(&path, (2, 2), color, depth, bytes);
        expect(
            folder.path(),
            &["b.png", "colour type", "RGB or grey", found],
        );
    }
    write_png(&path, (2, 2), ColorType::Rgb, eight, 12);
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..good.len() - 20]).unwrap();
    expect(folder.path(), &["b.png", "readable PNG"]);
    fs::write(&path, "not a png").unwrap();
    expect(folder.path(), &["b.png", "readable PNG"]);

    fs::write(&path, &good).unwrap();
    write_png(
        &folder.path().join("a.png"),
        (3, 2),
        ColorType::Rgb,
        eight,
        18,
    );
    expect(
        folder.path(),
        &["b.png", "image size", "3x2x3 like a.png", "found 3x2x2"],
    );
    // A grey image among colour ones is another size too.
    write_png(
        &folder.path().join("a.png"),
        (2, 2),
        ColorType::Grayscale,
        eight,
        4,
    );
    expect(folder.path(), &["b.png", "1x2x2 like a.png", "found 3x2x2"]);
}

#[test]
fn npz() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    type Add = fn(&mut NpzWriter<Cursor<Vec<u8>>>);
    let cases: [(Add, &[&str]); 8] = [
        (|_| {}, &["arr_0", "no arrays"]),
        (
            |w| w.add_array("weights", &Array1::<u8>::zeros(3)).unwrap(),
            &["arr_0 or images", "only weights"],
        ),
        (
            |w| {
                w.add_array("arr_0", &Array4::<f32>::zeros((1, 2, 2, 3)))
                    .unwrap()
            },
            &["arr_0", "uint8 [images, height, width, channels]"],
        ),
        (
            |w| {
                w.add_array("arr_0", &Array3::<u8>::zeros((2, 2, 3)))
                    .unwrap()
            },
            &["arr_0", "uint8"],
        ),
        (
            |w| {
                w.add_array("arr_0", &Array4::<u8>::zeros((1, 3, 4, 4)))
                    .unwrap()
            },
            &["1 or 3 channels", "1x3x4x4"],
        ),
        (
            |w| {
                w.add_array("arr_0", &Array4::<u8>::zeros((0, 4, 4, 3)))
                    .unwrap()
            },
            &["at least one image"],
        ),
        (
            |w| {
                w.add_array("arr_0", &Array4::<u8>::zeros((2, 4, 4, 3)))
                    .unwrap();
                w.add_array("arr_1", &Array1::from_vec(vec![1i64, 2, 3]))
                    .unwrap();
            },
            &["arr_1", "2 labels", "found 3"],
        ),
        (
            |w| {
                w.add_array("arr_0", &Array4::<u8>::zeros((2, 4, 4, 3)))
                    .unwrap();
                w.add_array("arr_1", &Array1::from_vec(vec![1i64, -2]))
                    .unwrap();
            },
            &["arr_1", "from 0 up", "label -2"],
        ),
    ];
    for (add, wanted) in cases {
        let mut writer = NpzWriter::new(Cursor::new(Vec::new()));
        add(&mut writer);
        fs::write(&path, writer.finish().unwrap().into_inner()).unwrap();
        expect(&path, &[&["a.npz"], wanted].concat());
    }
    fs::write(&path, "PK nonsense").unwrap();
    expect(&path, &["a.npz", "readable .npz archive"]);
}

/// Archives that would make a trusting reader allocate what they declare.
#[test]
fn hostile_npz() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let mut writer = NpzWriter::new(Cursor::new(Vec::new()));
    writer
        .add_array("arr_0", &Array4::<u8>::zeros((2, 4, 4, 3)))
        .unwrap();
    writer
        .add_array("arr_1", &Array1::from_vec(vec![1i64, 2]))
        .unwrap();
    let whole = writer.finish().unwrap().into_inner();
    fs::write(&path, &whole).unwrap();
    open(&path, Split::Train, None).unwrap();

    // The same number of characters, so that the archive stays whole.
    let with = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = whole
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap_or_else(|| panic!("no {from}"));
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(&path, bytes).unwrap();
    };
    let images = "(2, 4, 4, 3)}                      ";
    with(images, "(99999999999, 32, 32, 3)}          ");
    expect(&path, &["a.npz", "arr_0", "ends too early", "99999999999"]);
    with(images, "(18446744073709551615,32,32,3)}    ");
    expect(&path, &["a.npz", "arr_0", "no memory holds"]);
    with(images, "(0, 18446744073709551615, 32, 3)}  ");
    expect(&path, &["a.npz", "arr_0", "no memory holds"]);
    with("(2,)}   ", "(9**9,)}");
    expect(&path, &["a.npz", "arr_1", "no list of sizes"]);
    with("(2,)}   ", "(9999,)}");
    expect(&path, &["a.npz", "arr_1", "ends too early", "9999"]);

    // The central directory, where sizes are declared: unpacked at 24, packed at 20 bytes from its signature.
    let entry = whole
        .windows(4)
        .position(|w| w == b"PK\x01\x02")
        .expect("a central directory");
    for (offset, size) in [(24, 0xffff_fff0_u32), (20, 0xffff_fff0)] {
        let mut bytes = whole.clone();
        bytes[entry + offset..entry + offset + 4].copy_from_slice(&size.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        expect(&path, &["a.npz", "damaged archive", "4294967280"]);
    }
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        expect(&path, &["a.npz"]);
    }
}

#[test]
fn safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let floats =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|x| x.to_le_bytes()).collect() };
    type Tensor<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);
    let images = || -> Tensor<'_> { ("images", Dtype::U8, vec![1, 1, 1, 2], vec![0, 1]) };
    let cases: Vec<(Vec<Tensor<'_>>, &[&str])> = vec![
        (
            vec![("weight", Dtype::U8, vec![1], vec![0])],
            &["data", "x_start", "images (uint8)", "only weight"],
        ),
        (
            vec![("x_start", Dtype::U8, vec![1, 1, 1, 1], vec![0])],
            &["x_start", "f32", "U8"],
        ),
        (
            vec![("x_start", Dtype::F32, vec![1, 2], floats(&[0.0; 2]))],
            &["x_start", "[1, 2]"],
        ),
        (
            vec![("x_start", Dtype::F32, vec![2, 1, 1, 1], floats(&[0.0, 1.5]))],
            &["image 1: ", "x_start", "[-1, 1]", "found 1.5"],
        ),
        (
            vec![("x_start", Dtype::F32, vec![1, 1, 1, 1], floats(&[f32::NAN]))],
            &["[-1, 1]", "NaN"],
        ),
        (
            vec![("images", Dtype::U8, vec![1, 2, 2, 2], vec![0; 8])],
            &["images", "1 or 3 channels"],
        ),
        (
            vec![("data", Dtype::F32, vec![3], floats(&[0.0; 3]))],
            &["data", "at least one datum, [data, ..]", "[3]"],
        ),
        (
            vec![("data", Dtype::U8, vec![1, 3], vec![0; 3])],
            &["data", "f32 [data, ..]", "U8"],
        ),
        (
            vec![(
                "data",
                Dtype::F32,
                vec![2, 1],
                floats(&[7.5, f32::INFINITY]),
            )],
            &["image 1: ", "data", "finite numbers", "inf"],
        ),
        (
            vec![("images", Dtype::U8, vec![0, 3, 2, 2], vec![])],
            &["images", "at least one image"],
        ),
        (
            vec![images(), ("labels", Dtype::I32, vec![2], vec![0; 8])],
            &["labels", "one per image", "[2]"],
        ),
        (
            vec![images(), ("labels", Dtype::F32, vec![1], vec![0; 4])],
            &["labels", "i64, i32 or uint8"],
        ),
        (
            vec![images(), ("labels", Dtype::I32, vec![1], vec![255; 4])],
            &["labels", "from 0 up", "-1"],
        ),
    ];
    for (tensors, wanted) in cases {
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            (*name, TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        fs::write(&path, serialize(views, None).unwrap()).unwrap();
        expect(&path, &[&["a.safetensors"], wanted].concat());
    }
    fs::write(&path, [0; 5]).unwrap();
    expect(&path, &["a.safetensors", "header", "readable safetensors"]);
}
