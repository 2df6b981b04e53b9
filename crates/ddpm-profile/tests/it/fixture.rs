//! One file per format version, kept for ever: what was written once stays readable, to the same bytes.
//!
//! `DDPM_WRITE_FIXTURES=1 cargo test -p ddpm-profile fixture` writes them anew; only a new format version should need it.

use std::path::PathBuf;

use ddpm_core::{Bands, DecoderKind, MeanKind, NoiseSchedule, NoiseScheduleName, VarianceKind};
use ddpm_profile::{Curves, ElboProfile, ProfileLayout, choose, choose_on};
use ddpm_schedule::{Budgets, Schedules, Scoring};

use crate::support::{Run, Setup, learned_respaced, spread};

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}

fn schedules(profile: &ElboProfile) -> Schedules {
    let curves = Curves::from_profile(profile).expect("blocks");
    let model = learned_respaced(&curves);
    let budgets = Budgets::Only(vec![3]);
    choose(&model, &budgets, Some(profile.provenance())).expect("possible")
}

fn calibrated(profile: &ElboProfile) -> Schedules {
    let scoring = Scoring::new(VarianceKind::Spectral)
        .with_mean(MeanKind::Calibrated)
        .with_decoder(DecoderKind::Gaussian);
    choose_on(profile, &scoring, &Budgets::Only(vec![1, 3])).expect("possible")
}

fn run(images: usize) -> Run {
    Setup {
        schedule: NoiseSchedule::named(NoiseScheduleName::Cosine, 12).expect("valid"),
        shape: [1, 2, 2],
        v: Some(spread),
        timesteps: vec![1, 2, 5, 11, 12],
        clip: true,
        images,
        first_image: 0,
        eight_bit: true,
        seed: 77,
    }
    .run()
}

/// Only the newest version of each format can be written.
fn write() {
    // As many images as corrections of all means take.
    let bands = Bands::of_shape(&[1, 2, 2]).expect("valid");
    let banded = run(30).profile_in(bands, 16, 15);
    std::fs::write(path("profile-v4.safetensors"), banded.to_bytes()).expect("writable");
    let text = calibrated(&banded).to_json().expect("numbers");
    std::fs::write(schedules_path("schedules-v5.json"), text).expect("writable");
    let profile = run(3).profile(16, 2);
    assert!(profile.layout().nodes() < ProfileLayout::DEFAULT_NODES);
    std::fs::write(path("profile-v1.safetensors"), profile.to_bytes()).expect("writable");
    let text = schedules(&profile).to_json().expect("numbers");
    std::fs::write(schedules_path("schedules-v2.json"), text).expect("writable");
}

fn schedules_path(name: &str) -> PathBuf {
    path("../../../ddpm-schedule/tests/fixtures").join(name)
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
    let bytes = std::fs::read(path("profile-v4.safetensors")).expect("kept in the repository");
    let banded = ElboProfile::from_bytes(&bytes).expect("readable");
    assert_eq!(banded.to_bytes(), bytes);
    let text = std::fs::read_to_string(schedules_path("schedules-v5.json")).expect("kept too");
    let (kept, again) = (
        Schedules::from_json(&text).expect("readable"),
        calibrated(&banded),
    );
    for (again, kept) in again.budgets.iter().zip(&kept.budgets) {
        assert_eq!(again.schedule.path, kept.schedule.path);
        assert!((again.cost - kept.cost).abs() < 1e-9);
        assert_eq!(again.schedule.mean(), MeanKind::Calibrated);
    }
    // And they still mean what they meant.
    let again = schedules(&profile);
    for name in ["schedules-v1.json", "schedules-v2.json"] {
        let text = std::fs::read_to_string(schedules_path(name)).expect("kept in the repository");
        let kept = Schedules::from_json(&text).expect("readable");
        assert_eq!(again.budgets[0].schedule, kept.budgets[0].schedule);
        assert!((again.budgets[0].cost - kept.budgets[0].cost).abs() < 1e-9);
        assert_eq!(kept.budgets[0].schedule.decoder, DecoderKind::Respaced);
    }
}
