//! The two routes to a cost, through a profile and directly, meet on the same images and noise.

use std::sync::Arc;

use ddpm_core::{
    Denoiser, NoiseSchedule, Parameterization, Path, Stride, VarianceKind, nats_to_bits,
};
use ddpm_eval::data::{ImageSet, Split};
use ddpm_eval::{
    BitsPerDimPlan, Noise, PathDecoder, PathVariance, ProfilePlan, Silent, bits_per_dim, profile,
};
use ddpm_profile::{
    CostModel, Curves, Decoder, ElboProfile, Objective, StepVariances, optimal_decoder_log_variance,
};
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
        let schedule = models::cosine(T);
        let model = models::learned(&schedule, Parameterization::Epsilon);
        let data = models::byte_images(&model, 24);
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
    fn direct(&self, path: &Path, variance: PathVariance, decoder: PathDecoder) -> (Vec<f64>, f64) {
        let plan = BitsPerDimPlan {
            path: path.clone(),
            variance,
            decoder,
            images: (0..self.data.len()).collect(),
            noise: Noise::Seed {
                seed: 21,
                split: Split::Train,
            },
            clip_denoised: self.clip,
            only: None,
            batch: 0,
        };
        let found = bits_per_dim(&self.model, &self.data, &plan, &Silent).unwrap();
        let mean =
            |bits: &[f64]| bits.iter().sum::<f64>() / bits.len() as f64 * std::f64::consts::LN_2;
        (
            found.terms.iter().map(|t| mean(&t.bits_per_dim)).collect(),
            mean(&found.prior),
        )
    }

    fn compare(&self, path: &Path, kind: VarianceKind, decoder: &Decoder) {
        let frozen: Arc<[f64]> = self.curves.mse().into();
        let variances = match kind {
            VarianceKind::Learned => StepVariances::Learned,
            VarianceKind::FixedSmall => StepVariances::FixedSmall,
            VarianceKind::FixedLarge => StepVariances::FixedLarge,
            VarianceKind::Analytic => StepVariances::Analytic { mse: frozen },
        };
        let cost =
            CostModel::new(&self.curves, variances, decoder.clone(), Objective::Elbo).unwrap();
        let variance = match kind {
            VarianceKind::Learned => PathVariance::Learned,
            VarianceKind::FixedSmall => PathVariance::FixedSmall,
            VarianceKind::FixedLarge => PathVariance::FixedLarge,
            VarianceKind::Analytic => PathVariance::LogVariances(cost.log_variances(path)),
        };
        let direct_decoder = match decoder {
            Decoder::Respaced => PathDecoder::Respaced,
            Decoder::Marginal => PathDecoder::Marginal,
            Decoder::Optimal { log_variance } => {
                PathDecoder::LogVariance(log_variance[path.nodes()[1]])
            }
            Decoder::Gaussian { bin_width, .. } => PathDecoder::Gaussian {
                bin_width: *bin_width,
            },
            Decoder::None => PathDecoder::None,
        };
        let (direct, prior) = self.direct(path, variance, direct_decoder);
        let rebuilt = cost.path_terms(path);
        // A schedules file says the same of every step, `None` where it is per pixel.
        let stored = PathVariance::LogVariances(cost.log_variances(path));
        let from_file = self.direct(path, stored, direct_decoder).0;
        for (a, b) in from_file.iter().zip(&direct) {
            assert!(
                (a - b).abs() <= 1e-12 * b.abs().max(1.0),
                "{kind} {decoder:?} along {path}: {a} and {b}"
            );
        }

        let rebuilt = match decoder {
            Decoder::None => &rebuilt[1..],
            _ => &rebuilt[..],
        };
        for (i, (a, b)) in rebuilt.iter().zip(&direct).enumerate() {
            let is_decoder = i == 0 && !matches!(decoder, Decoder::None);
            let tolerance = if is_decoder { 2e-4 } else { 1e-6 };
            let off = nats_to_bits((a - b).abs()) / nats_to_bits(*b).abs().max(1.0);
            assert!(
                off <= tolerance,
                "{kind} {decoder:?} term {i} along {path}: {a} and {b}"
            );
        }
        let known = cost.prior(path.end()).unwrap();
        assert!((known - prior).abs() < 1e-12);
    }
}

fn decoders(curves: &Curves) -> Vec<Decoder> {
    vec![
        Decoder::Respaced,
        Decoder::Marginal,
        Decoder::Optimal {
            log_variance: optimal_decoder_log_variance(curves).unwrap().into(),
        },
        Decoder::Gaussian {
            bin_width: Some(2.0 / 255.0),
            first: None,
        },
        Decoder::None,
    ]
}

const KINDS: [VarianceKind; 4] = [
    VarianceKind::Learned,
    VarianceKind::FixedSmall,
    VarianceKind::FixedLarge,
    VarianceKind::Analytic,
];

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
            Path::new([1, 2, T], T).unwrap(),
            Path::new([4, 9, 30], T).unwrap(),
            Path::new([T], T).unwrap(),
        ];
        for path in &paths {
            for kind in KINDS {
                for decoder in decoders(&case.curves) {
                    case.compare(path, kind, &decoder);
                }
            }
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
    proptest!(config, |(nodes in nodes, kind in 0usize..4)| {
        let path = Path::new(nodes.into_iter().collect::<Vec<_>>(), T).unwrap();
        case.compare(&path, KINDS[kind], &Decoder::Respaced);
    });
}

/// The profile of a Gaussian is an estimate of its closed form, with the right error bars.
#[test]
fn a_profile_of_a_gaussian_estimates_its_closed_form() {
    let schedule = models::cosine(T);
    let model = models::learned(&schedule, Parameterization::V);
    let data = models::images(&model, 800);
    let path = Path::new([2, 6, 15, 40, T], T).unwrap();
    let profile = measure(&model, &data, path.nodes()[1..].to_vec(), 20, false);
    for (kind, variances) in [
        (VarianceKind::Learned, StepVariances::Learned),
        (VarianceKind::FixedSmall, StepVariances::FixedSmall),
        (VarianceKind::FixedLarge, StepVariances::FixedLarge),
    ] {
        let estimates = ddpm_profile::jackknife(&profile, |curves| {
            let cost = CostModel::new(curves, variances.clone(), Decoder::None, Objective::Elbo)?;
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
