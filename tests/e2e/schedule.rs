//! `ddpm schedule`, `table` and `sample`: from profiles and curves to schedules, numbers and images.

use serde_json::{Value, json};

use crate::support::{
    Ddpm, T, assert_close, golden, golden_json, numbers, scratch, small, small_profile,
};

#[test]
fn the_published_curve_gives_the_known_optima() {
    let oracle = golden_json("oracles/cifar10_ls_optimal.json");
    let optimal = oracle["optimal"].as_array().unwrap();
    let steps: Vec<String> = optimal.iter().map(|o| o["steps"].to_string()).collect();
    let command = || {
        Ddpm::new("schedule")
            .file("--mse", &golden("oracles/cifar10_ls_virtual_mse.csv"))
            .words("--noise-schedule linear --variance fixed-small --decoder gaussian --decoder-first-bits 1.978589")
            .arg("--decoder-bin-width")
            .arg((2.0f64 / 255.0).to_string())
            .arg("--steps")
            .arg(steps.join(","))
    };
    let found = command().json();
    assert_eq!(found["T"], 1000);
    assert_eq!(numbers(&found["costs"]).len(), 1000);
    for (budget, expected) in found["budgets"].as_array().unwrap().iter().zip(optimal) {
        let what = format!("K={}", expected["steps"]);
        assert_eq!(budget["steps"], expected["steps"]);
        assert_eq!(budget["path"], expected["path"], "{what}");
        let cost = [expected["cost_bits_per_dim"].as_f64().unwrap()];
        assert_close(&what, &[budget["cost"].as_f64().unwrap()], &cost, 1e-8);
    }
    let zero_based = command().words("--zero-based").json();
    let shifted: Vec<u64> = optimal[0]["path"].as_array().unwrap()[1..]
        .iter()
        .map(|t| t.as_u64().unwrap() - 1)
        .collect();
    assert_eq!(zero_based["budgets"][0]["path"], json!(shifted));
}

/// Schedules of a profile, as printed.
fn schedule(profile: &std::path::Path, flags: &str) -> Value {
    Ddpm::new("schedule").arg(profile).words(flags).json()
}

/// Cost and prior of every budget, together.
fn with_prior(schedules: &Value) -> Vec<f64> {
    let budgets = schedules["budgets"].as_array().unwrap();
    let sum = |b: &Value| b["cost"].as_f64().unwrap() + b["prior_bpd"].as_f64().unwrap();
    budgets.iter().map(sum).collect()
}

#[test]
fn schedules_equal_direct_evaluation_on_the_same_images_and_noise() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "train", 4, 0.0);
    let data = folder.path().join("train.images.safetensors");
    for (variance, decoder) in [
        ("learned", "respaced"),
        ("fixed-small", "respaced"),
        ("fixed-large", "marginal"),
        ("analytic", "optimal"),
        ("learned", "gaussian"),
        ("fixed-small", "none"),
    ] {
        let out = folder.path().join(format!("{variance}-{decoder}.json"));
        let chosen = Ddpm::new("schedule")
            .arg(&profile)
            .words(&format!(
                "--steps 1,4,8 --variance {variance} --decoder {decoder}"
            ))
            .file("--out", &out)
            .json();
        assert_eq!(
            std::fs::read_to_string(&out).unwrap(),
            serde_json::to_string_pretty(&chosen).unwrap() + "\n"
        );
        for (steps, expected) in [1, 4, 8].into_iter().zip(with_prior(&chosen)) {
            let what = format!("{variance} {decoder} K={steps}");
            let scored = small("bpd")
                .file("--data", &data)
                .file("--schedule", &out)
                .words(&format!("--steps {steps}"))
                .json();
            assert_eq!(
                scored["path"],
                chosen["budgets"][[1, 4, 8].iter().position(|&k| k == steps).unwrap()]["path"]
            );
            let totals = numbers(&scored["total_bpd"]);
            let mean = totals.iter().sum::<f64>() / totals.len() as f64;
            assert_close(&what, &[mean], &[expected], 2e-4);
        }
    }
    // The same through a path and a profile instead of a schedules file.
    let found = small("bpd")
        .file("--data", &data)
        .words("--path 1,5,40 --variance analytic")
        .file("--profile", &profile)
        .json();
    assert_eq!(found["decoder"], "optimal");
    assert_eq!(found["terms"].as_array().unwrap().len(), 3);
}

#[test]
fn a_free_start_is_never_worse_and_analytic_variances_beat_fixed_ones() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "train", 4, 0.0);
    let budgets = |flags: &str| with_prior(&schedule(&profile, &format!("--steps 2,4,8 {flags}")));
    for variance in ["learned", "fixed-small", "analytic"] {
        let full = budgets(&format!("--variance {variance}"));
        let free = budgets(&format!("--variance {variance} --start free"));
        for (free, full) in free.iter().zip(&full) {
            assert!(free <= &(full + 1e-12), "{variance}: {free} {full}");
        }
    }
    let analytic = budgets("--variance analytic --decoder optimal");
    for fixed in ["fixed-small", "fixed-large"] {
        let fixed = budgets(&format!("--variance {fixed} --decoder optimal"));
        for (a, f) in analytic.iter().zip(&fixed) {
            assert!(a <= f, "{a} {f}");
        }
    }
    let all = schedule(&profile, "--steps all --variance fixed-small");
    assert_eq!(all["budgets"].as_array().unwrap().len(), T);
    let mse = schedule(&profile, "--steps 8 --objective mse");
    assert_eq!(mse["objective"], "mse");
}

#[test]
fn the_table_has_every_stride_variance_and_budget() {
    let folder = scratch();
    let train = small_profile(folder.path(), "train", 3, 0.0);
    let test = small_profile(folder.path(), "test", 3, 2.0);
    let table = || Ddpm::new("table").arg(&train).arg(&test);
    let found = table().words("--steps 4,8").json();
    let rows = found["rows"].as_array().unwrap();
    for variance in ["learned", "fixed-small", "fixed-large", "analytic"] {
        for steps in [4, 8] {
            let bpd = |stride: &str| {
                let row = rows
                    .iter()
                    .find(|r| {
                        r["stride"] == stride && r["variance"] == variance && r["steps"] == steps
                    })
                    .unwrap_or_else(|| panic!("{stride} {variance} {steps}"));
                assert!(row["stderr"].as_f64().unwrap() >= 0.0);
                assert_eq!(row["path"].as_array().unwrap().len(), steps + 1);
                row["bpd"].as_f64().unwrap()
            };
            assert!(
                bpd("dp").is_finite() && bpd("even").is_finite() && bpd("quadratic").is_finite()
            );
        }
        assert!(
            rows.iter()
                .any(|r| r["stride"] == "all" && r["variance"] == variance && r["steps"] == T)
        );
    }
    let text = table()
        .words("--start free --variance learned")
        .run()
        .succeeds()
        .stdout();
    for word in [
        "bits/dim",
        "clip on",
        "respaced",
        "optimal, free end",
        "±",
        "K=32",
        "optimal minus",
        "3 images of",
    ] {
        assert!(
            text.to_lowercase().contains(&word.to_lowercase()),
            "{word:?} is not in:\n{text}"
        );
    }
    // T=40 has no 64 steps: the paper's larger budgets are left out unless asked for.
    assert!(!text.contains("K=64"), "{text}");
}

/// A path of one step has no second node for the respaced decoder: every output says what stands in.
#[test]
fn one_step_is_marked_everywhere() {
    let folder = scratch();
    let train = small_profile(folder.path(), "train", 2, 0.0);
    let test = small_profile(folder.path(), "test", 2, 2.0);
    let data = folder.path().join("test.images.safetensors");
    let file = folder.path().join("s.json");
    let chosen = Ddpm::new("schedule")
        .arg(&train)
        .words("--steps 1,4")
        .file("--out", &file)
        .json();
    let scored = |value: &Value| value["scored_decoder"].as_str().unwrap().to_owned();
    assert_eq!(chosen["decoder"], "respaced");
    assert_eq!(scored(&chosen["budgets"][0]), "marginal");
    assert_eq!(scored(&chosen["budgets"][1]), "respaced");

    let table = || {
        Ddpm::new("table")
            .arg(&train)
            .arg(&test)
            .words("--steps 1,4")
    };
    for row in table().json()["rows"].as_array().unwrap() {
        let expected = match (row["decoder"].as_str().unwrap(), row["steps"] == 1) {
            ("respaced", true) => "marginal",
            (asked, _) => asked,
        };
        assert_eq!(scored(row), expected, "{row}");
    }
    let text = table().run().succeeds().stdout();
    assert!(
        text.contains("* scored with the marginal decoder: K=1"),
        "{text}"
    );
    let without = Ddpm::new("table").arg(&train).arg(&test).words("--steps 4");
    let text = without.run().succeeds().stdout();
    assert!(!text.contains("scored with the marginal"), "{text}");

    for (steps, expected) in [(1, "marginal"), (4, "respaced")] {
        let by_file = || {
            small("bpd")
                .file("--data", &data)
                .file("--schedule", &file)
                .words(&format!("--steps {steps}"))
        };
        let found = by_file().json();
        assert_eq!(found["decoder"], "respaced");
        assert_eq!(scored(&found), expected);
        let path = &chosen["budgets"][usize::from(steps == 4)]["path"];
        let path: Vec<String> = numbers(path).iter().map(f64::to_string).collect();
        let by_path = small("bpd")
            .file("--data", &data)
            .words(&format!("--path {}", path.join(",")))
            .json();
        assert_eq!(scored(&by_path), expected);
        assert_eq!(by_path["total_bpd"], found["total_bpd"]);
        let text = by_file().run().succeeds().stdout();
        assert_eq!(
            text.contains("K=1 has no second step"),
            steps == 1,
            "{text}"
        );
    }
}

#[test]
fn the_schedule_table_shows_conventions_errors_and_paths() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "train", 3, 0.0);
    let text = Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 1,4")
        .run()
        .succeeds()
        .stdout();
    for word in [
        "learned variance",
        "respaced decoder",
        "clip on",
        "start full",
        "bits/dim",
        "±",
        "K=1",
        "biased",
    ] {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

/// A fold that holds all images leaves none to choose on: nothing to be passed over in silence.
#[test]
fn one_fold_is_no_fold() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "train", 3, 0.0);
    let schedule = Ddpm::new("schedule").arg(&profile);
    schedule
        .words("--steps 2 --folds 1")
        .fails(2, &["--folds", "expected 0 for none, or 2 and more"]);
}

/// Where the step onto the data is free, doing nothing would be the best schedule.
#[test]
fn without_a_decoder_no_schedule_does_nothing() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "train", 3, 0.0);
    let schedule = |flags: &str| {
        let command = Ddpm::new("schedule").arg(&profile);
        command.words("--decoder none").words(flags)
    };
    let text = schedule("--steps 1,2,4").run().succeeds().stdout();
    assert!(text.contains("every path takes it from t = 1"), "{text}");
    for budget in schedule("--steps 2,4").json()["budgets"]
        .as_array()
        .unwrap()
    {
        assert_eq!(budget["path"][1], 1, "{budget}");
    }
    // Even paths have another first step, so that nothing compares with them.
    let pair = Ddpm::new("table").arg(&profile).arg(&profile);
    let pair = pair.words("--steps 4 --decoder none").run();
    pair.fails(2, &["--decoder", "the step onto the data is free"]);
}

#[test]
fn samples_are_the_same_whatever_the_batch_and_file() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "train", 2, 0.0);
    let schedules = folder.path().join("s.json");
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 4 --variance analytic")
        .writes(&schedules);
    let sample = |out: &str, flags: &str| {
        let out = folder.path().join(out);
        let found = small("sample")
            .file("--schedule", &schedules)
            .words("--steps 4 --count 3")
            .words(flags)
            .file("--out", &out)
            .json();
        assert_eq!(found["count"], 3);
        out
    };
    let grid = std::fs::read(sample("a.png", "")).unwrap();
    assert_eq!(&grid[..8], b"\x89PNG\r\n\x1a\n");
    assert!(std::fs::read(sample("b.png", "--batch 1 --threads 1")).unwrap() == grid);
    assert!(std::fs::read(sample("c.png", "--seed 6")).unwrap() != grid);
    let npz = std::fs::read(sample("d.npz", "")).unwrap();
    assert_eq!(&npz[..2], b"PK");
    let images = sample("folder", "");
    assert_eq!(std::fs::read_dir(&images).unwrap().count(), 3);
    // What was sampled is a data set.
    small("bpd")
        .file("--data", &images)
        .file("--schedule", &schedules)
        .words("--steps 4")
        .run()
        .succeeds();
    Ddpm::new("sample")
        .arg("x.pt")
        .words("--count 0")
        .fails(2, &["--count"]);
}
