//! Direct evaluation: against the original code's numbers, against closed forms, and what it depends on.

use ddpm_core::{
    DecoderKind, Denoiser, NoiseSchedule, Parameterization, TimePath, VarianceKind, nats_to_bits,
};
use ddpm_data::{ImageSet, Images, Split, open, write_png_folder};
use ddpm_eval::{BitsPerDim, BitsPerDimPlan, Error, Noise, Silent, bits_per_dim};
use ddpm_schedule::{Kernel, Schedule};
use ndarray::{Array4, ArrayD};
use serde_json::Value;

use crate::support::golden;
use crate::support::models::{
    self, Conditional, Fault, Faulty, Recorded, along, with_log_variances,
};
use crate::support::watchers::Counter;

fn plan(noise: &NoiseSchedule, path: &TimePath, images: usize) -> BitsPerDimPlan<'static> {
    let (variance, decoder) = (VarianceKind::FixedSmall, DecoderKind::Respaced);
    BitsPerDimPlan {
        noise: Noise::Seed {
            seed: 5,
            split: Split::Train,
        },
        clip_denoised: false,
        ..BitsPerDimPlan::new(along(noise, path, variance, decoder), (0..images).collect())
    }
}

fn evaluate(
    denoiser: &dyn Denoiser,
    data: &ImageSet,
    plan: &BitsPerDimPlan<'_>,
) -> Result<BitsPerDim, Error> {
    bits_per_dim(denoiser, data, plan, &Silent)
}

fn read_golden(name: &str) -> std::collections::HashMap<String, Array4<f32>> {
    let bytes = std::fs::read(golden(name)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| {
            let shape = <[usize; 4]>::try_from(view.shape()).unwrap();
            let values = view
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|&b| f32::from_le_bytes(b))
                .collect();
            (
                name.to_owned(),
                Array4::from_shape_vec(shape, values).unwrap(),
            )
        })
        .collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

/// `a` and `b` agree to `tolerance`, absolute below 1 and relative above.
fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * b.abs().max(1.0)
}

#[test]
fn equals_the_original_code_on_recorded_outputs() {
    let tensors = read_golden("vb.safetensors");
    let (data, noise) = (&tensors["x_start"], tensors["noise"].clone().into_dyn());
    let data = ImageSet::from_array("golden", data.view()).unwrap();
    let text = std::fs::read_to_string(golden("vb.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let mut compared = 0;
    for case in cases.as_array().unwrap() {
        let text = |key: &str| case[key].as_str().unwrap();
        let train_steps = case["T"].as_u64().unwrap() as usize;
        let schedule =
            NoiseSchedule::named(text("schedule").parse().unwrap(), train_steps).unwrap();
        let nodes: Vec<usize> = match &case["timesteps"] {
            Value::String(_) => (1..=train_steps).collect(),
            list => numbers(list).into_iter().map(|i| i as usize + 1).collect(),
        };
        let path = TimePath::new(nodes, train_steps).unwrap();
        let variance = match text("variance") {
            "learned_range" => VarianceKind::Learned,
            "fixed_small" => VarianceKind::FixedSmall,
            _ => VarianceKind::FixedLarge,
        };
        let scored = along(&schedule, &path, variance, DecoderKind::Respaced);
        let network = Recorded {
            schedule: schedule.clone(),
            output: tensors[text("net")].clone(),
            learned: variance == VarianceKind::Learned,
        };
        for term in case["terms"].as_array().unwrap() {
            let t = path.nodes()[term["step"].as_u64().unwrap() as usize + 1];
            let plan = BitsPerDimPlan {
                schedule: scored.clone(),
                noise: Noise::Given(&noise),
                clip_denoised: term["clip_denoised"].as_bool().unwrap(),
                only: Some(vec![t]),
                batch: 4,
                ..plan(&schedule, &path, 4)
            };
            let found = evaluate(&network, &data, &plan).unwrap();
            assert_eq!(found.terms.len(), 1);
            assert!(found.total.is_none());
            let pairs = found.terms[0]
                .bits_per_dim
                .iter()
                .zip(numbers(&term["bpd"]));
            let priors = found.prior.iter().zip(numbers(&case["prior_bpd"]));
            for (&a, b) in pairs.chain(priors) {
                assert!(close(a, b, 5e-6), "{} t = {t}: {a} and {b}", text("net"));
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}

/// Mean over images and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[test]
fn equals_the_closed_form_within_monte_carlo_error() {
    let schedule = models::cosine(100);
    let path = TimePath::new([2, 9, 30, 55, 80, 100], 100).unwrap();
    for parameterization in [
        Parameterization::Epsilon,
        Parameterization::X0,
        Parameterization::V,
    ] {
        let model = models::learned(&schedule, parameterization);
        let data = models::images(&model, 600);
        let gaussian = |kind| {
            if kind != VarianceKind::Analytic {
                return along(&schedule, &path, kind, DecoderKind::Gaussian);
            }
            let analytic = path.edges().map(|(t, s)| {
                let transition = schedule.transition(t, s);
                Some(ddpm_core::analytic_variance(&transition, model.mse(t)).ln())
            });
            Schedule {
                decoder: DecoderKind::Gaussian,
                ..with_log_variances(&path, &analytic.collect::<Vec<_>>())
            }
        };
        for kind in [
            VarianceKind::Learned,
            VarianceKind::FixedSmall,
            VarianceKind::FixedLarge,
            VarianceKind::Analytic,
        ] {
            let plan = BitsPerDimPlan {
                schedule: gaussian(kind),
                ..plan(&schedule, &path, data.len())
            };
            let found = evaluate(&model, &data, &plan).unwrap();
            let log_decoder = match kind {
                VarianceKind::Analytic => model.mse(2).ln(),
                _ => schedule.transition(9, 2).log_posterior_variance,
            };
            for term in &found.terms {
                let expected = match term.s {
                    0 => model.decoder(term.t, log_decoder),
                    _ => model.term((term.t, term.s), kind).unwrap(),
                };
                let (mean, error) = mean(&term.bits_per_dim);
                let off = (mean - nats_to_bits(expected)).abs();
                assert!(
                    off < 4.5 * error + 1e-9,
                    "{kind} t = {}: off {off}, error {error}",
                    term.t
                );
            }
            let (prior, error) = mean(&found.prior);
            assert!((prior - nats_to_bits(model.prior(100))).abs() < 4.5 * error + 1e-12);
        }
    }
}

#[test]
fn totals_are_the_sums_and_parts_are_the_same_terms() {
    let schedule = models::cosine(60);
    let model = models::learned(&schedule, Parameterization::Epsilon);
    let data = models::byte_images(&model, 5);
    let path = TimePath::new([1, 7, 20, 60], 60).unwrap();
    let whole = evaluate(&model, &data, &plan(&schedule, &path, 5)).unwrap();
    assert_eq!(
        whole.terms.iter().map(|e| (e.t, e.s)).collect::<Vec<_>>(),
        [(1, 0), (7, 1), (20, 7), (60, 20)]
    );
    for (i, total) in whole.total.as_ref().unwrap().iter().enumerate() {
        let sum: f64 = whole.terms.iter().map(|e| e.bits_per_dim[i]).sum::<f64>() + whole.prior[i];
        assert_eq!(*total, sum);
    }
    let part = BitsPerDimPlan {
        only: Some(vec![20, 1]),
        ..plan(&schedule, &path, 5)
    };
    let part = evaluate(&model, &data, &part).unwrap();
    assert_eq!(part.terms, [whole.terms[0].clone(), whole.terms[2].clone()]);
    assert_eq!(part.prior, whole.prior);

    let without = BitsPerDimPlan {
        schedule: along(
            &schedule,
            &path,
            VarianceKind::FixedSmall,
            DecoderKind::None,
        ),
        ..plan(&schedule, &path, 5)
    };
    let without = evaluate(&model, &data, &without).unwrap();
    assert_eq!(without.terms, whole.terms[1..]);
    assert!(without.total.is_some());
}

#[test]
fn terms_depend_on_the_image_and_not_on_its_company() {
    let schedule = models::cosine(60);
    let model = models::learned(&schedule, Parameterization::V);
    let data = models::byte_images(&model, 9);
    let path = TimePath::new([3, 20, 60], 60).unwrap();
    let base = BitsPerDimPlan {
        schedule: along(
            &schedule,
            &path,
            VarianceKind::Learned,
            DecoderKind::Respaced,
        ),
        clip_denoised: true,
        ..plan(&schedule, &path, 9)
    };
    let whole = evaluate(&model, &data, &base).unwrap();
    for batch in [1, 4, 100] {
        let plan = BitsPerDimPlan {
            batch,
            ..base.clone()
        };
        assert_eq!(evaluate(&model, &data, &plan).unwrap(), whole);
    }
    let one_thread = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(
        one_thread.install(|| evaluate(&model, &data, &base).unwrap()),
        whole
    );
    let plan = BitsPerDimPlan {
        images: vec![7, 2],
        ..base.clone()
    };
    let two = evaluate(&model, &data, &plan).unwrap();
    for (a, b) in two.terms.iter().zip(&whole.terms) {
        assert_eq!(a.bits_per_dim, [b.bits_per_dim[7], b.bits_per_dim[2]]);
    }
    let plan = BitsPerDimPlan {
        noise: Noise::Seed {
            seed: 6,
            split: Split::Train,
        },
        ..base
    };
    assert_ne!(evaluate(&model, &data, &plan).unwrap().terms, whole.terms);
    // Test images meet other noise than the training images of the same indices.
    let plan = BitsPerDimPlan {
        noise: Noise::Seed {
            seed: 5,
            split: Split::Test,
        },
        ..plan
    };
    let test = evaluate(&model, &data, &plan).unwrap();
    for (a, b) in test.terms.iter().zip(&whole.terms) {
        for (a, b) in a.bits_per_dim.iter().zip(&b.bits_per_dim) {
            assert_ne!(a, b);
        }
    }
    assert_eq!(test.prior, whole.prior);
}

#[test]
fn decoders() {
    let schedule = models::cosine(60);
    let model = models::learned(&schedule, Parameterization::Epsilon);
    let data = models::byte_images(&model, 4);
    let path = TimePath::new([2, 12, 60], 60).unwrap();
    let first = |scored: Schedule| {
        let plan = BitsPerDimPlan {
            schedule: scored,
            ..plan(&schedule, &path, 4)
        };
        evaluate(&model, &data, &plan).unwrap().terms[0]
            .bits_per_dim
            .clone()
    };
    let decoder =
        |path: &TimePath, variance, decoder| first(along(&schedule, path, variance, decoder));
    use DecoderKind::{Gaussian, Marginal, Respaced};
    use VarianceKind::{FixedLarge, FixedSmall, Learned};
    let respaced = schedule.transition(12, 2).log_posterior_variance;
    let explicit = first(with_log_variances(
        &path,
        &[Some(respaced), Some(-1.0), None],
    ));
    assert_eq!(decoder(&path, FixedSmall, Respaced), explicit);
    assert_eq!(decoder(&path, FixedLarge, Respaced), explicit);
    assert_ne!(decoder(&path, Learned, Respaced), explicit);
    assert_eq!(
        first(with_log_variances(&path, &[None; 3])),
        decoder(&path, Learned, Respaced)
    );

    let marginal = decoder(&path, Learned, Marginal);
    let log_noise = schedule.log_one_minus_alpha_bar(2);
    let steps = [Some(log_noise), Some(-1.0), Some(-1.0)];
    assert_eq!(marginal, first(with_log_variances(&path, &steps)));
    // One step has no second node.
    let single = TimePath::new([2], 60).unwrap();
    assert_eq!(decoder(&single, FixedSmall, Respaced), marginal);
    assert_eq!(decoder(&single, FixedLarge, Marginal), marginal);

    // The discretised density tends to the continuous one times the width of a bin where bins are narrow against it.
    let interior = ImageSet::from_array("middle", Array4::zeros((1, 3, 4, 4)).view()).unwrap();
    let wide = with_log_variances(&path, &[Some(0.0), Some(-1.0), None]);
    let of = |decoder, bin_width| {
        let plan = BitsPerDimPlan {
            schedule: Schedule {
                decoder,
                bin_width,
                ..wide.clone()
            },
            ..plan(&schedule, &path, 1)
        };
        evaluate(&model, &interior, &plan).unwrap().terms[0].bits_per_dim[0]
    };
    let (continuous, discretised) = (of(Gaussian, Some(2.0 / 255.0)), of(Respaced, None));
    // The tanh approximation of the distribution is good to a few thousandths.
    assert!(
        (continuous - discretised).abs() < 5e-3,
        "{continuous} {discretised}"
    );
    let density = of(Gaussian, None);
    assert!((density - continuous - (2.0f64 / 255.0).log2()).abs() < 1e-12);
}

#[test]
fn labels_reach_their_images() {
    let schedule = models::cosine(40);
    let mild = models::fixed(&schedule, Parameterization::X0);
    let wrong = ddpm_core::GaussianDenoiser::new(
        schedule.clone(),
        ndarray::Array3::from_elem(models::SHAPE, 0.9),
        ndarray::Array3::from_elem(models::SHAPE, 1e-4),
        Parameterization::X0,
    )
    .unwrap();
    let data = models::images(&mild, 6);
    let path = TimePath::new([5, 40], 40).unwrap();
    let plain = evaluate(&mild, &data, &plan(&schedule, &path, 6)).unwrap();
    let model = Conditional(vec![mild, wrong]);
    let labelled = data.clone().with_labels(vec![0, 1, 0, 0, 1, 0]).unwrap();
    let plan = BitsPerDimPlan {
        batch: 4,
        ..plan(&schedule, &path, 6)
    };
    let found = evaluate(&model, &labelled, &plan).unwrap();
    for (a, b) in found.terms.iter().zip(&plain.terms) {
        for i in 0..6 {
            assert_eq!(
                a.bits_per_dim[i] == b.bits_per_dim[i],
                ![1, 4].contains(&i),
                "image {i}"
            );
        }
    }
    let of_class = evaluate(&model, &data.clone().with_class(0), &plan).unwrap();
    assert_eq!(of_class.terms, plain.terms);
    let message = |data: &ImageSet| evaluate(&model, data, &plan).unwrap_err().to_string();
    assert!(message(&data).contains("2 classes"));
    assert!(message(&data.clone().with_class(2)).contains("below 2"));
}

#[test]
fn counts_and_stops() {
    let schedule = models::cosine(40);
    let model = models::fixed(&schedule, Parameterization::X0);
    let data = models::images(&model, 6);
    let path = TimePath::new([5, 20, 40], 40).unwrap();
    let counter = Counter::default();
    bits_per_dim(&model, &data, &plan(&schedule, &path, 6), &counter).unwrap();
    assert_eq!(counter.seen(), (18, 18, true));
    let counter = Counter::stopping_after(4);
    let plan = BitsPerDimPlan {
        batch: 2,
        ..plan(&schedule, &path, 6)
    };
    let stopped = bits_per_dim(&model, &data, &plan, &counter);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert!(!counter.seen().2);
}

#[test]
fn names_what_does_not_fit() {
    let schedule = models::cosine(40);
    let model = models::fixed(&schedule, Parameterization::Epsilon);
    let data = models::images(&model, 3);
    let path = TimePath::new([5, 40], 40).unwrap();
    let base = plan(&schedule, &path, 3);
    let other_size = ImageSet::from_array("other", Array4::zeros((3, 3, 4, 5)).view()).unwrap();
    let noise = ArrayD::zeros(vec![2, 3, 4, 4]);
    let cases: Vec<(&str, BitsPerDimPlan<'_>, &ImageSet, &[&str])> = vec![
        (
            "size",
            base.clone(),
            &other_size,
            &["images", "expected 3x4x4", "found 3x4x5"],
        ),
        (
            "none",
            BitsPerDimPlan {
                images: vec![],
                ..base.clone()
            },
            &data,
            &["at least one image"],
        ),
        (
            "beyond",
            BitsPerDimPlan {
                images: vec![3],
                ..base.clone()
            },
            &data,
            &["below 3", "found 3"],
        ),
        (
            "variance",
            BitsPerDimPlan {
                schedule: along(
                    &schedule,
                    &path,
                    VarianceKind::Learned,
                    DecoderKind::Respaced,
                ),
                ..base.clone()
            },
            &data,
            &["variance", "no variance output"],
        ),
        (
            "log variances",
            BitsPerDimPlan {
                schedule: with_log_variances(&path, &[Some(0.0)]),
                ..base.clone()
            },
            &data,
            &["expected 2", "found 1"],
        ),
        (
            "log variance",
            BitsPerDimPlan {
                schedule: with_log_variances(&path, &[Some(0.0), Some(f64::NAN)]),
                ..base.clone()
            },
            &data,
            &["finite", "step 2"],
        ),
        (
            "hidden learned",
            BitsPerDimPlan {
                schedule: with_log_variances(&path, &[Some(0.0), None]),
                ..base.clone()
            },
            &data,
            &["no variance output"],
        ),
        (
            "noise",
            BitsPerDimPlan {
                noise: Noise::Given(&noise),
                ..base.clone()
            },
            &data,
            &["[3, 3, 4, 4]"],
        ),
        (
            "terms",
            BitsPerDimPlan {
                only: Some(vec![6]),
                ..base.clone()
            },
            &data,
            &["path 5,40", "found 6"],
        ),
        (
            "decoder",
            BitsPerDimPlan {
                schedule: with_log_variances(&path, &[Some(f64::INFINITY), Some(0.0)]),
                ..base.clone()
            },
            &data,
            &["step 1", "finite"],
        ),
        (
            "bin",
            BitsPerDimPlan {
                schedule: Schedule {
                    decoder: DecoderKind::Gaussian,
                    bin_width: Some(0.0),
                    ..with_log_variances(&path, &[Some(0.0), Some(0.0)])
                },
                ..base.clone()
            },
            &data,
            &["bin width", "positive"],
        ),
    ];
    for (name, plan, data, wanted) in cases {
        let text = evaluate(&model, data, &plan).unwrap_err().to_string();
        for part in wanted {
            assert!(text.contains(part), "{name}: {text}");
        }
    }
    let beyond = plan(&models::cosine(50), &TimePath::new([50], 50).unwrap(), 3);
    let text = evaluate(&model, &data, &beyond).unwrap_err().to_string();
    assert!(text.contains("up to 40, found 50"), "{text}");

    // Epsilon-prediction says nothing where no signal is left.
    let zero = schedule.zero_terminal_snr();
    let model = models::fixed(&zero, Parameterization::Epsilon);
    let text = evaluate(&model, &data, &base).unwrap_err().to_string();
    assert!(
        text.contains("epsilon-prediction") && text.contains("40"),
        "{text}"
    );
}

#[test]
fn faulty_networks_are_named() {
    let schedule = models::cosine(40);
    let data = models::images(&models::fixed(&schedule, Parameterization::Epsilon), 3);
    let path = TimePath::new([5, 40], 40).unwrap();
    for (fault, wanted) in [
        (
            Fault::NotFinite,
            &["image 0", "timestep 40", "not finite"][..],
        ),
        (Fault::Shape, &["[1, 1, 4, 4]", "[1, 3, 4, 4]"]),
        (Fault::NoVariance, &["learns its variance"]),
        (Fault::Fails, &["out of memory"]),
    ] {
        let model = models::learned(&schedule, Parameterization::Epsilon);
        let network = Faulty {
            model,
            fault,
            from: 30,
        };
        let plan = BitsPerDimPlan {
            batch: 1,
            ..plan(&schedule, &path, 1)
        };
        let error = evaluate(&network, &data, &plan).unwrap_err();
        // One that fails may do better another time.
        let fails = matches!(network.fault, Fault::Fails);
        assert_eq!(matches!(error, Error::Denoiser(_)), fails, "{error:?}");
        assert_eq!(matches!(error, Error::Output(_)), !fails, "{error:?}");
        for part in wanted {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

#[test]
fn an_evaluation_ends_with_the_image_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let schedule = models::cosine(40);
    let model = models::fixed(&schedule, Parameterization::Epsilon);
    let (c, h, w) = models::SHAPE;
    let png = Images::from_bytes(Array4::zeros((3, c, h, w))).unwrap();
    write_png_folder(folder.path(), &png, 0).unwrap();
    let set = open(folder.path(), Split::Train, None).unwrap();
    std::fs::write(folder.path().join("000001.png"), "no longer one").unwrap();
    let path = TimePath::new([0, 1, 40], 40).unwrap();
    let plan = BitsPerDimPlan {
        clip_denoised: true,
        ..plan(&schedule, &path, 3)
    };
    let error = bits_per_dim(&model, &set, &plan, &Silent).unwrap_err();
    assert!(
        matches!(error, Error::Data(ddpm_data::Error::Image { index: 1, .. })),
        "{error}"
    );
    let good = BitsPerDimPlan {
        images: vec![2, 0],
        ..plan
    };
    bits_per_dim(&model, &set, &good, &Silent).unwrap();
}

/// Conventions that need no measurement are the usual plan of a path, in three arguments.
#[test]
fn the_usual_plan_is_of_the_test_split_and_clips() {
    let noise = models::cosine(40);
    let path = TimePath::new([5, 40], 40).unwrap();
    let scored = along(&noise, &path, VarianceKind::Learned, DecoderKind::Respaced);
    assert_eq!(scored.kernels, vec![Kernel::Learned; 2]);
    let plan = BitsPerDimPlan::new(scored.clone(), vec![3, 1]);
    assert_eq!((&plan.schedule, &plan.images[..]), (&scored, &[3, 1][..]));
    let split = Split::Test;
    assert!(matches!(plan.noise, Noise::Seed { seed: 0, split: found } if found == split));
    assert!(plan.clip_denoised && plan.only.is_none() && plan.batch == 0);
}
