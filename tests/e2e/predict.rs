//! `ddpm inspect` and `ddpm predict` on the random-weight networks of the original code.

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support::{Ddpm, assert_close, golden, golden_json, scratch};

fn floats(bytes: &[u8], key: &str) -> (Vec<usize>, Vec<f64>) {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(key).unwrap();
    let values = view
        .data()
        .chunks_exact(4)
        .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
        .collect();
    (view.shape().to_vec(), values)
}

/// Flags for what the weights of a golden network cannot tell.
fn heads(unet: &Value) -> String {
    let mut flags = match unet["num_head_channels"].as_u64() {
        Some(channels) => format!("--num-head-channels {channels}"),
        None => format!("--num-heads {}", unet["num_heads"]),
    };
    if unet["use_new_attention_order"] == true {
        flags.push_str(" --attention-order new");
    }
    if let Some(up) = unet["num_heads_upsample"].as_u64() {
        flags.push_str(&format!(" --num-heads-upsample {up}"));
    }
    flags
}

#[test]
fn outputs_equal_those_of_the_original_code() {
    let folder = scratch();
    let cases = ["unets.json", "unets-guided.json"].map(golden_json);
    for entry in cases.iter().flat_map(|cases| cases.as_array().unwrap()) {
        let name = entry["name"].as_str().unwrap();
        let input = golden(&format!("unet-{name}.io.safetensors"));
        let (shape, expected) = floats(&std::fs::read(&input).unwrap(), "output");
        for file in [format!("unet-{name}.pt"), format!("unet-{name}.legacy.pt")] {
            let checkpoint = golden(&file);
            if !checkpoint.exists() {
                continue;
            }
            let output = folder.path().join(&file).with_extension("safetensors");
            Ddpm::new("predict")
                .arg(&checkpoint)
                .words(&heads(&entry["unet"]))
                .file("--input", &input)
                .file("--output", &output)
                .run()
                .succeeds();
            let (found_shape, found) = floats(&std::fs::read(&output).unwrap(), "output");
            assert_eq!(found_shape, shape, "{file}");
            assert_close(&file, &found, &expected, 1e-4);
        }
    }
}

#[test]
fn batches_do_not_change_the_output() {
    let folder = scratch();
    let outputs = [1, 2, 3].map(|batch| {
        let output = folder.path().join(format!("{batch}.safetensors"));
        Ddpm::new("predict")
            .arg(golden("unet-hybrid-16px.pt"))
            .words(&format!("--num-heads 2 --batch {batch}"))
            .file("--input", &golden("unet-hybrid-16px.io.safetensors"))
            .file("--output", &output)
            .run()
            .succeeds();
        std::fs::read(output).unwrap()
    });
    assert!(outputs[0] == outputs[1] && outputs[1] == outputs[2]);
}

#[test]
fn heads_may_come_from_a_file_beside_the_checkpoint() {
    let folder = scratch();
    let checkpoint = folder.path().join("net.pt");
    std::fs::copy(golden("unet-hybrid-16px.pt"), &checkpoint).unwrap();
    std::fs::write(folder.path().join("net.model.json"), r#"{"num_heads": 2}"#).unwrap();
    let output = folder.path().join("out.safetensors");
    let input = golden("unet-hybrid-16px.io.safetensors");
    Ddpm::new("predict")
        .arg(&checkpoint)
        .file("--input", &input)
        .file("--output", &output)
        .run()
        .succeeds();
    let (_, expected) = floats(&std::fs::read(&input).unwrap(), "output");
    let (_, found) = floats(&std::fs::read(&output).unwrap(), "output");
    assert_close("output", &found, &expected, 1e-4);
}

#[test]
fn inspect_reads_the_architecture_off_the_weights() {
    for entry in golden_json("unets.json").as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let found = Ddpm::new("inspect")
            .arg(golden(&format!("unet-{name}.pt")))
            .words(&heads(&entry["unet"]))
            .words("--train-steps 1000 --noise-schedule linear")
            .json();
        assert_eq!(found["parameters"], entry["params"], "{name}");
        assert_eq!(found["T"], 1000);
        assert_eq!(found["noise_schedule"], "linear");
        let architecture = &found["architecture"];
        for (key, value) in entry["unet"].as_object().unwrap() {
            assert_eq!(&architecture[key], value, "{name}: {key}");
        }
    }
}

#[test]
fn inspect_leaves_open_what_nobody_said() {
    let checkpoint = golden("unet-hybrid-16px.pt");
    let found = Ddpm::new("inspect").arg(&checkpoint).json();
    assert_eq!(found["T"], json!(null));
    assert_eq!(found["noise_schedule"], json!(null));
    assert_eq!(found["architecture"]["num_heads"], json!(null));
    assert_eq!(found["architecture"]["channel_mult"], json!([1, 2]));
    let text = Ddpm::new("inspect")
        .arg(&checkpoint)
        .run()
        .succeeds()
        .stdout();
    assert!(text.contains("--train-steps"), "{text}");
}
