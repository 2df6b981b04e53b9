//! What a newcomer meets in the first hour: flags that weights cannot tell, one image, a run that was left, numbers with their errors.

use serde_json::Value;

use crate::support::{
    Ddpm, images_of_shape, scratch, small, small_checkpoint, small_images, small_profile,
};

const PROCESS: &str = "--train-steps 40 --noise-schedule cosine --rescale-timesteps true";

/// One refusal names every flag, and one command keeps them.
#[test]
fn what_weights_cannot_tell_is_asked_for_at_once_and_kept_once() {
    let folder = scratch();
    let checkpoint = folder.path().join("net.pt");
    std::fs::copy(small_checkpoint(), &checkpoint).unwrap();
    let data = folder.path().join("images.safetensors");
    small_images(&data, 2, 0.0);
    let profile = |out: &str| {
        Ddpm::new("profile")
            .arg(&checkpoint)
            .file("--data", &data)
            .file("--out", &folder.path().join(out))
    };
    let all = [
        "--num-heads N",
        "--train-steps T",
        "--noise-schedule NAME",
        "--rescale-timesteps true|false",
    ];
    profile("p").fails(2, &all);
    let inspect = |flags: &str| Ddpm::new("inspect").arg(&checkpoint).words(flags);
    let shown = inspect("").run().succeeds().stdout();
    for flag in [
        "--num-heads",
        "--train-steps",
        "--noise-schedule",
        "--rescale-timesteps",
        "--write-model",
    ] {
        assert!(shown.contains(flag), "{flag} is not in:\n{shown}");
    }
    // No half a file.
    inspect("--num-heads 2 --write-model").fails(2, &all[1..]);
    let kept = folder.path().join("net.model.json");
    assert!(!kept.exists());
    let flags = format!("--num-heads 2 --image-size 16 {PROCESS}");
    inspect(&format!("{flags} --write-model")).run().succeeds();
    profile("p").run().succeeds();
    let with_flags = folder.path().join("q");
    small("profile").file("--data", &data).writes(&with_flags);
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(
        bytes("p") == bytes("q"),
        "the file says what the flags said"
    );
    // What is there stays.
    inspect("--num-heads 4 --write-model").fails(3, &["net.model.json"]);
    let other = folder.path().join("other.json");
    inspect(&format!("--write-model={}", other.display()))
        .run()
        .succeeds();
    assert_eq!(bytes("net.model.json"), bytes("other.json"));
}

/// A size that only the layers suggest follows the images, and it is said.
#[test]
fn images_of_another_size_than_the_layers_suggest_are_warned_of() {
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    images_of_shape(&data, [2, 3, 8, 8], 0.0);
    let profile = |flags: &str| {
        Ddpm::new("profile")
            .arg(small_checkpoint())
            .words(&format!("--num-heads 2 {PROCESS} --evaluations 40 {flags}"))
            .file("--data", &data)
            .file("--out", &folder.path().join("p"))
    };
    let run = profile("").run();
    assert!(
        run.stderr().contains("8x8") && run.stderr().contains("--image-size"),
        "{}",
        run.stderr()
    );
    profile("--image-size 16 --force").fails(3, &["16"]);
    let run = profile("--image-size 8 --force").run();
    assert!(!run.stderr().contains("--image-size"), "{}", run.stderr());
    run.succeeds();
}

/// One image has no error bar, and nothing that speaks of one.
#[test]
fn a_profile_of_one_block_says_that_it_has_no_errors() {
    let folder = scratch();
    let one = small_profile(folder.path(), "one", 1, 0.0);
    let commands = [
        Ddpm::new("schedule").arg(&one).words("--steps 4"),
        Ddpm::new("table").arg(&one).arg(&one).words("--steps 4"),
        Ddpm::new("table").arg(&one).words("--path even:4"),
    ];
    for command in commands {
        let text = command.run().succeeds().stdout();
        assert!(text.contains("No error bars"), "{text}");
        assert!(!text.contains('±'), "{text}");
    }
}

/// A script reads what a person reads.
#[test]
fn json_has_the_errors_that_the_text_has() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "p", 4, 0.0);
    let schedule = || Ddpm::new("schedule").arg(&profile).words("--steps 4,8");
    let text = schedule().run().succeeds().stdout();
    let found = schedule().json();
    for budget in found["budgets"].as_array().unwrap() {
        let error = budget["cost_standard_error"].as_f64().unwrap();
        let cost = budget["cost"].as_f64().unwrap();
        let digits = (1.0 - error.log10().floor()).clamp(3.0, 5.0) as usize;
        let shown = format!("{cost:.digits$} ± {error:.digits$}");
        assert!(
            error > 0.0 && text.contains(&shown),
            "{shown} is not in:\n{text}"
        );
    }
    let data = folder.path().join("images.safetensors");
    small_images(&data, 4, 0.5);
    let bpd = |flags: &str| {
        small("bpd")
            .file("--data", &data)
            .words("--path even:4")
            .words(flags)
            .json()
    };
    let found = bpd("");
    let totals: Vec<f64> = found["total_bpd"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    let mean = totals.iter().sum::<f64>() / 4.0;
    let variance = totals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3.0;
    let number = |key: &str| found[key].as_f64().unwrap();
    assert!((number("bpd") - mean).abs() < 1e-12);
    assert!((number("stderr") - (variance / 4.0).sqrt()).abs() < 1e-12);
    assert!(bpd("--limit 1")["stderr"].is_null());
    assert!(bpd("--terms 40")["bpd"].is_null());
}
