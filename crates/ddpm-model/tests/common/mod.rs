//! Golden files, and files made from them.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::path::{Path, PathBuf};

use ddpm_model::{AttentionOrder, Checkpoint, ModelOptions, TensorData};
use ndarray::{Array, Array4, Dimension};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;

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
    io_at(&golden(&format!("unet-{name}.io.safetensors")))
}

/// Reads a file of input and output.
pub(crate) fn io_at(path: &Path) -> Io {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let image = |key: &str| {
        let shape = file.tensor(key).unwrap().shape().to_vec();
        let values = numbers(&file, key).into_iter().map(|v| v as f32).collect();
        Array4::from_shape_vec((shape[0], shape[1], shape[2], shape[3]), values).unwrap()
    };
    Io {
        x: image("x"),
        timesteps: numbers(&file, "timesteps")
            .into_iter()
            .map(|v| v as f32)
            .collect(),
        y: file.tensor("y").is_ok().then(|| {
            let labels = numbers(&file, "y");
            labels.into_iter().map(|v| v as usize).collect()
        }),
        output: image("output"),
    }
}

/// One tensor of a file.
pub(crate) fn numbers_at(path: &Path, key: &str) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap();
    numbers(&SafeTensors::deserialize(&bytes).unwrap(), key)
}

fn numbers(file: &SafeTensors<'_>, key: &str) -> Vec<f64> {
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
}

/// A tensor to write: name, shape, values.
pub(crate) type Entry = (String, Vec<usize>, Vec<f32>);

/// The tensors of a golden checkpoint, to be changed.
pub(crate) fn entries(name: &str) -> Vec<Entry> {
    let checkpoint = Checkpoint::open(&golden(name)).unwrap();
    checkpoint
        .tensors()
        .iter()
        .map(|(key, tensor)| {
            let TensorData::F32(values) = tensor.data() else {
                panic!("{key} is not f32");
            };
            (key.clone(), tensor.shape().to_vec(), values.clone())
        })
        .collect()
}

/// The bytes of a safetensors file of f32.
pub(crate) fn safetensors_bytes(entries: &[Entry]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = entries
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let views = entries.iter().zip(&bytes).map(|((key, shape, _), bytes)| {
        let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap();
        (key, view)
    });
    safetensors::serialize(views, None).unwrap()
}

/// A checkpoint with these tensors, in no folder.
pub(crate) fn checkpoint(entries: &[Entry]) -> Checkpoint {
    Checkpoint::from_bytes(
        "nowhere/test.safetensors".as_ref(),
        &safetensors_bytes(entries),
    )
    .unwrap()
}

/// Two heads, and nothing else.
pub(crate) fn two_heads() -> ModelOptions {
    ModelOptions {
        num_heads: Some(2),
        image_size: Some(16),
        ..ModelOptions::default()
    }
}

/// The cases of `unets.json` and `unets-guided.json`, and the options that weights cannot tell.
pub(crate) fn cases() -> Vec<(Value, ModelOptions)> {
    ["unets.json", "unets-guided.json"]
        .into_iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(golden(file)).unwrap();
            serde_json::from_str::<Vec<Value>>(&text).unwrap()
        })
        .map(|case| {
            let count = |key: &str| case["unet"][key].as_u64().map(|n| n as usize);
            let options = ModelOptions {
                num_heads: count("num_heads"),
                num_heads_upsample: count("num_heads_upsample"),
                num_head_channels: count("num_head_channels"),
                attention_order: (case["unet"]["use_new_attention_order"] == true)
                    .then_some(AttentionOrder::New),
                image_size: Some(case["image_size"].as_u64().unwrap() as usize),
                ..ModelOptions::default()
            };
            (case, options)
        })
        .collect()
}

/// Largest difference between two outputs.
pub(crate) fn worst<D: Dimension>(a: &Array<f32, D>, b: &Array<f32, D>) -> f32 {
    assert_eq!(a.shape(), b.shape());
    (a - b).iter().fold(0f32, |worst, d| worst.max(d.abs()))
}

/// Reproducible images.
pub(crate) fn waves(shape: [usize; 4]) -> Array4<f32> {
    Array4::from_shape_fn(shape, |(b, c, i, j)| {
        ((b * 31 + c * 17 + i * 5 + j * 3) as f32).sin()
    })
}

/// A network whose resolution changes without weights, which no golden one does.
pub(crate) fn without_resampling_weights() -> Checkpoint {
    let entries: Vec<_> = entries("unet-hybrid-16px.pt")
        .into_iter()
        .filter(|(key, ..)| !key.contains(".op.") && !key.contains(".conv."))
        .collect();
    checkpoint(&entries)
}
