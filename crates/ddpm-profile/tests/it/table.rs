//! The paper's Table 3 from two profiles of the closed-form denoiser.

use std::sync::LazyLock;

use ddpm_core::{
    DecoderKind, NetworkId, NoiseSchedule, NoiseScheduleName, StartRule, TimePath, VarianceKind,
};
use ddpm_profile::{CostModel, Curves, ElboProfile, Error, ProfileLayout, jackknife, table3};
use ddpm_schedule::results::TableRow;
use ddpm_schedule::{Provenance, Scoring};

use crate::support::{Setup, log_snr_timesteps, spread};

fn profile(first_image: usize) -> ElboProfile {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 200).expect("valid");
    let timesteps = log_snr_timesteps(&schedule, 36);
    Setup {
        schedule,
        shape: [3, 4, 4],
        v: Some(spread),
        timesteps,
        clip: true,
        images: 32,
        first_image,
        eight_bit: true,
        seed: 13,
    }
    .run()
    .profile(ProfileLayout::DEFAULT_NODES, 4)
}

static TRAIN: LazyLock<ElboProfile> = LazyLock::new(|| profile(0));
static TEST: LazyLock<ElboProfile> = LazyLock::new(|| profile(1000));

const VARIANCES: [VarianceKind; 4] = [
    VarianceKind::Learned,
    VarianceKind::FixedSmall,
    VarianceKind::FixedLarge,
    VarianceKind::Analytic,
];

fn find<'a>(
    rows: &'a [TableRow],
    stride: &str,
    variance: VarianceKind,
    steps: usize,
) -> &'a TableRow {
    rows.iter()
        .find(|r| r.stride == stride && r.variance == variance && r.steps == steps)
        .unwrap_or_else(|| panic!("no row {stride} {variance} {steps}"))
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn rows_are_complete_and_optimal_where_they_were_chosen() {
    let steps = [1, 4, 8, 16];
    let rows = table3(
        &TRAIN,
        &TEST,
        &steps,
        &VARIANCES,
        None,
        None,
        StartRule::Free,
    )
    .expect("valid");
    assert_eq!(rows.len(), 4 * (4 * 4 + 1));
    for variance in VARIANCES {
        let all = find(&rows, "all", variance, 200);
        assert_eq!(all.path.len(), 201);
        let decoder = if variance == VarianceKind::Analytic {
            DecoderKind::Optimal
        } else {
            DecoderKind::Respaced
        };
        for k in steps {
            let dp = find(&rows, "dp", variance, k);
            assert_eq!(dp.decoder, decoder);
            assert_eq!(dp.dp_minus_this, None);
            for stride in ["even", "quadratic", "dp-free"] {
                let row = find(&rows, stride, variance, k);
                let difference = row.dp_minus_this.expect("paired");
                assert!((difference.bpd - (dp.bpd - row.bpd)).abs() < 1e-12);
                assert!(difference.standard_error >= 0.0);
                assert!(row.standard_error > 0.0);
                let better = if stride == "dp-free" {
                    row.train_bpd <= dp.train_bpd
                } else {
                    dp.train_bpd <= row.train_bpd
                };
                assert!(
                    better,
                    "{variance} {k} {stride}: {} {}",
                    row.train_bpd, dp.train_bpd
                );
                assert_eq!(row.path.len(), k + 1);
                assert!(stride == "dp-free" || row.path[k] == 200);
            }
        }
    }
    let full = table3(
        &TRAIN,
        &TEST,
        &steps,
        &VARIANCES,
        None,
        None,
        StartRule::Full,
    )
    .expect("valid");
    let without_free: Vec<_> = rows
        .iter()
        .filter(|r| r.stride != "dp-free")
        .cloned()
        .collect();
    assert_eq!(full, without_free);
}

#[test]
fn numbers_are_those_of_the_test_profile_under_frozen_choices() {
    let rows = table3(
        &TRAIN,
        &TEST,
        &[6],
        &[VarianceKind::Analytic],
        None,
        Some(DecoderKind::Respaced),
        StartRule::Full,
    )
    .expect("valid");
    let train = Curves::from_profile(&TRAIN).expect("blocks");
    let scoring = Scoring::new(VarianceKind::Analytic).with_decoder(DecoderKind::Respaced);
    let frozen = train.freeze(&scoring).expect("valid");
    assert_eq!(frozen.mse.as_deref(), Some(train.mse()));
    for row in &rows {
        assert_eq!(row.decoder, DecoderKind::Respaced);
        let path = TimePath::new(row.path.clone(), 200).expect("a path");
        let again = jackknife(&TEST, |curves| {
            let model = CostModel::new(curves, frozen.clone())?;
            let prior = model.prior(path.end()).expect("known");
            Ok(vec![
                (model.path_cost(&path) + prior) / std::f64::consts::LN_2,
            ])
        })
        .expect("blocks")[0];
        assert!((again.value - row.bpd).abs() < 1e-12, "{}", row.stride);
        assert!((again.standard_error - row.standard_error).abs() < 1e-12);
    }
}

/// A single step has no second node: the marginal decoder stands in.
#[test]
fn one_step_uses_the_marginal_decoder() {
    let of = |decoder| {
        table3(
            &TRAIN,
            &TEST,
            &[1],
            &[VarianceKind::Learned],
            None,
            Some(decoder),
            StartRule::Full,
        )
        .expect("valid")
    };
    let (respaced, marginal) = (of(DecoderKind::Respaced), of(DecoderKind::Marginal));
    for stride in ["even", "quadratic", "dp"] {
        let bpd = |rows: &[TableRow]| find(rows, stride, VarianceKind::Learned, 1).bpd;
        assert_eq!(bpd(&respaced), bpd(&marginal));
        let row = find(&respaced, stride, VarianceKind::Learned, 1);
        assert_eq!(row.decoder, DecoderKind::Respaced);
        assert_eq!(row.scored_decoder, DecoderKind::Marginal);
    }
    let all = find(&respaced, "all", VarianceKind::Learned, 200);
    assert_eq!(all.scored_decoder, DecoderKind::Respaced);
}

/// Under one decoder, on the set where m was estimated, no path costs more than with both fixed variances.
#[test]
fn analytic_is_below_both_fixed_variances_under_one_decoder() {
    let rows = table3(
        &TRAIN,
        &TRAIN,
        &[2, 4, 8, 16, 32],
        &VARIANCES,
        None,
        Some(DecoderKind::Marginal),
        StartRule::Full,
    )
    .expect("valid");
    for k in [2, 4, 8, 16, 32, 200] {
        let strides: &[&str] = if k == 200 {
            &["all"]
        } else {
            &["even", "quadratic", "dp"]
        };
        for stride in strides {
            let bpd = |v| find(&rows, stride, v, k).bpd;
            let fixed = bpd(VarianceKind::FixedSmall).min(bpd(VarianceKind::FixedLarge));
            assert!(bpd(VarianceKind::Analytic) <= fixed + 1e-12, "{stride} {k}");
        }
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let table = |steps: &[usize]| {
        table3(
            &TRAIN,
            &TEST,
            steps,
            &VARIANCES,
            None,
            None,
            StartRule::Full,
        )
    };
    assert!(matches!(
        table(&[8, 201]),
        Err(Error::Schedule(ddpm_schedule::Error::Steps {
            max: 200,
            found: 201
        }))
    ));
    assert!(matches!(
        table(&[0]),
        Err(Error::Schedule(ddpm_schedule::Error::Steps {
            max: 200,
            found: 0
        }))
    ));
    let refused = |change: &dyn Fn(&mut Provenance)| {
        let mut provenance = TEST.provenance().clone();
        change(&mut provenance);
        let other = ElboProfile::new(
            provenance,
            TEST.schedule().clone(),
            TEST.layout().clone(),
            TEST.blocks().to_vec(),
        )
        .expect("valid");
        table3(
            &TRAIN,
            &other,
            &[4],
            &VARIANCES,
            None,
            None,
            StartRule::Full,
        )
        .err()
        .map(|e| e.to_string())
        .unwrap_or_default()
    };
    type Change = fn(&mut Provenance);
    let changes: [(&str, Change); 5] = [
        ("checkpoint_sha256", |p| {
            p.model.network = NetworkId::Sha256("e".repeat(64))
        }),
        ("stand_in", |p| p.stand_in = !p.stand_in),
        ("precision", |p| p.model.precision = "bf16".into()),
        ("extra.num_heads", |p| {
            p.model.settings.insert("num_heads".into(), "4".into());
        }),
        ("clip_denoised", |p| {
            p.model.clip_denoised = !p.model.clip_denoised
        }),
    ];
    for (field, change) in changes {
        let error = refused(&change);
        assert!(error.contains(field), "{field}: {error}");
    }
    // What tells of the images may differ: that is the point of a second profile.
    let images: Change = |p| {
        p.split = "validation".into();
        p.data_name = "another".into();
        p.seed += 1;
        p.extra.insert("labels_sha256".into(), "f".repeat(64));
        p.extra.insert("noise_streams".into(), "test".into());
    };
    assert_eq!(refused(&images), "");
}
