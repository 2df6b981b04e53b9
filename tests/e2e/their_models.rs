//! Checkpoints of other projects through the whole program: diffusers' folders, OpenAI's files, wrapped weights.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support::{Ddpm, assert_close, golden, images_of_shape, numbers, scratch};

/// A network of `tests/golden/diffusers`.
fn network(name: &str) -> PathBuf {
    golden("diffusers").join(name)
}

fn output(path: &Path) -> Vec<f64> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (values, _) = file.tensor("output").unwrap().data().as_chunks::<4>();
    values
        .iter()
        .map(|&b| f64::from(f32::from_le_bytes(b)))
        .collect()
}

#[test]
fn outputs_equal_those_of_diffusers() {
    let folder = scratch();
    for (name, checkpoint) in [
        ("ddpm-pipeline", network("ddpm-pipeline")),
        ("v-prediction", network("v-prediction")),
        ("learned-range", network("learned-range")),
        ("without-attention", network("without-attention")),
        ("ddpm-pipeline", network("training").join("checkpoint.pt")),
    ] {
        let input = network(name).join("io.safetensors");
        for batch in [1, 2] {
            let out = folder.path().join("out.safetensors");
            Ddpm::new("predict")
                .arg(&checkpoint)
                .words(&format!("--batch {batch}"))
                .file("--input", &input)
                .over("--output", &out)
                .run()
                .succeeds();
            assert_close(name, &output(&out), &output(&input), 1e-4);
        }
    }
}

#[test]
fn inspect_tells_what_the_files_say() {
    let found = Ddpm::new("inspect").arg(network("learned-range")).json();
    assert_eq!(found["family"], "diffusers UNet2DModel");
    assert_eq!(found["T"], 400);
    assert_eq!(found["noise_schedule"], "cosine");
    assert_eq!(found["variance"], "learned");
    assert_eq!(found["architecture"]["num_classes"], 10);
    assert_eq!(found["architecture"]["downsample_type"], "resnet");
    assert_eq!(found["sources"]["T"], "scheduler_config.json");
    assert_eq!(found["sources"]["downsample_type"], "config.json");

    let found = Ddpm::new("inspect").arg(network("v-prediction")).json();
    assert_eq!(found["parameterization"], "v");
    assert_eq!(
        found["noise_schedule"],
        "custom (cosine, rescaled to zero terminal SNR)"
    );

    let training = network("training").join("checkpoint.pt");
    let inspect = || Ddpm::new("inspect").arg(&training);
    assert_eq!(
        inspect().json()["state_dict"],
        "ema, names under module. (set aside: model)"
    );
    assert_eq!(
        inspect().words("--state-dict model").json()["state_dict"],
        "model, names under module. (set aside: ema)"
    );
    inspect()
        .words("--state-dict optimizer")
        .fails(3, &["checkpoint.pt", "optimizer"]);
    let text = inspect().run().succeeds().stdout();
    assert!(text.contains("set aside: model"), "{text}");
}

/// The variance that a network was made for is that of its chain, unless a flag says another.
#[test]
fn the_scheduler_tells_the_variance_of_a_path() {
    let folder = scratch();
    let data = folder.path().join("x.safetensors");
    images_of_shape(&data, [2, 3, 16, 16], 0.0);
    let bpd = |flags: &str| {
        Ddpm::new("bpd")
            .arg(network("ddpm-pipeline"))
            .words("--path even:4")
            .words(flags)
            .file("--data", &data)
            .json()
    };
    let found = bpd("");
    assert_eq!(found["variance"], "fixed-large");
    assert_eq!(
        found["total_bpd"],
        bpd("--variance fixed-large")["total_bpd"]
    );
    let other = bpd("--variance fixed-small");
    assert_eq!(other["variance"], "fixed-small");
    assert_ne!(found["total_bpd"], other["total_bpd"]);
    let sample = |name: &str, flags: &str| {
        let out = folder.path().join(name);
        Ddpm::new("sample")
            .arg(network("ddpm-pipeline"))
            .words("--path even:4 --count 2")
            .words(flags)
            .writes(&out);
        std::fs::read(out).unwrap()
    };
    let told = sample("a.png", "");
    assert_eq!(told, sample("b.png", "--variance fixed-large"));
    assert_ne!(told, sample("c.png", "--variance fixed-small"));
}

/// Every prediction type and variance: what the profile says about the schedule that it chose is what a direct evaluation
/// finds, and the schedule can be sampled.
#[test]
fn profiles_and_direct_evaluations_agree() {
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    for (name, channels, class, variance) in [
        ("ddpm-pipeline", 3, "", "fixed-large"),
        ("v-prediction", 3, "", "fixed-small"),
        ("without-attention", 1, "", "fixed-small"),
        ("learned-range", 3, "--class 3", "learned"),
    ] {
        let (data, profile, schedules) = (path("x.safetensors"), path("p"), path("s.json"));
        images_of_shape(&data, [4, channels, 16, 16], 0.0);
        let told = Ddpm::new("profile")
            .arg(network(name))
            .words(class)
            .words("--images-per-block 1")
            .file("--data", &data)
            .over("--out", &profile)
            .json();
        assert_eq!(
            told["clip_denoised"], false,
            "{name}: as its scheduler says"
        );
        let chosen = Ddpm::new("schedule")
            .arg(&profile)
            .words("--steps 6 --variance")
            .words(variance)
            .over("--out", &schedules)
            .json();
        let scored = Ddpm::new("bpd")
            .arg(network(name))
            .words(class)
            .words("--steps 6")
            .file("--data", &data)
            .file("--schedule", &schedules)
            .json();
        let totals = numbers(&scored["total_bpd"]);
        let mean = totals.iter().sum::<f64>() / totals.len() as f64;
        let cost = chosen["budgets"][0]["cost"].as_f64().unwrap();
        let prior = chosen["budgets"][0]["prior_bpd"].as_f64().unwrap();
        assert_close(name, &[cost + prior], &[mean], 1e-5);
        let samples = path("samples.png");
        Ddpm::new("sample")
            .arg(network(name))
            .words(class)
            .words("--steps 6 --count 2")
            .file("--schedule", &schedules)
            .writes(&samples);
        assert!(samples.exists());
        std::fs::remove_file(samples).unwrap();
    }
}

/// Both weights of a file have its hash; their profiles are of different networks all the same.
#[test]
fn profiles_of_raw_and_averaged_weights_do_not_merge() {
    let folder = scratch();
    let data = folder.path().join("x.safetensors");
    images_of_shape(&data, [2, 3, 16, 16], 0.0);
    let profile = |name: &str, flags: &str| {
        let out = folder.path().join(name);
        Ddpm::new("profile")
            .arg(network("training").join("checkpoint.pt"))
            .words("--evaluations 64")
            .words(flags)
            .file("--data", &data)
            .writes(&out);
        out
    };
    let averaged = profile("averaged", "--shard 0/2 --images-per-block 1");
    let raw = profile("raw", "--shard 1/2 --images-per-block 1 --state-dict model");
    Ddpm::new("merge")
        .arg(averaged)
        .arg(raw)
        .file("--out", &folder.path().join("both"))
        .fails(3, &["state_dict"]);
}

#[test]
fn folders_that_cannot_be_used_say_why() {
    let folder = scratch();
    let copy = |name: &str| {
        let target = folder.path().join(name);
        std::fs::create_dir(&target).unwrap();
        for entry in std::fs::read_dir(network("v-prediction")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
        }
        target
    };
    let set = |file: PathBuf, key: &str, value: Value| {
        let mut entries: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        entries[key] = value;
        std::fs::write(file, entries.to_string()).unwrap();
    };
    let inspect = |path: &Path, named: &[&str]| Ddpm::new("inspect").arg(path).fails(3, named);

    inspect(folder.path(), &["a folder without config.json"]);
    let bare = copy("bare");
    std::fs::remove_file(bare.join("diffusion_pytorch_model.safetensors")).unwrap();
    inspect(
        &bare,
        &["without weights", "diffusion_pytorch_model.safetensors"],
    );
    let fourier = copy("fourier");
    set(
        fourier.join("config.json"),
        "time_embedding_type",
        json!("fourier"),
    );
    inspect(
        &fourier,
        &[
            "config.json",
            "time_embedding_type",
            "fourier",
            "supported: positional",
        ],
    );
    let laplace = copy("laplace");
    set(
        laplace.join("scheduler_config.json"),
        "beta_schedule",
        json!("laplace"),
    );
    // The network is known all the same; what needs the process says why it is not.
    let outcome = Ddpm::new("inspect").arg(&laplace).run().succeeds();
    assert!(outcome.stderr().contains("beta_schedule"));
    let named = [
        "scheduler_config.json",
        "beta_schedule",
        "squaredcos_cap_v2",
    ];
    Ddpm::new("bpd")
        .arg(&laplace)
        .words("--data x --path all")
        .fails(3, &named);
    let wide = copy("wide");
    set(
        wide.join("config.json"),
        "block_out_channels",
        json!([16, 48]),
    );
    inspect(
        &wide,
        &[
            "wide",
            "down_blocks.1.resnets.0.conv1.weight",
            "[48, 16, 3, 3]",
        ],
    );
    let silent = copy("silent");
    std::fs::remove_file(silent.join("scheduler_config.json")).unwrap();
    Ddpm::new("inspect").arg(&silent).run().succeeds();
    Ddpm::new("bpd")
        .arg(&silent)
        .words("--data x --path all")
        .fails(2, &["silent", "--train-steps"]);
}
