//! The paper's Table 3 for the shipped checkpoint, from the profiles that ship with it (measured on real CIFAR-10).

use std::process::Command;

use serde_json::Value;

const VARIANCES: [&str; 4] = ["learned", "fixed-small", "fixed-large", "analytic"];
const STEPS: [u64; 6] = [8, 16, 32, 64, 128, 256];

fn shipped(split: &str) -> String {
    format!(
        "{}/datasets/cifar10-small.{split}.profile.safetensors",
        env!("CARGO_MANIFEST_DIR")
    )
}

/// Rows of `ddpm table TRAIN TEST --json` with these options.
fn table(choose: &str, score: &str, options: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_ddpm"))
        .args(["table", &shipped(choose), &shipped(score), "--json"])
        .args(options)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    table["rows"].as_array().unwrap().clone()
}

fn row<'a>(rows: &'a [Value], stride: &str, variance: &str, steps: u64) -> &'a Value {
    rows.iter()
        .find(|r| r["stride"] == stride && r["variance"] == variance && r["steps"] == steps)
        .unwrap_or_else(|| panic!("no row {stride} {variance} K={steps}"))
}

fn bpd(row: &Value) -> f64 {
    row["bpd"].as_f64().unwrap()
}

#[test]
fn dp_beats_even_and_quadratic_on_images_it_was_not_chosen_on() {
    let rows = table("train", "test", &[]);
    for variance in VARIANCES {
        for steps in STEPS {
            let dp = row(&rows, "dp", variance, steps);
            for stride in ["even", "quadratic"] {
                let other = row(&rows, stride, variance, steps);
                let difference = other["dp_minus_this"]["bpd"].as_f64().unwrap();
                let error = other["dp_minus_this"]["stderr"].as_f64().unwrap();
                let at = format!("{variance} K={steps} against {stride}");
                assert!((bpd(dp) - bpd(other) - difference).abs() < 1e-9, "{at}");
                assert!(
                    error > 0.0 && difference <= 2.0 * error,
                    "{at}: {difference}"
                );
                assert!(steps > 64 || difference < 0.0, "{at}: {difference}");
            }
        }
        // Every step of the chain is one more schedule, and K = 256 of the best must not lose to it by much.
        let all = row(&rows, "all", variance, 4000);
        assert!(bpd(row(&rows, "dp", variance, 256)) < bpd(all) + 0.1);
    }
}

#[test]
fn analytic_variance_beats_both_fixed_ones_under_one_decoder() {
    let options = [
        "--decoder",
        "optimal",
        "--variance",
        "fixed-small,fixed-large,analytic",
    ];
    let rows = table("train", "test", &options);
    for stride in ["even", "quadratic", "dp"] {
        for steps in STEPS {
            let analytic = bpd(row(&rows, stride, "analytic", steps));
            for fixed in ["fixed-small", "fixed-large"] {
                let other = bpd(row(&rows, stride, fixed, steps));
                assert!(
                    analytic < other,
                    "{stride} K={steps}: {analytic} against {fixed} {other}"
                );
            }
        }
    }
}

#[test]
fn paths_are_chosen_on_the_first_profile_and_scored_on_the_second() {
    let options = ["--variance", "learned", "--steps", "16"];
    let here = table("train", "test", &options);
    let swapped = table("test", "train", &options);
    let (a, b) = (
        row(&here, "dp", "learned", 16),
        row(&swapped, "dp", "learned", 16),
    );
    assert_ne!(
        a["path"], b["path"],
        "two image sets choose the same 16 timesteps of 4000"
    );
    assert!(bpd(a) > 3.0 && bpd(a) < 5.0 && bpd(a) != bpd(b));
    // An even path is no choice: it costs on train what the swapped table says.
    let even = |rows| row(rows, "even", "learned", 16).clone();
    assert_eq!(even(&here)["train_bpd"], even(&swapped)["bpd"]);
}

#[test]
fn a_free_start_never_costs_more_on_the_choosing_set() {
    let totals = |start: &str| -> Vec<f64> {
        let output = Command::new(env!("CARGO_BIN_EXE_ddpm"))
            .args([
                "schedule",
                &shipped("train"),
                "--steps",
                "8,16,32,64",
                "--json",
            ])
            .args(["--start", start])
            .output()
            .unwrap();
        assert!(output.status.success());
        let schedules: Value = serde_json::from_slice(&output.stdout).unwrap();
        let total = |b: &Value| b["cost"].as_f64().unwrap() + b["prior_bpd"].as_f64().unwrap();
        schedules["budgets"]
            .as_array()
            .unwrap()
            .iter()
            .map(total)
            .collect()
    };
    let (full, free) = (totals("full"), totals("free"));
    assert_eq!((full.len(), free.len()), (4, 4));
    for (full, free) in full.iter().zip(&free) {
        assert!(free <= full, "free {free} above full {full}");
    }
    // T = 4000 cosine ends in steps that carry nothing: at eight steps the gain is real.
    assert!(free[0] < full[0] - 1e-6);
}

/// A path of anybody's is scored from a profile alone, beside the best one of as many steps.
#[test]
fn given_paths_are_scored_beside_optimal_ones() {
    let run = |flags: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ddpm"))
            .arg("table")
            .args(flags)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    };
    let json = |flags: &[&str]| -> Value { serde_json::from_slice(&run(flags).stdout).unwrap() };
    let [train, test] = [shipped("train"), shipped("test")];
    let common = ["--variance", "learned", "--json"];
    let rows = |flags: &[&str]| json(&[flags, &common].concat())["rows"].clone();
    let of_paths = rows(&[&train, &test, "--path", "even:16", "--path", "quadratic:16"]);
    let of_strides = rows(&[&train, &test, "--steps", "16"]);
    let of_strides = of_strides.as_array().unwrap();
    let stride = |name: &str| of_strides.iter().find(|row| row["stride"] == name).unwrap();
    for (i, name) in [(0, "even"), (1, "dp"), (2, "quadratic"), (3, "dp")] {
        let mut found = of_paths[i].clone();
        assert_eq!(found["stride"], if name == "dp" { "dp" } else { "path" });
        found["stride"] = name.into();
        assert_eq!(&found, stride(name), "{name}");
    }
    // A path that ends early is held against the best that may.
    let early = rows(&[&train, &test, "--path", "100,1000,3000"]);
    assert!(early[1]["path"][3].as_u64().unwrap() < 4000);
    // One profile will do; that it chose and scored is said.
    let output = run(&[&train, "--path", "even:4"]);
    let (text, said) = (
        String::from_utf8(output.stdout),
        String::from_utf8(output.stderr),
    );
    let (text, said) = (text.unwrap(), said.unwrap());
    for word in [
        "even:4",
        "optimal",
        "1000,2000,3000,4000",
        "does not count the interpolation",
    ] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert!(said.contains("biased low"), "{said}");
    for (flags, status) in [
        (&["--path", "1,5000"][..], 3),
        (&["--path", "even:4", "--steps", "4"], 2),
        (&[], 2),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ddpm"))
            .args(["table", &train])
            .args(flags)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{flags:?} {output:?}");
    }
}

/// Neither says more than was measured.
#[test]
fn errors_say_that_they_leave_out_interpolation() {
    for words in [
        vec!["table", &shipped("train"), &shipped("test")],
        vec!["schedule", &shipped("train")],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ddpm"))
            .args(words)
            .args(["--steps", "8", "--variance", "analytic"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("does not count the interpolation"), "{text}");
    }
}

#[test]
fn merging_one_shipped_profile_gives_its_bytes_back() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("merged.safetensors");
    let status = Command::new(env!("CARGO_BIN_EXE_ddpm"))
        .args(["merge", &shipped("train"), "--out"])
        .arg(&out)
        .output()
        .unwrap()
        .status;
    assert!(status.success());
    assert_eq!(
        std::fs::read(out).unwrap(),
        std::fs::read(shipped("train")).unwrap()
    );
}
