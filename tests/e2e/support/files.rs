//! Files that come with the repository and files that tests make.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use tempfile::TempDir;

/// A path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file of `tests/golden`.
pub(crate) fn golden(path: &str) -> PathBuf {
    repository("tests/golden").join(path)
}

/// A JSON file of `tests/golden`.
pub(crate) fn golden_json(path: &str) -> Value {
    let path = golden(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A folder that goes away with the test.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Writes a .npy file of f64 in C order.
pub(crate) fn write_npy(path: &Path, shape: &[usize], values: &[f64]) {
    assert_eq!(values.len(), shape.iter().product::<usize>());
    let dims: Vec<String> = shape.iter().map(|n| format!("{n},")).collect();
    let mut header = format!(
        "{{'descr': '<f8', 'fortran_order': False, 'shape': ({}), }}",
        dims.concat()
    );
    // Magic, version and length take 10 bytes; the whole is a multiple of 64 and ends a line.
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    for value in values {
        bytes.extend(value.to_le_bytes());
    }
    std::fs::write(path, bytes).unwrap();
}

/// Bytes of an array of f32.
pub(crate) fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Writes a .safetensors file.
pub(crate) fn safetensors(path: &Path, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
    safetensors_with(path, tensors, None);
}

/// Writes a .safetensors file with metadata.
pub(crate) fn safetensors_with(
    path: &Path,
    tensors: &[(&str, Dtype, &[usize], Vec<u8>)],
    metadata: Option<HashMap<String, String>>,
) {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (
            *name,
            TensorView::new(*dtype, shape.to_vec(), data).expect("shape and data agree"),
        )
    });
    let bytes = safetensors::serialize(views, metadata).unwrap();
    std::fs::write(path, bytes).unwrap();
}
