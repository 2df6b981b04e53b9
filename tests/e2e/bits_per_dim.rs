//! `ddpm bpd` on the shipped checkpoint against the original code: every term and every total.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Ddpm, assert_close, golden, golden_json, numbers, repository};

/// Terms and totals agree to this, absolute below 1 and relative above.
const TOLERANCE: f64 = 2e-4;
/// Beyond this 0-based timestep terms without clipping reach 1e5 bits and amplify the rounding of the network's f32.
const LAST_JUDGED: u64 = 3990;
/// Images of each golden set.
const ALL_IMAGES: usize = 8;

fn checkpoint() -> PathBuf {
    repository("datasets/cifar10-small.safetensors")
}

fn variance(name: &Value) -> &'static str {
    match name.as_str().unwrap() {
        "learned_range" => "learned",
        "fixed_small" => "fixed-small",
        "fixed_large" => "fixed-large",
        other => panic!("{other}"),
    }
}

fn list(values: impl IntoIterator<Item = u64>) -> String {
    let words: Vec<String> = values.into_iter().map(|t| t.to_string()).collect();
    words.join(",")
}

/// One chain, variance and clip setting of a golden file.
fn check(folder: &str, case: &Value, images: usize, data: Option<&str>) {
    let clip = case["clip_denoised"].as_bool().unwrap();
    let what = format!(
        "{folder} {} {} clip {clip}",
        case["chain"], case["variance"]
    );
    let terms = case["terms"].as_array().unwrap();
    let full = case["timesteps"] == "all";
    let path = match &case["timesteps"] {
        Value::String(all) => all.clone(),
        timesteps => list(
            timesteps
                .as_array()
                .unwrap()
                .iter()
                .map(|t| t.as_u64().unwrap()),
        ),
    };
    let file = golden(&format!("{folder}/images.safetensors"));
    let mut command = Ddpm::new("bpd")
        .arg(checkpoint())
        .file("--images", &file)
        .file("--noise", &file)
        .words(&format!("--limit {images}"))
        .arg("--path")
        .arg(&path)
        .words(&format!(
            "--zero-based --clip-denoised {clip} --variance {}",
            variance(&case["variance"])
        ));
    if let Some(data) = data {
        command = command.arg("--data").arg(data);
    }
    if full {
        let timesteps = terms.iter().map(|term| term["timestep"].as_u64().unwrap());
        command = command.arg("--terms").arg(list(timesteps));
    }
    let found = command.json();
    let ours = found["terms"].as_array().unwrap();
    assert_eq!(ours.len(), terms.len(), "{what}");
    for (our, expected) in ours.iter().zip(terms) {
        let t = expected["timestep"].as_u64().unwrap();
        assert_eq!(our["t"], t, "{what}");
        let what = format!("{what} t={t}");
        let (our, expected) = (numbers(&our["bpd"]), first(images, &expected["bpd"]));
        if clip || t <= LAST_JUDGED {
            assert_close(&what, &our, &expected, TOLERANCE);
        } else {
            report(&what, &our, &expected);
        }
    }
    assert_close(
        &what,
        &numbers(&found["prior_bpd"]),
        &first(images, &case["prior_bpd"]),
        TOLERANCE,
    );
    if full {
        assert!(
            found["total_bpd"].is_null(),
            "{what}: a total of some terms"
        );
    } else {
        let (our, expected) = (
            numbers(&found["total_bpd"]),
            first(images, &case["total_bpd"]),
        );
        let what = format!("{what} total");
        if clip {
            assert_close(&what, &our, &expected, TOLERANCE);
        } else {
            report(&what, &our, &expected);
        }
    }
}

/// The values of the first images.
fn first(images: usize, values: &Value) -> Vec<f64> {
    let mut values = numbers(values);
    values.truncate(images);
    values
}

/// Prints how far numbers are apart that are not judged.
fn report(what: &str, found: &[f64], expected: &[f64]) {
    let worst = found
        .iter()
        .zip(expected)
        .map(|(f, e)| (f - e).abs() / e.abs().max(1.0))
        .fold(0.0, f64::max);
    println!(
        "not judged: {what}: largest error {worst:.1e}, first value {:.3}",
        expected[0]
    );
}

#[test]
fn terms_on_procedural_images_equal_those_of_the_original_code() {
    let folder = "cifar10-small-procedural";
    for case in golden_json(&format!("{folder}/terms.json"))["results"]
        .as_array()
        .unwrap()
    {
        check(folder, case, ALL_IMAGES, None);
    }
}

#[test]
fn terms_on_cifar10_equal_those_of_the_original_code() {
    let Ok(data) = std::env::var("DDPM_DATA") else {
        println!("skipped: needs DDPM_DATA");
        return;
    };
    // All eight images take minutes; the first two see every chain, variance and clip setting.
    let images = if std::env::var_os("DDPM_TEST_FULL").is_some() {
        ALL_IMAGES
    } else {
        2
    };
    let folder = "cifar10-small";
    for case in golden_json(&format!("{folder}/terms.json"))["results"]
        .as_array()
        .unwrap()
    {
        check(folder, case, images, Some(&data));
    }
}

#[test]
fn the_table_for_people_names_the_conventions() {
    let images = golden("cifar10-small-procedural/images.safetensors");
    let text = Ddpm::new("bpd")
        .arg(checkpoint())
        .file("--images", &images)
        .words("--limit 2 --path 1,700,4000 --variance fixed-small")
        .run()
        .succeeds()
        .stdout();
    for word in [
        "fixed-small variance",
        "respaced decoder",
        "clip on",
        "2 images",
        "T=4000 cosine",
        "bits/dim",
        "total",
    ] {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

#[test]
fn a_path_may_end_early_and_pays_the_prior() {
    let images = golden("cifar10-small-procedural/images.safetensors");
    let prior = |end: &str| {
        let found = Ddpm::new("bpd")
            .arg(checkpoint())
            .file("--images", &images)
            .words("--limit 1 --variance fixed-small --path")
            .arg(format!("1,{end}"))
            .json();
        numbers(&found["prior_bpd"])[0]
    };
    assert!(prior("100") > 0.1);
    assert!(prior("4000") < 1e-9);
}
