//! The networks of `tests/golden/unets.json`, computed by OpenAI's code.

mod common;

use common::{golden, io};
use ddpm_model::{Checkpoint, Kernels, ModelOptions, UNet};
use serde_json::Value;

/// The cases of `unets.json` and the options that weights cannot tell.
fn cases() -> Vec<(Value, ModelOptions)> {
    let text = std::fs::read_to_string(golden("unets.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    cases
        .into_iter()
        .map(|case| {
            let count = |key: &str| case["unet"][key].as_u64().map(|n| n as usize);
            let options = ModelOptions {
                num_heads: count("num_heads"),
                num_heads_upsample: count("num_heads_upsample"),
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
    for kernels in [Kernels::Stock, Kernels::Packed] {
        let unet = UNet::load_with(&checkpoint, options, kernels).unwrap();
        let output = unet
            .forward(io.x.view(), &io.timesteps, io.y.as_deref())
            .unwrap();
        let worst = (&output - &io.output)
            .iter()
            .fold(0f32, |worst, difference| worst.max(difference.abs()));
        assert!(worst < 1e-5, "{file}, {kernels:?}: {worst:e}");
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
            assert_eq!(&described["architecture"][key], expected, "{name}: {key}");
        }
        assert_eq!(described["sources"]["channel_mult"], "weights");
        assert_eq!(described["sources"]["num_heads"], "flag");
        assert_eq!(described["T"], Value::Null);
    }
}
