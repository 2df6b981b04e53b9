//! Weights inside dictionaries and modules: what is taken, and under which names errors speak.

mod common;

use common::{Entry, checkpoint, entries, safetensors_bytes, two_heads};
use ddpm_model::{Checkpoint, Error, UNet};

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

fn open(entries: &[Entry]) -> Result<Checkpoint, Error> {
    Checkpoint::from_bytes("test.safetensors".as_ref(), &safetensors_bytes(entries))
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
fn whatever_else_stands_beside_averaged_weights_is_an_error() {
    let mut both = module("ema_model.", None);
    both.push(("classifier.weight".into(), vec![1], vec![5.0]));
    let error = open(&both).unwrap_err().to_string();
    assert!(
        error.contains("`classifier.weight`") && error.contains("`ema_model.`"),
        "{error}"
    );
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
