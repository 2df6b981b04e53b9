//! Kernels calibrated per band of frequencies, against what they must never exceed and against closed forms.

use ddpm_core::{
    Bands, DecoderKind, MeanKind, NoiseSchedule, NoiseScheduleName, StartRule, TimePath,
    VarianceKind,
};
use ddpm_profile::{CostModel, Curves, ElboProfile, choose_on, table3};
use ddpm_schedule::{Budgets, Kernel, Schedules, Scoring};
use proptest::prelude::*;
use std::sync::LazyLock;

use crate::support::{Run, Setup, spread};

const STEPS: usize = 60;

fn run(first_image: usize, clip: bool) -> Run {
    Setup {
        schedule: NoiseSchedule::named(NoiseScheduleName::Cosine, STEPS).expect("valid"),
        shape: [3, 5, 4],
        v: Some(spread),
        timesteps: vec![1, 2, 5, 9, 16, 24, 33, 41, 52, 60],
        clip,
        images: 40,
        first_image,
        eight_bit: true,
        seed: 3,
    }
    .run()
}

fn bands() -> Bands {
    Bands::of_shape(&[3, 5, 4]).expect("valid")
}

static CHOOSING: LazyLock<ElboProfile> = LazyLock::new(|| run(0, true).profile_in(bands(), 32, 8));
static OTHER: LazyLock<ElboProfile> = LazyLock::new(|| run(1000, true).profile_in(bands(), 32, 8));
static CURVES: LazyLock<Curves> =
    LazyLock::new(|| Curves::from_profile(&CHOOSING).expect("blocks"));

fn model(variance: VarianceKind, mean: MeanKind) -> CostModel<'static> {
    let scoring = Scoring::new(variance)
        .with_mean(mean)
        .with_decoder(DecoderKind::Optimal);
    let frozen = CURVES.freeze(&scoring).expect("served");
    CostModel::new(&CURVES, frozen).expect("served")
}

use MeanKind::{Calibrated, Network};
use VarianceKind::{Analytic, Best, FixedSmall, Learned, LearnedCalibrated, Spectral};

static MODELS: LazyLock<Vec<((VarianceKind, MeanKind), CostModel<'static>)>> =
    LazyLock::new(|| {
        [
            (FixedSmall, Network),
            (FixedSmall, Calibrated),
            (Analytic, Network),
            (Analytic, Calibrated),
            (Spectral, Network),
            (Spectral, Calibrated),
            (Learned, Network),
            (LearnedCalibrated, Network),
            (Best, Network),
            (Best, Calibrated),
        ]
        .map(|kind| (kind, model(kind.0, kind.1)))
        .into()
    });

fn interior(kind: (VarianceKind, MeanKind), t: usize, s: usize) -> f64 {
    let found = MODELS.iter().find(|(name, _)| *name == kind);
    found.expect("listed").1.interior(t, s)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// On the images that chose them, for every edge, interpolated timesteps included.
    #[test]
    fn a_freer_kernel_never_costs_more_on_the_choosing_images(t in 2..=STEPS, s in 1..STEPS) {
        prop_assume!(s < t);
        let below = |a: (VarianceKind, MeanKind), b: (VarianceKind, MeanKind)| {
            let (a, b) = (interior(a, t, s), interior(b, t, s));
            a <= b + 1e-12 * b.abs()
        };
        for mean in [Network, Calibrated] {
            prop_assert!(below((Spectral, mean), (Analytic, mean)));
            prop_assert!(below((Analytic, mean), (FixedSmall, mean)));
            for other in [(Spectral, mean), (Analytic, mean), (LearnedCalibrated, Network)] {
                prop_assert!(below((Best, mean), other));
            }
        }
        for variance in [FixedSmall, Analytic, Spectral, Best] {
            prop_assert!(below((variance, Calibrated), (variance, Network)));
        }
        prop_assert!(below((LearnedCalibrated, Network), (Learned, Network)));
    }
}

#[test]
fn one_band_and_the_mean_of_the_network_is_the_analytic_variance() {
    let single = Bands::single(&[3, 5, 4]).expect("valid");
    let choosing = run(0, true).profile_in(single.clone(), 32, 8);
    let other = run(1000, true).profile_in(single, 32, 8);
    let curves = Curves::from_profile(&choosing).expect("blocks");
    let elsewhere = Curves::from_profile(&other).expect("blocks");
    for decoder in [DecoderKind::Optimal, DecoderKind::Respaced] {
        let [spectral, analytic] = [Spectral, Analytic].map(|variance| {
            let scoring = Scoring::new(variance)
                .with_mean(Network)
                .with_decoder(decoder);
            curves.freeze(&scoring).expect("served")
        });
        for curves in [&curves, &elsewhere] {
            let spectral = CostModel::new(curves, spectral.clone()).expect("served");
            let analytic = CostModel::new(curves, analytic.clone()).expect("served");
            for t in 2..=STEPS {
                for s in 1..t {
                    let (a, b) = (spectral.interior(t, s), analytic.interior(t, s));
                    assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{t} {s} {a} {b}");
                }
            }
        }
    }
}

#[test]
fn a_table_is_the_sum_of_the_terms_of_its_paths_and_its_optima_are_in_order() {
    let chosen = |variance, mean| -> Schedules {
        let scoring = Scoring::new(variance)
            .with_mean(mean)
            .with_decoder(DecoderKind::Optimal);
        choose_on(&CHOOSING, &scoring, &Budgets::All).expect("served")
    };
    let spectral = chosen(Spectral, Calibrated);
    let analytic = chosen(Analytic, Network);
    let best = chosen(Best, Calibrated);
    for k in 1..=STEPS {
        let cost = |schedules: &Schedules| schedules.budget(k).expect("a path").cost;
        let (s, a, b) = (cost(&spectral), cost(&analytic), cost(&best));
        assert!(s <= a + 1e-12 && b <= s + 1e-12, "{k}: {s} {a} {b}");
        let direct = spectral.costs[k - 1].expect("a path");
        assert!((direct - s).abs() < 1e-12, "{k}: {direct} {s}");
    }
}

#[test]
fn schedules_carry_one_kernel_per_step_through_their_file() {
    for (variance, mean) in [
        (Spectral, Calibrated),
        (Spectral, Network),
        (Analytic, Calibrated),
        (LearnedCalibrated, Network),
        (Best, Calibrated),
    ] {
        let scoring = Scoring::new(variance).with_mean(mean);
        let budgets = Budgets::Only(vec![1, 3, 7]);
        let chosen = choose_on(&CHOOSING, &scoring, &budgets).expect("served");
        let text = chosen.to_json().expect("finite");
        let back = Schedules::from_json(&text).expect("its own file");
        assert_eq!(back, chosen, "{variance} {mean}");
        assert_eq!(back.to_json().expect("finite"), text);
        let schedule = chosen.schedule(3).expect("asked for");
        assert_eq!(schedule.kernels.len(), 3);
        assert_eq!(schedule.means.len(), if mean == Calibrated { 3 } else { 0 });
        let per_band = schedule.kernels[1..].iter().all(Kernel::is_per_band);
        assert!(per_band || variance != Spectral);
        // Only what is calibrated needs the new version.
        assert!(text.contains("\"version\": 5"));
    }
}

/// Other rings may leave as many bands; the message has to tell them apart all the same.
#[test]
fn profiles_of_other_rings_are_not_merged_and_their_edges_are_named() {
    let of = |rings| Bands::rings(&[3, 5, 4], None, rings).expect("valid");
    let part = |first_image, bands| run(first_image, true).profile_in(bands, 32, 8);
    let parts = vec![part(0, of(23)), part(1000, of(22))];
    let error = ElboProfile::merge(parts)
        .expect_err("of other rings")
        .to_string();
    for named in ["bands", "25 edges", "24 edges"] {
        assert!(error.contains(named), "{error}");
    }
    // Of as many edges, but of another basis: a wrong one is not told by its numbers.
    let basis = vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let other = Bands::rings(&[3, 5, 4], Some(basis), 23).expect("valid");
    let error = ElboProfile::merge(vec![part(0, of(23)), part(1000, other)])
        .expect_err("of another basis")
        .to_string();
    assert!(
        error.contains("of another basis of the channels"),
        "{error}"
    );
    let error = table3(
        &CHOOSING,
        &part(1000, of(22)),
        &[4],
        &[Spectral],
        None,
        None,
        StartRule::Full,
    )
    .expect_err("of other rings")
    .to_string();
    assert!(error.contains("24 edges"), "{error}");
}

#[test]
fn what_curves_do_not_know_is_refused_by_name() {
    let plain = run(0, true).profile(32, 8);
    let plain = Curves::from_profile(&plain).expect("blocks");
    let refused = |curves: &Curves, scoring: Scoring| {
        curves.freeze(&scoring).expect_err("refused").to_string()
    };
    assert!(refused(&plain, Scoring::new(Spectral)).contains("bands"));
    let analytic = Scoring::new(Analytic).with_mean(Calibrated);
    assert!(refused(&plain, analytic).contains("calibrated mean"));
    for variance in [Learned, LearnedCalibrated] {
        let scoring = Scoring::new(variance).with_mean(Calibrated);
        assert!(refused(&CURVES, scoring).contains("network's own mean"));
    }
    assert!(!CHOOSING.variances().is_empty());
    assert!(
        run(0, true).profile(32, 8).variances()
            == [
                Learned,
                FixedSmall,
                VarianceKind::FixedLarge,
                Analytic,
                LearnedCalibrated
            ]
    );
}

#[test]
fn tables_score_calibrated_kernels_on_other_images() {
    let variances = CHOOSING.variances();
    assert_eq!(variances, VarianceKind::ALL);
    let rows = table3(
        &CHOOSING,
        &OTHER,
        &[2, 5],
        &variances,
        None,
        Some(DecoderKind::Optimal),
        StartRule::Full,
    )
    .expect("served");
    let row = |variance, steps| {
        let wanted = |row: &&ddpm_schedule::results::TableRow| {
            row.variance == variance && row.stride == "dp" && row.steps == steps
        };
        rows.iter().find(wanted).expect("a row")
    };
    for steps in [2, 5] {
        // These data have no bands: what is gained on 40 images need not hold on others.
        let (spectral, analytic) = (row(Spectral, steps), row(Analytic, steps));
        assert!(spectral.train_bpd <= analytic.train_bpd);
        assert!(spectral.bpd.is_finite() && spectral.standard_error > 0.0);
    }
}

/// Frozen numbers price other images with the formula that a coefficient-by-coefficient sum gives.
#[test]
fn other_images_are_priced_coefficient_by_coefficient() {
    let other = run(1000, true);
    let profile = other.profile_in(bands(), 32, 8);
    let elsewhere = Curves::from_profile(&profile).expect("blocks");
    for (variance, mean) in [
        (Spectral, Calibrated),
        (Spectral, Network),
        (LearnedCalibrated, Network),
        (Analytic, Calibrated),
        (Best, Calibrated),
    ] {
        let scoring = Scoring::new(variance).with_mean(mean);
        let frozen = CURVES.freeze(&scoring).expect("served");
        let model = CostModel::new(&elsewhere, frozen).expect("served");
        let path = TimePath::new([2, 9, 24, 60], STEPS).expect("valid");
        let schedule = model.schedule_of(path.clone());
        for (k, (t, s)) in path.edges().enumerate().skip(1) {
            let direct = other.direct_of(&schedule, k, t, s);
            let table = model.interior(t, s);
            assert!(
                (direct - table).abs() < 1e-9,
                "{variance} {mean} {t} {s}: {direct} {table}"
            );
        }
        let direct = other.direct_of(&schedule, 0, 2, 0);
        let table = model.decoder(2, Some(9));
        assert!(
            (direct - table).abs() < 2e-4,
            "{variance}: {direct} {table}"
        );
    }
}
