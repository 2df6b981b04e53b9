//! `ddpm bpd` on the shipped checkpoint against the original code: every term and every total.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Ddpm, assert_close, golden, golden_json, numbers, repository};

/// Terms and totals agree to this, absolute below 1 and relative above.
const TOLERANCE: f64 = 2e-4;
/// Beyond this 0-based timestep terms without clipping reach 1e5 bits and amplify the rounding of the network's f32.
const LAST_JUDGED: u64 = 3990;

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

/// A comma list of JSON numbers.
fn list<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let words: Vec<String> = values.into_iter().map(Value::to_string).collect();
    words.join(",")
}

/// Compares every chain, variance and clip setting of a golden file, and says how far apart the worst values are.
fn check(folder: &str, data: Option<&str>) {
    let mut worst = Worst::default();
    let golden = golden_json(&format!("{folder}/terms.json"));
    for case in golden["results"].as_array().unwrap() {
        check_case(folder, case, data, &mut worst);
    }
    println!(
        "{folder}: largest error of a judged value {:.1e}, of one that is only reported {:.1e}",
        worst.judged, worst.reported
    );
}

/// The largest errors seen.
#[derive(Default)]
struct Worst {
    judged: f64,
    reported: f64,
}

impl Worst {
    fn compare(&mut self, judged: bool, what: &str, found: &Value, expected: &Value) {
        let (found, expected) = (numbers(found), numbers(expected));
        if judged {
            let error = assert_close(what, &found, &expected, TOLERANCE);
            self.judged = self.judged.max(error);
        } else {
            let error = assert_close(what, &found, &expected, f64::INFINITY);
            self.reported = self.reported.max(error);
        }
    }
}

fn check_case(folder: &str, case: &Value, data: Option<&str>, worst: &mut Worst) {
    let clip = case["clip_denoised"].as_bool().unwrap();
    let what = format!(
        "{folder} {} {} clip {clip}",
        case["chain"], case["variance"]
    );
    let terms = case["terms"].as_array().unwrap();
    // Of the full chain the golden file has some of the terms.
    let full = case["timesteps"] == "all";
    let path = match &case["timesteps"] {
        Value::String(all) => all.clone(),
        timesteps => list(timesteps.as_array().unwrap()),
    };
    let file = golden(&format!("{folder}/images.safetensors"));
    let mut command = Ddpm::new("bpd")
        .arg(checkpoint())
        .file("--images", &file)
        .file("--noise", &file)
        .arg("--path")
        .arg(path)
        .words(&format!(
            "--zero-based --clip-denoised {clip} --variance {}",
            variance(&case["variance"])
        ));
    if let Some(data) = data {
        command = command.arg("--data").arg(data);
    }
    if full {
        command = command
            .arg("--terms")
            .arg(list(terms.iter().map(|term| &term["timestep"])));
    }
    let found = command.json();

    let ours = found["terms"].as_array().unwrap();
    assert_eq!(ours.len(), terms.len(), "{what}");
    for (our, expected) in ours.iter().zip(terms) {
        let t = &expected["timestep"];
        assert_eq!(&our["t"], t, "{what}");
        let judged = clip || t.as_u64().unwrap() <= LAST_JUDGED;
        worst.compare(
            judged,
            &format!("{what} t={t}"),
            &our["bpd"],
            &expected["bpd"],
        );
    }
    worst.compare(
        true,
        &format!("{what} prior"),
        &found["prior_bpd"],
        &case["prior_bpd"],
    );
    if full {
        assert!(
            found["total_bpd"].is_null(),
            "{what}: a total of some terms"
        );
    } else {
        worst.compare(
            clip,
            &format!("{what} total"),
            &found["total_bpd"],
            &case["total_bpd"],
        );
    }
}

#[test]
fn terms_on_procedural_images_equal_those_of_the_original_code() {
    check("cifar10-small-procedural", None);
}

mod needs_data {
    #[test]
    #[ignore = "needs DDPM_DATA"]
    fn terms_on_cifar10_equal_those_of_the_original_code() {
        let data =
            std::env::var("DDPM_DATA").expect("this test needs DDPM_DATA in the environment");
        super::check("cifar10-small", Some(&data));
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
