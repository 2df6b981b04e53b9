//! Weights inside dictionaries and modules: what is taken, and under which names errors speak.

mod common;

use common::{Entry, checkpoint, entries, golden, safetensors_bytes, two_heads};
use ddpm_model::{Checkpoint, Error, TensorData, UNet};

const FILE: &str = "unet-hybrid-16px.pt";

/// The network's tensors under the names of a module, with `value` in place of every weight if given.
fn module(name: &str, value: Option<f32>) -> Vec<Entry> {
    entries(FILE)
        .into_iter()
        .map(|(key, shape, mut values)| {
            if let Some(value) = value {
                values.fill(value);
            }
            (format!("{name}{key}"), shape, values)
        })
        .collect()
}

#[test]
fn modules_are_taken_off_the_names() {
    let plain = checkpoint(&entries(FILE));
    assert!(plain.place().is_plain());
    for prefix in [
        "module.",
        "model.",
        "_orig_mod.",
        "ema.",
        "model.module.",
        "unet._orig_mod.",
    ] {
        let wrapped = checkpoint(&module(prefix, None));
        assert_eq!(wrapped.tensors(), plain.tensors());
        assert_eq!(wrapped.place().prefix, prefix);
        assert!(wrapped.place().set_aside.is_empty());
        assert!(UNet::load(&wrapped, &two_heads()).is_ok());
    }
}

#[test]
fn averaged_modules_win_over_raw_ones() {
    let plain = checkpoint(&entries(FILE));
    for (averaged, raw) in [
        ("ema_model.", "online_model."),
        ("model_ema.", "model."),
        ("ema.", "module."),
    ] {
        let mut both = module(averaged, None);
        both.extend(module(raw, Some(0.0)));
        both.push(("step".into(), vec![1], vec![5.0]));
        let found = checkpoint(&both);
        assert_eq!(found.tensors(), plain.tensors(), "{averaged}");
        assert_eq!(found.place().prefix, averaged);
        let mut aside = found.place().set_aside.clone();
        aside.sort();
        let mut expected = vec![raw.trim_end_matches('.').to_owned(), "step".to_owned()];
        expected.sort();
        assert_eq!(aside, expected);
    }
}

#[test]
fn a_network_among_other_tensors_is_taken_and_they_are_told() {
    let plain = checkpoint(&entries(FILE));
    for prefix in ["denoise_fn.", "state.model.", "ema_model."] {
        let mut among = module(prefix, None);
        among.push(("betas".into(), vec![1], vec![5.0]));
        let found = checkpoint(&among);
        assert_eq!(found.tensors(), plain.tensors(), "{prefix}");
        assert_eq!(found.place().prefix, prefix);
        assert_eq!(found.place().set_aside, ["betas"]);
    }
}

/// Files as training code writes them (`tests/golden/tools/wrapped_checkpoints.py`): the weights to take are twos, all others ones.
#[test]
fn files_of_training_code_give_their_averaged_weights_or_say_why_not() {
    let refused = [
        ("not-protocol-0.pt", "is of a kind that is not supported"),
        ("not-fp8.safetensors", "F8_E4M3"),
        ("not-optimizer.pt", "the state of an optimizer"),
        (
            "not-a-choice.pt",
            "several averaged weights (`ema_0.999`, `ema_0.9999`)",
        ),
        ("not-networks.pt", "several networks (`first`, `second`)"),
        (
            "not-dotless.pt",
            "--state-dict state_dict.model.diffusion_model",
        ),
        ("not-an-object.pt", "`ema` that are a Python object"),
        ("not-names.pt", "a dictionary whose entry `decay`"),
        ("not-in-a-trainer.pt", "`callbacks.EMA"),
        ("not-two-decays.pt", "`ema` that are a list"),
        ("not-dotless-entry.pt", "`ema_sd` that are a dictionary"),
        ("not-shadows.pt", "`shadow_params` that are a list"),
        ("not-a-weight.pt", "in place of weights"),
    ];
    let mut seen = 0;
    for entry in std::fs::read_dir(golden("wrapped")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let found = Checkpoint::open(&path);
        if let Some((_, words)) = refused.iter().find(|(file, _)| *file == name) {
            let error = found.expect_err(&name);
            let text = error.to_string();
            assert!(text.contains(words), "{name}: {text}");
            assert!(!matches!(error, Error::Damaged { .. }), "{name}: {text}");
        } else {
            assert!(!name.starts_with("not-"), "{name} is to be refused");
            let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
            let names: Vec<&String> = found.tensors().keys().collect();
            assert_eq!(names, ["out.2.bias", "time_embed.0.weight"], "{name}");
            for tensor in found.tensors().values() {
                let TensorData::F32(values) = tensor.data() else {
                    panic!("{name}: {tensor:?}");
                };
                assert!(values.iter().all(|&x| x == 2.0), "{name}: {values:?}");
            }
        }
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

/// What an error says to name can be named, though it has dots.
#[test]
fn the_advice_of_an_error_can_be_followed() {
    for (file, part) in [
        ("not-a-choice.pt", "ema_0.9999"),
        ("not-networks.pt", "second"),
        ("not-an-object.pt", "model"),
        ("not-dotless.pt", "state_dict.model.diffusion_model"),
    ] {
        let found = Checkpoint::open_part(&golden("wrapped").join(file), Some(part));
        let found = found.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(found.tensors().len(), 2, "{file}");
    }
}

#[test]
fn errors_speak_in_the_names_of_the_file() {
    let without: Vec<Entry> = module("module.", None)
        .into_iter()
        .filter(|(key, ..)| key != "module.out.2.bias")
        .collect();
    let error = UNet::load(&checkpoint(&without), &two_heads())
        .err()
        .unwrap();
    assert!(
        matches!(&error, Error::MissingKey { key, .. } if key == "module.out.2.bias"),
        "{error}"
    );
    let mut with = module("module.", None);
    with.push(("module.head.bias".into(), vec![1], vec![0.0]));
    let error = UNet::load(&checkpoint(&with), &two_heads()).err().unwrap();
    assert!(error.to_string().contains("`module.head.bias`"), "{error}");
}

#[test]
fn a_choice_is_heeded() {
    let mut both = module("ema.", Some(0.0));
    both.extend(module("model.net.", None));
    let bytes = safetensors_bytes(&both);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let plain = checkpoint(&entries(FILE));
    for part in ["model", "model.net"] {
        let found = Checkpoint::open_part(&path, Some(part)).unwrap();
        assert_eq!(found.tensors(), plain.tensors());
        assert_eq!(found.place().prefix, "model.net.");
        assert_eq!(found.place().set_aside, ["ema"]);
    }
    for part in ["net", "model.unet", ""] {
        let error = Checkpoint::open_part(&path, Some(part)).unwrap_err();
        assert!(
            error.to_string().contains("--state-dict"),
            "{part}: {error}"
        );
    }
}

/// A dictionary that contains itself under a name that is entered.
#[test]
fn endless_dictionaries_are_errors() {
    // PROTO 2, EMPTY_DICT, memo 0, "ema" -> itself, STOP; between the other pickles of the legacy format.
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let version = b"\x80\x02M\xe9\x03.";
    let information = b"\x80\x02}.";
    let endless = b"\x80\x02}q\x00X\x03\x00\x00\x00emah\x00s.";
    let keys = b"\x80\x02].";
    let bytes = [&magic[..], version, information, endless, keys].concat();
    let error = Checkpoint::from_bytes("loop.pt".as_ref(), &bytes).unwrap_err();
    assert!(error.to_string().contains("without end"), "{error}");
}
