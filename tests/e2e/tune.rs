//! `ddpm tune`: a schedule chosen by the distance of its samples.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::fid;
use crate::support::{Ddpm, images_of_shape, repository, scratch, stopped_with};

/// The shipped MNIST network, trajectories of it, a feature network and images to be near to.
struct Bench {
    folder: TempDir,
    checkpoint: PathBuf,
    flow: PathBuf,
    features: PathBuf,
    reference: PathBuf,
}

fn bench() -> Bench {
    let folder = scratch();
    let checkpoint = repository("datasets/mnist-small");
    let [flow, reference] =
        ["flow.safetensors", "real.safetensors"].map(|name| folder.path().join(name));
    images_of_shape(&reference, [96, 1, 28, 28], 0.0);
    Ddpm::new("trajectory")
        .arg(&checkpoint)
        .words("--count 2 --nodes 10 --steps 3 --sampler dpm-solver++ --coefficients fitted")
        .writes(&flow);
    Bench {
        features: fid::network(folder.path()),
        folder,
        checkpoint,
        flow,
        reference,
    }
}

impl Bench {
    fn tune(&self, words: &str, out: &Path) -> Ddpm {
        Ddpm::new("tune")
            .arg(&self.checkpoint)
            .words("--steps 3 --samples 64")
            .words(words)
            .file("--reference", &self.reference)
            .file("--features", &self.features)
            .file("--out", out)
    }

    fn on_flow(&self, words: &str, out: &Path) -> Ddpm {
        self.tune(words, out).file("--trajectories", &self.flow)
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn the_nearest_schedule_wins_whatever_interrupts_the_run() {
    let bench = bench();
    let out = bench.out("tuned.json");
    let made = bench.on_flow("", &out).json();
    let round = &made["rounds"][0]["standings"];
    let names: Vec<&str> = round
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    for of in [
        "quality, dpm-solver++",
        "quality, unipc",
        "fitted, dpm-solver++",
        "GITS on the grid, dpm-solver++",
        "even, dpm-solver++",
        "Karras, dpm-solver++",
    ] {
        assert!(names.contains(&of), "{of}: {names:?}");
    }
    let distance = |standing: &Value| standing["distance"]["value"].as_f64().unwrap();
    let distances: Vec<f64> = round.as_array().unwrap().iter().map(distance).collect();
    assert!(
        distances.windows(2).all(|pair| pair[0] <= pair[1]),
        "{distances:?}"
    );
    assert_eq!(made["winner"], names[0]);
    assert_eq!(made["judged"][0]["name"], names[0]);
    assert_eq!(made["judged"][0]["behind"]["value"], 0.0);
    // What others use is always there to be compared with.
    let usual = ["GITS", "even", "quadratic", "uniform", "Karras"];
    let judged = made["judged"].as_array().unwrap();
    assert!(judged.iter().any(|s| {
        usual
            .iter()
            .any(|name| s["name"].as_str().unwrap().starts_with(name))
    }));
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(kept["objective"], "fd");
    assert_eq!(kept["budgets"][0]["path"], made["judged"][0]["path"]);
    assert!(!bench.out("tuned.json.partial").exists());
    // The file is one like any other, and its samples are those that were judged.
    Ddpm::new("sample")
        .arg(&bench.checkpoint)
        .file("--schedule", &out)
        .words("--steps 3 --count 64 --seed 3")
        .file("--out", &bench.out("samples.npz"))
        .run()
        .succeeds();
    let again = Ddpm::new("fid")
        .arg(bench.out("samples.npz"))
        .arg(&bench.reference)
        .words("--allow-few")
        .file("--features", &bench.features)
        .json();
    let value = again["frechet"]["value"].as_f64().unwrap();
    assert!(
        (value / distance(&made["judged"][0]) - 1.0).abs() < 1e-9,
        "{value}"
    );

    // Stopped after the first samples, it goes on to the same file, and no other run does.
    let other = bench.out("other.json");
    let partial = bench.out("other.json.partial");
    let stderr = stopped_with(&partial, || bench.on_flow("", &other));
    assert!(stderr.contains("--resume"), "{stderr}");
    assert!(!other.exists());
    bench
        .on_flow("", &other)
        .fails(3, &["other.json.partial", "--resume"]);
    bench
        .on_flow("--resume --seed 5", &other)
        .fails(3, &["run.json", "seed"]);
    bench.on_flow("--resume", &other).run().succeeds();
    assert_eq!(std::fs::read(&other).unwrap(), std::fs::read(&out).unwrap());
}

/// The paper's remedy is judged where there is what it needs.
#[test]
fn a_profile_makes_the_reweighted_objective_a_candidate() {
    let bench = bench();
    let profile = bench.out("p.safetensors");
    Ddpm::new("profile")
        .arg(&bench.checkpoint)
        .file("--data", &bench.reference)
        .words("--limit 8 --evaluations 64")
        .writes(&profile);
    let schedules = bench.out("mse.json");
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--objective mse --steps 3")
        .writes(&schedules);
    let text = std::fs::read_to_string(&schedules).unwrap();
    let chosen: Value = serde_json::from_str(&text).unwrap();
    let tuned = bench
        .on_flow("", &bench.out("tuned.json"))
        .file("--profile", &profile);
    let made = tuned.json();
    let standings = made["rounds"][0]["standings"].as_array().unwrap();
    let named = |s: &&Value| s["name"] == "reweighted MSE, dpm-solver++";
    let standing = standings.iter().find(named).expect("a candidate");
    assert_eq!(standing["path"], chosen["budgets"][0]["path"]);
}

#[test]
fn wrong_requests_are_named() {
    let bench = bench();
    let out = bench.out("tuned.json");
    bench
        .on_flow("--objective elbo", &out)
        .fails(2, &["--objective", "fd", "kid"]);
    bench.on_flow("--samples 63", &out).fails(2, &["--samples"]);
    bench
        .tune("--coefficients fitted", &out)
        .file("--trajectories", &bench.flow)
        .fails(2, &["--trajectories"]);
    let statistics = bench.out("real.npz");
    Ddpm::new("fid")
        .arg(&bench.reference)
        .words("--allow-few")
        .file("--features", &bench.features)
        .file("--save-statistics", &statistics)
        .run()
        .succeeds();
    let on = |words: &str| {
        Ddpm::new("tune")
            .arg(&bench.checkpoint)
            .words("--steps 3 --samples 64")
            .words(words)
            .file("--trajectories", &bench.flow)
            .file("--reference", &statistics)
            .file("--features", &bench.features)
            .file("--out", &out)
    };
    on("--objective kid").fails(2, &["real.npz", "statistics"]);
    let many = Ddpm::new("tune")
        .arg(&bench.checkpoint)
        .words("--steps 11 --samples 64")
        .file("--trajectories", &bench.flow)
        .file("--reference", &bench.reference)
        .file("--features", &bench.features)
        .file("--out", &out);
    many.fails(3, &["--steps", "10"]);
    assert!(!out.exists() && !bench.out("tuned.json.partial").exists());
}
