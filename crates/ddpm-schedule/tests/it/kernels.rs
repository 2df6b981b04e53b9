//! The kernels of a path, and what cannot be run.

use ddpm_core::{
    DecoderKind, Sampler, StepVariance, TimePath, VarianceKind, respaced_decoder_log_variance,
};
use ddpm_schedule::{Budgets, Error, GaussianDecoder, Kernel, Schedule, Scoring};

use crate::support::{cosine, schedules};

fn path(nodes: &[usize]) -> TimePath {
    TimePath::new(nodes.to_vec(), 60).expect("a path")
}

#[test]
fn kernels_are_those_of_the_conventions() {
    let noise = cosine(60);
    let of = |variance, decoder, nodes: &[usize]| {
        let scoring = Scoring::new(variance).with_decoder(decoder);
        let made = Schedule::of_path(&noise, path(nodes), &scoring).expect("not measured");
        made.check(60).expect("can be run");
        made
    };
    let edge = |t, s| noise.transition(t, s);
    let scalar = |log_variance| Kernel::Scalar { log_variance };
    let respaced = scalar(respaced_decoder_log_variance(&noise, 5, Some(20)));
    let marginal = scalar(noise.log_one_minus_alpha_bar(5));
    let nodes = [5, 20, 60];
    let small = [edge(20, 5), edge(60, 20)]
        .map(|e| scalar(e.log_posterior_variance))
        .to_vec();
    let large = [edge(20, 5), edge(60, 20)]
        .map(|e| scalar(e.log_beta))
        .to_vec();
    for (variance, interior) in [
        (VarianceKind::FixedSmall, small),
        (VarianceKind::FixedLarge, large),
        (VarianceKind::Learned, vec![Kernel::Learned; 2]),
    ] {
        for (decoder, first) in [
            (DecoderKind::Respaced, &respaced),
            (DecoderKind::Gaussian, &respaced),
            (DecoderKind::Marginal, &marginal),
            (DecoderKind::None, &Kernel::None),
        ] {
            let first = match (variance, decoder) {
                (VarianceKind::Learned, DecoderKind::Respaced) => Kernel::Learned,
                _ => first.clone(),
            };
            let made = of(variance, decoder, &nodes);
            assert_eq!(
                made.kernels,
                [&[first][..], &interior].concat(),
                "{variance} {decoder}"
            );
            assert_eq!((made.decoder, made.sampler), (decoder, Sampler::Ddpm));
            let learned = variance == VarianceKind::Learned;
            assert_eq!(made.needs_learned_variance(), learned);
        }
        // One step has no second node: the marginal decoder stands in for the respaced one.
        let single = of(variance, DecoderKind::Respaced, &[5]);
        assert_eq!(single.decoder, DecoderKind::Marginal);
    }
    let single = of(VarianceKind::FixedSmall, DecoderKind::Respaced, &[5]);
    assert_eq!(single.kernels, [marginal]);
    // A width is that of the conventions.
    let gaussian = GaussianDecoder {
        bin_width: Some(2.0 / 255.0),
        first: None,
    };
    let scoring = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::Gaussian);
    let scoring = Scoring {
        gaussian,
        ..scoring
    };
    let made = Schedule::of_path(&noise, path(&nodes), &scoring).expect("not measured");
    assert_eq!(made.bin_width, gaussian.bin_width);
}

#[test]
fn kernels_give_the_variance_of_a_step() {
    let v = [0.25, 0.5];
    let scalar = Kernel::Scalar { log_variance: -2.0 };
    assert!(matches!(
        scalar.variance(Some(&v), None),
        StepVariance::LogVariance(found) if found == -2.0
    ));
    assert!(matches!(
        Kernel::Learned.variance(Some(&v), None),
        StepVariance::Learned(found) if found == v
    ));
    assert_eq!(
        (scalar.log_variance(), Kernel::Learned.log_variance()),
        (Some(-2.0), None)
    );
    assert_eq!(Kernel::None.log_variance(), None);
}

#[test]
fn what_cannot_be_run_is_named() {
    let good = || {
        let scoring = Scoring::new(VarianceKind::FixedSmall);
        Schedule::of_path(&cosine(60), path(&[5, 60]), &scoring).expect("not measured")
    };
    let message = |made: Schedule, train_steps| {
        let error = made.check(train_steps).expect_err("cannot be run");
        assert!(matches!(error, Error::Field { .. }));
        error.to_string()
    };
    good().check(60).expect("can be run");
    let beyond = message(good(), 50);
    assert!(beyond.contains("timesteps up to 50, found 60"), "{beyond}");
    let mut short = good();
    short.kernels.pop();
    assert!(message(short, 60).contains("expected 2 (one per step of the path), found 1"));
    let mut infinite = good();
    infinite.kernels[1] = Kernel::Scalar {
        log_variance: f64::INFINITY,
    };
    assert!(message(infinite, 60).contains("log variance of step 2"));
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut binned = good();
        binned.bin_width = Some(width);
        assert!(message(binned, 60).contains("positive finite"));
    }
    for scoring in [
        Scoring::new(VarianceKind::Analytic).with_decoder(DecoderKind::Marginal),
        Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::Optimal),
    ] {
        let refused = Schedule::of_path(&cosine(60), path(&[5, 60]), &scoring);
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    }
}

#[test]
fn budgets_are_checked_and_found() {
    assert_eq!(Budgets::All.wanted(3).expect("possible"), [1, 2, 3]);
    let only = |list: &[usize]| Budgets::Only(list.to_vec());
    assert_eq!(only(&[3, 1]).wanted(3).expect("possible"), [3, 1]);
    for found in [0, 4] {
        let refused = only(&[1, found]).wanted(3);
        assert!(matches!(refused, Err(Error::Steps { max: 3, found: f }) if f == found));
    }
    assert_eq!(Budgets::of_the_paper(64), only(&[8, 16, 32, 64]));
    let schedules = schedules(&[2, 8]);
    assert_eq!(schedules.schedule(8).expect("asked for").steps(), 8);
    assert_eq!(schedules.budget(2).expect("asked for").cost, 4.0);
    let missing = schedules.schedule(4).expect_err("not asked for");
    assert_eq!(
        missing.to_string(),
        "no schedule of 4 steps; expected one of 2, 8"
    );
}
