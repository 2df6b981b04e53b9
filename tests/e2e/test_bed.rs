//! Test beds in the place of checkpoints and of images.

use std::path::{Path, PathBuf};

use crate::support::{Ddpm, repository, scratch, stopped_with};

fn bed(name: &str) -> PathBuf {
    repository(&format!("datasets/test-beds/{name}.json"))
}

fn write(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("bed.json");
    std::fs::write(&file, text).unwrap();
    file
}

fn described(rest: &str) -> String {
    format!("{{\"format\": \"ddpm-test-bed\", \"version\": 1, {rest}}}")
}

#[test]
fn a_test_bed_is_followed_sampled_and_judged_without_any_other_file() {
    let folder = scratch();
    let out = |name: &str| folder.path().join(name);
    let rings = bed("rings-2");
    Ddpm::new("trajectory")
        .arg(&rings)
        .words("--steps 5 --count 8 --sampler dpm-solver++")
        .writes(&out("flow"));
    Ddpm::new("schedule")
        .arg(out("flow"))
        .words("--objective quality --sampler dpm-solver++ --steps 5")
        .writes(&out("s.json"));
    Ddpm::new("sample")
        .arg(&rings)
        .file("--schedule", &out("s.json"))
        .words("--steps 5 --count 1024 --seed 5")
        .writes(&out("chosen.safetensors"));
    // From noise to data in one step: every sample is the mean of all data.
    Ddpm::new("sample")
        .arg(&rings)
        .words("--path 1000 --sampler ddim --count 1024 --seed 5")
        .writes(&out("mean.safetensors"));
    let judged = |sample: &str| {
        Ddpm::new("fid")
            .arg(out(sample))
            .arg(&rings)
            .words("--split-b test --features raw --allow-few --nearest-images 0")
            .json()
    };
    let (chosen, mean) = (judged("chosen.safetensors"), judged("mean.safetensors"));
    assert_eq!(chosen["metric"], "FD(raw)");
    // Pairs are of one noise, which the records tell.
    let versus = |other: &str| {
        let found = Ddpm::new("fid")
            .arg(out("chosen.safetensors"))
            .arg(&rings)
            .words("--split-b test --features raw --allow-few --nearest-images 0")
            .file("--versus", &out(other))
            .run()
            .succeeds();
        found.stderr().contains("did not begin with the same noise")
    };
    assert!(!versus("mean.safetensors"));
    Ddpm::new("sample")
        .arg(&rings)
        .words("--path 1000 --sampler ddim --count 1024 --seed 6")
        .writes(&out("other.safetensors"));
    assert!(versus("other.safetensors"));
    let energy = |found: &serde_json::Value| {
        let found = &found["energy"]["distance"];
        (
            found["value"].as_f64().unwrap(),
            found["standard_error"].as_f64().unwrap(),
        )
    };
    assert!(energy(&chosen).0 < 0.02, "{chosen}");
    assert!(energy(&mean).0 > 0.3, "{mean}");
    // Draws of one split are as good as the other's, within the error, and not the same.
    let draws = Ddpm::new("fid")
        .arg(&rings)
        .arg(&rings)
        .words("--split-a train --split-b test --features raw --limit 2048 --nearest-images 0")
        .json();
    let (value, error) = energy(&draws);
    assert!(value.abs() < 4.0 * error && value != 0.0, "{draws}");
}

#[test]
fn likelihoods_of_a_test_bed_are_measured_on_its_draws() {
    let folder = scratch();
    let out = |name: &str| folder.path().join(name);
    let grid = bed("grid-2");
    for split in ["train", "test"] {
        Ddpm::new("profile")
            .arg(&grid)
            .file("--data", &grid)
            .words(&format!("--split {split} --limit 64 --evaluations 2048"))
            .writes(&out(split));
    }
    let table = Ddpm::new("table")
        .arg(out("train"))
        .arg(out("test"))
        .words("--decoder gaussian --steps 20 --variance fixed-small")
        .run()
        .succeeds();
    assert!(
        table
            .stdout()
            .contains("draws of 25 points of grid in 2 dimensions")
    );
    Ddpm::new("schedule")
        .arg(out("train"))
        .words("--decoder gaussian --variance fixed-small --steps 20 --folds 0")
        .writes(&out("s.json"));
    let found = Ddpm::new("bpd")
        .arg(&grid)
        .file("--schedule", &out("s.json"))
        .file("--data", &grid)
        .words("--steps 20 --split test --limit 64")
        .json();
    assert!(
        found["total_bpd"][0].as_f64().unwrap().is_finite(),
        "{found}"
    );
}

#[test]
fn float_samples_are_the_same_bytes_after_an_interruption() {
    let folder = scratch();
    let out = |name: &str| folder.path().join(name);
    let sample = |name: &str| {
        Ddpm::new("sample")
            .arg(bed("gaussians-64"))
            .words("--path even:50 --sampler ddim --count 2000 --seed 5 --batch 16")
            .file("--out", &out(name))
    };
    sample("whole.safetensors").run().succeeds();
    let partial = out("cut.safetensors.partial");
    stopped_with(&partial, || sample("cut.safetensors"));
    sample("cut.safetensors").fails(
        3,
        &["cut.safetensors.partial", "file", "of samples", "--resume"],
    );
    sample("cut.safetensors").words("--resume").run().succeeds();
    assert!(!partial.exists());
    let [whole, cut] =
        ["whole.safetensors", "cut.safetensors"].map(|n| std::fs::read(out(n)).unwrap());
    assert!(whole == cut);
}

#[test]
fn tune_judges_samples_of_a_test_bed_by_the_energy_distance() {
    let folder = scratch();
    let out = folder.path().join("t.json");
    let found = Ddpm::new("tune")
        .arg(bed("spirals-2"))
        .file("--reference", &bed("spirals-2"))
        .words("--steps 4 --split test --objective energy --features raw --samples 256")
        .file("--out", &out)
        .json();
    assert_eq!(found["metric"], "energy distance");
    let kept: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(kept["objective"], "energy");
    Ddpm::new("sample")
        .arg(bed("spirals-2"))
        .file("--schedule", &out)
        .words("--steps 4 --count 4 --seed 1")
        .writes(&folder.path().join("s.safetensors"));
    Ddpm::new("tune")
        .arg(bed("spirals-2"))
        .file("--reference", &bed("gaussians-64"))
        .words("--steps 4 --split test --objective energy --features raw")
        .file("--out", &folder.path().join("other.json"))
        .fails(3, &["gaussians-64.json", "[2]", "[64]"]);
}

#[test]
fn images_blurred_are_a_test_bed_beside_their_file() {
    let folder = scratch();
    let images: Vec<u8> = (0..8 * 12).map(|i| (i * 37 % 256) as u8).collect();
    crate::support::safetensors(
        &folder.path().join("images.safetensors"),
        &[("images", safetensors::Dtype::U8, &[8, 3, 2, 2], images)],
    );
    let text = described(
        "\"images\": \"images.safetensors\", \"width\": 0.05, \"train_steps\": 50, \"draws\": 20",
    );
    let bed = write(folder.path(), &text);
    let out = folder.path().join("s.npz");
    Ddpm::new("sample")
        .arg(&bed)
        .words("--path even:10 --sampler ddim --count 4 --seed 1")
        .writes(&out);
    Ddpm::new("bench")
        .arg(&bed)
        .fails(3, &["bed.json", "no weights"]);
}

#[test]
fn what_is_wrong_with_a_test_bed_is_named_with_its_field() {
    let folder = scratch();
    let good = "\"pattern\": \"rings\", \"points\": 9, \"dimensions\": 2, \"width\": 0.1";
    for (rest, named) in [
        (
            "\"width\": 0.1".to_owned(),
            "pattern: expected one of \"pattern\" and \"images\", found neither",
        ),
        (format!("{good}, \"images\": \"x\""), "found both"),
        (
            format!("{good}, \"split\": \"train\""),
            "split: expected none",
        ),
        (format!("{good}, \"wdith\": 1"), "wdith"),
        (
            good.replace("0.1", "-1"),
            "width: expected a number from 1e-9 to 1e9, found -1e0",
        ),
        (good.replace("rings", "rigns"), "rigns"),
        (
            good.replace("9", "1"),
            "points: expected at least 2, found 1",
        ),
        (
            good.replace("9", "1000000000000"),
            "points: expected at most",
        ),
        (
            good.replace("\"dimensions\": 2", "\"dimensions\": 3"),
            "dimensions: expected an even number",
        ),
        (
            good.replace("\"points\": 9, ", ""),
            "points: expected a number",
        ),
        (format!("{good}, \"draws\": 0"), "draws: expected 1 to"),
        (
            format!("{good}, \"draws\": 1000000000000"),
            "draws: expected 1 to",
        ),
        (format!("{good}, \"train_steps\": 0"), "train_steps"),
        (
            format!("{good}, \"noise_schedule\": \"straight\""),
            "straight",
        ),
        (
            "\"images\": \"absent\", \"width\": 0.1".to_owned(),
            "absent",
        ),
    ] {
        let bed = write(folder.path(), &described(&rest));
        Ddpm::new("sample")
            .arg(&bed)
            .words("--path even:3 --count 1 --seed 1")
            .file("--out", &folder.path().join("s.safetensors"))
            .fails(3, &[named]);
    }
    let later = write(
        folder.path(),
        &described(good).replace("\"version\": 1", "\"version\": 2"),
    );
    Ddpm::new("sample")
        .arg(&later)
        .words("--path even:3 --count 1 --seed 1")
        .file("--out", &folder.path().join("s.safetensors"))
        .fails(3, &["bed.json", "version: expected 1, found 2"]);
    let bed = write(folder.path(), &described(good));
    let sample = |words: &str, out: &str| {
        Ddpm::new("sample")
            .arg(&bed)
            .words("--path even:3 --count 1 --seed 1")
            .words(words)
            .file("--out", &folder.path().join(out))
    };
    sample("", "s.png").fails(3, &["shape [2]", "FILE.safetensors"]);
    sample("--num-heads 4", "s.safetensors").fails(2, &["--num-heads", "test bed"]);
    sample("--precision bf16", "s.safetensors").fails(2, &["--precision", "test bed"]);
}

#[test]
fn an_input_is_never_an_output() {
    let folder = scratch();
    let good =
        "\"pattern\": \"rings\", \"points\": 9, \"dimensions\": 2, \"width\": 0.1, \"draws\": 64";
    let bed = write(folder.path(), &described(good));
    let network = folder.path().join("net");
    std::fs::create_dir(&network).unwrap();
    let weights = network.join("diffusion_pytorch_model.safetensors");
    for (from, to) in [
        ("datasets/mnist-small", "config.json"),
        ("datasets/mnist-small", "scheduler_config.json"),
    ] {
        std::fs::copy(repository(from).join(to), network.join(to)).unwrap();
    }
    std::fs::copy(
        repository("datasets/mnist-small/diffusion_pytorch_model.safetensors"),
        &weights,
    )
    .unwrap();
    let flow = folder.path().join("flow");
    Ddpm::new("trajectory")
        .arg(&bed)
        .words("--count 2 --nodes 10 --steps 3")
        .writes(&flow);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&flow, &link).unwrap();
    let kept: Vec<Vec<u8>> = [&bed, &weights, &flow]
        .map(|file| std::fs::read(file).unwrap())
        .to_vec();
    let refused = |command: &str, input: &Path, words: &str, out: &Path| {
        Ddpm::new(command)
            .arg(input)
            .words(words)
            .file("--out", out)
            .fails(3, &["--out", "read by this very command"]);
    };
    refused("trajectory", &bed, "", &bed);
    refused(
        "sample",
        &network,
        "--path even:1 --count 1 --seed 1",
        &weights,
    );
    refused("schedule", &flow, "--objective quality", &flow);
    refused("schedule", &link, "--objective quality", &flow);
    Ddpm::new("tune")
        .arg(repository("datasets/test-beds/grid-2.json"))
        .file("--reference", &bed)
        .words("--split test --steps 3 --features raw")
        .file("--out", &bed)
        .fails(3, &["--out", "read by this very command"]);
    let now: Vec<Vec<u8>> = [&bed, &weights, &flow]
        .map(|file| std::fs::read(file).unwrap())
        .to_vec();
    assert!(kept == now);
}

#[test]
fn data_of_many_dimensions_are_compared_as_they_are() {
    let folder = scratch();
    let text = described(
        "\"pattern\": \"gaussians\", \"points\": 20, \"dimensions\": 300, \"width\": 0.5, \"draws\": 100",
    );
    let bed = write(folder.path(), &text);
    let fid = |words: &str| {
        Ddpm::new("fid")
            .arg(&bed)
            .arg(&bed)
            .words("--split-a train --split-b test --features raw --allow-few --nearest-images 0")
            .words(words)
            .json()
    };
    let found = fid("");
    assert!(
        found["energy"]["distance"]["standard_error"]
            .as_f64()
            .unwrap()
            > 0.0,
        "{found}"
    );
    // None asked for, none given.
    let bare = fid("--jackknife 0");
    assert!(
        bare["energy"]["distance"]["standard_error"].is_null(),
        "{bare}"
    );
    assert_eq!(
        bare["energy"]["distance"]["value"],
        found["energy"]["distance"]["value"]
    );
    let other = bed.with_file_name("other.json");
    std::fs::write(&other, text.replace("300", "200")).unwrap();
    Ddpm::new("fid")
        .arg(&bed)
        .arg(&other)
        .words("--split-a train --split-b test --features raw --allow-few")
        .fails(3, &["other.json", "[300]", "[200]"]);
}

#[test]
fn files_of_others_in_the_partial_output_stay() {
    let folder = scratch();
    let out = folder.path().join("s.safetensors");
    let partial = folder.path().join("s.safetensors.partial");
    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join("notes.txt"), "mine").unwrap();
    let sample = || {
        Ddpm::new("sample")
            .arg(bed("grid-2"))
            .words("--path even:2 --count 3 --seed 1")
            .file("--out", &out)
    };
    sample().run().succeeds();
    assert_eq!(
        std::fs::read_to_string(partial.join("notes.txt")).unwrap(),
        "mine"
    );
    assert_eq!(std::fs::read_dir(&partial).unwrap().count(), 1);
    let tuned = folder.path().join("t.json");
    let partial = folder.path().join("t.json.partial");
    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join("notes.txt"), "mine").unwrap();
    Ddpm::new("tune")
        .arg(bed("grid-2"))
        .file("--reference", &bed("grid-2"))
        .words("--split test --steps 3 --features raw --resume")
        .file("--out", &tuned)
        .fails(3, &["t.json.partial", "run.json"]);
}

#[test]
fn tune_takes_neither_another_network_nor_another_number_of_samples() {
    let folder = scratch();
    let out = |name: &str| folder.path().join(name);
    let flow = out("flow");
    Ddpm::new("trajectory")
        .arg(bed("gaussians-2"))
        .words("--count 2 --nodes 10 --steps 3")
        .writes(&flow);
    let tune = |name: &str, words: &str| {
        Ddpm::new("tune")
            .arg(bed("grid-2"))
            .file("--reference", &bed("grid-2"))
            .words("--split test --steps 3 --objective energy --features raw")
            .words(words)
            .file("--out", &out(name))
    };
    tune("a.json", "")
        .file("--trajectories", &flow)
        .fails(3, &["flow", "this network", "checkpoint_sha256"]);
    tune("a.json", "--sampler ddim")
        .file("--trajectories", &flow)
        .fails(2, &["--sampler", "--trajectories"]);
    let partial = out("b.json.partial");
    stopped_with(&partial, || tune("b.json", "--samples 4000"));
    tune("b.json", "--samples 64 --resume").fails(3, &["run.json", "samples"]);
}
