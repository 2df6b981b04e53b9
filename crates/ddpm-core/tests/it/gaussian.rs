//! The closed-form model: its terms against Monte-Carlo estimates, and exact identities.

use ddpm_core::{
    Denoiser, Error, GaussianDenoiser, NoiseDomain, NoiseKey, NoiseSchedule, NoiseScheduleName,
    Parameterization, StepVariance, Stride, TimePath, VarianceKind, analytic_variance, diffuse,
    edge_nll, gaussian_nll, predict_x0, prior_kl, standard_normal,
};
use ndarray::{Array1, Array3, Array4, ArrayD, ArrayViewD, Axis};
use proptest::prelude::*;

const SHAPE: (usize, usize, usize) = (2, 6, 6);
const KINDS: [VarianceKind; 4] = [
    VarianceKind::Learned,
    VarianceKind::FixedSmall,
    VarianceKind::FixedLarge,
    VarianceKind::Analytic,
];

/// A model with unequal pixels.
fn model(schedule: NoiseSchedule, parameterization: Parameterization) -> GaussianDenoiser {
    let index = |(c, y, x): (usize, usize, usize)| (c * 36 + y * 6 + x) as f64 / 72.0;
    let mu = Array3::from_shape_fn(SHAPE, |i| 0.4 * (index(i) * 9.0).sin());
    let variance = Array3::from_shape_fn(SHAPE, |i| 0.05 + 0.4 * index(i));
    let v = Array3::from_shape_fn(SHAPE, |i| -0.2 + 1.4 * index(i));
    GaussianDenoiser::new(schedule, mu, variance, parameterization)
        .unwrap()
        .with_v(v)
        .unwrap()
}

fn cosine(train_steps: usize) -> NoiseSchedule {
    NoiseSchedule::named(NoiseScheduleName::Cosine, train_steps).unwrap()
}

/// Mean and standard error.
struct Estimate {
    mean: f64,
    error: f64,
}

fn estimate(values: &[f64]) -> Estimate {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Estimate {
        mean,
        error: (variance / count).sqrt(),
    }
}

#[track_caller]
fn assert_within_error(what: &str, values: &[f64], expected: f64) {
    let Estimate { mean, error } = estimate(values);
    // Five standard errors, and what f32 images can hold.
    assert!(
        (mean - expected).abs() < 5.0 * error + 1e-6 * expected.abs(),
        "{what}: {mean} +- {error}, expected {expected}"
    );
}

#[test]
fn terms_match_monte_carlo() {
    let schedule = cosine(200);
    let model = model(schedule.clone(), Parameterization::Epsilon);
    let images: Vec<ArrayD<f32>> = (0..400).map(|i| model.sample(1, i)).collect();
    let dims = images[0].len();

    let squares: Vec<f64> = images
        .iter()
        .map(|image| image.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / dims as f64)
        .collect();
    assert_within_error("mean square", &squares, model.x0_mean_square());
    for t in [60, 150] {
        let prior: Vec<f64> = squares.iter().map(|&m| prior_kl(&schedule, t, m)).collect();
        assert_within_error("prior", &prior, model.prior(t));
    }

    for (t, s) in [(3, 1), (40, 10), (120, 40), (199, 120)] {
        let transition = schedule.transition(t, s);
        let mut squared = Vec::new();
        let mut terms = [const { Vec::new() }; KINDS.len()];
        for (i, image) in images.iter().enumerate() {
            let image = image.as_slice().unwrap();
            let mut noise = vec![0.0; dims];
            let key = NoiseKey {
                seed: 2,
                domain: NoiseDomain::Forward,
                stream: i as u64,
                step: t as u32,
            };
            standard_normal(key, &mut noise);
            let mut x_t = vec![0.0; dims];
            diffuse(&schedule, t, image, &noise, &mut x_t);
            let fed: Vec<f32> = x_t.iter().map(|&x| x as f32).collect();
            let fed = ArrayViewD::from_shape(vec![1, SHAPE.0, SHAPE.1, SHAPE.2], &fed).unwrap();
            let prediction = model.predict(fed, &[t], None).unwrap();
            let out = prediction.mean.as_slice().unwrap();
            let raw = prediction.variance.unwrap();
            let v: Vec<f64> = raw
                .iter()
                .map(|&raw| (f64::from(raw) + 1.0) / 2.0)
                .collect();
            let mut xhat0 = vec![0.0; dims];
            predict_x0(
                model.parameterization(),
                &schedule,
                t,
                &x_t,
                out,
                false,
                &mut xhat0,
            )
            .unwrap();
            let x0: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
            let squares = x0.iter().zip(&xhat0).map(|(a, b)| (a - b).powi(2));
            squared.push(squares.sum::<f64>() / dims as f64);
            for (kind, terms) in KINDS.into_iter().zip(&mut terms) {
                let variance = match kind {
                    VarianceKind::Learned => StepVariance::Learned(&v),
                    VarianceKind::FixedSmall => {
                        StepVariance::LogVariance(transition.log_posterior_variance)
                    }
                    VarianceKind::FixedLarge => StepVariance::LogVariance(transition.log_beta),
                    VarianceKind::Analytic => {
                        StepVariance::LogVariance(analytic_variance(&transition, model.mse(t)).ln())
                    }
                    other => unreachable!("{other} is no variance of the paper"),
                };
                terms.push(edge_nll(&transition, f64::NAN, variance, &x0, &xhat0));
            }
        }
        assert_within_error(&format!("mse at {t}"), &squared, model.mse(t));
        for (kind, terms) in KINDS.into_iter().zip(&terms) {
            let expected = model.term((t, s), kind).unwrap();
            assert_within_error(&format!("{kind} ({t}, {s})"), terms, expected);
        }
    }
}

#[test]
fn samples_have_the_moments_of_the_data() {
    let model = model(cosine(10), Parameterization::X0);
    let images: Vec<ArrayD<f32>> = (0..4000).map(|i| model.sample(9, i)).collect();
    assert_eq!(model.sample(9, 17), images[17]);
    for at in [[0, 0, 0], [1, 3, 2], [1, 5, 5]] {
        let index = (at[0] * 36 + at[1] * 6 + at[2]) as f64 / 72.0;
        let pixels: Vec<f64> = images.iter().map(|image| f64::from(image[at])).collect();
        let mu = 0.4 * (index * 9.0).sin();
        assert_within_error("mean", &pixels, mu);
        let squares: Vec<f64> = pixels.iter().map(|x| (x - mu).powi(2)).collect();
        assert_within_error("variance", &squares, 0.05 + 0.4 * index);
    }
}

proptest! {
    /// With unit variance and no mean the marginal of every x_t is the prior, the reverse process is exactly Gaussian, and
    /// the bound under the analytic variance is the entropy of the data on any path whatsoever.
    #[test]
    fn on_whitened_data_every_path_is_tight(nodes in prop::collection::btree_set(1_usize..=300, 1..30)) {
        let nodes: Vec<usize> = nodes.into_iter().collect();
        let model = GaussianDenoiser::new(
            cosine(300),
            Array3::zeros(SHAPE),
            Array3::ones(SHAPE),
            Parameterization::V,
        ).unwrap();
        let path = TimePath::new(nodes, 300).unwrap();
        let bound: f64 = path
            .edges()
            .map(|edge| model.term(edge, VarianceKind::Analytic).unwrap())
            .sum::<f64>() + model.prior(path.end());
        prop_assert!((bound - model.entropy()).abs() < 1e-11, "{bound} {}", model.entropy());
        prop_assert!((model.entropy() - gaussian_nll(1.0, 0.0)).abs() < 1e-14);
    }

    /// Equal pixels of any mean and variance: along the path from T nothing is lost but the prior's mismatch,
    /// so the bound depends on where a path ends and on nothing else.
    #[test]
    fn on_isotropic_data_only_the_end_of_a_path_matters(
        variance in 0.01..3.0_f64,
        mu in -1.0..1.0_f64,
        nodes in prop::collection::btree_set(1_usize..300, 1..30),
    ) {
        let model = GaussianDenoiser::new(
            cosine(300),
            Array3::from_elem(SHAPE, mu),
            Array3::from_elem(SHAPE, variance),
            Parameterization::Epsilon,
        ).unwrap();
        let cost = |path: &TimePath| -> f64 {
            path.edges().map(|edge| model.term(edge, VarianceKind::Analytic).unwrap()).sum()
        };
        let mut nodes: Vec<usize> = nodes.into_iter().collect();
        nodes.push(300);
        let (some, all) = (cost(&TimePath::new(nodes, 300).unwrap()), cost(&TimePath::all(300)));
        prop_assert!((some - all).abs() < 1e-11, "{some} {all}");
        prop_assert!(all + model.prior(300) >= model.entropy() - 1e-12);
    }

    #[test]
    fn closed_forms_have_their_snr_form(s in 1_usize..199, gap in 1_usize..100) {
        let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 300).unwrap();
        let model = model(schedule.clone(), Parameterization::Epsilon);
        let t = s + gap;
        let gained = (schedule.snr(s) - schedule.snr(t)) * model.mse(t);
        let small = model.term((t, s), VarianceKind::FixedSmall).unwrap();
        prop_assert!((small - 0.5 * gained).abs() < 1e-9 * small);
        let analytic = model.term((t, s), VarianceKind::Analytic).unwrap();
        prop_assert!((analytic - 0.5 * gained.ln_1p()).abs() < 1e-9 * analytic);
        let large = model.term((t, s), VarianceKind::FixedLarge).unwrap();
        prop_assert!(analytic <= small.min(large));
        // An ideal denoiser: its error grows with t, and 1/m - SNR does not.
        prop_assert!(model.mse(t) >= model.mse(s));
        // So a node in between pays for itself.
        if gap >= 2 {
            let middle = s + gap / 2;
            let part = |edge| model.term(edge, VarianceKind::FixedSmall).unwrap();
            prop_assert!(part((t, middle)) + part((middle, s)) <= small * (1.0 + 1e-12));
        }
        let slack = |t: usize| 1.0 / model.mse(t) - schedule.snr(t);
        prop_assert!(slack(t) <= slack(s) * (1.0 + 1e-12));
    }

    #[test]
    fn constant_v_meets_both_fixed_variances(s in 1_usize..199, gap in 1_usize..100) {
        let edge = (s + gap, s);
        let model = model(cosine(300), Parameterization::X0);
        let term = |model: &GaussianDenoiser, kind| model.term(edge, kind).unwrap();
        let with_v = |v| model.clone().with_v(Array3::from_elem(SHAPE, v)).unwrap();
        let small = term(&with_v(0.0), VarianceKind::Learned);
        prop_assert!((small - term(&model, VarianceKind::FixedSmall)).abs() < 1e-13 * small);
        let large = term(&with_v(1.0), VarianceKind::Learned);
        let fixed = term(&model, VarianceKind::FixedLarge);
        prop_assert!((large - fixed).abs() < 1e-12 * (1.0 + large));
    }
}

#[test]
fn every_bound_is_above_the_entropy() {
    let schedule = cosine(300);
    let model = model(schedule.clone(), Parameterization::Epsilon);
    for kind in KINDS {
        for steps in [1, 2, 4, 8, 16, 32, 300] {
            let path = Stride::Even(steps).path(&schedule).unwrap();
            let terms = path.edges().map(|edge| model.term(edge, kind).unwrap());
            let bound = terms.sum::<f64>() + model.prior(300);
            assert!(bound > model.entropy(), "{kind} {steps}");
        }
    }
}

#[test]
fn parameterizations_say_the_same() {
    let schedule = cosine(100);
    let fed = Array4::from_shape_fn((3, SHAPE.0, SHAPE.1, SHAPE.2), |(b, c, y, x)| {
        ((b * 31 + c * 17 + y * 5 + x) as f32).sin()
    })
    .into_dyn();
    let t = [1, 50, 99];
    let estimates = |kind| {
        let model = model(schedule.clone(), kind);
        let prediction = model.predict(fed.view(), &t, None).unwrap();
        let mut estimates = Vec::new();
        for (b, &t) in t.iter().enumerate() {
            for (x, out) in fed
                .index_axis(Axis(0), b)
                .iter()
                .zip(prediction.mean.index_axis(Axis(0), b))
            {
                estimates.push(crate::support::to_x0(
                    kind,
                    &schedule,
                    t,
                    f64::from(*x),
                    f64::from(*out),
                ));
            }
        }
        estimates
    };
    let reference = estimates(Parameterization::X0);
    for kind in [Parameterization::Epsilon, Parameterization::V] {
        for (found, expected) in estimates(kind).into_iter().zip(&reference) {
            // Epsilon is amplified by 1 / sqrt(alpha_bar), about 60 at t = 99.
            assert!(
                (found - expected).abs() < 2e-5,
                "{kind}: {found} {expected}"
            );
        }
    }
}

#[test]
fn predictions_do_not_depend_on_the_batch() {
    let model = model(cosine(100), Parameterization::V);
    let fed = Array4::from_shape_fn((2, SHAPE.0, SHAPE.1, SHAPE.2), |(b, c, y, x)| {
        ((b * 31 + c * 17 + y * 5 + x) as f32).cos()
    })
    .into_dyn();
    let both = model.predict(fed.view(), &[30, 70], None).unwrap();
    let second = model
        .predict(fed.slice_axis(Axis(0), (1..).into()), &[70], None)
        .unwrap();
    assert_eq!(
        both.mean.index_axis(Axis(0), 1),
        second.mean.index_axis(Axis(0), 0)
    );
    let variance = both.variance.unwrap();
    assert_eq!(variance.shape(), fed.shape());
    assert!((variance[[1, 0, 0, 0]] - -1.4).abs() < 1e-6);
}

#[test]
fn the_end_without_signal_has_the_error_of_the_mean() {
    let schedule = cosine(50).zero_terminal_snr();
    let model = model(schedule, Parameterization::X0);
    let variance = (0..72)
        .map(|i| 0.05 + 0.4 * f64::from(i) / 72.0)
        .sum::<f64>()
        / 72.0;
    assert!((model.mse(50) - variance).abs() < 1e-15);
    assert_eq!(model.mse(0), 0.0);
    assert_eq!(model.prior(50), 0.0);
    for kind in KINDS {
        assert!(model.term((50, 20), kind).unwrap().is_finite());
    }
    let zeros = ArrayD::zeros(vec![1, SHAPE.0, SHAPE.1, SHAPE.2]);
    assert_eq!(
        model.predict(zeros.view(), &[50], None).unwrap().mean[[0, 0, 0, 0]],
        0.0
    );
}

#[test]
fn bad_input_is_an_error() {
    let model = model(cosine(10), Parameterization::V);
    let fed = ArrayD::zeros(vec![2, SHAPE.0, SHAPE.1, SHAPE.2]);
    let message = |x: ArrayViewD<'_, f32>, t: &[usize], labels: Option<&[usize]>| {
        model.predict(x, t, labels).unwrap_err().to_string()
    };
    for wrong in [vec![2, 3, 6, 6], vec![2, 72], vec![2, 6, 6], vec![]] {
        let found = message(ArrayD::zeros(wrong.clone()).view(), &[1, 1], None);
        assert_eq!(
            found,
            format!(
                "the input has shape {wrong:?}: the network expects [B, 2, 6, 6], where B is the batch"
            )
        );
    }
    assert!(message(fed.view(), &[1], None).starts_with("found 1 timesteps for a batch of 2"));
    assert!(message(fed.view(), &[1, 0], None).starts_with("timestep 0 is out of range"));
    assert!(message(fed.view(), &[11, 1], None).ends_with("expected 1..=10"));
    assert!(message(fed.view(), &[1, 1], Some(&[0, 0])).contains("not class-conditional"));

    let of = |mu: Array3<f64>, variance: Array3<f64>| {
        GaussianDenoiser::new(cosine(10), mu, variance, Parameterization::V)
    };
    let zeros = || Array3::zeros(SHAPE);
    assert!(matches!(
        of(zeros(), Array3::zeros((1, 6, 6))),
        Err(Error::ShapeMismatch { .. })
    ));
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(of(zeros(), Array3::from_elem(SHAPE, bad)).is_err());
    }
    assert!(of(Array3::from_elem(SHAPE, f64::NAN), zeros()).is_err());
    assert!(of(Array3::zeros((0, 1, 1)), Array3::zeros((0, 1, 1))).is_err());
    let fixed = of(zeros(), Array3::ones(SHAPE)).unwrap();
    assert!(!fixed.learns_variance());
    assert_eq!(
        fixed.term((5, 2), VarianceKind::Learned),
        Err(Error::NoLearnedVariance)
    );
    assert!(fixed.clone().with_v(Array3::zeros((1, 1, 1))).is_err());
    assert!(fixed.with_v(Array1::zeros(72)).is_err());
    let point = ndarray::arr0(1.0);
    let refused = GaussianDenoiser::new(cosine(10), point.clone(), point, Parameterization::V);
    assert!(matches!(refused, Err(Error::ShapeMismatch { .. })));
}
