//! Golden files.

use std::path::PathBuf;

use ndarray::Array4;
use safetensors::SafeTensors;

/// Path of a golden file.
pub(crate) fn golden(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden")).join(name)
}

/// Input and output of a network.
pub(crate) struct Io {
    pub(crate) x: Array4<f32>,
    pub(crate) timesteps: Vec<f32>,
    pub(crate) y: Option<Vec<usize>>,
    pub(crate) output: Array4<f32>,
}

/// Reads `unet-NAME.io.safetensors`.
pub(crate) fn io(name: &str) -> Io {
    let bytes = std::fs::read(golden(&format!("unet-{name}.io.safetensors"))).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |key: &str| -> Vec<f64> {
        let view = file.tensor(key).unwrap();
        match view.dtype() {
            safetensors::Dtype::F32 => view
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|&b| f64::from(f32::from_le_bytes(b)))
                .collect(),
            safetensors::Dtype::I64 => view
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|&b| i64::from_le_bytes(b) as f64)
                .collect(),
            other => panic!("{key} is {other:?}"),
        }
    };
    let image = |key: &str| {
        let shape = file.tensor(key).unwrap().shape().to_vec();
        let values = numbers(key).into_iter().map(|v| v as f32).collect();
        Array4::from_shape_vec((shape[0], shape[1], shape[2], shape[3]), values).unwrap()
    };
    Io {
        x: image("x"),
        timesteps: numbers("timesteps").into_iter().map(|v| v as f32).collect(),
        y: file
            .tensor("y")
            .is_ok()
            .then(|| numbers("y").into_iter().map(|v| v as usize).collect()),
        output: image("output"),
    }
}
