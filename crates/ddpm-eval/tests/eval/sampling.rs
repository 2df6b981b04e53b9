//! Sampling: the right distribution, and the same image whatever its company.

use std::sync::Arc;

use ddpm_core::{
    Bands, DecoderKind, Denoiser, LinearStep, MeanCorrection, MultistepState, NoiseSchedule,
    Parameterization, Sampler, Stride, TimePath, VarianceKind, analytic_variance,
};
use ddpm_eval::{Error, SamplingPlan, Silent, sample};
use ddpm_schedule::{Kernel, Schedule};
use ndarray::{ArrayD, Axis, s};

use crate::support::models::{self, Conditional, Fault, Faulty, along, with_log_variances};
use crate::support::watchers::{Counter, Seen};

/// Along a path by ancestral sampling with this variance.
fn ancestral(noise: &NoiseSchedule, path: &TimePath, variance: VarianceKind) -> Schedule {
    along(noise, path, variance, DecoderKind::Respaced)
}

/// Along a path by a sampler without variances of its own.
fn by(noise: &NoiseSchedule, path: &TimePath, sampler: Sampler) -> Schedule {
    Schedule {
        sampler,
        ..ancestral(noise, path, VarianceKind::FixedSmall)
    }
}

fn plan(noise: &NoiseSchedule, path: TimePath, count: usize) -> SamplingPlan {
    SamplingPlan {
        seed: 3,
        clip_denoised: false,
        ..SamplingPlan::new(ancestral(noise, &path, VarianceKind::FixedSmall), count)
    }
}

fn draw(denoiser: &dyn Denoiser, plan: &SamplingPlan) -> ArrayD<f32> {
    sample(denoiser, plan, &Silent).unwrap()
}

/// With the analytic variance the reverse chain of Gaussian data of one variance per chain is exact for any path: its
/// marginals are those of the forward chain. Many steps of the fixed variances come close.
#[test]
fn samples_of_gaussian_data_have_its_mean_and_variance() {
    let schedule = models::cosine(200);
    for parameterization in [Parameterization::Epsilon, Parameterization::V] {
        let model = models::learned(&schedule, parameterization);
        let mu = ndarray::Array3::from_shape_fn(models::SHAPE, |i| 0.3 - 0.1 * i.0 as f64);
        let equal = ndarray::Array3::from_elem(models::SHAPE, 0.09);
        let equal =
            ddpm_core::GaussianDenoiser::new(schedule.clone(), mu.clone(), equal, parameterization)
                .unwrap();
        let short = TimePath::new([1, 8, 40, 90, 150, 200], 200).unwrap();
        let analytic = short
            .edges()
            .map(|(t, s)| Some(analytic_variance(&schedule.transition(t, s), equal.mse(t)).ln()));
        let analytic = with_log_variances(&short, &analytic.collect::<Vec<_>>());
        let n = 3000;
        let exact = draw(
            &equal,
            &SamplingPlan {
                schedule: analytic,
                ..plan(&schedule, short, n)
            },
        );
        for (i, pixel) in exact.axis_iter(Axis(1)).enumerate() {
            let (mean, variance) = moments(pixel.iter());
            assert!((mean - (0.3 - 0.1 * i as f64)).abs() < 0.006, "{mean}");
            // The last step returns the mean of x0 given x1: its variance lacks m(1).
            assert!(
                (variance / (0.09 - equal.mse(1)) - 1.0).abs() < 0.03,
                "{variance}"
            );
        }

        // Every timestep, with another variance in every pixel.
        let all = plan(&schedule, Stride::All.path(&schedule).unwrap(), 2000);
        let samples = draw(&model, &all);
        let data = models::images(&model, 2000);
        let data: Vec<Vec<f32>> = (0..2000).map(|i| data.image(i).unwrap()).collect();
        for (d, (c, y, x)) in ndarray::indices(models::SHAPE).into_iter().enumerate() {
            let (mean, variance) = moments(samples.slice(s![.., c, y, x]).iter());
            let (expected_mean, expected_variance) = moments(data.iter().map(|image| &image[d]));
            assert!(
                (mean - expected_mean).abs() < 0.06,
                "{mean} {expected_mean}"
            );
            assert!(
                (variance / expected_variance - 1.0).abs() < 0.25,
                "{variance} {expected_variance}"
            );
        }
    }
}

/// The same of a variance per band: its noise is coloured as the errors are.
#[test]
fn spectral_samples_of_data_in_bands_have_the_power_of_every_band() {
    let schedule = models::cosine(200);
    let model = models::InBands::new(schedule.clone());
    let path = TimePath::new([1, 8, 40, 90, 150, 200], 200).unwrap();
    let kernels = path.edges().map(|(t, _)| Kernel::Bands {
        powers: model.powers(t).into(),
    });
    let plain = plan(&schedule, path.clone(), 3000);
    let spectral = SamplingPlan {
        schedule: Schedule {
            kernels: kernels.collect(),
            bands: Some(Arc::new(model.bands.clone())),
            ..plain.schedule.clone()
        },
        ..plain
    };
    let samples = draw(&model, &spectral);
    let samples = samples.as_slice().unwrap().chunks_exact(model.bands.dims());
    let found = model.mean_squares(samples);
    // The last step shows its mean, whose power lacks that of the errors left.
    let expected = model.variances.iter().zip(model.powers(1));
    for (band, (found, (variance, left))) in found.iter().zip(expected).enumerate() {
        let ratio = found / (variance - left);
        assert!((ratio - 1.0).abs() < 0.1, "{band}: {ratio}");
    }
    // Other shapes and other numbers of bands are refused.
    let mut foreign = spectral;
    foreign.schedule.bands = Some(Arc::new(Bands::of_shape(&[3, 4, 5]).unwrap()));
    assert!(sample(&model, &foreign, &Silent).is_err());
}

/// A mean that is off by a factor in every band is put right by its correction, under every sampler.
#[test]
fn samplers_take_their_steps_from_the_corrected_estimate() {
    let schedule = models::cosine(200);
    let model = models::InBands::new(schedule.clone());
    let count = model.bands.count();
    let constants = model.bands.constants().count();
    let path = TimePath::new([1, 8, 40, 90, 150, 200], 200).unwrap();
    let nothing = MeanCorrection {
        estimate: vec![0.0; count],
        noise: vec![0.0; count],
        offset: vec![0.0; constants],
    };
    for &sampler in Sampler::ALL {
        let plain = SamplingPlan {
            schedule: by(&schedule, &path, sampler),
            ..plan(&schedule, path.clone(), 5)
        };
        let with = |mean: MeanCorrection| SamplingPlan {
            schedule: Schedule {
                means: std::iter::repeat_n(Arc::new(mean), path.steps()).collect(),
                bands: Some(Arc::new(model.bands.clone())),
                ..plain.schedule.clone()
            },
            ..plain.clone()
        };
        let samples = draw(&model, &plain);
        assert_eq!(draw(&model, &with(nothing.clone())), samples, "{sampler}");
        // Estimates halved and offset by 1 in the constants: at the end they are shown as they are.
        let halved = MeanCorrection {
            estimate: vec![-1.0; count],
            offset: vec![2.0; constants],
            ..nothing.clone()
        };
        let shown = draw(&model, &with(halved));
        let (c, h, w) = models::SHAPE;
        let constant: Vec<f64> = {
            let mut y = vec![0.0; model.bands.dims()];
            (0..c).for_each(|channel| y[channel * h * w] = 2.0);
            model.bands.inverse(&y)
        };
        for (i, x) in shown.iter().enumerate() {
            let wanted = constant[i % constant.len()];
            assert!(
                (f64::from(*x) - wanted).abs() < 1e-6,
                "{sampler}: {x} {wanted}"
            );
        }
    }
}

fn moments<'a>(values: impl Iterator<Item = &'a f32> + Clone) -> (f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = values.map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance)
}

#[test]
fn an_image_depends_on_its_index_and_seed_alone() {
    let schedule = models::cosine(50);
    let model = models::learned(&schedule, Parameterization::Epsilon);
    let path = TimePath::new([1, 10, 30, 50], 50).unwrap();
    let base = SamplingPlan {
        schedule: ancestral(&schedule, &path, VarianceKind::Learned),
        ..plan(&schedule, path.clone(), 9)
    };
    let whole = draw(&model, &base);
    for batch in [1, 2, 100] {
        assert_eq!(
            draw(
                &model,
                &SamplingPlan {
                    batch,
                    ..base.clone()
                }
            ),
            whole
        );
    }
    let one_thread = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(one_thread.install(|| draw(&model, &base)), whole);
    let later = SamplingPlan {
        images: (4..9).collect(),
        ..base.clone()
    };
    let last = whole.slice_axis(Axis(0), (4..).into());
    assert_eq!(draw(&model, &later), last);
    let seed = SamplingPlan {
        seed: 4,
        ..base.clone()
    };
    assert_ne!(draw(&model, &seed), whole);
    let fixed = SamplingPlan {
        schedule: ancestral(&schedule, &path, VarianceKind::FixedLarge),
        ..base.clone()
    };
    assert_ne!(draw(&model, &fixed), whole);
    // `None` is the network's own variance, and the decoder's entry plays no part.
    let explicit = SamplingPlan {
        schedule: with_log_variances(&path, &[Some(3.0), None, None, None]),
        ..base
    };
    assert_eq!(draw(&model, &explicit), whole);
}

#[test]
fn clipping_keeps_samples_in_range() {
    let schedule = models::cosine(50);
    let mu = ndarray::Array3::from_elem(models::SHAPE, 0.9);
    let variance = ndarray::Array3::from_elem(models::SHAPE, 0.25);
    let model =
        ddpm_core::GaussianDenoiser::new(schedule.clone(), mu, variance, Parameterization::X0)
            .unwrap();
    let free = plan(&schedule, TimePath::new([1, 10, 30, 50], 50).unwrap(), 50);
    let clipped = SamplingPlan {
        clip_denoised: true,
        ..free.clone()
    };
    assert!(draw(&model, &free).iter().any(|x| x.abs() > 1.0));
    assert!(draw(&model, &clipped).iter().all(|x| x.abs() <= 1.0));
}

#[test]
fn labels_choose_the_class() {
    let schedule = models::cosine(50);
    let class = |mu: f64| {
        let mu = ndarray::Array3::from_elem(models::SHAPE, mu);
        let variance = ndarray::Array3::from_elem(models::SHAPE, 1e-4);
        ddpm_core::GaussianDenoiser::new(schedule.clone(), mu, variance, Parameterization::X0)
            .unwrap()
    };
    let model = Conditional(vec![class(-0.5), class(0.5)]);
    let path = TimePath::new([1, 10, 30, 50], 50).unwrap();
    let labelled = SamplingPlan {
        labels: Some(vec![1, 0, 0, 1, 0]),
        images: vec![7, 3, 9, 1, 2],
        batch: 2,
        ..plan(&schedule, path.clone(), 5)
    };
    let samples = draw(&model, &labelled);
    for (image, label) in samples.outer_iter().zip([1, 0, 0, 1, 0]) {
        assert!((image.mean().unwrap() - [-0.5, 0.5][label]).abs() < 0.1);
    }
    let error = |labels: Option<Vec<usize>>| {
        let plan = SamplingPlan {
            labels,
            ..plan(&schedule, path.clone(), 2)
        };
        sample(&model, &plan, &Silent).unwrap_err().to_string()
    };
    assert!(error(None).contains("2 classes"));
    assert!(error(Some(vec![0])).contains("expected 2"));
    assert!(error(Some(vec![0, 2])).contains("below 2"));
}

#[test]
fn counts_stops_and_names_what_does_not_fit() {
    let schedule = models::cosine(50);
    let model = models::fixed(&schedule, Parameterization::X0);
    let base = plan(&schedule, TimePath::new([1, 10, 50], 50).unwrap(), 4);
    let counter = Counter::default();
    sample(&model, &base, &counter).unwrap();
    assert_eq!(counter.seen(), (12, 12, true));
    let stop = Counter::stopping_after(1);
    assert!(matches!(
        sample(&model, &base, &stop),
        Err(Error::Interrupted)
    ));

    let error = |plan: &SamplingPlan| sample(&model, plan, &Silent).unwrap_err().to_string();
    assert!(
        error(&SamplingPlan {
            images: Vec::new(),
            ..base.clone()
        })
        .contains("at least one image")
    );
    assert!(
        error(&SamplingPlan {
            images: vec![1 << 56],
            ..base.clone()
        })
        .contains("2^56")
    );
    let learned = SamplingPlan {
        schedule: ancestral(&schedule, &base.schedule.path, VarianceKind::Learned),
        ..base.clone()
    };
    assert!(error(&learned).contains("no variance output"));
    assert!(
        error(&plan(
            &models::cosine(60),
            TimePath::new([60], 60).unwrap(),
            1
        ))
        .contains("up to 50")
    );
    let network = Faulty {
        model: models::learned(&schedule, Parameterization::X0),
        fault: Fault::NotFinite,
        from: 0,
    };
    let text = sample(&network, &base, &Silent).unwrap_err().to_string();
    assert!(
        text.contains("sample 0") && text.contains("timestep 50"),
        "{text}"
    );
}

/// What a path, run on data N(mu, v) that are known, makes of N(0, 1): variance of the samples from the printed formulas.
fn expected_variance(
    (sampler, variance, eta): (Sampler, VarianceKind, f64),
    nodes: &[usize],
    schedule: &NoiseSchedule,
    data: f64,
) -> f64 {
    // Second moments of x and the estimate of the step before, about their means.
    let (mut of_x, mut of_previous, mut between) = (1.0, 0.0, 0.0);
    let mut before: Option<usize> = None;
    for pair in nodes.windows(2).rev() {
        let (s, t) = (pair[0], pair[1]);
        let (a, b) = (schedule.alpha_bar(t), schedule.alpha_bar(s));
        let gain = a.sqrt() * data / (a * data + 1.0 - a);
        let lambda = |t: usize| 0.5 * (schedule.alpha_bar(t) / (1.0 - schedule.alpha_bar(t))).ln();
        let (k, p, sigma) = match sampler {
            _ if s == 0 => (gain, 0.0, 0.0),
            Sampler::Ddpm => {
                let beta = 1.0 - a / b;
                let from_x0 = b.sqrt() * beta / (1.0 - a);
                let sigma2 = match variance {
                    VarianceKind::FixedLarge => beta,
                    _ => beta * (1.0 - b) / (1.0 - a),
                };
                let from_x = (a / b).sqrt() * (1.0 - b) / (1.0 - a);
                (from_x + from_x0 * gain, 0.0, sigma2.sqrt())
            }
            Sampler::Ddim => {
                let sigma = eta * ((1.0 - b) / (1.0 - a) * (1.0 - a / b)).sqrt();
                let kept = ((1.0 - b - sigma * sigma) / (1.0 - a)).sqrt();
                (b.sqrt() * gain + kept * (1.0 - a.sqrt() * gain), 0.0, sigma)
            }
            Sampler::DpmSolver2M => {
                let h = lambda(s) - lambda(t);
                let slope = before.map_or(0.0, |p| 0.5 * h / (lambda(t) - lambda(p)));
                let from_data = b.sqrt() * (1.0 - (-h).exp());
                let kept = ((1.0 - b) / (1.0 - a)).sqrt();
                (
                    kept + from_data * (1.0 + slope) * gain,
                    -from_data * slope,
                    0.0,
                )
            }
            other => unreachable!("{other} looks back further than one node"),
        };
        let variance = k * k * of_x + p * p * of_previous + 2.0 * k * p * between + sigma * sigma;
        between = gain * (k * of_x + p * between);
        of_previous = gain * gain * of_x;
        of_x = variance;
        before = Some(t);
    }
    of_x
}

/// The whole way through `sample`: right node, right noise, right history at every step.
#[test]
fn samples_have_the_variance_of_their_sampler() {
    let schedule = models::cosine(200);
    let data = 3.0;
    let mu = ndarray::Array3::zeros((3, 16, 16));
    let variance = ndarray::Array3::from_elem((3, 16, 16), data);
    let model =
        ddpm_core::GaussianDenoiser::new(schedule.clone(), mu, variance, Parameterization::Epsilon)
            .unwrap();
    let nodes = [0, 30, 60, 80, 130, 160];
    let count = 800;
    let path = TimePath::new(nodes, 200).unwrap();
    let small = VarianceKind::FixedSmall;
    for case @ (sampler, variance, eta) in [
        (Sampler::Ddpm, small, 0.0),
        (Sampler::Ddpm, VarianceKind::FixedLarge, 0.0),
        (Sampler::Ddim, small, 0.0),
        (Sampler::Ddim, small, 0.5),
        (Sampler::DpmSolver2M, small, 0.0),
    ] {
        let plan = SamplingPlan {
            schedule: Schedule {
                sampler,
                ..ancestral(&schedule, &path, variance)
            },
            eta,
            batch: 50,
            ..plan(&schedule, path.clone(), count)
        };
        let samples = draw(&model, &plan);
        let scalars = samples.len() as f64;
        assert!(scalars >= 5e5);
        let (mean, found) = moments(samples.iter());
        let expected = expected_variance(case, &nodes, &schedule, data);
        let off = (found / expected - 1.0) / (2.0 / scalars).sqrt();
        assert!(
            off.abs() < 4.0,
            "{case:?}: {found} but {expected}, {off} standard errors"
        );
        assert!(
            mean.abs() < 4.0 * (expected / scalars).sqrt(),
            "{case:?}: {mean}"
        );
    }
}

#[test]
fn paths_share_their_start_and_the_noise_of_shared_timesteps() {
    let schedule = models::cosine(50);
    // A network that knows nothing: x_s is the noise that went into it.
    let mu = ndarray::Array3::zeros(models::SHAPE);
    let model =
        ddpm_core::GaussianDenoiser::new(schedule.clone(), mu.clone(), mu, Parameterization::X0)
            .unwrap();
    // The means of single steps: DDIM keeps the start, whichever node it begins at.
    let start = |t: usize| {
        let seen = Seen::new(&model);
        let path = TimePath::new([t], 50).unwrap();
        let plan = SamplingPlan {
            schedule: by(&schedule, &path, Sampler::Ddim),
            ..plan(&schedule, path, 3)
        };
        draw(&seen, &plan);
        seen.inputs()
    };
    assert_eq!(start(50), start(31));
    // What is left of x_40 after one more node on the way: the noise of the step that leaves 40 is the same.
    let noise = |nodes: Vec<usize>| {
        let seen = Seen::new(&model);
        let path = TimePath::new(nodes, 50).unwrap();
        let plan = plan(&schedule, path.clone(), 2);
        draw(&seen, &plan);
        let inputs = seen.inputs();
        let edges: Vec<_> = path.edges().collect();
        let k = edges.iter().position(|&(t, _)| t == 40).unwrap();
        let edge = schedule.transition(40, edges[k].1);
        let at = edges.len() - 1 - k;
        let step = &inputs[at + 1] - &(&inputs[at] * edge.coef_xt as f32);
        step / edge.posterior_variance.sqrt() as f32
    };
    let a = noise(vec![5, 20, 40, 50]);
    let b = noise(vec![11, 40, 45]);
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4));
    assert!(a.iter().all(|z| z.abs() < 7.0) && a.iter().any(|z| z.abs() > 0.5));
}

/// The noise of the step onto the first node alone is bounded, for every kind of variance.
#[test]
fn the_last_noise_is_clipped() {
    let schedule = models::cosine(50);
    let model = models::learned(&schedule, Parameterization::X0);
    let path = TimePath::new([5, 20, 50], 50).unwrap();
    for (steps, eta) in [
        (ancestral(&schedule, &path, VarianceKind::Learned), 0.0),
        (ancestral(&schedule, &path, VarianceKind::FixedLarge), 0.0),
        (by(&schedule, &path, Sampler::Ddim), 1.0),
    ] {
        let inputs = |levels: Option<f64>| {
            let seen = Seen::new(&model);
            let plan = SamplingPlan {
                schedule: steps.clone(),
                eta,
                clip_last_noise: levels,
                ..plan(&schedule, path.clone(), 100)
            };
            draw(&seen, &plan);
            seen.inputs()
        };
        let (free, none, two) = (inputs(None), inputs(Some(0.0)), inputs(Some(2.0)));
        // Up to there nothing changes.
        assert_eq!(free[..2], two[..2]);
        let moved = |with: &ArrayD<f32>| {
            let by = with - &none[2];
            by.iter().map(|x| f64::from(x.abs())).sum::<f64>() / by.len() as f64
        };
        let levels = moved(&two[2]) / (2.0 / 255.0);
        assert!((levels - 2.0).abs() < 0.1, "{steps:?}: {levels}");
        assert!(moved(&free[2]) > 2.0 * moved(&two[2]), "{steps:?}");
    }
    for levels in [-1.0, f64::NAN, f64::INFINITY] {
        let plan = SamplingPlan {
            clip_last_noise: Some(levels),
            ..plan(&schedule, path.clone(), 1)
        };
        let error = sample(&model, &plan, &Silent).unwrap_err();
        assert!(error.to_string().contains("at least 0"), "{error}");
    }
    let plan = SamplingPlan {
        schedule: by(&schedule, &path, Sampler::Ddim),
        eta: 1.1,
        ..plan(&schedule, path, 1)
    };
    let error = sample(&model, &plan, &Silent).unwrap_err();
    assert!(error.to_string().contains("eta"), "{error}");
}

/// The same for samplers that look back further: on Gaussian data they are one factor from the first state to the last, that of a single
/// number taken down the path by itself.
#[test]
fn samplers_of_several_nodes_are_taken_along_the_path() {
    let schedule = models::cosine(200);
    let (data, path) = (
        3.0,
        TimePath::new([30, 60, 80, 130, 160, 190], 200).unwrap(),
    );
    let gain = |t: usize| {
        let a = schedule.alpha_bar(t);
        a.sqrt() * data / (a * data + 1.0 - a)
    };
    let model = ddpm_core::GaussianDenoiser::new(
        schedule.clone(),
        ndarray::Array3::zeros(models::SHAPE),
        ndarray::Array3::from_elem(models::SHAPE, data),
        Parameterization::Epsilon,
    )
    .unwrap();
    let draw_by = |sampler: Sampler| {
        let plan = SamplingPlan {
            schedule: by(&schedule, &path, sampler),
            batch: 2,
            ..plan(&schedule, path.clone(), 5)
        };
        draw(&model, &plan)
    };
    let reference = draw_by(Sampler::Ddim);
    let factor = |sampler: Sampler| {
        let mut x = [1.0];
        let mut state = MultistepState::default();
        let steps = sampler.multistep(&schedule, &path).unwrap();
        for (step, &t) in steps.iter().zip(path.nodes().iter().rev()) {
            let estimate = [gain(t) * x[0]];
            state.step(step, &estimate, &mut x);
        }
        x[0]
    };
    let of_ddim = path
        .edges()
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .fold(1.0, |x, (t, s)| {
            let step = LinearStep::ddim(&schedule, t, s, 0.0).unwrap();
            (step.from_x_t + step.from_xhat0 * gain(t)) * x
        });
    for sampler in [
        Sampler::DpmSolver3M,
        Sampler::Ipndm,
        Sampler::UniPc2,
        Sampler::UniPc3,
    ] {
        let ratio = factor(sampler) / of_ddim;
        assert!((ratio - 1.0).abs() > 1e-3, "{sampler} is DDIM");
        for (found, other) in draw_by(sampler).iter().zip(&reference) {
            let expected = f64::from(*other) * ratio;
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{sampler}: {found} {expected}"
            );
        }
    }
}
