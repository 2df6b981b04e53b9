//! One file per format version, kept for ever: what was written once stays readable, to the same bytes.
//!
//! `DDPM_WRITE_FIXTURES=1 cargo test -p ddpm-profile fixture` writes them anew; only a new format version should need it.

use std::path::PathBuf;

use ddpm_core::{NoiseSchedule, NoiseScheduleName};
use ddpm_profile::{
    Budgets, Curves, ElboProfile, Error, Origin, ProfileLayout, Schedules, StartRule, choose,
};

use crate::support::{Setup, learned_respaced, spread};

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}

fn schedules(profile: &ElboProfile) -> Schedules {
    let curves = Curves::from_profile(profile).expect("blocks");
    let model = learned_respaced(&curves);
    choose(
        &model,
        Budgets::Only(&[3]),
        StartRule::Full,
        &Origin::from(profile.provenance()),
    )
    .expect("possible")
}

/// Only the newest version of each format can be written.
fn write() {
    let profile = Setup {
        schedule: NoiseSchedule::named(NoiseScheduleName::Cosine, 12).expect("valid"),
        shape: [1, 2, 2],
        v: Some(spread),
        timesteps: vec![1, 2, 5, 11, 12],
        clip: true,
        images: 3,
        first_image: 0,
        eight_bit: true,
        seed: 77,
    }
    .run()
    .profile(16, 2);
    assert!(profile.layout().nodes() < ProfileLayout::DEFAULT_NODES);
    std::fs::write(path("profile-v1.safetensors"), profile.to_bytes()).expect("writable");
    for (name, schedules) in [
        ("schedules-v2.json", schedules(&profile)),
        ("schedules-v2-custom.json", read("schedules-v1-custom.json")),
    ] {
        std::fs::write(path(name), schedules.to_json().expect("numbers")).expect("writable");
    }
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).expect("kept in the repository")
}

fn read(name: &str) -> Schedules {
    Schedules::from_json(&text(name)).expect("readable")
}

#[test]
fn fixtures_of_every_version_are_readable() {
    if std::env::var_os("DDPM_WRITE_FIXTURES").is_some() {
        write();
    }
    let bytes = std::fs::read(path("profile-v1.safetensors")).expect("kept in the repository");
    let profile = ElboProfile::from_bytes(&bytes).expect("readable");
    assert_eq!(profile.to_bytes(), bytes);
    assert_eq!((profile.images(), profile.blocks().len()), (3, 2));
    assert_eq!(profile.layout().timesteps(), [1, 2, 5, 11, 12]);
    // Made by `ddpm profile --import tests/golden/squared-errors.npz`.
    let bytes = std::fs::read(path("profile-v3.safetensors")).expect("kept in the repository");
    let imported = ElboProfile::from_bytes(&bytes).expect("readable");
    assert_eq!(imported.to_bytes(), bytes);
    assert_eq!((imported.images(), imported.blocks().len()), (32, 8));
    let curves = Curves::from_profile(&imported).expect("blocks");
    assert!(!curves.has_decoder() && !curves.learned());
    for name in ["schedules-v2.json", "schedules-v2-custom.json"] {
        assert_eq!(read(name).to_json().expect("numbers"), text(name));
    }
    // And they still mean what they meant.
    let again = schedules(&profile);
    for name in ["schedules-v1.json", "schedules-v2.json"] {
        let kept = read(name);
        assert_eq!(again.budgets[0].path, kept.budgets[0].path);
        assert!((again.budgets[0].cost - kept.budgets[0].cost).abs() < 1e-9);
        assert_eq!(kept.budgets[0].scored_decoder, "respaced");
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
        custom.schedule().expect("custom"),
        NoiseSchedule::from_alpha_bar(&alpha_bar).expect("valid")
    );
    assert_eq!(custom, read("schedules-v2-custom.json"));
    // Its checksum still guards it.
    let damaged = text("schedules-v1-custom.json").replacen("0.98", "0.97", 1);
    assert!(matches!(
        Schedules::from_json(&damaged),
        Err(Error::Checksum { .. })
    ));
}
