//! `ddpm trajectory` and `ddpm schedule --objective quality|klub`: from a checkpoint to schedules for sample quality.

use serde_json::Value;

use crate::support::{Ddpm, numbers, repository, scratch, small, small_images, stopped_with};

#[test]
fn a_checkpoint_gives_quality_schedules_in_two_commands() {
    let folder = scratch();
    let file = folder.path().join("trajectories.safetensors");
    let made = small("trajectory")
        .words("--count 3 --nodes 16 --steps 3,5")
        .file("--out", &file)
        .json();
    assert_eq!(
        (made["count"].as_u64(), made["process"].as_str()),
        (Some(3), Some("flow"))
    );
    assert_eq!(made["nodes"].as_array().unwrap().len(), 16);
    let trials = made["trials"].as_array().unwrap();
    for sampler in ["ddim", "dpm-solver++"] {
        let schedules = Ddpm::new("schedule")
            .arg(&file)
            .words("--objective quality --steps 3,5,7 --sampler")
            .arg(sampler)
            .json();
        assert_eq!(schedules["objective"], "quality");
        assert_eq!(schedules["sampler"], sampler);
        assert_eq!(numbers_or_null(&schedules["costs"]), (40, 16));
        for budget in schedules["budgets"].as_array().unwrap() {
            let path = budget["path"].as_array().unwrap();
            assert_eq!(path.len() as u64, budget["steps"].as_u64().unwrap() + 1);
            assert_eq!(
                (path[0].as_u64(), path.last().unwrap().as_u64()),
                (Some(0), Some(40))
            );
            // The closest of those that were run, where any was.
            let tried = trials
                .iter()
                .filter(|t| t["sampler"] == sampler && t["steps"] == budget["steps"]);
            let closest = tried.min_by(|a, b| {
                a["distance"]
                    .as_f64()
                    .unwrap()
                    .total_cmp(&b["distance"].as_f64().unwrap())
            });
            match closest {
                Some(trial) => {
                    assert_eq!(budget["path"], trial["path"]);
                    assert_eq!(budget["distance"], trial["distance"]);
                }
                None => assert!(budget["distance"].is_null() && budget["steps"] == 7),
            }
        }
    }
    // UniPC has no schedules of its own and follows those of the two-step solver; DDIM's are not for it.
    for (of, warns) in [("dpm-solver++", false), ("ddim", true)] {
        let schedules = folder.path().join(format!("{of}.json"));
        Ddpm::new("schedule")
            .arg(&file)
            .words("--objective quality --steps 3 --sampler")
            .arg(of)
            .writes(&schedules);
        let told = small("sample")
            .file("--schedule", &schedules)
            .words("--steps 3 --count 1 --sampler unipc")
            .file("--out", &folder.path().join(format!("{of}.png")))
            .run()
            .succeeds()
            .stderr();
        assert_eq!(told.contains("chosen for the sampler"), warns, "{told}");
    }
    // The file is the same whatever the batch and the number of threads.
    let again = folder.path().join("again.safetensors");
    small("trajectory")
        .words("--count 3 --nodes 16 --steps 3,5 --batch 2 --threads 1")
        .file("--out", &again)
        .run()
        .succeeds();
    assert_eq!(
        std::fs::read(&file).unwrap(),
        std::fs::read(&again).unwrap()
    );
}

/// How many entries there are, and how many are numbers.
fn numbers_or_null(costs: &Value) -> (usize, usize) {
    let costs = costs.as_array().unwrap();
    (costs.len(), costs.iter().filter(|c| c.is_f64()).count())
}

#[test]
fn an_interrupted_trajectory_resumes_to_the_same_bytes() {
    let folder = scratch();
    let [file, partial] = ["t", "t.partial"].map(|name| folder.path().join(name));
    // No save falls due before Ctrl-C: it is what saves.
    let command = || {
        small("trajectory")
            .words("--count 4 --nodes 40 --steps 4 --batch 1 --threads 1 --save-every 3600")
            .file("--out", &file)
    };
    let stderr = stopped_with(&partial, command);
    assert!(
        stderr.contains("--resume") && stderr.contains("t.partial"),
        "{stderr}"
    );
    assert!(!file.exists(), "no half trajectories");

    // What is there is not thrown away silently, nor mistaken for the whole, nor given to another run.
    command().fails(3, &["t.partial", "--resume"]);
    Ddpm::new("schedule")
        .arg(&partial)
        .words("--objective quality")
        .fails(3, &["t.partial", "has ended", "--resume"]);
    command()
        .words("--resume --seed 7")
        .fails(3, &["t.partial", "seed", "7"]);

    command().words("--resume").run().succeeds();
    assert!(!partial.exists());
    let resumed = std::fs::read(&file).unwrap();
    // A finished run has nothing left to do, takes further numbers of steps, and is not overwritten by another one.
    command().words("--resume").run().succeeds();
    assert!(std::fs::read(&file).unwrap() == resumed);
    command()
        .words("--resume --seed 7")
        .fails(3, &["t:", "seed", "7"]);
    let further = |out: &std::path::Path| {
        small("trajectory")
            .words("--count 4 --nodes 40 --steps 4,6,6")
            .file("--out", out)
    };
    further(&file).words("--resume").run().succeeds();
    let direct = folder.path().join("direct");
    further(&direct).run().succeeds();
    assert!(std::fs::read(&file).unwrap() == std::fs::read(&direct).unwrap());
    std::fs::remove_file(&file).unwrap();
    command().run().succeeds();
    assert!(std::fs::read(&file).unwrap() == resumed, "a run at one go");
}

#[test]
fn samples_follow_a_quality_schedule() {
    let folder = scratch();
    let [file, schedules, samples] =
        ["t.safetensors", "s.json", "samples"].map(|name| folder.path().join(name));
    small("trajectory")
        .words("--count 2 --nodes 8 --steps none --sampler ddim")
        .file("--out", &file)
        .run()
        .succeeds();
    let text = Ddpm::new("schedule")
        .arg(&file)
        .words("--objective quality --sampler ddim --steps 4")
        .file("--out", &schedules)
        .run()
        .succeeds()
        .stdout();
    assert!(
        text.contains("for ddim") && text.contains("objective quality"),
        "{text}"
    );
    small("sample")
        .file("--schedule", &schedules)
        .words("--steps 4 --count 2")
        .file("--out", &samples)
        .run()
        .succeeds();
    assert_eq!(std::fs::read_dir(&samples).unwrap().count(), 2);
    // Growth was measured for the sampler asked for alone.
    Ddpm::new("schedule")
        .arg(&file)
        .words("--objective quality --sampler dpm-solver++ --steps 4")
        .fails(
            3,
            &["t.safetensors", "growth of errors", "measured for ddim"],
        );
    // The schedule says which sampler it is for; another one is taken with a warning.
    let record = |name: &str| -> Value {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(record("samples.run.json")["sampler"], "ddim");
    let warned = small("sample")
        .file("--schedule", &schedules)
        .words("--steps 4 --count 2 --sampler ddpm")
        .file("--out", &folder.path().join("others"))
        .run()
        .succeeds()
        .stderr();
    assert!(warned.contains("chosen for the sampler ddim"), "{warned}");
    assert_eq!(record("others.run.json")["sampler"], "ddpm");
    // A record that was edited into nonsense is no noise to start from.
    let file = folder.path().join("others.run.json");
    let text = std::fs::read_to_string(&file).unwrap();
    for (kept, nonsense) in [
        ("\"count\": 2", "\"count\": 0"),
        ("\"count\": 2", "\"count\": 18446744073709551615"),
        (
            "\"start_index\": 0",
            "\"start_index\": 18446744073709551614",
        ),
    ] {
        assert!(text.contains(kept), "{text}");
        std::fs::write(&file, text.replace(kept, nonsense)).unwrap();
        small("sample")
            .words("--path even:4")
            .file("--noise-from", &folder.path().join("others"))
            .file("--out", &folder.path().join("more"))
            .fails(3, &["others.run.json", "found"]);
    }
}

#[test]
fn fitted_coefficients_go_from_trajectories_to_samples_and_exports() {
    let folder = scratch();
    let [file, npz] = ["t.safetensors", "s.npz"].map(|name| folder.path().join(name));
    let made = small("trajectory")
        .words("--count 4 --nodes 10 --steps 3 --sampler dpm-solver++ --coefficients fitted-bands,fitted")
        .file("--out", &file)
        .json();
    let kinds: Vec<&str> = made["trials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["coefficients"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[kinds.len() - 2..], ["fitted", "fitted-bands"]);
    assert!(
        kinds[..kinds.len() - 2]
            .iter()
            .all(|&kind| kind == "solver")
    );
    let schedule = |words: &str| {
        Ddpm::new("schedule")
            .arg(&file)
            .words("--objective quality")
            .words(words)
    };
    // Where nobody says, what ended closest is taken.
    let distance = |words: &str| {
        schedule(words).json()["budgets"][0]["distance"]
            .as_f64()
            .unwrap()
    };
    let kinds =
        ["solver", "fitted", "fitted-bands"].map(|kind| format!("--steps 3 --coefficients {kind}"));
    let closest = kinds
        .iter()
        .map(|words| distance(words))
        .fold(f64::MAX, f64::min);
    assert_eq!(distance("--steps 3"), closest);
    assert_eq!(
        schedule("").json()["coefficients"],
        schedule("--steps 3").json()["coefficients"]
    );
    // Nothing was taught for four steps.
    assert!(schedule("--steps 4").json()["coefficients"].is_null());
    for kind in ["fitted", "fitted-bands"] {
        let schedules = folder.path().join(format!("{kind}.json"));
        // What was tried is what there is.
        let text = schedule("--coefficients")
            .arg(kind)
            .file("--out", &schedules)
            .run()
            .succeeds()
            .stdout();
        let words = if kind == "fitted" {
            "fitted coefficients"
        } else {
            "coefficients fitted per band"
        };
        assert!(text.contains(words), "{text}");
        let kept: Value =
            serde_json::from_str(&std::fs::read_to_string(&schedules).unwrap()).unwrap();
        assert_eq!(
            (&kept["version"], &kept["coefficients"]),
            (&Value::from(6), &Value::from(kind))
        );
        let fitted = kept["budgets"][0]["fitted"].as_array().unwrap();
        let terms: Vec<usize> = fitted
            .iter()
            .map(|step| step.as_array().unwrap().len())
            .collect();
        // The step onto the data and the first one look back on nothing.
        assert_eq!(terms, [2, 3, 2]);
        let export = |format: &str| {
            let out = folder.path().join(format!("{kind}.{format}"));
            let told = Ddpm::new("export")
                .arg(&schedules)
                .words("--format")
                .arg(format)
                .file("--out", &out);
            told.run().succeeds().stderr()
        };
        assert!(!export("diffusers").contains("fitted"));
        assert!(export("csv").contains(words));
        assert!(
            export("k-diffusion").contains(&format!("the {words} (the sampler's own are used)"))
        );
        let sample = |words: &str| {
            small("sample")
                .file("--schedule", &schedules)
                .words("--steps 3 --count 2")
                .words(words)
        };
        let text = sample("").file("--out", &npz).run().succeeds().stdout();
        assert!(text.contains(words), "{text}");
        let record = std::fs::read_to_string(folder.path().join("s.npz.run.json")).unwrap();
        assert!(
            record.contains(&format!("\"coefficients\": \"{kind}\"")),
            "{record}"
        );
        let other = sample("--sampler unipc").file("--out", &folder.path().join("other.npz"));
        let told = other.run().succeeds().stderr();
        assert!(told.contains("takes its own steps"), "{told}");
        for left in ["s.npz", "s.npz.run.json", "other.npz", "other.npz.run.json"] {
            std::fs::remove_file(folder.path().join(left)).unwrap();
        }
    }
    // Folders of samples of one kind are not gone on with by another.
    let sample = |kind: &str| {
        small("sample")
            .file("--schedule", &folder.path().join(format!("{kind}.json")))
            .words("--steps 3 --count 2 --resume")
            .file("--out", &folder.path().join("samples"))
    };
    sample("fitted").run().succeeds();
    sample("fitted-bands").fails(3, &["coefficients differs", "fitted-bands"]);
    schedule("--coefficients fitted --steps 4").fails(
        3,
        &[
            "t.safetensors",
            "trial of 4 steps",
            "K = 3",
            "--coefficients",
        ],
    );
    schedule("--coefficients history").fails(3, &["t.safetensors", "history coefficients", "none"]);
    Ddpm::new("schedule")
        .arg(&file)
        .words("--objective klub --coefficients fitted")
        .fails(2, &["--coefficients", "klub"]);
    Ddpm::new("schedule")
        .arg(&file)
        .words("--coefficients fitted")
        .fails(2, &["--coefficients", "quality"]);
    let trajectory = |words: &str| small("trajectory").words(words).file("--out", &npz);
    trajectory("--count 1 --coefficients fitted").fails(3, &["--count", "at least 2"]);
    trajectory("--coefficients best").fails(2, &["fitted-bands"]);
    trajectory("--forward --coefficients fitted").fails(2, &["--coefficients"]);
    // A number that was edited is noticed, and so are coefficients that no step has.
    let file = folder.path().join("fitted.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace(
            "\"coefficients\": \"fitted\"",
            "\"coefficients\": \"solver\"",
        ),
    )
    .unwrap();
    sample("fitted").fails(3, &["fitted.json", "checksum"]);
}

#[test]
fn the_bound_of_align_your_steps_is_chosen_on_the_forward_process() {
    let folder = scratch();
    let [data, file] =
        ["images.safetensors", "forward.safetensors"].map(|name| folder.path().join(name));
    small_images(&data, 4, 0.0);
    let made = small("trajectory")
        .words("--forward --count 4 --nodes 20")
        .file("--data", &data)
        .file("--out", &file)
        .json();
    assert_eq!(
        (made["process"].as_str(), made["evaluations"].as_u64()),
        (Some("forward"), Some(80))
    );
    let found = Ddpm::new("schedule")
        .arg(&file)
        .words("--objective klub --steps all")
        .json();
    assert_eq!(
        (found["objective"].as_str(), found["unit"].as_str()),
        (Some("klub"), Some("nats/dim"))
    );
    let costs = numbers(&Value::from(
        found["costs"].as_array().unwrap()[..20].to_vec(),
    ));
    assert!(
        costs.windows(2).all(|pair| pair[1] <= pair[0]),
        "more steps are a tighter bound: {costs:?}"
    );
    Ddpm::new("schedule")
        .arg(&file)
        .words("--objective quality")
        .fails(
            3,
            &[
                "expected trajectories of the probability flow",
                "forward.safetensors",
            ],
        );
}

#[test]
fn wrong_requests_are_named() {
    let folder = scratch();
    let file = folder.path().join("t.safetensors");
    let trajectory = |words: &str| small("trajectory").words(words).file("--out", &file);
    trajectory("--nodes 41").fails(3, &["--nodes", "2..=40", "41"]);
    trajectory("--nodes 10 --steps 11").fails(3, &["--steps", "K=11", "1 to 10"]);
    trajectory("--steps all").fails(3, &["--steps", "none"]);
    trajectory("--sampler heun").fails(3, &["--sampler", "heun", "ddim"]);
    trajectory("--sampler unipc").fails(
        3,
        &[
            "--sampler: expected one that schedules are chosen for",
            "unipc, whose schedules are those of dpm-solver++",
        ],
    );
    trajectory("--class 1").fails(3, &["--class", "not class-conditional"]);
    trajectory("--limit 3").fails(2, &["--forward"]);
    trajectory("--forward").fails(2, &["--data"]);
    let images = folder.path().join("images.safetensors");
    small_images(&images, 2, 0.0);
    trajectory("--forward --count 1 --class 1")
        .file("--data", &images)
        .fails(3, &["--class", "not class-conditional"]);
    trajectory("--forward --steps 3").fails(2, &["--steps"]);
    assert!(!file.exists());
    trajectory("--count 1 --nodes 6 --steps none --sampler ddim")
        .run()
        .succeeds();
    let schedule = |words: &str| Ddpm::new("schedule").arg(&file).words(words);
    schedule("--objective quality --steps 7").fails(3, &["--steps", "K=7", "at most 6"]);
    schedule("--objective quality --variance learned").fails(2, &["--variance", "quality"]);
    schedule("--objective quality --start free").fails(2, &["--start"]);
    schedule("--objective quality --folds 4").fails(2, &["--folds", "quality"]);
    schedule("--objective klub --sampler ddim").fails(2, &["--sampler"]);
    schedule("--sampler ddim").fails(2, &["--sampler", "quality"]);
    schedule("").fails(
        3,
        &[
            "t.safetensors",
            "not an elbo profile",
            "--objective quality",
        ],
    );
    Ddpm::new("schedule")
        .words("--objective quality")
        .fails(2, &["ddpm trajectory"]);
    // A cut file.
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    schedule("--objective quality").fails(3, &["t.safetensors", "cut short", "ddpm trajectory"]);
}

/// Samplers of third order have schedules of their own, with their own coefficients and with fitted ones, and samples take them.
#[test]
fn schedules_of_third_order_are_chosen_taught_sampled_and_exported() {
    let folder = scratch();
    let [file, schedules] = ["t", "s.json"].map(|name| folder.path().join(name));
    small("trajectory")
        .words(
            "--count 3 --nodes 12 --steps 5 --sampler dpm-solver++3m,ipndm --coefficients fitted",
        )
        .writes(&file);
    for sampler in ["dpm-solver++3m", "ipndm"] {
        for kind in ["solver", "fitted"] {
            Ddpm::new("schedule")
                .arg(&file)
                .words("--objective quality --steps 5 --sampler")
                .arg(sampler)
                .words("--coefficients")
                .arg(kind)
                .writes(&schedules);
            let kept: Value =
                serde_json::from_str(&std::fs::read_to_string(&schedules).unwrap()).unwrap();
            assert_eq!(kept["sampler"], sampler);
            let budget = &kept["budgets"][0];
            if kind == "fitted" {
                let fitted = budget["fitted"].as_array().unwrap().iter();
                let terms: Vec<usize> = fitted.map(|c| c.as_array().unwrap().len()).collect();
                // Two nodes before, as soon as there are two; none for the step onto the data.
                assert_eq!(terms, [2, 4, 4, 3, 2], "{sampler}");
            }
            let sample = |name: &str, words: &str| {
                let out = folder.path().join(format!("{sampler}-{kind}-{name}.npz"));
                small("sample")
                    .file("--schedule", &schedules)
                    .words("--steps 5 --count 2 --batch")
                    .words(words)
                    .writes(&out);
                std::fs::read(out).unwrap()
            };
            let text = sample("one", "1");
            assert_eq!(text, sample("two", "2 --threads 1"), "{sampler} {kind}");
            let exported = Ddpm::new("export")
                .arg(&schedules)
                .words("--format diffusers")
                .run()
                .succeeds()
                .stdout();
            let own_scheduler = exported.contains("CalibratedScheduler");
            assert_eq!(
                own_scheduler,
                (sampler, kind) != ("dpm-solver++3m", "solver")
            );
        }
    }
    // Pairs of nodes before are too many among more than 160.
    Ddpm::new("trajectory")
        .arg(repository("datasets/cifar10-small.safetensors"))
        .words("--count 1 --nodes 161 --sampler ipndm")
        .file("--out", &folder.path().join("large"))
        .fails(3, &["--nodes", "at most 160 for ipndm", "161"]);
}
