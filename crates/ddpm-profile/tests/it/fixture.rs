//! One file per format version, kept for ever: what was written once stays readable, to the same bytes.
//!
//! `DDPM_WRITE_FIXTURES=1 cargo test -p ddpm-profile fixture` writes them anew; only a new format version should need it.

use std::path::PathBuf;

use ddpm_core::{NoiseSchedule, NoiseScheduleName};
use ddpm_profile::{
    Budgets, CostModel, Curves, Decoder, ElboProfile, Objective, Origin, ProfileLayout, Schedules,
    StartRule, StepVariances, choose,
};

use crate::support::{Setup, spread};

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}

fn schedules(profile: &ElboProfile) -> Schedules {
    let curves = Curves::from_profile(profile).expect("blocks");
    let model = CostModel::new(
        &curves,
        StepVariances::Learned,
        Decoder::Respaced,
        Objective::Elbo,
    )
    .expect("valid");
    choose(
        &model,
        Budgets::Only(&[3]),
        StartRule::Full,
        &Origin::from(profile.provenance()),
    )
    .expect("possible")
}

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
    std::fs::write(
        path("schedules-v1.json"),
        schedules(&profile).to_json().expect("numbers"),
    )
    .expect("writable");
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
    let text = std::fs::read_to_string(path("schedules-v1.json")).expect("kept in the repository");
    let kept = Schedules::from_json(&text).expect("readable");
    assert_eq!(kept.to_json().expect("numbers"), text);
    // And it still means what it meant.
    let again = schedules(&profile);
    assert_eq!(again.budgets[0].path, kept.budgets[0].path);
    assert!((again.budgets[0].cost - kept.budgets[0].cost).abs() < 1e-9);
}
