//! Wrong command lines as users type them, and the text of each answer.
//!
//! The answers lie in `mistakes.txt`, to be read as a user would. `DDPM_WRITE_GOLDEN=1` writes them anew.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;

use ddpm::data::{Images, write_png_folder};
use ddpm::model::{Checkpoint, Precision, save_safetensors};
use ddpm_files::npz::NpzWriter;
use ndarray::{Array1, Array2, Array4, arr0, arr1};
use serde_json::{Value, json};

use crate::fid;
use crate::support::{Ddpm, golden, repository, scratch, write_npy};

/// What is wrong, and the command line behind `ddpm`.
const MISTAKES: &[(&str, &str)] = &[
    ("a misspelled command", "scheduel train.p --steps 8"),
    ("a misspelled flag", "schedule train.p --step 8"),
    ("a misspelled value", "schedule train.p --variance analitic"),
    ("a misspelled file", "inspect modell.pt"),
    (
        "a misspelled noise schedule",
        "transitions --noise-schedule cosinus --train-steps 1000",
    ),
    (
        "a misspelled stride",
        "sample model.pt --path evn:8 --count 1 --out x.png",
    ),
    ("no file at all", "schedule"),
    ("no images named", "profile model.pt --out p"),
    ("a picture as checkpoint", "inspect picture.png"),
    ("a checkpoint cut short", "inspect cut.pt"),
    ("a profile as checkpoint", "inspect train.p"),
    ("a checkpoint as profile", "schedule model.pt --steps 8"),
    ("a profile as schedules file", "export train.p --format csv"),
    ("a text as .npz", "profile --import notes.npz --out p"),
    (
        "an array of the wrong shape",
        "schedule --mse errors.npz --steps 5",
    ),
    ("a table that is not square", "solve cost.npy"),
    (
        "a curve without its column",
        "schedule --mse m.csv --noise-schedule linear --steps 5",
    ),
    (
        "what weights cannot tell",
        "profile bare.pt --data images --out p",
    ),
    (
        "a folder of diffusers without its config",
        "inspect without-config",
    ),
    (
        "a noise schedule that diffusers knows and ddpm does not",
        "sample laplace --path even:4 --count 1 --out x.png",
    ),
    ("zero steps", "schedule train.p --steps 0"),
    (
        "more steps than timesteps",
        "schedule train.p --steps 8,100",
    ),
    (
        "timesteps that do not ascend",
        "sample model.pt --path 0,9,4,40 --count 1 --out x.png",
    ),
    (
        "a budget that was not chosen",
        "sample model.pt --schedule s.json --steps 5 --count 1 --out x.png",
    ),
    (
        "a schedules file without a budget",
        "sample model.pt --schedule s.json --count 1 --out x.png",
    ),
    (
        "schedules of another chain",
        "sample model.pt --train-steps 100 --schedule s.json --steps 4 --count 1 --out x.png",
    ),
    (
        "a profile of another chain",
        "bpd model.pt --train-steps 100 --data images --path all --variance analytic --profile train.p",
    ),
    (
        "a profile of another checkpoint",
        "table train.p other.p --steps 4",
    ),
    (
        "a shard that is missing",
        "merge part0.p part1.p --out all.p",
    ),
    ("a shard given twice", "merge part0.p part0.p --out all.p"),
    (
        "images of another size",
        "profile model.pt --data photos --out p",
    ),
    (
        "more images than there are",
        "profile model.pt --data images --limit 100 --out p",
    ),
    (
        "a network with classes, images without",
        "profile classes.pt --data images --out p",
    ),
    (
        "a class for a network without",
        "sample model.pt --path even:4 --count 1 --class 3 --out x.png",
    ),
    (
        "an output folder that is not there",
        "sample model.pt --path even:4 --count 1 --out runs/x.png",
    ),
    (
        "an output that exists",
        "sample model.pt --path even:4 --count 2 --out images",
    ),
    (
        "an output of unknown kind",
        "plot errors train.p --out m.jpg",
    ),
    (
        "too few files for a figure",
        "plot bits-per-dim train.p --out b.svg",
    ),
    (
        "flags that exclude each other",
        "bpd model.pt --data images --schedule s.json --steps 4 --variance learned",
    ),
    (
        "a flag of another sampler",
        "sample model.pt --path even:4 --eta 0.5 --count 1 --out x.png",
    ),
    (
        "a variance that has to be measured",
        "bpd model.pt --data images --path even:4 --variance analytic",
    ),
    (
        "a number of steps beside a path",
        "bpd model.pt --data images --path even:4 --steps 4",
    ),
    (
        "quality on a profile",
        "schedule train.p --objective quality --sampler ddim --steps 5",
    ),
    ("a distance without a feature network", "fid images images"),
    (
        "a distance of too few images",
        "fid images images --features resnet8.safetensors",
    ),
];

#[test]
fn every_answer_says_what_is_wrong_and_what_to_do_next() {
    let folder = scratch();
    prepare(folder.path());
    let mut text = String::new();
    let mut poor = Vec::new();
    for (what, line) in MISTAKES {
        let (command, words) = line.split_once(' ').unwrap_or((line, ""));
        let outcome = Ddpm::new(command)
            .words(words)
            .within(folder.path())
            .env("DDPM_FEATURES", "")
            .env("XDG_CACHE_HOME", "/nowhere")
            .run();
        let (code, answer) = (outcome.code(), outcome.stderr());
        assert_eq!(outcome.stdout(), "", "{line}");
        assert!(
            [2, 3, 5].contains(&code) && answer.starts_with("error: "),
            "{line}: exit code {code}\n{answer}"
        );
        // Our own answers end with one hint, clap's with the way to the help.
        let next = answer.lines().last().unwrap_or_default();
        let ours = answer.matches("\nhint: ").count();
        if !(next.starts_with("hint: ") && ours == 1
            || ours == 0 && next == "For more information, try '--help'.")
        {
            poor.push(*line);
        }
        write!(
            text,
            "# {what}: exit code {code}\n$ ddpm {line}\n{answer}\n"
        )
        .unwrap();
    }
    assert!(poor.is_empty(), "no next step: {poor:#?}");
    // Nothing was written by any of them.
    for made in [
        "p",
        "p.lock",
        "p.partial",
        "x.png",
        "x.png.partial",
        "all.p",
        "b.svg",
        "m.jpg",
        "runs",
    ] {
        assert!(!folder.path().join(made).exists(), "{made}");
    }
    let kept = repository("tests/e2e/mistakes.txt");
    if std::env::var_os("DDPM_WRITE_GOLDEN").is_some() {
        std::fs::write(&kept, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&kept).unwrap();
    for (found, expected) in text.split("\n# ").zip(expected.split("\n# ")) {
        assert!(
            found == expected,
            "mistakes.txt has:\n{expected}\nthe answer is now:\n{found}\n(DDPM_WRITE_GOLDEN=1 writes it anew)"
        );
    }
    assert_eq!(text, expected);
}

/// The files that the command lines name.
fn prepare(folder: &Path) {
    let at = |name: &str| folder.join(name);
    let small = golden("unet-hybrid-16px.pt");
    std::fs::copy(&small, at("model.pt")).unwrap();
    std::fs::copy(&small, at("bare.pt")).unwrap();
    let told = |name: &str, heads: usize, size: usize| {
        let told = json!({"num_heads": heads, "image_size": size, "train_steps": 40, "noise_schedule": "cosine", "rescale_timesteps": true});
        std::fs::write(at(name), told.to_string()).unwrap();
    };
    told("model.model.json", 2, 16);
    let whole = std::fs::read(&small).unwrap();
    std::fs::write(at("cut.pt"), &whole[..whole.len() / 2]).unwrap();
    // The same weights in another file are another checkpoint.
    let checkpoint = Checkpoint::open(&small).unwrap();
    let copy = save_safetensors(&checkpoint, Precision::F32).unwrap();
    std::fs::write(at("other.safetensors"), copy).unwrap();
    told("other.model.json", 2, 16);
    std::fs::copy(golden("unet-classcond-noscale.pt"), at("classes.pt")).unwrap();
    told("classes.model.json", 2, 16);

    for (name, first, size) in [("images", 0, 16), ("others", 100, 16), ("photos", 0, 24)] {
        let pixels = Array4::from_shape_fn((4, 3, size, size), |(n, c, y, x)| {
            ((n + first) * 31 + c * 40 + y * 7 + x * 3) as u8
        });
        write_png_folder(&at(name), &Images::from_bytes(pixels).unwrap(), 0).unwrap();
    }
    std::fs::copy(at("images/000000.png"), at("picture.png")).unwrap();

    let diffusers = golden("diffusers/v-prediction");
    for (name, leave_out) in [("without-config", "config.json"), ("laplace", "")] {
        std::fs::create_dir(at(name)).unwrap();
        for entry in std::fs::read_dir(&diffusers).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != leave_out {
                std::fs::copy(entry.path(), at(name).join(entry.file_name())).unwrap();
            }
        }
    }
    let scheduler = at("laplace/scheduler_config.json");
    let mut fields: Value = serde_json::from_slice(&std::fs::read(&scheduler).unwrap()).unwrap();
    fields["beta_schedule"] = json!("laplace");
    std::fs::write(scheduler, fields.to_string()).unwrap();

    for line in [
        "profile model.pt --data images --out train.p",
        "profile other.safetensors --data others --out other.p",
        "profile model.pt --data images --shard 0/2 --out part0.p",
        "schedule train.p --steps 4,8 --out s.json",
    ] {
        let (command, words) = line.split_once(' ').unwrap();
        Ddpm::new(command)
            .words(words)
            .within(folder)
            .run()
            .succeeds();
    }

    std::fs::write(at("notes.npz"), "t,mse\n1,0.1\n").unwrap();
    std::fs::write(at("m.csv"), "t,error\n1,0.1\n").unwrap();
    write_npy(&at("cost.npy"), &[5, 4], &[0.0; 20]);
    let mut npz = NpzWriter::new(File::create(at("errors.npz")).unwrap());
    npz.add_array("t", &arr1(&[1i64, 20, 40])).unwrap();
    npz.add_array("sum_squared_error", &Array2::<f64>::ones((2, 4)))
        .unwrap();
    npz.add_array("count", &Array2::<i64>::ones((2, 3)))
        .unwrap();
    npz.add_array("x0_mean_square", &arr1(&[0.3, 0.4])).unwrap();
    npz.add_array("image_shape", &arr1(&[3i64, 16, 16]))
        .unwrap();
    npz.add_array("clip_denoised", &arr0(true)).unwrap();
    npz.add_array("alpha_bar", &Array1::linspace(0.99, 0.01, 40))
        .unwrap();
    npz.finish().unwrap();
    fid::network(folder);
}
