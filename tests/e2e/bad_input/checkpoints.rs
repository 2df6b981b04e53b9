//! Checkpoints that are none, or that do not fit one architecture.

use std::path::{Path, PathBuf};

use ddpm::model::{Checkpoint, Precision, save_safetensors};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use crate::support::{Ddpm, golden, safetensors, scratch, small_checkpoint};

#[test]
fn files_that_are_no_checkpoints() {
    let folder = scratch();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for source in ["unet-hybrid-16px.pt", "unet-hybrid-16px.legacy.pt"] {
        let whole = std::fs::read(golden(source)).unwrap();
        for length in [100, whole.len() / 2, whole.len() - 1] {
            let cut = file("cut.pt", &whole[..length]);
            Ddpm::new("inspect").arg(&cut).fails(3, &["cut.pt"]);
        }
    }
    let cut = file(
        "half.pt",
        &std::fs::read(small_checkpoint()).unwrap()[..500_000],
    );
    Ddpm::new("inspect")
        .arg(&cut)
        .fails(3, &["half.pt", "truncated"]);
    Ddpm::new("inspect")
        .arg(file("text.pt", b"not a checkpoint"))
        .fails(3, &["text.pt", "not a checkpoint"]);
    Ddpm::new("inspect")
        .arg(file("empty.pt", b""))
        .fails(3, &["empty.pt"]);
    Ddpm::new("inspect")
        .arg(folder.path())
        .fails(3, &["folder"]);
    Ddpm::new("inspect")
        .arg(folder.path().join("absent.pt"))
        .fails(3, &["absent.pt", "no such file"]);
}

/// The small network as named tensors that a test can change.
struct Weights(Vec<(String, Vec<usize>, Vec<u8>)>);

impl Weights {
    fn of_the_small_network() -> Self {
        let checkpoint = Checkpoint::open(&small_checkpoint()).unwrap();
        let bytes = save_safetensors(&checkpoint, Precision::F32).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        Self(
            file.tensors()
                .into_iter()
                .map(|(name, view)| (name, view.shape().to_vec(), view.data().to_vec()))
                .collect(),
        )
    }

    fn write(&self, path: &Path) -> PathBuf {
        let tensors: Vec<_> = self
            .0
            .iter()
            .map(|(name, shape, data)| (name.as_str(), Dtype::F32, shape.as_slice(), data.clone()))
            .collect();
        safetensors(path, &tensors);
        path.to_owned()
    }

    fn get(&mut self, key: &str) -> &mut (String, Vec<usize>, Vec<u8>) {
        self.0.iter_mut().find(|(name, ..)| name == key).unwrap()
    }
}

#[test]
fn weights_that_fit_no_architecture() {
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    let inspect = |file: &Path, named: &[&str]| {
        Ddpm::new("inspect")
            .arg(file)
            .words("--num-heads 2")
            .fails(3, named);
    };
    let whole = Weights::of_the_small_network().write(&path("whole.safetensors"));
    Ddpm::new("inspect")
        .arg(&whole)
        .words("--num-heads 2")
        .run()
        .succeeds();

    let mut missing = Weights::of_the_small_network();
    missing
        .0
        .retain(|(name, ..)| name != "middle_block.1.qkv.weight");
    let missing = missing.write(&path("missing.safetensors"));
    inspect(
        &missing,
        &[
            "missing.safetensors",
            "missing key",
            "middle_block.1.qkv.weight",
        ],
    );

    let mut extra = Weights::of_the_small_network();
    extra.0.push(("ema_decay".into(), vec![1], vec![0; 4]));
    let extra = extra.write(&path("extra.safetensors"));
    inspect(&extra, &["extra.safetensors", "extra key", "ema_decay"]);

    let mut misshapen = Weights::of_the_small_network();
    let (_, shape, data) = misshapen.get("out.0.weight");
    shape[0] -= 1;
    data.truncate(data.len() - 4);
    let misshapen = misshapen.write(&path("misshapen.safetensors"));
    inspect(
        &misshapen,
        &["misshapen.safetensors", "out.0.weight", "[32]", "[31]"],
    );
}

#[test]
fn an_output_that_is_not_finite_is_no_prediction() {
    let folder = scratch();
    let mut broken = Weights::of_the_small_network();
    broken.get("out.2.bias").2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let broken = broken.write(&folder.path().join("broken.safetensors"));
    let output = folder.path().join("out.safetensors");
    Ddpm::new("predict")
        .arg(broken)
        .words("--num-heads 2")
        .file("--input", &golden("unet-hybrid-16px.io.safetensors"))
        .file("--output", &output)
        .fails(3, &["broken.safetensors", "image 0", "not finite"]);
    assert!(!output.exists());
}

#[test]
fn what_weights_cannot_tell_has_to_be_said() {
    let folder = scratch();
    let predict = || {
        Ddpm::new("predict")
            .arg(small_checkpoint())
            .file("--input", &golden("unet-hybrid-16px.io.safetensors"))
            .file("--output", &folder.path().join("out.safetensors"))
    };
    predict().fails(2, &["--num-heads"]);
    predict()
        .words("--num-heads 3")
        .fails(3, &["num_heads", "divided"]);
    predict()
        .words("--num-heads 2 --num-head-channels 32")
        .fails(2, &["--num-head-channels"]);
    let bpd = |flags: &str| {
        Ddpm::new("bpd")
            .arg(small_checkpoint())
            .words("--num-heads 2 --data x --path all")
            .words(flags)
    };
    bpd("").fails(2, &["--train-steps"]);
    bpd("--train-steps 40").fails(2, &["--noise-schedule"]);
    bpd("--train-steps 40 --noise-schedule cosine").fails(2, &["--rescale-timesteps"]);
    bpd("--train-steps 40 --noise-schedule cosinus")
        .fails(3, &["--noise-schedule", "cosinus", "linear-unscaled"]);
    bpd("--parameterization noise").fails(3, &["--parameterization", "noise", "epsilon"]);
}

#[test]
fn model_files_are_checked() {
    let folder = scratch();
    let model = |text: &str| {
        let path = folder.path().join("m.json");
        std::fs::write(&path, text).unwrap();
        Ddpm::new("inspect")
            .arg(small_checkpoint())
            .file("--model", &path)
    };
    model(r#"{"num_heads": 2, "noise_schedule": "cosinus"}"#)
        .fails(3, &["noise_schedule", "cosinus"]);
    model(r#"{"heads": 2}"#).fails(3, &["m.json", "heads", "num_heads"]);
    model("{").fails(3, &["m.json", "JSON"]);
    Ddpm::new("inspect")
        .arg(small_checkpoint())
        .file("--model", &folder.path().join("absent.json"))
        .fails(3, &["absent.json"]);
}

#[test]
fn tensors_to_predict_from_are_checked() {
    let folder = scratch();
    let input = folder.path().join("in.safetensors");
    let output = folder.path().join("out.safetensors");
    let predict = |checkpoint: &str, heads: &str, named: &[&str]| {
        Ddpm::new("predict")
            .arg(golden(checkpoint))
            .words(heads)
            .file("--input", &input)
            .file("--output", &output)
            .fails(3, named);
        assert!(!output.exists());
    };
    let zeros = |n: usize| vec![0; n * 4];
    let (hybrid, two) = ("unet-hybrid-16px.pt", "--num-heads 2");
    std::fs::write(&input, "no tensors").unwrap();
    predict(
        hybrid,
        two,
        &["in.safetensors", "expected a readable safetensors file"],
    );
    safetensors(&input, &[("x", Dtype::F32, &[1, 3, 16, 16], zeros(768))]);
    predict(hybrid, two, &["in.safetensors", "timesteps"]);
    safetensors(
        &input,
        &[
            ("x", Dtype::F32, &[1, 3, 16, 16], zeros(768)),
            ("timesteps", Dtype::F32, &[2], zeros(2)),
        ],
    );
    predict(hybrid, two, &["in.safetensors", "timesteps", "[2]"]);
    safetensors(
        &input,
        &[
            ("x", Dtype::F32, &[1, 1, 16, 16], zeros(256)),
            ("timesteps", Dtype::F32, &[1], zeros(1)),
        ],
    );
    predict(hybrid, two, &["in.safetensors", "1 channels", "expected 3"]);
    safetensors(
        &input,
        &[
            ("x", Dtype::F32, &[1, 3, 16, 16], zeros(768)),
            ("timesteps", Dtype::F32, &[1], zeros(1)),
        ],
    );
    predict(
        "unet-classcond-noscale.pt",
        "--num-heads 4",
        &["in.safetensors", "y: expected", "below 10"],
    );
    safetensors(
        &input,
        &[
            ("x", Dtype::F32, &[1, 3, 16, 16], zeros(768)),
            (
                "timesteps",
                Dtype::F32,
                &[1],
                f32::NAN.to_le_bytes().to_vec(),
            ),
        ],
    );
    predict(
        hybrid,
        two,
        &["in.safetensors", "timesteps", "finite", "NaN"],
    );
}
