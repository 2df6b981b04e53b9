//! Noise schedules, paths and budgets that cannot be.

use crate::support::{Ddpm, scratch, small, small_images, small_profile};

fn transitions(flags: &str) -> Ddpm {
    Ddpm::new("transitions").words(flags)
}

#[test]
fn unknown_noise_schedules() {
    transitions("--noise-schedule cosinus --train-steps 100")
        .fails(3, &["--noise-schedule", "cosinus", "cosine"]);
    transitions("--noise-schedule linear --train-steps 10").fails(3, &["linear", "at least 20"]);
    transitions("--noise-schedule cosine --train-steps 0")
        .fails(3, &["--noise-schedule", "at least 1"]);
}

#[test]
fn curves_of_alpha_bar() {
    let folder = scratch();
    let csv = |text: &str| {
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        Ddpm::new("transitions").file("--alpha-bar", &path)
    };
    csv("t,alpha_bar\n1,0.9\n2,0.5\n").run().succeeds();
    csv("t,alpha_bar\n1,0.9\n2,0.95\n").fails(3, &["a.csv", "does not decrease"]);
    csv("t,alpha_bar\n1,1.5\n").fails(3, &["a.csv", "alpha_bar of timestep 1"]);
    csv("t,beta\n1,0.5\n").fails(3, &["a.csv", "alpha_bar"]);
    csv("t,alpha_bar\n0,0.9\n").fails(3, &["a.csv", "line 2", "`t`"]);
    csv("t,alpha_bar\n1,0.9\n")
        .words("--train-steps 5")
        .fails(3, &["--train-steps", "expected 1"]);
    csv("t,alpha_bar\n1,0.9\n")
        .words("--noise-schedule cosine")
        .fails(2, &["--noise-schedule"]);
}

#[test]
fn impossible_paths() {
    for (path, named) in [
        ("5,3", "not strictly increasing"),
        ("5,5", "not strictly increasing"),
        ("0", "no steps"),
        ("1,101", "101 is out of range"),
        ("1,x", "\"x\""),
        ("evn:8", "evn"),
        ("even:0", "0 steps"),
        ("even:101", "101 steps"),
        ("respacing:200", "200"),
        ("", "invalid path"),
    ] {
        transitions("--noise-schedule cosine --train-steps 100 --path")
            .arg(path)
            .fails(3, &["--path", named]);
    }
    // 0-based, 99 is the last.
    transitions("--noise-schedule cosine --train-steps 100 --zero-based --path 1,100")
        .fails(3, &["--path", "101"]);
}

#[test]
fn paths_and_terms_of_a_network() {
    let folder = scratch();
    let data = folder.path().join("x.safetensors");
    small_images(&data, 1, 0.0);
    let bpd = |flags: &str| small("bpd").file("--data", &data).words(flags);
    bpd("--path 7,3").fails(3, &["--path", "not strictly increasing"]);
    bpd("--path 1,41").fails(3, &["--path", "41 is out of range"]);
    bpd("--path 1,40 --terms 2").fails(3, &["--terms", "2"]);
    bpd("--path 1,40 --terms 0").fails(3, &["--terms", "0"]);
    bpd("--path 1,40 --variance analytic").fails(2, &["analytic", "--profile"]);
    bpd("--path 1,40 --decoder optimal").fails(2, &["optimal", "--profile"]);
    bpd("--path 1,40 --decoder-bin-width 1").fails(2, &["--decoder-bin-width", "gaussian"]);
    bpd("--path 1,40 --decoder gaussian --decoder-bin-width 0")
        .fails(3, &["--decoder-bin-width", "positive"]);
    bpd("").fails(2, &["--path"]);
    bpd("--path 1,40 --limit 2").fails(3, &["--limit", "expected 1 to 1"]);
    bpd("--path 1,40 --limit 0").fails(3, &["--limit"]);
}

#[test]
fn epsilon_prediction_where_no_signal_is_left() {
    // The scaled linear betas reach 1 at T = 20, so alpha_bar_20 = 0.
    let folder = scratch();
    let data = folder.path().join("x.safetensors");
    small_images(&data, 1, 0.0);
    let network = |command: &str| {
        Ddpm::new(command)
            .arg(crate::support::small_checkpoint())
            .words(
                "--num-heads 2 --train-steps 20 --noise-schedule linear --rescale-timesteps false",
            )
            .file("--data", &data)
    };
    let out = folder.path().join("p");
    let named = ["epsilon-prediction", "timestep 20", "alpha_bar is 0"];
    network("profile").file("--out", &out).fails(3, &named);
    network("bpd").words("--path 1,20").fails(3, &named);
    network("bpd").words("--path 1,19").run().succeeds();
    network("bpd")
        .words("--path 1,20 --parameterization x0")
        .run()
        .succeeds();
}

#[test]
fn more_steps_than_the_chain_has() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "p", 1, 0.0);
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 8,41")
        .fails(3, &["--steps", "K=41", "1 to 40"]);
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 0")
        .fails(3, &["--steps", "K=0"]);
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps some")
        .fails(3, &["--steps", "some"]);
    Ddpm::new("table")
        .arg(&profile)
        .arg(&profile)
        .words("--steps 41")
        .fails(3, &["--steps", "K=41"]);
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--noise-schedule cosine --train-steps 40")
        .fails(2, &["--noise-schedule"]);
}

#[test]
fn curves_of_errors() {
    let folder = scratch();
    let csv = |text: &str, flags: &str| {
        let path = folder.path().join("m.csv");
        std::fs::write(&path, text).unwrap();
        Ddpm::new("schedule")
            .file("--mse", &path)
            .words("--noise-schedule cosine --steps 1")
            .words(flags)
    };
    let curve = "t,mse\n1,0.1\n2,0.2\n3,0.3\n";
    csv(curve, "").run().succeeds();
    csv("t,mse\n1,0.1\n2,NaN\n3,0.3\n", "").fails(3, &["m.csv", "NaN"]);
    csv("t,mse\n1,0.1\n2,-1\n3,0.3\n", "").fails(3, &["m.csv", "-1"]);
    csv(curve, "--train-steps 4").fails(3, &["m.csv", "expected 4"]);
    csv(curve, "--variance learned").fails(3, &["m.csv", "learned"]);
    csv(curve, "--decoder respaced").fails(3, &["m.csv", "decoder respaced", "gaussian"]);
    csv(curve, "--start free").fails(3, &["m.csv", "start free"]);
    csv(curve, "--decoder-first-bits inf").fails(3, &["--decoder-first-bits", "finite"]);
    csv(curve, "--decoder none --decoder-first-bits 1").fails(2, &["--decoder-first-bits"]);
    Ddpm::new("schedule").fails(2, &["--mse"]);
}
