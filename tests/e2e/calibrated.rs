//! Calibrated kernels from end to end: profile, schedule, table, direct evaluation and samples, with the profile moved away.

use serde_json::Value;

use crate::support::{
    Ddpm, assert_close, numbers, scratch, small, small_images, small_profile, write_npy,
};

/// Enough images for corrections: the small network learns nothing, so that they have much to correct.
const IMAGES: usize = 32;

fn total(scored: &Value) -> f64 {
    let totals = numbers(&scored["total_bpd"]);
    totals.iter().sum::<f64>() / totals.len() as f64
}

#[test]
fn a_schedules_file_is_all_that_calibrated_kernels_need() {
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    let profile = small_profile(folder.path(), "train", IMAGES, 0.0);
    let data = path("train.images.safetensors");
    let mut files = Vec::new();
    for (name, flags) in [
        ("spectral", "--variance spectral"),
        ("spectral-network", "--variance spectral --mean network"),
        ("analytic", "--variance analytic --mean calibrated"),
        ("learned-calibrated", "--variance learned-calibrated"),
        ("best", "--variance best"),
    ] {
        let out = path(&format!("{name}.json"));
        let chosen = Ddpm::new("schedule")
            .arg(&profile)
            .words(&format!("--steps 1,3,6 --folds 2 {flags}"))
            .file("--out", &out)
            .json();
        let cost = |k: usize| {
            let budget = &chosen["budgets"][k];
            budget["cost"].as_f64().unwrap() + budget["prior_bpd"].as_f64().unwrap()
        };
        assert_eq!(chosen["version"], 7, "{name}");
        files.push((name, out, [cost(0), cost(1), cost(2)]));
    }
    // Freer kernels cost less on the images that chose them.
    for k in 0..3 {
        let cost = |i: usize| files[i].2[k];
        assert!(
            cost(0) <= cost(1) + 1e-12 && cost(0) <= cost(2) + 1e-12,
            "{k}"
        );
        assert!(
            cost(4) <= cost(0) + 1e-12 && cost(4) <= cost(3) + 1e-12,
            "{k}"
        );
    }
    // A path and a profile instead of a file.
    let named = small("bpd")
        .file("--data", &data)
        .words("--limit 4 --path 2,9,40 --variance spectral")
        .file("--profile", &profile)
        .json();
    assert_eq!(
        (&named["mean"], &named["decoder"]),
        (&"calibrated".into(), &"optimal".into())
    );
    std::fs::rename(&profile, path("elsewhere")).unwrap();
    for (name, file, costs) in &files {
        for (steps, expected) in [1, 3, 6].into_iter().zip(costs) {
            let scored = small("bpd")
                .file("--data", &data)
                .file("--schedule", file)
                .words(&format!("--steps {steps}"))
                .json();
            let what = format!("{name} K={steps}");
            assert_close(&what, &[total(&scored)], &[*expected], 2e-4);
        }
        let samples = path(&format!("{name}.npz"));
        let run = |out: &std::path::Path, flags: &str| {
            small("sample")
                .file("--schedule", file)
                .words(&format!("--steps 3 --count 2 {flags}"))
                .writes(out);
        };
        run(&samples, "");
        // The same bytes in another batch, and other ones where other steps are taken.
        let again = path(&format!("{name}-again.npz"));
        run(&again, "--batch 1");
        assert_eq!(
            std::fs::read(&samples).unwrap(),
            std::fs::read(&again).unwrap()
        );
        let ddim = path(&format!("{name}-ddim.npz"));
        run(&ddim, "--sampler ddim");
        assert_ne!(
            std::fs::read(&samples).unwrap(),
            std::fs::read(&ddim).unwrap()
        );
    }
}

#[test]
fn columns_and_arrays_say_what_they_leave_out_of_calibrated_kernels() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "train", IMAGES, 0.0);
    let file = folder.path().join("s.json");
    for (flags, variances, mean) in [
        ("--variance spectral", true, true),
        ("--variance spectral --mean network", true, false),
        ("--variance analytic --mean calibrated", false, true),
        ("--variance learned-calibrated", true, false),
        ("--variance learned", false, false),
    ] {
        Ddpm::new("schedule")
            .arg(&profile)
            .words(&format!("--steps 3 {flags}"))
            .writes(&file);
        let text = Ddpm::new("export")
            .arg(&file)
            .words("--format csv")
            .run()
            .succeeds()
            .stdout();
        let says = |words: &str| {
            text.lines()
                .any(|l| l.starts_with('#') && l.contains(words))
        };
        assert_eq!(says("one number here"), variances, "{flags}: {text}");
        assert_eq!(
            says("Not taken over: the calibrated mean"),
            mean,
            "{flags}: {text}"
        );
        let array = Ddpm::new("export").arg(&file).words("--format npy");
        let lost = array
            .over("--out", &folder.path().join("s.npy"))
            .run()
            .succeeds()
            .stderr();
        assert_eq!(lost.contains("calibrated mean"), mean, "{flags}: {lost}");
        assert!(lost.contains("variances"), "{flags}: {lost}");
        // What the schedules are is said whole.
        assert_eq!(
            text.lines().next().unwrap().contains("calibrated mean"),
            mean
        );
    }
}

#[test]
fn a_report_tells_the_mean_of_schedules_and_evaluations() {
    let folder = scratch();
    let results = folder.path().join("results");
    std::fs::create_dir(&results).unwrap();
    let profile = small_profile(folder.path(), "train", IMAGES, 0.0);
    let data = folder.path().join("train.images.safetensors");
    for (name, mean) in [("own", "network"), ("corrected", "calibrated")] {
        let out = results.join(format!("{name}.json"));
        Ddpm::new("schedule")
            .arg(&profile)
            .words(&format!(
                "--variance spectral --mean {mean} --steps 3 --folds 0"
            ))
            .writes(&out);
        let scored = small("bpd")
            .file("--data", &data)
            .words("--limit 2 --steps 3")
            .file("--schedule", &out)
            .json();
        std::fs::write(results.join(format!("{name}.bpd.json")), scored.to_string()).unwrap();
    }
    let found = Ddpm::new("report").arg(&results).json();
    let mean = |file: &str| {
        let schedules = found["schedules"].as_array().unwrap().iter();
        let mut of = schedules.filter(|s| s["file"] == file);
        of.next().unwrap()["mean"].clone()
    };
    assert_eq!(mean("own.json"), "network");
    assert_eq!(mean("corrected.json"), "calibrated");
    let html = std::fs::read_to_string(results.join("report.html")).unwrap();
    let evaluations = &html[html.find("id=\"evaluations\"").unwrap()..];
    let evaluations = &evaluations[..evaluations.find("</table>").unwrap()];
    assert_eq!(
        evaluations.matches("spectral + mean").count(),
        1,
        "{evaluations}"
    );
    assert_eq!(evaluations.matches("spectral").count(), 2, "{evaluations}");
}

#[test]
fn every_sampler_takes_a_calibrated_mean_from_a_profile() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "train", IMAGES, 0.0);
    for sampler in [
        "ddpm",
        "ddim",
        "dpm-solver++",
        "dpm-solver++3m",
        "ipndm",
        "unipc3",
    ] {
        let run = |name: &str, flags: &str| {
            let out = folder.path().join(format!("{name}.npz"));
            small("sample")
                .words(&format!(
                    "--path 3,12,40 --count 2 --sampler {sampler} {flags}"
                ))
                .file("--profile", &profile)
                .writes(&out);
            std::fs::read(out).unwrap()
        };
        let calibrated = run(&format!("{sampler}-calibrated"), "--mean calibrated");
        let plain = folder.path().join(format!("{sampler}-plain.npz"));
        small("sample")
            .words(&format!("--path 3,12,40 --count 2 --sampler {sampler}"))
            .writes(&plain);
        assert_ne!(calibrated, std::fs::read(plain).unwrap(), "{sampler}");
    }
}

#[test]
fn tables_show_every_variance_that_both_profiles_allow() {
    let folder = scratch();
    let train = small_profile(folder.path(), "train", IMAGES, 0.0);
    let test = small_profile(folder.path(), "test", IMAGES, 2.0);
    let found = Ddpm::new("table")
        .arg(&train)
        .arg(&test)
        .words("--steps 3")
        .json();
    let rows = found["rows"].as_array().unwrap();
    let mean = |variance: &str| {
        let row = rows.iter().find(|row| row["variance"] == variance);
        row.unwrap_or_else(|| panic!("{variance}"))["mean"].clone()
    };
    assert_eq!(mean("spectral"), "calibrated");
    assert_eq!(mean("best"), "calibrated");
    for variance in [
        "learned",
        "fixed-small",
        "fixed-large",
        "analytic",
        "learned-calibrated",
    ] {
        assert_eq!(mean(variance), "network", "{variance}");
    }
    let text = Ddpm::new("table")
        .arg(&train)
        .arg(&test)
        .words("--steps 3 --variance spectral,analytic --mean network")
        .run()
        .succeeds()
        .stdout();
    assert!(!text.contains("+ mean"), "{text}");
}

#[test]
fn what_calibration_needs_is_named() {
    let folder = scratch();
    let plain = folder.path().join("plain.profile");
    let data = folder.path().join("images.safetensors");
    small_images(&data, 3, 0.0);
    small("profile")
        .file("--data", &data)
        .words("--no-bands")
        .writes(&plain);
    let schedule = |flags: &str| Ddpm::new("schedule").arg(&plain).words(flags);
    schedule("--variance spectral").fails(
        3,
        &["plain.profile", "spectral variance", "without --no-bands"],
    );
    schedule("--variance analytic --mean calibrated").fails(3, &["calibrated mean", "bands"]);
    schedule("--variance learned --mean calibrated").fails(2, &["network's own mean"]);
    // A mean that a table cannot show is an error, one that it shows in some rows a warning.
    let train = small_profile(folder.path(), "train", IMAGES, 0.0);
    let table = |flags: &str| {
        Ddpm::new("table")
            .arg(&train)
            .arg(&train)
            .words("--steps 2")
            .words(flags)
    };
    table("--variance learned --mean calibrated").fails(3, &["--mean", "calibrated", "learned"]);
    let some = table("--variance learned,analytic --mean calibrated");
    let told = some.run().succeeds().stderr();
    assert!(
        told.contains("--mean calibrated does not go with learned:"),
        "{told}"
    );
    let sample = |flags: &str| {
        small("sample")
            .words(flags)
            .file("--out", &folder.path().join("s.npz"))
    };
    sample("--path even:3 --count 1 --variance spectral")
        .fails(2, &["--variance spectral", "--profile"]);
    sample("--path even:3 --count 1 --mean calibrated")
        .fails(2, &["--mean calibrated", "--profile"]);
    // A run with bands does not go on from one without.
    small("profile")
        .file("--data", &data)
        .words("--resume")
        .file("--out", &plain)
        .fails(3, &["plain.profile", "another run"]);
}

/// Trajectories of the corrected network give schedules that sample with the same corrections, with profile and trajectories moved
/// away.
#[test]
fn a_quality_schedule_of_the_corrected_flow_samples_with_its_corrections() {
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    let profile = small_profile(folder.path(), "train", IMAGES, 0.0);
    let trajectories = path("corrected.safetensors");
    let follow = |out: &std::path::Path| {
        small("trajectory")
            .words("--count 2 --nodes 12 --steps 3 --mean calibrated")
            .file("--profile", &profile)
            .file("--out", out)
    };
    let made = follow(&trajectories).json();
    assert_eq!(made["mean"], "calibrated");
    let plain = small("trajectory")
        .words("--count 2 --nodes 12 --steps 3")
        .file("--out", &path("plain.safetensors"))
        .json();
    assert_eq!(plain["mean"], "network");
    assert_ne!(made["trials"], plain["trials"]);
    // The profile's corrections are part of the run.
    small("trajectory")
        .words("--count 2 --nodes 12 --steps 3 --resume")
        .file("--out", &trajectories)
        .fails(3, &["corrected.safetensors", "mean", "calibrated"]);
    small("trajectory")
        .words("--count 2 --mean calibrated")
        .file("--out", &path("none"))
        .fails(2, &["--mean calibrated", "--profile"]);
    small("trajectory")
        .words("--count 2")
        .file("--profile", &profile)
        .file("--out", &path("none"))
        .fails(2, &["--profile", "--mean calibrated"]);

    let schedules = path("quality.json");
    let chosen = Ddpm::new("schedule")
        .arg(&trajectories)
        .words("--objective quality --sampler ddim --steps 3")
        .file("--out", &schedules)
        .json();
    assert_eq!(
        (&chosen["version"], &chosen["mean"]),
        (&5.into(), &"calibrated".into())
    );
    let data = path("train.images.safetensors");
    let scored = small("bpd")
        .file("--data", &data)
        .file("--schedule", &schedules)
        .words("--steps 3 --limit 1");
    let told = scored.run().succeeds().stderr();
    assert!(told.contains("no bits/dim of images"), "{told}");
    let nodes: Vec<String> = numbers(&chosen["budgets"][0]["path"])
        .iter()
        .skip(1)
        .map(|t| t.to_string())
        .collect();
    let named = path("named.npz");
    small("sample")
        .words(&format!(
            "--path {} --sampler ddim --mean calibrated --count 3",
            nodes.join(",")
        ))
        .file("--profile", &profile)
        .writes(&named);
    std::fs::rename(&profile, path("elsewhere")).unwrap();
    std::fs::remove_file(&trajectories).unwrap();
    let samples = path("samples.npz");
    small("sample")
        .file("--schedule", &schedules)
        .words("--steps 3 --count 3")
        .writes(&samples);
    assert_eq!(
        std::fs::read(named).unwrap(),
        std::fs::read(samples).unwrap()
    );
}

/// Rings and a basis of one's own are part of the profile; one without meaning is refused.
#[test]
fn a_profile_takes_rings_and_a_basis_of_channels() {
    let folder = scratch();
    let path = |name: &str| folder.path().join(name);
    let data = path("images.safetensors");
    small_images(&data, 24, 0.0);
    let profile = |name: &str, flags: &str| {
        let out = path(name);
        small("profile")
            .file("--data", &data)
            .words(flags)
            .writes(&out);
        out
    };
    let basis = |name: &str, shape: &[usize], values: &[f64]| {
        write_npy(&path(name), shape, values);
        path(name)
    };
    let (c, s) = (0.6, 0.8);
    let turned = basis(
        "turned.npy",
        &[3, 3],
        &[c, s, 0.0, -s, c, 0.0, 0.0, 0.0, 1.0],
    );
    let cost = |profile: &std::path::Path| {
        let chosen = Ddpm::new("schedule")
            .arg(profile)
            .words("--variance spectral --mean network --steps 3")
            .json();
        chosen["budgets"][0]["cost"].as_f64().unwrap()
    };
    let usual = cost(&profile("usual.p", ""));
    let same = cost(&profile("same.p", "--bands 23"));
    let one = cost(&profile("one.p", "--bands 1"));
    let other = cost(&profile(
        "turned.p",
        &format!("--channel-basis {}", turned.display()),
    ));
    assert_eq!(usual, same);
    // Few bands pool what many tell apart (Jensen).
    assert!(one > usual && other != usual, "{one} {other} {usual}");
    // Not of another number of rings.
    small("profile")
        .file("--data", &data)
        .words("--bands 3 --resume")
        .file("--out", &path("one.p"))
        .fails(3, &["one.p", "another run"]);
    let refused = |file: &std::path::Path, words: &[&str]| {
        small("profile")
            .file("--data", &data)
            .file("--channel-basis", file)
            .file("--out", &path("none.p"))
            .fails(3, words);
    };
    refused(
        &basis("two.npy", &[2, 2], &[1.0, 0.0, 0.0, 1.0]),
        &["two.npy", "[3, 3]"],
    );
    refused(
        &basis("skew.npy", &[3, 3], &[0.5; 9]),
        &["skew.npy", "product of two rows"],
    );
    refused(&path("absent.npy"), &["absent.npy"]);
    assert!(!path("none.p").exists());
}
