//! Bad files: each has its own error, and none panics.

mod common;

use std::path::Path;

use common::{checkpoint, entries, golden, safetensors_bytes, two_heads};
use ddpm_files::FileError;
use ddpm_model::{Checkpoint, Error, Precision, TensorData, UNet, save_safetensors};

const FILE: &str = "unet-hybrid-16px";

fn open(bytes: &[u8]) -> Result<Checkpoint, Error> {
    Checkpoint::from_bytes(Path::new("test.pt"), bytes)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap()
}

/// Every position near both ends, and some of those between.
fn positions(len: usize) -> impl Iterator<Item = usize> {
    (0..len).filter(move |&i| i < 200 || len - i < 200 || i % (len / 97 + 1) == 0)
}

#[test]
fn truncated_files_are_errors_at_every_length() {
    let bytes = [
        read(&format!("{FILE}.pt")),
        read(&format!("{FILE}.legacy.pt")),
        safetensors_bytes(&entries(&format!("{FILE}.pt"))),
    ];
    for bytes in &bytes {
        for len in positions(bytes.len()) {
            let error = open(&bytes[..len]).unwrap_err();
            let expected = matches!(
                error,
                Error::Truncated { .. } | Error::NotACheckpoint { .. }
            );
            assert!(expected, "{len} of {} bytes: {error}", bytes.len());
            if len > 64 {
                assert!(
                    matches!(error, Error::Truncated { .. }),
                    "{len} bytes: {error}"
                );
            }
        }
    }
}

#[test]
fn corrupted_files_never_panic() {
    for (name, changes) in [
        (format!("{FILE}.pt"), 100),
        (format!("{FILE}.legacy.pt"), 500),
    ] {
        let mut bytes = read(&name);
        let len = bytes.len();
        // Both formats keep their structure in the first 27 kB and the zip's directory at the end.
        let structure = (0..27_000)
            .step_by(27_000 / changes)
            .chain(positions(len).filter(|&i| len - i < 200));
        for position in structure {
            let before = bytes[position];
            bytes[position] = [before ^ 1, before ^ 0x80, 0, 0xff][position % 4];
            let _ = open(&bytes);
            bytes[position] = before;
        }
        assert!(open(&bytes).is_ok());
    }
}

#[test]
fn corrupted_safetensors_never_panic() {
    let small: Vec<_> = entries(&format!("{FILE}.pt"))
        .into_iter()
        .filter(|(_, _, values)| values.len() < 100)
        .collect();
    let mut bytes = safetensors_bytes(&small);
    for position in 0..bytes.len().min(12_000) {
        let before = bytes[position];
        bytes[position] = [before ^ 1, before.wrapping_add(1), b'9', 0][position % 4];
        let _ = open(&bytes);
        bytes[position] = before;
    }
}

#[test]
fn changed_payloads_are_noticed_in_zip_files() {
    let mut bytes = read(&format!("{FILE}.pt"));
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let error = open(&bytes).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[test]
fn other_files_are_named() {
    for (bytes, words) in [
        (&b""[..], "an empty file"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"{\"num_heads\": 4}", "text that starts with"),
        (
            b"\x80\x02K\x07.",
            "a pickle of an integer without PyTorch's magic number",
        ),
    ] {
        let error = open(bytes).unwrap_err();
        assert!(matches!(error, Error::NotACheckpoint { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("found a folder"), "{error}");
    let error = Checkpoint::open(&folder.path().join("absent.pt")).unwrap_err();
    assert!(
        matches!(error, Error::File(FileError::Read { .. })),
        "{error}"
    );
}

#[test]
fn hashes_are_those_of_the_file() {
    let checkpoint = open(&read(&format!("{FILE}.pt"))).unwrap();
    assert_eq!(checkpoint.sha256().len(), 64);
    let other = open(&read(&format!("{FILE}.legacy.pt"))).unwrap();
    assert_ne!(checkpoint.sha256(), other.sha256());
    assert_eq!(checkpoint.parameters(), other.parameters());
}

fn load(entries: &[common::Entry]) -> Error {
    match UNet::load(&checkpoint(entries), &two_heads()) {
        Ok(_) => panic!("the network was loaded"),
        Err(error) => error,
    }
}

/// Whichever tensor is missing, exactly that one is named.
#[test]
fn every_missing_key_is_named() {
    let complete = entries(&format!("{FILE}.pt"));
    for index in 0..complete.len() {
        let mut entries = complete.clone();
        let (removed, ..) = entries.remove(index);
        let error = load(&entries);
        assert!(
            matches!(&error, Error::MissingKey { key, .. } if *key == removed),
            "without {removed}: {error}"
        );
    }
}

/// Whichever tensor has another shape, exactly that one is named.
#[test]
fn every_wrong_shape_is_named() {
    let complete = entries(&format!("{FILE}.pt"));
    for index in 0..complete.len() {
        let mut entries = complete.clone();
        let (name, shape, values) = &mut entries[index];
        let name = name.clone();
        shape[0] += 4;
        let expected_len = shape.iter().product();
        values.resize(expected_len, 0.0);
        let error = load(&entries);
        assert!(
            matches!(&error, Error::WrongShape { key, found, .. } if *key == name && *found == entries[index].1),
            "{name}: {error}"
        );
    }
}

#[test]
fn extra_keys_are_named() {
    let mut entries = entries(&format!("{FILE}.pt"));
    entries.push(("output_blocks.0.9.weight".into(), vec![1], vec![0.0]));
    let error = load(&entries);
    assert!(
        matches!(&error, Error::ExtraKeys { keys } if keys[..] == ["output_blocks.0.9.weight"]),
        "{error}"
    );
}

#[test]
fn other_networks_are_refused() {
    let error = load(&[("linear.weight".into(), vec![2, 2], vec![0.0; 4])]);
    assert!(
        matches!(&error, Error::MissingKey { key, .. } if key == "time_embed.0.weight"),
        "{error}"
    );
}

#[test]
fn saved_weights_are_exact_or_refused() {
    let original = open(&read(&format!("{FILE}.pt"))).unwrap();
    let saved = open(&save_safetensors(&original, Precision::F32).unwrap()).unwrap();
    assert_eq!(saved.tensors(), original.tensors());
    let error = save_safetensors(&original, Precision::F16).unwrap_err();
    assert!(matches!(error, Error::NotRepresentable { .. }), "{error}");

    let halves = checkpoint(&[(
        "a".into(),
        vec![5],
        vec![0.5, -0.0, 65504.0, 6e-8f32.min(5.960_464_5e-8), -3.25],
    )]);
    let saved = open(&save_safetensors(&halves, Precision::F16).unwrap()).unwrap();
    assert_eq!(saved.tensors()["a"].element_type(), "f16");
    let TensorData::F32(values) = saved.tensors()["a"].data() else {
        panic!("f16 is read as f32");
    };
    let TensorData::F32(expected) = halves.tensors()["a"].data() else {
        panic!("f32 is read as f32");
    };
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(values), bits(expected));
    for value in [65520.0, 1e-8, 1.0 + 1e-4, f32::NAN] {
        let one = checkpoint(&[("a".into(), vec![1], vec![value])]);
        assert!(save_safetensors(&one, Precision::F16).is_err(), "{value}");
    }
}
