//! What is said of a schedule's stability.

use ddpm_core::{NoiseSchedule, NoiseScheduleName, VarianceKind};
use ddpm_profile::{
    Curves, ElboProfile, Error, ProfileLayout, choices_of_stability, choose, stability,
    with_stability,
};
use ddpm_schedule::{Budgets, Schedules, Scoring};

use crate::support::{Setup, learned_respaced, spread};

const BUDGETS: [usize; 3] = [2, 5, 9];

/// `images` images in blocks of one, T = 60.
fn profile(images: usize, seed: u64) -> ElboProfile {
    Setup {
        schedule: NoiseSchedule::named(NoiseScheduleName::Cosine, 60).expect("valid"),
        shape: [1, 4, 4],
        v: Some(spread),
        timesteps: (1..=60).collect(),
        clip: true,
        images,
        first_image: 0,
        eight_bit: true,
        seed,
    }
    .run()
    .profile(ProfileLayout::DEFAULT_NODES, 1)
}

fn scoring() -> Scoring {
    Scoring::new(VarianceKind::Learned)
}

fn chosen(profile: &ElboProfile) -> Schedules {
    let curves = Curves::from_profile(profile).expect("blocks");
    let model = learned_respaced(&curves);
    let budgets = Budgets::Only(BUDGETS.to_vec());
    choose(&model, &budgets, Some(profile.provenance())).expect("possible")
}

#[test]
fn every_fold_is_heard_of() {
    let profile = profile(6, 3);
    let listed = Budgets::Only(BUDGETS.to_vec());
    for (budgets, folds, expected) in [
        (listed.clone(), 3, 3),
        (listed.clone(), 60, 6),
        (listed, 1, 0),
        (Budgets::All, 3, 0),
    ] {
        let mut heard = 0;
        let mut chose = || heard += 1;
        let found = with_stability(chosen(&profile), &profile, &budgets, folds, &mut chose);
        let found = found.expect("possible");
        let told = found
            .budgets
            .iter()
            .find(|b| b.schedule.path.steps() == 2)
            .expect("chosen")
            .stability
            .as_ref();
        assert_eq!(told.map_or(0, |told| told.folds), expected);
        assert_eq!(heard, expected);
        assert_eq!(choices_of_stability(&profile, &budgets, folds), expected);
    }
}

/// Without anything to choose, nothing is lost: one path has as many steps as there are timesteps.
#[test]
fn where_there_is_no_choice_nothing_is_lost() {
    for found in stability(&profile(6, 3), &scoring(), &[60], 3).expect("possible") {
        assert_eq!(found.folds, 3);
        assert_eq!((found.loss, found.largest_excess), (0.0, 0.0));
    }
}

#[test]
fn different_images_choose_different_paths_and_lose_something() {
    let profile = profile(12, 5);
    let found = stability(&profile, &scoring(), &BUDGETS, 6).expect("possible");
    for found in &found {
        assert!(found.largest_excess >= 0.0);
        assert!(found.loss_standard_error >= 0.0 && found.loss.is_finite());
    }
    assert!(found.iter().any(|f| f.largest_excess > 0.0), "{found:?}");
    assert!(found.iter().any(|f| f.loss > 0.0), "{found:?}");

    // In the file, as version 3.
    let schedules = chosen(&profile)
        .with_stability(found.clone())
        .expect("fits");
    let text = schedules.to_json().expect("numbers");
    assert!(text.contains("\"version\": 3"));
    let read = Schedules::from_json(&text).expect("readable");
    assert_eq!(read, schedules);
    assert_eq!(read.budgets[1].stability, Some(found[1]));
    let broken = text.replace("\"version\": 3", "\"version\": 2");
    assert!(Schedules::from_json(&broken).is_err());
    assert!(chosen(&profile).with_stability(Vec::new()).is_err());
}

/// The loss of a path chosen on few images, estimated from these images alone, against what it loses on thousands: equal on average.
#[test]
fn the_loss_is_what_is_lost_on_other_images() {
    const SEEDS: u64 = 40;
    let population = profile(2000, 1_000);
    let curves = Curves::from_profile(&population).expect("blocks");
    let model = learned_respaced(&curves);
    let best: f64 = chosen(&population).budgets.iter().map(|b| b.cost).sum();
    let (mut estimated, mut lost) = (0.0, 0.0);
    for seed in 0..SEEDS {
        let sample = profile(8, seed);
        let found = stability(&sample, &scoring(), &BUDGETS, 8).expect("possible");
        estimated += found.iter().map(|f| f.loss).sum::<f64>() / SEEDS as f64;
        let paths = chosen(&sample).budgets.into_iter();
        let costs = paths.map(|b| model.path_cost(&b.schedule.path) / std::f64::consts::LN_2);
        lost += (costs.sum::<f64>() - best) / SEEDS as f64;
    }
    eprintln!("expected loss {estimated:.5} bits/dim, lost {lost:.5}");
    assert!(lost > 0.0);
    assert!((0.4..2.5).contains(&(estimated / lost)));
}

#[test]
fn too_few_folds_are_refused() {
    let profile = profile(3, 1);
    let refused = |folds| stability(&profile, &scoring(), &BUDGETS, folds);
    assert_eq!(
        refused(1).expect_err("one fold").to_string(),
        "folds: expected at least 2, found 1 (3 blocks of images)"
    );
    assert_eq!(refused(8).expect("three folds")[0].folds, 3);
    let beyond = stability(&profile, &scoring(), &[61], 2);
    assert!(matches!(
        beyond,
        Err(Error::Schedule(ddpm_schedule::Error::Steps {
            found: 61,
            ..
        }))
    ));
}

/// What is said of a number of steps depends neither on the others that are listed nor, but for a part of its error, on the timesteps that
/// choices are made among: among all 4000 they lose 0.00184 ± 0.00072.
#[test]
fn a_number_of_steps_has_one_stability() {
    let file = "../../datasets/cifar10-small.train.profile.safetensors";
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let profile = ElboProfile::from_bytes(&std::fs::read(file).expect("shipped")).expect("valid");
    let scoring = Scoring::new(VarianceKind::Spectral);
    let alone = stability(&profile, &scoring, &[8], 8).expect("possible");
    let listed = stability(&profile, &scoring, &[4, 8, 500], 8).expect("possible");
    assert_eq!(alone[0], listed[1]);
    assert!((alone[0].loss - 0.00184).abs() < 0.00036, "{alone:?}");
    assert!(listed.iter().all(|found| found.largest_excess >= 0.0));
}
