//! Distances against pytorch-fid, torch-fidelity and prdc on the same features, against mpmath where those lose digits, and
//! against closed forms.

use ddpm_eval::distance::{
    FeatureStatistics, FrechetReference, disjoint_subsets, frechet_difference, frechet_jackknife,
    is_statistics, kernel_distance, neighbours, read_statistics, write_statistics,
};
use ndarray::{Array1, Array2, Axis, s};
use serde_json::Value;

use crate::support::formula::{dyadic, features, units};
use crate::support::golden;

fn expected() -> Value {
    let text = std::fs::read_to_string(golden("features/distances.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn assert_relative(what: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs() / expected.abs();
    assert!(
        error <= tolerance,
        "{what}: found {found}, expected {expected} ({error:e})"
    );
}

fn distance(a: &FeatureStatistics, b: &FeatureStatistics) -> f64 {
    FrechetReference::new(b).unwrap().distance(a).unwrap()
}

/// `pairs` of the script: the same entries to the last bit, because all of them are dyadic fractions.
fn pairs() -> Vec<(&'static str, FeatureStatistics, FeatureStatistics)> {
    const D: usize = 64;
    let mean = |name: &str| -> Array1<f64> {
        let values = units(name).take(D);
        values
            .map(|u| (u * 256.0).round_ties_even() / 256.0)
            .collect()
    };
    let gram = |x: &Array2<f64>| x.t().dot(x) / 128.0;
    let full = |i: usize| gram(&dyadic(&format!("full{i}"), 128, D));
    let few = |i: usize| gram(&dyadic(&format!("few{i}"), 20, D));
    let graded = |i: usize| {
        let scale = Array1::from_shape_fn(D, |j| 0.5f64.powi((j / 3) as i32));
        gram(&(dyadic(&format!("graded{i}"), 128, D) * &scale))
    };
    let side =
        |mu: &str, sigma: Array2<f64>| FeatureStatistics::from_moments(mean(mu), sigma).unwrap();
    let noise = Array2::<f64>::eye(D) / f64::from(1 << 20);
    vec![
        ("well", side("mu0", full(0)), side("mu1", full(1))),
        (
            "one rank-deficient",
            side("mu0", few(0)),
            side("mu1", full(1)),
        ),
        (
            "both rank-deficient",
            side("mu0", few(0)),
            side("mu1", few(1)),
        ),
        ("graded", side("mu0", graded(0)), side("mu1", graded(1))),
        (
            "graded, equal means",
            side("mu0", graded(0)),
            side("mu0", graded(1)),
        ),
        (
            "nearly equal",
            side("mu0", few(0)),
            side("mu0", few(0) + noise),
        ),
    ]
}

#[test]
fn frechet_distances_are_exact_where_others_lose_digits() {
    let expected = expected();
    for (case, (name, a, b)) in expected["frechet"].as_array().unwrap().iter().zip(pairs()) {
        assert_eq!(case["case"], name);
        let exact = case["exact"].as_f64().unwrap();
        assert_relative(name, distance(&a, &b), exact, 1e-6);
        assert_relative(name, distance(&b, &a), exact, 1e-6);
        if name == "well" {
            let port = case["pytorch_fid"].as_f64().unwrap();
            assert_relative(name, distance(&a, &b), port, 1e-6);
        }
        // Rounding must not make a set different from itself.
        let trace: f64 = a.covariance().diag().sum();
        assert!(distance(&a, &a) <= 1e-13 * trace, "{name}");
    }
}

#[test]
fn features_give_the_distance_of_pytorch_fid() {
    let (a, b) = (features("a", 300, 24, 0.0), features("b", 260, 24, 0.15));
    let [a, b] = [&a, &b].map(|x| FeatureStatistics::from_features(x.view()).unwrap());
    assert_eq!((a.images(), b.images()), (Some(300), Some(260)));
    let port = expected()["features_frechet"].as_f64().unwrap();
    assert_relative("features", distance(&a, &b), port, 1e-9);
}

#[test]
fn kernel_distances_are_those_of_torch_fidelity() {
    let (a, b) = (features("a", 300, 24, 0.0), features("b", 260, 24, 0.15));
    let kid = &expected()["kid"];
    let subsets: Vec<(Vec<usize>, Vec<usize>)> =
        serde_json::from_value(kid["subsets"].clone()).unwrap();
    let found = kernel_distance(a.view(), b.view(), &subsets).unwrap();
    assert_relative("mean", found.value, kid["mean"].as_f64().unwrap(), 1e-10);
    assert_relative(
        "deviation",
        found.deviation,
        kid["std"].as_f64().unwrap(),
        1e-10,
    );
    // Those subsets overlap: their spread tells less than it seems.
    assert!(found.standard_error.is_nan());

    let subsets = disjoint_subsets(1, [300, 260], 50, 5).unwrap();
    let found = kernel_distance(a.view(), b.view(), &subsets).unwrap();
    assert_relative("error", found.standard_error, found.deviation / 2.0, 1e-12);
    assert!(disjoint_subsets(1, [300, 260], 50, 6).is_err());
    assert!(disjoint_subsets(1, [300, 260], 1, 6).is_err());
}

/// Two halves of one sample are alike: the estimate has to lie around zero by its own standard error.
#[test]
fn the_kernel_distance_is_unbiased_and_its_error_is_right() {
    let (mut covered, mut mean) = (0, 0.0);
    let runs = 60;
    for run in 0..runs {
        let (a, b) = (
            features(&format!("left{run}"), 160, 6, 0.0),
            features(&format!("right{run}"), 160, 6, 0.0),
        );
        let subsets = disjoint_subsets(run, [160; 2], 20, 8).unwrap();
        let found = kernel_distance(a.view(), b.view(), &subsets).unwrap();
        // Student's t, 7 degrees of freedom, 95%.
        covered += usize::from(found.value.abs() < 2.365 * found.standard_error);
        mean += found.value / runs as f64 / found.deviation;
    }
    assert!((51..=60).contains(&covered), "{covered} of {runs}");
    assert!(mean.abs() < 0.15, "{mean}");
}

#[test]
fn neighbours_are_those_of_prdc() {
    let (a, b) = (features("a", 300, 24, 0.0), features("b", 260, 24, 0.15));
    let expected = &expected()["prdc"];
    let k = expected["nearest_k"].as_u64().unwrap() as usize;
    let found = neighbours(a.view(), b.view(), k).unwrap();
    for (name, value) in [
        ("precision", found.precision),
        ("recall", found.recall),
        ("density", found.density),
        ("coverage", found.coverage),
    ] {
        assert_relative(name, value, expected[name].as_f64().unwrap(), 1e-12);
    }
    let far = features("b", 260, 24, 50.0);
    let found = neighbours(a.view(), far.view(), k).unwrap();
    assert_eq!(
        (found.precision, found.recall, found.coverage),
        (0.0, 0.0, 0.0)
    );
    assert!(neighbours(a.slice(s![..5, ..]), b.view(), 5).is_err());
    assert!(neighbours(a.view(), b.view(), 0).is_err());
}

#[test]
fn results_do_not_depend_on_threads() {
    // Wider than a tile, and not a multiple of one.
    let (a, b) = (
        features("wide a", 700, 300, 0.0),
        features("wide b", 650, 300, 0.1),
    );
    let all = || {
        let [sa, sb] = [&a, &b].map(|x| FeatureStatistics::from_features(x.view()).unwrap());
        let reference = FrechetReference::new(&sb).unwrap();
        let jackknife = frechet_jackknife(a.view(), &reference, 4).unwrap();
        let kid = kernel_distance(
            a.view(),
            b.view(),
            &disjoint_subsets(0, [700, 650], 100, 6).unwrap(),
        )
        .unwrap();
        let near = neighbours(a.view(), b.view(), 3).unwrap();
        (
            sa.covariance(),
            [distance(&sa, &sb), jackknife.standard_error, kid.value],
            near,
        )
    };
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(all)
    };
    let one = with(1);
    assert_eq!(one, with(3));
    assert_eq!(one, with(8));
    // And the covariance is the plain one.
    let x = a.mapv(f64::from);
    let centred = &x - &x.mean_axis(Axis(0)).unwrap();
    let plain = centred.t().dot(&centred) / 699.0;
    let worst = (&one.0 - &plain).iter().fold(0f64, |m, d| m.max(d.abs()));
    assert!(worst < 1e-12, "{worst:e}");
}

/// The standard deviation over independent samples is what the jackknife has to find from each of them.
#[test]
fn the_jackknife_finds_the_spread_of_independent_samples() {
    let reference = features("reference", 4000, 8, 0.3);
    let reference = FeatureStatistics::from_features(reference.view()).unwrap();
    let reference = FrechetReference::new(&reference).unwrap();
    let estimates: Vec<_> = (0..80)
        .map(|run| {
            let sample = features(&format!("sample{run}"), 320, 8, 0.0);
            frechet_jackknife(sample.view(), &reference, 32).unwrap()
        })
        .collect();
    let n = estimates.len() as f64;
    let mean = estimates.iter().map(|e| e.value).sum::<f64>() / n;
    let spread = estimates
        .iter()
        .map(|e| (e.value - mean).powi(2))
        .sum::<f64>()
        / (n - 1.0);
    let squared = estimates
        .iter()
        .map(|e| e.standard_error.powi(2))
        .sum::<f64>()
        / n;
    let ratio = (squared / spread).sqrt();
    assert!((0.8..1.25).contains(&ratio), "{ratio}");
}

#[test]
fn differences_of_paired_samples_have_smaller_errors() {
    let reference = features("reference", 1000, 8, 0.3);
    let reference = FeatureStatistics::from_features(reference.view()).unwrap();
    let reference = FrechetReference::new(&reference).unwrap();
    let a = features("sample0", 640, 8, 0.0);
    // The same images, a little off.
    let b = &a + &features("change", 640, 8, 0.05).mapv(|x| 0.05 * x);
    let [alone_a, alone_b] = [&a, &b].map(|x| frechet_jackknife(x.view(), &reference, 32).unwrap());
    let pair = frechet_difference(a.view(), b.view(), &reference, 32).unwrap();
    for (found, alone) in [(pair.a, alone_a), (pair.b, alone_b)] {
        assert_eq!(found.value.to_bits(), alone.value.to_bits());
        assert_eq!(
            found.standard_error.to_bits(),
            alone.standard_error.to_bits()
        );
    }
    let difference = pair.difference;
    assert_relative(
        "value",
        difference.value,
        alone_a.value - alone_b.value,
        1e-12,
    );
    let independent = alone_a.standard_error.hypot(alone_b.standard_error);
    assert!(difference.standard_error < 0.2 * independent);
    assert!(frechet_difference(a.view(), b.slice(s![..639, ..]), &reference, 32).is_err());
    assert!(frechet_jackknife(a.view(), &reference, 1).is_err());
    assert!(frechet_jackknife(a.slice(s![..63, ..]), &reference, 32).is_err());
    assert!(frechet_jackknife(a.slice(s![.., ..7]), &reference, 32).is_err());
}

#[test]
fn statistics_files_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.npz");
    let statistics = FeatureStatistics::from_features(features("a", 50, 5, 0.0).view()).unwrap();
    let named = statistics.clone().with_network("resnet56");
    write_statistics(&path, &named.with_weights("0af5")).unwrap();
    assert!(is_statistics(&path).unwrap());
    let found = read_statistics(&path).unwrap();
    assert_eq!(found.mean(), statistics.mean());
    assert_eq!(found.covariance(), statistics.covariance());
    assert_eq!(
        (found.images(), found.network(), found.weights()),
        (Some(50), Some("resnet56"), Some("0af5"))
    );
}

#[test]
fn moments_that_are_none_are_refused() {
    let refused = |mean: Array1<f64>, covariance: Array2<f64>, word: &str| {
        let error = FeatureStatistics::from_moments(mean, covariance).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    };
    let zeros = Array1::zeros(2);
    refused(zeros.clone(), Array2::eye(3), "2 x 2");
    refused(Array1::zeros(0), Array2::eye(0), "0 x 0");
    refused(zeros.clone(), Array2::eye(2) * f64::NAN, "finite");
    refused(zeros.clone(), -Array2::<f64>::eye(2), "negative");
    // Equal images have no covariance at all, which is none the less one.
    let constant =
        |mean: Array1<f64>| FeatureStatistics::from_moments(mean, Array2::zeros((2, 2))).unwrap();
    let (here, there) = (constant(zeros.clone()), constant(Array1::ones(2)));
    assert_eq!(distance(&here, &there), 2.0);
    // Symmetric, with an eigenvalue of -1.
    let indefinite = ndarray::array![[1.0, 2.0], [2.0, 1.0]];
    let indefinite = FeatureStatistics::from_moments(zeros.clone(), indefinite).unwrap();
    let error = FrechetReference::new(&indefinite).unwrap_err();
    assert!(error.to_string().contains("semidefinite"), "{error}");
    refused(zeros, ndarray::array![[1.0, 0.5], [0.4, 1.0]], "symmetric");
    let mut bad = features("a", 5, 3, 0.0);
    assert!(FeatureStatistics::from_features(bad.slice(s![..1, ..])).is_err());
    bad[[2, 1]] = f32::NAN;
    assert!(FeatureStatistics::from_features(bad.view()).is_err());
}
