//! One file per format version, kept for ever: what was written once stays readable, to the same bytes.
//!
//! `DDPM_WRITE_FIXTURES=1 cargo test -p ddpm-schedule fixture` writes the newest form of the one that is made here; the others are
//! made by the tests of the crates that choose. Only a new format version should need it.

use ddpm_core::{
    DecoderKind, MeanKind, NoiseSchedule, Objective, Sampler, StartRule, VarianceKind,
};
use ddpm_files::FormatError;
use ddpm_schedule::{Error, Kernel, Schedules, TrajectoryKind};

use crate::support::fixture;

fn text(name: &str) -> String {
    std::fs::read_to_string(fixture(name)).expect("kept in the repository")
}

fn read(name: &str) -> Schedules {
    Schedules::from_json(&text(name)).expect("readable")
}

#[test]
fn fixtures_come_back_to_the_byte() {
    if std::env::var_os("DDPM_WRITE_FIXTURES").is_some() {
        let made = read("schedules-v1-custom.json").to_json().expect("numbers");
        std::fs::write(fixture("schedules-v2-custom.json"), made).expect("writable");
        let calibrated = read("schedules-v5.json");
        let errors = (1..=calibrated.budgets.len()).map(|k| 0.125 / k as f64);
        let made = calibrated
            .with_cost_errors(errors.collect())
            .expect("one each");
        let made = made.to_json().expect("numbers");
        std::fs::write(fixture("schedules-v7.json"), made).expect("writable");
    }
    for name in [
        "schedules-v2.json",
        "schedules-v2-custom.json",
        "schedules-v4.json",
        "schedules-v5.json",
        "schedules-v7.json",
    ] {
        assert_eq!(read(name).to_json().expect("numbers"), text(name), "{name}");
    }
    for name in ["schedules-v1.json", "schedules-v2.json"] {
        let kept = read(name);
        assert_eq!(kept.budgets[0].schedule.decoder, DecoderKind::Respaced);
        assert_eq!(kept.budgets[0].nodes(), [0, 1, 2, 12]);
    }
}

#[test]
fn version_1_reads_as_version_2() {
    let custom = read("schedules-v1-custom.json");
    let stored: serde_json::Value =
        serde_json::from_str(&text("schedules-v1-custom.json")).expect("json");
    let alpha_bar: Vec<f64> = stored["alpha_bar"]
        .as_array()
        .expect("version 1 stores it")
        .iter()
        .map(|a| a.as_f64().expect("a number"))
        .collect();
    assert_eq!(
        custom.noise_schedule,
        NoiseSchedule::from_alpha_bar(&alpha_bar).expect("valid")
    );
    assert_eq!(custom, read("schedules-v2-custom.json"));
    // Its checksum still guards it.
    let damaged = text("schedules-v1-custom.json").replacen("0.98", "0.97", 1);
    assert!(matches!(
        Schedules::from_json(&damaged),
        Err(Error::Format(FormatError::Checksum { .. }))
    ));
}

/// A file of errors is what it is without them, and says so in its version alone.
#[test]
fn errors_of_costs_change_the_version_and_nothing_else() {
    let with = read("schedules-v7.json");
    assert_eq!(with.budgets[0].cost_standard_error, Some(0.125));
    let mut without = with.clone();
    for chosen in &mut without.budgets {
        chosen.cost_standard_error = None;
    }
    assert_eq!(
        without.to_json().expect("numbers"),
        text("schedules-v5.json")
    );
    // An error in a version that has none is an edit, whatever the checksum says.
    let older = text("schedules-v7.json").replacen("\"version\": 7", "\"version\": 5", 1);
    assert!(Schedules::from_json(&older).is_err());
    let claimed = text("schedules-v5.json").replacen("\"version\": 5", "\"version\": 7", 1);
    assert!(Schedules::from_json(&claimed).is_err());
}

/// What the words and the nulls of a file become.
#[test]
fn fixtures_mean_what_they_meant() {
    let learned = read("schedules-v2.json");
    assert_eq!(learned.scoring.variance, VarianceKind::Learned);
    assert_eq!(learned.scoring.objective, Objective::Elbo);
    assert_eq!(learned.scoring.start, StartRule::Full);
    assert_eq!(
        (learned.sampler, learned.noise_schedule.name()),
        (None, None)
    );
    let schedule = learned.schedule(3).expect("a budget");
    assert_eq!(schedule.kernels, vec![Kernel::Learned; 3]);
    assert_eq!(schedule.sampler, Sampler::Ddpm);
    assert!(schedule.needs_learned_variance());

    let gaussian = read("schedules-v2-custom.json");
    assert_eq!(gaussian.scoring.decoder, DecoderKind::Gaussian);
    for chosen in &gaussian.budgets {
        let kernels = &chosen.schedule.kernels;
        assert!(kernels.iter().all(|kernel| kernel.log_variance().is_some()));
        assert!(!chosen.schedule.needs_learned_variance());
    }
    assert!(gaussian.provenance.is_none() && gaussian.parameterization.is_none());

    let calibrated = read("schedules-v5.json");
    assert_eq!(calibrated.scoring.mean, MeanKind::Calibrated);
    for chosen in &calibrated.budgets {
        let schedule = &chosen.schedule;
        assert!(schedule.kernels.iter().all(Kernel::is_per_band));
        let bands = schedule.bands.as_ref().expect("of the kernels");
        assert_eq!((bands.shape(), bands.count()), (&[1, 2, 2][..], 3));
        assert_eq!(schedule.means.len(), schedule.steps());
        schedule.check(12).expect("can be run");
    }

    let quality = read("schedules-v4.json");
    assert_eq!(quality.scoring.objective, Objective::Quality);
    assert_eq!(quality.sampler, Some(Sampler::DpmSolver2M));
    let origin = quality.trajectories.as_ref().expect("version 4");
    assert_eq!(origin.kind, TrajectoryKind::Flow);
    assert_eq!(origin.solver, Some(Sampler::DpmSolver2M));
    for chosen in &quality.budgets {
        assert_eq!(chosen.schedule.sampler, Sampler::DpmSolver2M);
        // No decoder has no density; the steps between have numbers, for those who sample with noise.
        assert_eq!(chosen.schedule.kernels[0], Kernel::None);
        let rest = &chosen.schedule.kernels[1..];
        assert!(rest.iter().all(|kernel| kernel.log_variance().is_some()));
        chosen
            .schedule
            .check(quality.train_steps())
            .expect("can be run");
    }
}
