//! The two routes to a cost, through a profile and directly, meet on the same images and noise.

use ddpm_core::{
    DecoderKind, Denoiser, MeanKind, NoiseSchedule, Parameterization, Stride, TimePath,
    VarianceKind, nats_to_bits,
};
use ddpm_data::{ImageSet, Split};
use ddpm_eval::{BitsPerDimPlan, Noise, ProfilePlan, Silent, bits_per_dim, profile};
use ddpm_profile::{CostModel, Curves, ElboProfile};
use ddpm_schedule::{GaussianDecoder, Kernel, Schedule, Scoring};
use ndarray::Array3;
use proptest::prelude::*;

use crate::support::models;

const T: usize = 64;

struct Case {
    schedule: NoiseSchedule,
    model: ddpm_core::GaussianDenoiser,
    data: ImageSet,
    clip: bool,
    curves: Curves,
}

fn measure(
    model: &dyn Denoiser,
    data: &ImageSet,
    timesteps: Vec<usize>,
    blocks: usize,
    clip: bool,
) -> ElboProfile {
    let mut plan = ProfilePlan::new(timesteps, (0..data.len()).collect(), blocks, 21);
    plan.clip_denoised = clip;
    profile(model, data, &plan, Split::Train, None, &Silent, &mut |_| {
        Ok(())
    })
    .unwrap()
}

impl Case {
    fn new(clip: bool) -> Self {
        let model = models::learned(&models::cosine(T), Parameterization::Epsilon);
        Self::of(model, clip)
    }

    fn of(model: ddpm_core::GaussianDenoiser, clip: bool) -> Self {
        let schedule = model.noise_schedule().clone();
        let data = models::byte_images(&model, 32);
        let exhaustive = measure(&model, &data, (1..=T).collect(), 4, clip);
        let curves = Curves::from_profile(&exhaustive).unwrap();
        Self {
            schedule,
            model,
            data,
            clip,
            curves,
        }
    }

    /// Mean over the images, in nats, of every term of a path, and of the prior.
    fn direct(&self, scored: Schedule) -> (Vec<f64>, f64) {
        let plan = BitsPerDimPlan {
            noise: Noise::Seed {
                seed: 21,
                split: Split::Train,
            },
            clip_denoised: self.clip,
            ..BitsPerDimPlan::new(scored, (0..self.data.len()).collect())
        };
        let found = bits_per_dim(&self.model, &self.data, &plan, &Silent).unwrap();
        let mean =
            |bits: &[f64]| bits.iter().sum::<f64>() / bits.len() as f64 * std::f64::consts::LN_2;
        (
            found.terms.iter().map(|t| mean(&t.bits_per_dim)).collect(),
            mean(&found.prior),
        )
    }

    fn compare(&self, path: &TimePath, scoring: &Scoring) {
        let (kind, decoder) = (scoring.variance, scoring.decoder);
        let frozen = self.curves.freeze(scoring).unwrap();
        let cost = CostModel::new(&self.curves, frozen).unwrap();
        let priced = cost.schedule_of(path.clone());
        let (direct, prior) = self.direct(priced.clone());
        let rebuilt = cost.path_terms(path);
        // What needs no measurement is the same from the noise schedule alone.
        if !scoring.is_measured() {
            let plain = Schedule::of_path(&self.schedule, path.clone(), scoring).unwrap();
            for (a, b) in self.direct(plain).0.iter().zip(&direct) {
                assert!(
                    (a - b).abs() <= 1e-12 * b.abs().max(1.0),
                    "{kind} {decoder} along {path}: {a} and {b}"
                );
            }
        }

        let rebuilt = match decoder {
            DecoderKind::None => &rebuilt[1..],
            _ => &rebuilt[..],
        };
        for (i, (a, b)) in rebuilt.iter().zip(&direct).enumerate() {
            let is_decoder = i == 0 && decoder != DecoderKind::None;
            let tolerance = if is_decoder { 2e-4 } else { 1e-6 };
            let off = nats_to_bits((a - b).abs()) / nats_to_bits(*b).abs().max(1.0);
            assert!(
                off <= tolerance,
                "{kind} {decoder} term {i} along {path}: {a} and {b}"
            );
        }
        let known = cost.prior(path.end()).unwrap();
        assert!((known - prior).abs() < 1e-12);
    }
}

const DECODERS: [DecoderKind; 5] = [
    DecoderKind::Respaced,
    DecoderKind::Marginal,
    DecoderKind::Optimal,
    DecoderKind::Gaussian,
    DecoderKind::None,
];

/// Every variance with its own mean, and two with the other one.
const KINDS: [(VarianceKind, MeanKind); 9] = [
    (VarianceKind::Learned, MeanKind::Network),
    (VarianceKind::FixedSmall, MeanKind::Network),
    (VarianceKind::FixedLarge, MeanKind::Network),
    (VarianceKind::Analytic, MeanKind::Network),
    (VarianceKind::Analytic, MeanKind::Calibrated),
    (VarianceKind::Spectral, MeanKind::Network),
    (VarianceKind::Spectral, MeanKind::Calibrated),
    (VarianceKind::LearnedCalibrated, MeanKind::Network),
    (VarianceKind::Best, MeanKind::Calibrated),
];

fn usual((variance, mean): (VarianceKind, MeanKind)) -> Scoring {
    Scoring::new(variance).with_mean(mean)
}

#[test]
fn every_variance_and_decoder_along_every_kind_of_path() {
    for clip in [true, false] {
        let case = Case::new(clip);
        assert!(
            case.data.image(0).unwrap().iter().any(|x| x.abs() == 1.0),
            "no pixel at the open ends"
        );
        let paths = [
            Stride::All.path(&case.schedule).unwrap(),
            Stride::Even(8).path(&case.schedule).unwrap(),
            TimePath::new([1, 2, T], T).unwrap(),
            TimePath::new([4, 9, 30], T).unwrap(),
            TimePath::new([T], T).unwrap(),
        ];
        for path in &paths {
            for kind in KINDS {
                for decoder in DECODERS {
                    let scoring = Scoring {
                        gaussian: GaussianDecoder {
                            bin_width: Some(2.0 / 255.0),
                            first: None,
                        },
                        ..usual(kind).with_decoder(decoder)
                    };
                    case.compare(path, &scoring);
                }
            }
        }
    }
}

/// Pixels of two kinds, scattered so that no band tells them apart and known to the network: there the scaled learned variance is the
/// cheapest at many edges, and the step that was priced, on the network's own mean, is the step that is run.
#[test]
fn best_runs_what_it_prices_where_the_learned_variance_wins() {
    let schedule = models::cosine(T);
    let is_rough = |(c, y, x): (usize, usize, usize)| (7 * c + 5 * y + 3 * x * x + x * y) % 3 == 0;
    let of = |rough: f64, flat: f64| {
        Array3::from_shape_fn(models::SHAPE, |i| if is_rough(i) { rough } else { flat })
    };
    let (mu, variance) = (Array3::zeros(models::SHAPE), of(0.1, 1e-4));
    let model = ddpm_core::GaussianDenoiser::new(schedule, mu, variance, Parameterization::Epsilon)
        .and_then(|model| model.with_v(of(0.7, 0.0)))
        .unwrap();
    let case = Case::of(model, true);
    let scoring = usual((VarianceKind::Best, MeanKind::Calibrated));
    let frozen = case.curves.freeze(&scoring).unwrap();
    let cost = CostModel::new(&case.curves, frozen).unwrap();
    for steps in [8, 16] {
        let path = Stride::Even(steps).path(&case.schedule).unwrap();
        let schedule = cost.schedule_of(path.clone());
        let is_scaled = |kernel: &Kernel| matches!(kernel, Kernel::LearnedScaled { .. });
        let scaled = schedule.kernels.iter().filter(|k| is_scaled(k)).count();
        assert!(scaled > 0 && scaled + 1 < steps, "{scaled} of {steps}");
        for decoder in DECODERS {
            let gaussian = GaussianDecoder {
                bin_width: Some(2.0 / 255.0),
                first: None,
            };
            case.compare(
                &path,
                &Scoring {
                    gaussian,
                    ..scoring.with_decoder(decoder)
                },
            );
        }
    }
}

#[test]
fn random_paths() {
    let case = Case::new(true);
    let nodes = proptest::collection::btree_set(1..=T, 1..12);
    let config = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(nodes in nodes, kind in 0usize..9)| {
        let path = TimePath::new(nodes.into_iter().collect::<Vec<_>>(), T).unwrap();
        case.compare(&path, &usual(KINDS[kind]).with_decoder(DecoderKind::Respaced));
    });
}

/// The profile of a Gaussian is an estimate of its closed form, with the right error bars.
#[test]
fn a_profile_of_a_gaussian_estimates_its_closed_form() {
    let schedule = models::cosine(T);
    let model = models::learned(&schedule, Parameterization::V);
    let data = models::images(&model, 800);
    let path = TimePath::new([2, 6, 15, 40, T], T).unwrap();
    let profile = measure(&model, &data, path.nodes()[1..].to_vec(), 20, false);
    for kind in [
        VarianceKind::Learned,
        VarianceKind::FixedSmall,
        VarianceKind::FixedLarge,
    ] {
        let scoring = Scoring::new(kind).with_decoder(DecoderKind::None);
        let estimates = ddpm_profile::jackknife(&profile, |curves| {
            let cost = CostModel::new(curves, scoring.into())?;
            Ok(cost.path_terms(&path))
        })
        .unwrap();
        for (estimate, edge) in estimates.iter().zip(path.edges()).skip(1) {
            let expected = model.term(edge, kind).unwrap();
            let off = (estimate.value - expected).abs();
            assert!(
                off < 4.5 * estimate.standard_error,
                "{kind} {edge:?}: {off} {}",
                estimate.standard_error
            );
            assert!(
                off < 0.05 * expected,
                "{kind} {edge:?}: {} {expected}",
                estimate.value
            );
        }
    }
}
