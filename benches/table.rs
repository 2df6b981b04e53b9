//! The cost table of T = 4000 under learned variances, rebuilt from a profile, against its direct evaluation.
//!
//! `cargo bench -p ddpm-benches --bench table` measures with criterion. `cargo bench -p ddpm-benches --bench table -- --once` prints `NAME SECONDS` lines and
//! the ratios of `benches/README.md`. Both first check that the table is the direct one to 1e-9.
//!
//! Direct evaluation is what the paper does: every pixel of an image at every edge (t, s), T (T-1) / 2 edges of D pixels. It is timed on
//! a sample of the edges and scaled.
//!
//! Beside it the table of calibrated kernels, from the profile in datasets/, and what bands of frequencies add to measuring one image.
#![allow(
    missing_docs,
    clippy::print_stdout,
    reason = "a bench target, not a library"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::Criterion;
use ddpm::{
    core::{
        Bands, DecoderKind, ModelId, NetworkId, NoiseDomain, NoiseKey, NoiseSchedule,
        NoiseScheduleName, Parameterization, StepVariance, VarianceKind, edge_nll, standard_normal,
    },
    dp::CostTable,
    profile::{Block, CostModel, Curves, ElboProfile, ProfileLayout, Reconstruction},
    schedule::{Provenance, Scoring},
};

const T: usize = 4000;
const D: usize = 3 * 32 * 32;
const IMAGES: usize = 4;
const EDGES: f64 = (T * (T - 1) / 2) as f64;

/// One image as a made-up network sees it at one timestep.
struct Point {
    x0: Vec<f64>,
    xhat0: Vec<f64>,
    v: Vec<f64>,
}

fn normals(stream: usize, step: usize) -> Vec<f64> {
    let key = NoiseKey {
        seed: 1,
        domain: NoiseDomain::Data,
        stream: stream as u64,
        step: step as u32,
    };
    let mut noise = vec![0.0; D];
    standard_normal(key, &mut noise);
    noise.into_iter().map(f64::from).collect()
}

/// 8-bit pixels, errors of a size that a trained network has, v around 0.5.
fn point(schedule: &NoiseSchedule, image: usize, t: usize) -> Point {
    let pixel = |z: f64| ((0.5 * z).clamp(-1.0, 1.0) * 127.5).round() / 127.5;
    let x0: Vec<f64> = normals(image, 0).into_iter().map(pixel).collect();
    let spread = (0.25 / (1.0 + 3.0 * schedule.snr(t).powf(0.8))).sqrt();
    let errors = normals(IMAGES + image, t);
    let v = normals(2 * IMAGES + image, t);
    Point {
        xhat0: x0
            .iter()
            .zip(errors)
            .map(|(x, e)| (x + spread * e).clamp(-1.0, 1.0))
            .collect(),
        v: v.into_iter().map(|z| 0.5 + 0.25 * z).collect(),
        x0,
    }
}

fn reconstruction(point: &Point) -> Reconstruction<'_> {
    Reconstruction {
        x0: &point.x0,
        x_t: None,
        xhat0: &point.xhat0,
        v: Some(&point.v),
    }
}

/// 64 timesteps, evenly over log-SNR down to -7, with the ends.
fn timesteps(schedule: &NoiseSchedule) -> Vec<usize> {
    let (high, low) = (schedule.log_snr(1), -7.0);
    let at = |i: usize| high + (low - high) * i as f64 / 63.0;
    let mut chosen: BTreeSet<usize> = (0..64)
        .filter_map(|i| (1..=T).find(|&t| schedule.log_snr(t) <= at(i)))
        .collect();
    chosen.extend((1..=16).chain([T - 1, T]));
    chosen.into_iter().collect()
}

fn profile(schedule: &NoiseSchedule) -> ElboProfile {
    let layout = ProfileLayout::new(
        schedule,
        timesteps(schedule),
        true,
        ProfileLayout::DEFAULT_NODES,
    )
    .expect("the timesteps are valid");
    let mut block = Block::new(&layout, 0);
    for image in 0..IMAGES {
        for (i, &t) in layout.timesteps().iter().enumerate() {
            let p = point(schedule, image, t);
            let statistics = layout
                .measure(i, &reconstruction(&p))
                .expect("finite numbers");
            block.add(i, &statistics).expect("the same layout");
        }
        block.add_image(0.25);
    }
    let provenance = Provenance {
        model: ModelId {
            network: NetworkId::Unknown,
            noise_schedule: Some(NoiseScheduleName::Cosine),
            train_steps: T,
            parameterization: Some(Parameterization::Epsilon),
            rescale_timesteps: true,
            clip_denoised: true,
            precision: "f32".into(),
            shape: vec![3, 32, 32],
            settings: BTreeMap::new(),
        },
        data_sha256: String::new(),
        data_name: "made up".into(),
        split: "train".into(),
        stand_in: true,
        seed: 1,
        total_images: IMAGES as u64,
        images_per_block: IMAGES as u64,
        total_blocks: 1,
        library_version: String::new(),
        image_order: String::new(),
        extra: BTreeMap::new(),
    };
    ElboProfile::new(provenance, schedule.clone(), layout, vec![block]).expect("one whole block")
}

fn model(curves: &Curves, decoder: DecoderKind) -> CostModel<'_> {
    let scoring = Scoring::new(VarianceKind::Learned).with_decoder(decoder);
    CostModel::new(curves, scoring.into()).expect("the columns are resolved")
}

/// Panics unless edges of the table at evaluated timesteps are the direct ones to 1e-9.
fn check(schedule: &NoiseSchedule, curves: &Curves) {
    let model = model(curves, DecoderKind::None);
    for &t in timesteps(schedule).iter().filter(|&&t| t > 1).step_by(7) {
        for s in (1..t).step_by(t.div_ceil(9)) {
            let edge = schedule.transition(t, s);
            let direct = |image| {
                let p = point(schedule, image, t);
                edge_nll(
                    &edge,
                    f64::NAN,
                    StepVariance::Learned(&p.v),
                    &p.x0,
                    &p.xhat0,
                )
            };
            let direct = (0..IMAGES).map(direct).sum::<f64>() / IMAGES as f64;
            let error = (model.interior(t, s) - direct).abs() / direct;
            assert!(error < 1e-9, "({t}, {s}): {error:e}");
        }
    }
}

/// Evaluates the interior terms of edges of one image pixel by pixel, by the formula in its shortest form: no care for
/// cancellation, one exponential per pixel.
fn direct_interior(schedule: &NoiseSchedule, p: &Point, edges: &[(usize, usize)]) -> f64 {
    let mut total = 0.0;
    for &(t, s) in edges {
        let edge = schedule.transition(t, s);
        let mut sum = 0.0;
        for i in 0..D {
            let (x, e) = (p.v[i] * edge.log_variance_ratio, p.x0[i] - p.xhat0[i]);
            sum += -1.0 + x + (-x).exp() * (1.0 + edge.snr_gain * e * e);
        }
        total += 0.5 * sum / D as f64;
    }
    total
}

/// The respaced decoder terms of the same pairs, t being the second node and s the first, by the formula as
/// improved-diffusion writes it.
fn direct_decoder(schedule: &NoiseSchedule, p: &Point, edges: &[(usize, usize)]) -> f64 {
    let cdf = |x: f64| {
        0.5 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
    };
    let mut total = 0.0;
    for &(t, s) in edges {
        let (low, high) = (
            schedule.transition(t, s).log_posterior_variance,
            schedule.log_one_minus_alpha_bar(s),
        );
        let mut sum = 0.0;
        for i in 0..D {
            let inverse = (-0.5 * (p.v[i] * high + (1.0 - p.v[i]) * low)).exp();
            let r = p.x0[i] - p.xhat0[i];
            let above = cdf(inverse * (r + 1.0 / 255.0));
            let below = cdf(inverse * (r - 1.0 / 255.0));
            let probability = match p.x0[i] {
                x if x < -0.999 => above,
                x if x > 0.999 => 1.0 - below,
                _ => above - below,
            };
            sum -= probability.max(1e-12).ln();
        }
        total += sum / D as f64;
    }
    total
}

fn sampled_edges(count: usize) -> Vec<(usize, usize)> {
    (0..count)
        .map(|i| {
            let t = 2 + (i * 2654435761) % (T - 1);
            (t, 1 + (i * 40503) % (t - 1))
        })
        .collect()
}

/// Curves and table, as a user who has loaded a profile gets them.
fn table(profile: &ElboProfile, decoder: DecoderKind) -> CostTable {
    let curves = Curves::from_profile(profile).expect("one block");
    model(&curves, decoder).table().expect("numbers")
}

/// The profile of the small network, whose timesteps have 66 bands.
fn shipped() -> ElboProfile {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../datasets/cifar10-small.train.profile.safetensors"
    );
    let bytes = std::fs::read(file).expect("a file of the repository");
    ElboProfile::from_bytes(&bytes).expect("a profile")
}

/// Curves, corrections and table of a calibrated variance under the decoder `optimal`.
fn calibrated_table(profile: &ElboProfile, variance: VarianceKind) -> CostTable {
    let curves = Curves::from_profile(profile).expect("blocks");
    let frozen = curves.freeze(&Scoring::new(variance)).expect("bands");
    let model = CostModel::new(&curves, frozen).expect("curves that are resolved");
    model.table().expect("numbers")
}

const CALIBRATED: [(&str, VarianceKind); 3] = [
    ("table_spectral", VarianceKind::Spectral),
    ("table_learned_calibrated", VarianceKind::LearnedCalibrated),
    ("table_best", VarianceKind::Best),
];

/// Measures one image at one timestep, with its noisy image, which bands are measured on.
fn measure_one(layout: &ProfileLayout, p: &Point, x_t: &[f64]) {
    let middle = layout.timesteps().len() / 2;
    let given = Reconstruction {
        x_t: Some(x_t),
        ..reconstruction(p)
    };
    black_box(layout.measure(middle, &given).expect("finite"));
}

fn measure(criterion: &mut Criterion) {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, T).expect("valid");
    let profile = profile(&schedule);
    check(
        &schedule,
        &Curves::from_profile(&profile).expect("one block"),
    );
    let mut group = criterion.benchmark_group("table_4000_learned");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5));
    for (name, decoder) in [
        ("interior", DecoderKind::None),
        ("respaced", DecoderKind::Respaced),
    ] {
        group.bench_function(name, |b| b.iter(|| table(black_box(&profile), decoder)));
    }
    let p = point(&schedule, 0, 1000);
    let edges = sampled_edges(100);
    group.bench_function("direct_100_edges_of_one_image", |b| {
        b.iter(|| direct_interior(&schedule, black_box(&p), &edges));
    });
    let layout = profile.layout();
    let middle = layout.timesteps().len() / 2;
    let q = point(&schedule, 0, layout.timesteps()[middle]);
    group.bench_function("measure_one_image_at_one_timestep", |b| {
        b.iter(|| {
            layout
                .measure(middle, black_box(&reconstruction(&q)))
                .expect("finite")
        });
    });
    let with_bands = layout
        .clone()
        .with_bands(Bands::of_shape(&[3, 32, 32]).expect("numbers"));
    let x_t = normals(0, 1);
    for (name, layout) in [("without_bands", layout), ("with_bands", &with_bands)] {
        group.bench_function(format!("measure_{name}"), |b| {
            b.iter(|| measure_one(black_box(layout), &q, &x_t));
        });
    }
    let shipped = shipped();
    for (name, variance) in CALIBRATED {
        group.bench_function(name, |b| {
            b.iter(|| calibrated_table(black_box(&shipped), variance));
        });
    }
    group.finish();
}

/// All in one run, in turn, medians; the sampled edges scaled to all.
fn once() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, T).expect("valid");
    let profile = profile(&schedule);
    let curves = Curves::from_profile(&profile).expect("one block");
    check(&schedule, &curves);
    println!("interpolation_error {:e}", curves.interpolation_error());
    let p = point(&schedule, 0, 1000);
    let edges = sampled_edges(1000);
    let (shipped, x_t) = (shipped(), normals(0, 1));
    let bands = Bands::of_shape(&[3, 32, 32]).expect("numbers");
    let with_bands = profile.layout().clone().with_bands(bands);
    let all = EDGES / edges.len() as f64;
    let mut seconds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..9 {
        let mut add = |name, scale: f64, f: &mut dyn FnMut()| {
            let begin = Instant::now();
            f();
            seconds
                .entry(name)
                .or_default()
                .push(scale * begin.elapsed().as_secs_f64());
        };
        add("table_interior", 1.0, &mut || {
            drop(black_box(table(&profile, DecoderKind::None)))
        });
        add("table_respaced", 1.0, &mut || {
            drop(black_box(table(&profile, DecoderKind::Respaced)))
        });
        add("direct_interior_one_image", all, &mut || {
            black_box(direct_interior(&schedule, &p, &edges));
        });
        add("direct_decoder_one_image", all, &mut || {
            black_box(direct_decoder(&schedule, &p, &edges));
        });
        add("direct_edge_nll_one_image", all, &mut || {
            for &(t, s) in &edges {
                let edge = schedule.transition(t, s);
                black_box(edge_nll(
                    &edge,
                    f64::NAN,
                    StepVariance::Learned(&p.v),
                    &p.x0,
                    &p.xhat0,
                ));
            }
        });
        for (name, variance) in CALIBRATED {
            add(name, 1.0, &mut || {
                drop(black_box(calibrated_table(&shipped, variance)));
            });
        }
        add(
            "measure_with_bands_one_image_one_timestep",
            0.1,
            &mut || {
                for _ in 0..10 {
                    measure_one(&with_bands, &p, &x_t);
                }
            },
        );
        let layout = profile.layout();
        let share = 1.0 / layout.timesteps().len() as f64;
        add("measure_one_image_one_timestep", share, &mut || {
            for i in 0..layout.timesteps().len() {
                black_box(layout.measure(i, &reconstruction(&p)).expect("finite"));
            }
        });
    }
    let median = |name: &str| {
        let mut of = seconds[name].clone();
        of.sort_by(f64::total_cmp);
        of[of.len() / 2]
    };
    for name in seconds.keys() {
        println!("{name} {:.5}", median(name));
    }
    // Direct evaluation runs on one thread here and would scale perfectly; the tables use all that rayon is given.
    let given = std::env::var("RAYON_NUM_THREADS")
        .ok()
        .and_then(|n| n.parse().ok());
    let threads =
        given.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)) as f64;
    println!("threads {threads}");
    let interior = median("direct_interior_one_image") / threads;
    let both = interior + median("direct_decoder_one_image") / threads;
    println!("ratio_interior {:.0}", interior / median("table_interior"));
    println!("ratio_respaced {:.0}", both / median("table_respaced"));
    println!(
        "ratio_edge_nll {:.0}",
        median("direct_edge_nll_one_image") / threads / median("table_interior")
    );
}

fn main() {
    if std::env::args().any(|argument| argument == "--once") {
        once();
    } else {
        let mut criterion = Criterion::default().configure_from_args();
        measure(&mut criterion);
        criterion.final_summary();
    }
}
