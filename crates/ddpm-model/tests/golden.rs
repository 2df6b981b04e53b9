//! The networks of `tests/golden/unets.json` and `unets-guided.json`, computed by OpenAI's code.

mod common;

use candle_core::{Device, Tensor};
use common::{golden, io};
use ddpm_core::Denoiser;
use ddpm_model::{
    Arithmetic, AttentionOrder, Backend, Checkpoint, ModelOptions, UNet, UNetDenoiser,
};
use ndarray::Array4;
use serde_json::Value;

/// The cases of `unets.json` and `unets-guided.json`, and the options that weights cannot tell.
fn cases() -> Vec<(Value, ModelOptions)> {
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

fn check(file: &str, name: &str, options: &ModelOptions) {
    let checkpoint = Checkpoint::open(&golden(file)).unwrap();
    let io = io(name);
    for backend in [Backend::Stock, Backend::default()] {
        let unet = UNet::load_on(&checkpoint, options, backend).unwrap();
        let output = unet
            .forward(io.x.view(), &io.timesteps, io.y.as_deref())
            .unwrap();
        let worst = (&output - &io.output)
            .iter()
            .fold(0f32, |worst, difference| worst.max(difference.abs()));
        assert!(worst < 1e-5, "{file}, {backend:?}: {worst:e}");
    }
}

#[test]
fn outputs_equal_the_original() {
    for (case, options) in cases() {
        let name = case["name"].as_str().unwrap();
        check(&format!("unet-{name}.pt"), name, &options);
    }
}

#[test]
fn the_legacy_stream_holds_the_same_network() {
    let (_, options) = &cases()[0];
    check("unet-hybrid-16px.legacy.pt", "hybrid-16px", options);
    let zip = Checkpoint::open(&golden("unet-hybrid-16px.pt")).unwrap();
    let legacy = Checkpoint::open(&golden("unet-hybrid-16px.legacy.pt")).unwrap();
    assert_eq!(zip.tensors(), legacy.tensors());
}

#[test]
fn the_architecture_is_inferred() {
    for (case, options) in cases() {
        let name = case["name"].as_str().unwrap();
        let checkpoint = Checkpoint::open(&golden(&format!("unet-{name}.pt"))).unwrap();
        let unet = UNet::load(&checkpoint, &options).unwrap();
        assert_eq!(unet.parameters() as u64, case["params"].as_u64().unwrap());
        let described = unet.config().describe();
        for (key, expected) in case["unet"].as_object().unwrap() {
            let found = match &key[..] {
                "use_new_attention_order" => {
                    &(described["architecture"]["attention_order"] == "new").into()
                }
                key => &described["architecture"][key],
            };
            assert_eq!(found, expected, "{name}: {key}");
        }
        assert_eq!(described["sources"]["channel_mult"], "weights");
        let heads = if options.num_heads.is_some() {
            "num_heads"
        } else {
            "num_head_channels"
        };
        assert_eq!(described["sources"][heads], "flag");
        assert_eq!(described["T"], Value::Null);
    }
}

/// The checkpoint that ships with the repository, by its own `model.json` alone.
#[test]
fn the_shipped_checkpoint_runs_alike_on_both_kernels() {
    let path = golden("../../datasets/cifar10-small.safetensors");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let x = Array4::from_shape_fn((2, 3, 32, 32), |(b, c, i, j)| {
        ((b * 31 + c * 17 + i * 5 + j * 3) as f32).sin()
    });
    let options = ModelOptions::default();
    let outputs = [Backend::Stock, Backend::default()].map(|backend| {
        let unet = UNet::load_on(&checkpoint, &options, backend).unwrap();
        assert_eq!(unet.parameters(), 4_751_942);
        let denoiser = UNetDenoiser::new(unet, &options).unwrap();
        assert_eq!(denoiser.train_steps(), 4000);
        assert_eq!(denoiser.shape(), [3, 32, 32]);
        denoiser
            .predict(x.view().into_dyn(), &[1, 3000], None)
            .unwrap()
    });
    for [stock, packed] in [
        outputs.each_ref().map(|output| output.mean.clone()),
        outputs
            .each_ref()
            .map(|output| output.variance.clone().unwrap()),
    ] {
        let worst = (&stock - &packed)
            .iter()
            .fold(0f32, |worst, d| worst.max(d.abs()));
        assert!(worst < 3e-5, "{worst:e}");
    }
}

/// Products in bf16 keep the output within a few hundredths of its size.
#[test]
fn bf16_stays_near_the_original() {
    for (case, options) in cases() {
        let name = case["name"].as_str().unwrap();
        let checkpoint = Checkpoint::open(&golden(&format!("unet-{name}.pt"))).unwrap();
        let io = io(name);
        let backend = Backend::Packed(Arithmetic::Bf16);
        let unet = UNet::load_on(&checkpoint, &options, backend).unwrap();
        let output = unet
            .forward(io.x.view(), &io.timesteps, io.y.as_deref())
            .unwrap();
        let square = |x: &Array4<f32>| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        let error = (square(&(&output - &io.output)) / square(&io.output)).sqrt();
        assert!(error > 0.0 && error < 2e-2, "{name}: {error:e}");
    }
}

#[test]
fn the_network_is_one_operation_of_candle() {
    let (case, options) = &cases()[0];
    let name = case["name"].as_str().unwrap();
    let checkpoint = Checkpoint::open(&golden(&format!("unet-{name}.pt"))).unwrap();
    let io = io(name);
    let unet = UNet::load(&checkpoint, options).unwrap();
    let values: Vec<f32> = io.x.iter().copied().collect();
    let x = Tensor::from_vec(values, io.x.dim(), &Device::Cpu).unwrap();
    let found = unet.apply(&x, &io.timesteps, io.y.as_deref()).unwrap();
    let expected = unet
        .forward(io.x.view(), &io.timesteps, io.y.as_deref())
        .unwrap();
    assert_eq!(found.dims(), expected.shape());
    let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
    assert!(found.iter().eq(expected.iter()));
    assert!(unet.apply(&x, &[0.0], None).is_err());
}
