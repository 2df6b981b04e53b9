//! The networks of `tests/golden/unets.json` and `unets-guided.json`, computed by OpenAI's code.

mod common;

use common::{cases, golden, io, worst};
use ddpm_core::Denoiser;
use ddpm_model::{Arithmetic, Backend, Checkpoint, ModelOptions, UNet, UNetDenoiser};
use ndarray::Array4;
use serde_json::Value;

fn check(file: &str, name: &str, options: &ModelOptions) {
    let checkpoint = Checkpoint::open(&golden(file)).unwrap();
    let io = io(name);
    let unet = UNet::load(&checkpoint, options).unwrap();
    let output = unet
        .forward(io.x.view(), &io.timesteps, io.y.as_deref())
        .unwrap();
    let worst = worst(&output, &io.output);
    assert!(worst < 1e-5, "{file}: {worst:e}");
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
fn the_shipped_checkpoint_is_complete() {
    let path = golden("../../datasets/cifar10-small.safetensors");
    let options = ModelOptions::default();
    let unet = UNet::load(&Checkpoint::open(&path).unwrap(), &options).unwrap();
    assert_eq!(unet.parameters(), 4_751_942);
    let denoiser = UNetDenoiser::new(unet, &options).unwrap();
    assert_eq!(denoiser.train_steps(), 4000);
    assert_eq!(denoiser.shape(), [3, 32, 32]);
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
