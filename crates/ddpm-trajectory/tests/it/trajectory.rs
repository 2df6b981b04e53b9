//! Trajectories of the closed-form Gaussian denoiser, whose flow is linear: states, local errors, costs and optima are known.
//!
//! Per pixel of variance v the flow keeps z in `x_t = sqrt(abar_t) mu + s_t z`, `s_t^2 = abar_t v + 1 - abar_t`, and the estimate is
//! `mu + g_t s_t z`, `g_t = sqrt(abar_t) v / s_t^2`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ddpm_core::{
    Bands, CoefficientKind, DecoderKind, Difference, MeanCorrection, MeanKind, ModelId, NetworkId,
    NoiseSchedule, NoiseScheduleName, Objective, Parameterization, Sampler, TimePath, VarianceKind,
};
use ddpm_files::FormatError;
use ddpm_schedule::{
    Budgets, Corrections, Kernel, Schedule, Schedules, Scoring, TrajectoryKind, TrajectoryOrigin,
};
use ddpm_trajectory::{
    Error, GrowthPoint, QualityModel, Trajectories, Trial, Weighting, check_reachable, choose_klub,
    choose_quality, entropic_path, reference_grid,
};

pub(crate) const T: usize = 200;
pub(crate) const SHAPE: [usize; 3] = [1, 4, 4];
pub(crate) const DIMS: usize = 16;

pub(crate) fn schedule() -> NoiseSchedule {
    NoiseSchedule::named(NoiseScheduleName::Cosine, T).expect("valid")
}

fn variance(pixel: usize) -> f64 {
    0.02 + 0.05 * pixel as f64
}

/// s_t of one pixel.
pub(crate) fn spread(schedule: &NoiseSchedule, t: usize, v: f64) -> f64 {
    (schedule.alpha_bar(t) * v + schedule.one_minus_alpha_bar(t)).sqrt()
}

pub(crate) fn gain(schedule: &NoiseSchedule, t: usize, v: f64) -> f64 {
    schedule.alpha_bar(t).sqrt() * v / spread(schedule, t, v).powi(2)
}

/// A number for every image and pixel, in -2..2, whose mean square is not special.
pub(crate) fn z(image: usize, pixel: usize) -> f64 {
    4.0 * ((image * DIMS + pixel + 1) as f64 * 0.618).fract() - 2.0
}

pub(crate) fn origin(images: usize, kind: TrajectoryKind) -> TrajectoryOrigin {
    TrajectoryOrigin {
        model: ModelId {
            network: NetworkId::Sha256("ab".repeat(32)),
            noise_schedule: Some(NoiseScheduleName::Cosine),
            train_steps: T,
            parameterization: Some(Parameterization::Epsilon),
            rescale_timesteps: true,
            clip_denoised: false,
            precision: "f32".into(),
            shape: SHAPE.to_vec(),
            settings: BTreeMap::new(),
        },
        kind,
        solver: Some(Sampler::DpmSolver2M),
        seed: 7,
        images: (0..images as u64).collect(),
        labels: None,
        data_sha256: None,
        evaluations: 1,
        library_version: "0".into(),
        extra: BTreeMap::new(),
    }
}

/// The exact flow at `nodes`.
fn exact(images: usize, nodes: &[usize]) -> Trajectories {
    let schedule = schedule();
    let mu = 0.1;
    let (mut states, mut estimates) = (Vec::new(), Vec::new());
    for image in 0..images {
        for &t in nodes {
            for pixel in 0..DIMS {
                let (v, z) = (variance(pixel), z(image, pixel));
                let away = spread(&schedule, t, v) * z;
                states.push((schedule.alpha_bar(t).sqrt() * mu + away) as f32);
                estimates.push((mu + gain(&schedule, t, v) * away) as f32);
            }
        }
    }
    Trajectories::new(
        origin(images, TrajectoryKind::Flow),
        schedule,
        nodes.to_vec(),
        states,
        estimates,
    )
    .expect("consistent")
}

/// Mean over pixels of the squared error of a step, in closed form; s = 0 ends at the estimate at `first`.
fn expected_error(
    image: usize,
    solver: Sampler,
    before: &[usize],
    t: usize,
    s: usize,
    first: usize,
) -> f64 {
    let schedule = schedule();
    let step = solver.flow_step(&schedule, before, t, s);
    let of_pixel = |pixel: usize| {
        let v = variance(pixel);
        let spread = |t: usize| spread(&schedule, t, v);
        let estimate = |t: usize| gain(&schedule, t, v) * spread(t);
        let remembered = |&p: &usize| {
            let [of_state, of_estimate] = solver.remembered(&schedule, p);
            of_state * spread(p) + of_estimate * estimate(p)
        };
        let history = step.from_history.iter().zip(before);
        let history: f64 = history.map(|(weight, p)| weight * remembered(p)).sum();
        let end = if s == 0 { estimate(first) } else { spread(s) };
        let factor = step.from_x_t * spread(t) + step.from_xhat0 * estimate(t) + history - end;
        (factor * z(image, pixel)).powi(2)
    };
    (0..DIMS).map(of_pixel).sum::<f64>() / DIMS as f64
}

const NODES: [usize; 8] = [1, 5, 20, 60, 110, 150, 185, 200];

#[test]
fn local_errors_have_their_closed_form() {
    let model = QualityModel::new(&exact(3, &NODES)).expect("a flow");
    let node = |i: usize| NODES[i - 1];
    for solver in Sampler::PRICED {
        for t in 1..=8 {
            for s in 0..t {
                let mut befores = vec![[None; 2]];
                for p in t + 1..=8 {
                    befores.push([Some(p), None]);
                    befores.extend((p + 1..=8).map(|q| [Some(p), Some(q)]));
                }
                for before in befores {
                    let to = if s == 0 { 0 } else { node(s) };
                    let earlier: Vec<usize> = before.iter().flatten().map(|&p| node(p)).collect();
                    let found = model.squared_error(solver, before, t, s);
                    let of_image =
                        |image| expected_error(image, solver, &earlier, node(t), to, NODES[0]);
                    let expected = (0..3).map(of_image).sum::<f64>() / 3.0;
                    // States are stored in f32, and what is extrapolated from them is multiplied.
                    let step = solver.flow_step(&schedule(), &earlier, node(t), to);
                    let weights: f64 = step.from_history.iter().map(|w| w.abs()).sum();
                    let difference = (found.sqrt() - expected.sqrt()).abs();
                    assert!(
                        difference < 3e-7 * (1.0 + weights),
                        "{solver} {before:?} {t} {s}: {found} {expected}"
                    );
                }
            }
        }
    }
}

fn with_growth(trajectories: Trajectories, factor: impl Fn(usize) -> f64) -> Trajectories {
    let points = trajectories.nodes().iter().flat_map(|&t| {
        Sampler::PRICED.map(|solver| GrowthPoint {
            sampler: solver,
            coefficients: CoefficientKind::Solver,
            t,
            // Of two images: their geometric mean is the factor.
            factors: vec![factor(t) * 4.0, factor(t) / 4.0],
        })
    });
    let points = points.collect();
    trajectories.with_growth(points).expect("of its nodes")
}

#[test]
fn costs_are_mean_squared_errors_times_squared_growth_averaged_geometrically() {
    let growth = |t: usize| 0.5 + t as f64 / 100.0;
    let model = QualityModel::new(&with_growth(exact(2, &NODES), growth)).expect("flow");
    for (t, s) in [(8, 3), (5, 4), (4, 0)] {
        let to = model.nodes()[s];
        let mean = |f: &dyn Fn(usize) -> f64| (f(0) + f(1)) / 2.0;
        let error =
            mean(&|image| expected_error(image, Sampler::Ddim, &[], model.nodes()[t], to, 1));
        let factor = if s == 0 { 1.0 } else { growth(to) };
        let found = model.cost(Sampler::Ddim, Weighting::default(), [None; 2], t, s);
        assert!(
            (found / (error * factor * factor) - 1.0).abs() < 1e-5,
            "({t}, {s})"
        );
        let norms = Weighting {
            power: 1.0,
            ..Weighting::default()
        };
        let found = model.cost(Sampler::Ddim, norms, [None; 2], t, s);
        assert!((found / (error.sqrt() * factor) - 1.0).abs() < 1e-5);
        let plain = Weighting {
            growth: false,
            ..Weighting::default()
        };
        assert!((model.cost(Sampler::Ddim, plain, [None; 2], t, s) / error - 1.0).abs() < 1e-5);
    }
    // The weight of the extrapolation is 1 + 1/(2r).
    let schedule = schedule();
    let half = |t: usize| 0.5 * schedule.log_snr(t);
    let r = (half(150) - half(185)) / (half(110) - half(150));
    let of = |extrapolation| {
        let weighting = Weighting {
            extrapolation,
            ..Weighting::default()
        };
        model.cost(Sampler::DpmSolver2M, weighting, [Some(7), None], 6, 5)
    };
    assert!((of(1.0) / of(0.0) / (1.0 + 0.5 / r).powi(2) - 1.0).abs() < 1e-9);
    // A short step before a long one is no extrapolation at all.
    assert_eq!(
        model.cost(
            Sampler::DpmSolver2M,
            Weighting::default(),
            [Some(6), None],
            5,
            1
        ),
        f64::INFINITY
    );
}

/// Every path of `steps` steps over the nodes, cheapest first.
fn cheapest(model: &QualityModel, solver: Sampler, steps: usize) -> (f64, TimePath) {
    let last = model.nodes().len() - 1;
    let mut best: Option<(f64, TimePath)> = None;
    for set in 0u32..1 << (last - 1) {
        if set.count_ones() as usize == steps - 1 {
            let inner = (1..last).filter(|i| set >> (i - 1) & 1 == 1).chain([last]);
            let path = TimePath::new(inner.map(|i| model.nodes()[i]).collect::<Vec<_>>(), T)
                .expect("ascending");
            let cost = model
                .path_cost(solver, Weighting::default(), &path)
                .expect("grid nodes");
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, path));
            }
        }
    }
    best.expect("a path")
}

#[test]
fn the_best_paths_are_the_best_of_all() {
    let growth = |t: usize| 1.0 + (t as f64 / 40.0).sin();
    let nodes = [1, 3, 9, 20, 45, 70, 110, 140, 165, 185, 200];
    let model = QualityModel::new(&with_growth(exact(2, &nodes), growth)).expect("flow");
    for solver in Sampler::PRICED {
        let steps: Vec<usize> = (2..=9).collect();
        let found = model
            .best_paths(solver, Weighting::default(), &steps)
            .expect("possible");
        for (&k, (cost, path)) in steps.iter().zip(&found) {
            let (least, best) = cheapest(&model, solver, k);
            assert_eq!(path, &best, "{solver} {k}");
            assert!((cost - least).abs() <= 1e-12 * least);
        }
    }
    assert!(matches!(
        model.best_paths(Sampler::Ddim, Weighting::default(), &[12]),
        Err(Error::Schedule(ddpm_schedule::Error::Steps {
            max: 11,
            found: 12
        }))
    ));
}

/// What a path costs is the sum of what its sampler's steps cost when they are taken: each with the nodes before that it uses there.
#[test]
fn paths_are_priced_with_the_steps_that_are_run() {
    let nodes: Vec<usize> = (0..17).map(|i| 4 + 12 * i).chain([T]).collect();
    let model = QualityModel::new(&exact(2, &nodes)).expect("flow");
    let last = nodes.len();
    let choices =
        |k: usize| (0u32..1 << (last - 1)).filter(move |set| set.count_ones() as usize == k - 1);
    for solver in Sampler::PRICED {
        let taken = |path: &[usize]| -> f64 {
            let k = path.len() - 1;
            let cost = |left: usize| {
                let used = solver.looks_back_at(k, left);
                let at = |back: usize| path.get(left + back).copied().filter(|_| back <= used);
                model.cost(
                    solver,
                    Weighting::default(),
                    [at(1), at(2)],
                    path[left],
                    path[left - 1],
                )
            };
            (1..=k).map(cost).sum()
        };
        // Around where the last step but one of DPM-Solver++(3M) is of lower order no more.
        for k in [3, 4, 14, 15, 16, 17] {
            let (least, best) = choices(k)
                .map(|set| {
                    let inner = (1..last).filter(|i| set >> (i - 1) & 1 == 1);
                    let path: Vec<usize> = std::iter::once(0).chain(inner).chain([last]).collect();
                    (taken(&path), path)
                })
                .min_by(|a, b| a.0.total_cmp(&b.0))
                .expect("a path");
            let found = model
                .best_paths(solver, Weighting::default(), &[k])
                .expect("possible");
            let timesteps: Vec<usize> = best.iter().map(|&i| model.nodes()[i]).collect();
            assert_eq!(found[0].1.nodes(), timesteps, "{solver} {k}");
            assert!((found[0].0 / least - 1.0).abs() < 1e-12, "{solver} {k}");
            let by_path = model.path_cost(solver, Weighting::default(), &found[0].1);
            assert!(
                (by_path.expect("nodes") / least - 1.0).abs() < 1e-12,
                "{solver} {k}"
            );
        }
    }
}

/// The weight of the estimate at t alone does not tell: two nodes before that lie close together have large weights that cancel.
#[test]
fn a_step_that_multiplies_what_is_wrong_too_much_is_none() {
    let nodes: Vec<usize> = (1..=20).map(|i| 10 * i).collect();
    let model = QualityModel::new(&exact(2, &nodes)).expect("flow");
    let (mut refused, mut unseen) = (0, 0);
    for q in 4..=20 {
        let steps = (3..q).flat_map(|p| (2..p).flat_map(move |t| (1..t).map(move |s| (p, t, s))));
        for (p, t, s) in steps {
            let at = |i: usize| model.nodes()[i];
            let solver = Sampler::DpmSolver3M;
            let step = solver.flow_step(&schedule(), &[at(p), at(q)], at(t), at(s));
            let [near, far] = step.from_history;
            let sum = step.from_xhat0 + near + far;
            let all = (step.from_xhat0.abs() + near.abs() + far.abs()) / sum;
            let cost = model.cost(solver, Weighting::default(), [Some(p), Some(q)], t, s);
            assert_eq!(cost.is_infinite(), all > 9.0, "{q} {p} {t} {s}: {all}");
            refused += usize::from(all > 9.0);
            unseen += usize::from(all > 9.0 && step.from_xhat0 < 3.0 * sum);
        }
    }
    assert!(refused > 0 && unseen > 0, "{refused} {unseen}");
}

#[test]
fn schedules_take_the_trial_that_came_closest_and_survive_their_file() {
    let trajectories = with_growth(exact(2, &NODES), |_| 1.0);
    let trial = |path: &[usize], square: f64| Trial {
        sampler: Sampler::Ddim,
        coefficients: CoefficientKind::Solver,
        fitted: Vec::new(),
        evaluations: None,
        path: path.to_vec(),
        squared_distances: vec![square, 3.0 * square],
    };
    let tried = trajectories
        .with_trials(vec![
            trial(&[0, 20, 110, 200], 0.5),
            trial(&[0, 5, 150, 200], 0.02),
            trial(&[0, 200], 0.001),
        ])
        .expect("of these images");
    let chosen =
        choose_quality(&tried, Sampler::Ddim, &Budgets::Only(vec![3, 4])).expect("possible");
    assert_eq!(chosen.budgets[0].nodes(), [0, 5, 150, 200]);
    assert!((chosen.budgets[0].distance.expect("tried") - 0.2).abs() < 1e-12);
    assert_eq!(
        (chosen.budgets[1].distance, chosen.budgets[1].steps()),
        (None, 4)
    );
    assert_eq!(
        (chosen.scoring.objective, chosen.sampler),
        (Objective::Quality, Some(Sampler::Ddim))
    );
    assert_eq!(chosen.budgets[0].schedule.sampler, Sampler::Ddim);
    let kernels = &chosen.budgets[0].schedule.kernels;
    assert_eq!(kernels[0], Kernel::None);
    assert_eq!(
        kernels[1].log_variance(),
        Some(schedule().transition(150, 5).log_posterior_variance)
    );
    let text = chosen.to_json().expect("numbers");
    assert_eq!(Schedules::from_json(&text).expect("readable"), chosen);
    // The other sampler was not tried.
    let other = choose_quality(&tried, Sampler::DpmSolver2M, &Budgets::All).expect("possible");
    assert!(other.budgets.iter().all(|b| b.distance.is_none()));
    assert_eq!(other.costs.len(), T);
    assert!(matches!(
        choose_klub(&tried, &Budgets::All),
        Err(Error::Schedule(ddpm_schedule::Error::Unsupported(_)))
    ));
    assert!(matches!(
        choose_quality(&tried, Sampler::Ddim, &Budgets::Only(vec![9])),
        Err(Error::Schedule(ddpm_schedule::Error::Steps {
            max: 8,
            found: 9
        }))
    ));
}

#[test]
fn the_file_round_trips_and_refuses_damage() {
    let trajectories = with_growth(exact(2, &NODES), |t| t as f64);
    let bytes = trajectories.to_bytes();
    let read = Trajectories::from_bytes(&bytes).expect("whole");
    assert_eq!(read.to_bytes(), bytes);
    assert_eq!(read.state(1, 3), trajectories.state(1, 3));
    assert_eq!(read.state(1, 0), trajectories.estimate(1, 1));
    assert_eq!(read.growth(), trajectories.growth());
    for at in [bytes.len() - 1, bytes.len() / 2, 200] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(Trajectories::from_bytes(&damaged).is_err(), "byte {at}");
    }
    for short in [0, 7, 100, bytes.len() - 4] {
        assert!(
            matches!(
                Trajectories::from_bytes(&bytes[..short]),
                Err(Error::Format(FormatError::Not { .. }))
            ),
            "{short} bytes"
        );
    }
    let newer = String::from_utf8_lossy(&bytes[..4000])
        .find("version\\\":1")
        .expect("in the metadata");
    let mut changed = bytes.clone();
    changed[newer + "version\\\":".len()] = b'4';
    assert!(matches!(
        Trajectories::from_bytes(&changed),
        Err(Error::Format(FormatError::NewerVersion { found: 4, .. }))
    ));
}

#[test]
fn what_does_not_fit_is_named() {
    let good = exact(2, &NODES);
    let point = |t: usize, n: usize| GrowthPoint {
        sampler: Sampler::Ddim,
        coefficients: CoefficientKind::Solver,
        t,
        factors: vec![1.0; n],
    };
    let refused = |point: GrowthPoint| {
        good.clone()
            .with_growth(vec![point])
            .unwrap_err()
            .to_string()
    };
    assert!(refused(point(6, 2)).contains("a node of the grid, found 6"));
    assert!(refused(point(5, 3)).contains("growth factors: expected 2 values, found 3"));
    let states = |n: usize, x: f32| vec![x; n];
    let make = |nodes: &[usize], n: usize, x: f32| {
        Trajectories::new(
            origin(2, TrajectoryKind::Flow),
            schedule(),
            nodes.to_vec(),
            states(n, x),
            states(n, 0.0),
        )
    };
    let refused =
        |nodes: &[usize], n: usize, x: f32| make(nodes, n, x).expect_err("refused").to_string();
    let increasing = "timesteps: expected a strictly increasing list within 1..=200, found ";
    assert_eq!(refused(&[3, 2], 64, 0.0), format!("{increasing}[3, 2]"));
    assert_eq!(refused(&[2, 201], 64, 0.0), format!("{increasing}[2, 201]"));
    assert_eq!(
        refused(&[2, 3], 63, 0.0),
        "states: expected 64 values, found 63"
    );
    assert_eq!(
        refused(&[2, 3], 64, f32::NAN),
        "states: expected finite numbers, found NaN"
    );
}

#[test]
fn grids_end_at_both_ends_and_hold_every_stride_apart() {
    for name in [NoiseScheduleName::Cosine, NoiseScheduleName::Linear] {
        let schedule = NoiseSchedule::named(name, 1000).expect("valid");
        for nodes in [2, 10, 128, 999, 1000] {
            let grid = reference_grid(&schedule, nodes).expect("possible");
            assert_eq!(
                (grid.steps(), grid.nodes()[1], grid.end()),
                (nodes, 1, 1000)
            );
        }
        assert!(reference_grid(&schedule, 1).is_err() && reference_grid(&schedule, 1001).is_err());
        // Up to sigma = 80 nearly half of the nodes are even in log-SNR: no gap is much wider than twice the mean.
        let grid = reference_grid(&schedule, 100).expect("possible");
        let clipped = |t: usize| schedule.log_snr(t).max(-8.8);
        let range = clipped(1) - clipped(1000);
        for pair in grid.nodes()[1..]
            .windows(2)
            .filter(|pair| pair[1] > pair[0] + 1)
        {
            let gap = clipped(pair[0]) - clipped(pair[1]);
            assert!(gap < 2.5 * range / 99.0, "{name} {pair:?}: {gap}");
        }
        // Above it estimates still change: the noise has nodes too.
        let noise = |t: usize| schedule.log_snr(t) < -8.8;
        let timesteps = (1..=1000).filter(|&t| noise(t)).count();
        let visited = grid.nodes()[1..].iter().filter(|&&t| noise(t)).count();
        assert!(
            visited >= timesteps.min(3),
            "{name}: {visited} of {timesteps}"
        );
    }
}

#[test]
fn entropic_paths_have_equal_increments() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Linear, 2000).expect("valid");
    let v = 0.3;
    // Twice the entropy is log(1 + SNR v) up to a constant; its increments are known.
    let mse: Vec<f64> = (0..=2000)
        .map(|t| {
            if t == 0 {
                0.0
            } else {
                v / (1.0 + schedule.snr(t) * v)
            }
        })
        .collect();
    let path = entropic_path(&schedule, &mse, 8).expect("possible");
    let entropy = |t: usize| -(1.0 + schedule.snr(t) * v).ln();
    let total = entropy(2000) - entropy(1);
    for (k, &t) in path.nodes().iter().enumerate().skip(1) {
        let fraction = |t: usize| (entropy(t) - entropy(1)) / total;
        // The nearest timestep, up to the error of the trapezoidal rule.
        let gap = fraction((t + 1).min(2000)) - fraction(t.max(2) - 1);
        let off = fraction(t) - k as f64 / 8.0;
        assert!(off.abs() < 0.5 * gap + 0.005, "{k}: {t} is off by {off}");
    }
    assert_eq!(path.end(), 2000);
    assert!(matches!(
        entropic_path(&schedule, &mse[1..], 8),
        Err(Error::Schedule(ddpm_schedule::Error::Field { .. }))
    ));
    assert!(matches!(
        entropic_path(&schedule, &mse, 2001),
        Err(Error::Schedule(ddpm_schedule::Error::Steps { .. }))
    ));
}

/// Small trajectories with everything that a file can hold.
pub(crate) fn kept() -> Trajectories {
    let trial = Trial {
        sampler: Sampler::DpmSolver2M,
        coefficients: CoefficientKind::Solver,
        fitted: Vec::new(),
        evaluations: None,
        path: vec![0, 60, 200],
        squared_distances: vec![0.25, 0.5],
    };
    with_growth(exact(2, &[1, 60, 200]), |t| t as f64)
        .with_trials(vec![trial])
        .expect("of these images")
}

/// The same, of a network whose estimates were corrected.
fn corrected() -> Trajectories {
    let bands = Bands::rings(&SHAPE, None, 3).expect("valid");
    let correction = |t: usize| {
        let coefficient = |i: usize| 0.01 * ((t + 3 * i) as f64).sin();
        let of_bands = |shift: usize| (0..bands.count()).map(|i| coefficient(i + shift)).collect();
        Arc::new(MeanCorrection {
            estimate: of_bands(0),
            noise: of_bands(7),
            offset: bands.constants().map(coefficient).collect(),
        })
    };
    let scoring = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::None);
    let path = TimePath::new([1, 60, 200], T).expect("a path");
    let plain = Schedule::of_path(&schedule(), path, &scoring).expect("plain");
    let schedule = Schedule {
        means: [1, 60, 200].map(correction).into(),
        bands: Some(Arc::new(bands.clone())),
        ..plain
    };
    let means = Corrections::of_schedule(&schedule);
    kept().with_means(means).expect("of these nodes")
}

/// `DDPM_WRITE_FIXTURES=1` writes them anew; only a new format version should need it.
#[test]
fn fixtures_of_every_version_are_readable() {
    let path = |name: &str| {
        std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
    };
    let schedules_v4 = path("../../../ddpm-schedule/tests/fixtures/schedules-v4.json");
    let chosen = |made: &Trajectories| {
        choose_quality(made, Sampler::DpmSolver2M, &Budgets::Only(vec![2, 3])).expect("possible")
    };
    if std::env::var_os("DDPM_WRITE_FIXTURES").is_some() {
        let made = kept();
        std::fs::write(path("trajectories-v1.safetensors"), made.to_bytes()).expect("writable");
        let text = chosen(&made).to_json().expect("numbers");
        std::fs::write(&schedules_v4, text).expect("writable");
        let made = corrected().to_bytes();
        std::fs::write(path("trajectories-v2.safetensors"), made).expect("writable");
    }
    let bytes = std::fs::read(path("trajectories-v2.safetensors")).expect("kept in the repository");
    let read = Trajectories::from_bytes(&bytes).expect("readable");
    assert_eq!(read.to_bytes(), bytes);
    let schedules = chosen(&read);
    assert_eq!(schedules.scoring.mean, MeanKind::Calibrated);
    for chosen in &schedules.budgets {
        let correction = chosen.schedule.correction(0).expect("one per step");
        assert_eq!(
            correction.1.estimate[0],
            0.01 * (chosen.nodes()[1] as f64).sin()
        );
    }
    // As does a file of version 5 that they are written to.
    let text = schedules.to_json().expect("numbers");
    assert_eq!(Schedules::from_json(&text).expect("readable"), schedules);
    let bytes = std::fs::read(path("trajectories-v1.safetensors")).expect("kept in the repository");
    let read = Trajectories::from_bytes(&bytes).expect("readable");
    assert_eq!(read.to_bytes(), bytes);
    assert_eq!((read.images(), read.nodes()), (2, &[1, 60, 200][..]));
    let text = std::fs::read_to_string(schedules_v4).expect("kept in the repository");
    let schedules = Schedules::from_json(&text).expect("readable");
    assert_eq!(schedules.to_json().expect("numbers"), text);
    // And they still mean what they meant.
    let again = chosen(&read);
    for (again, kept) in again.budgets.iter().zip(&schedules.budgets) {
        assert_eq!(again.schedule, kept.schedule);
        assert!((again.cost / kept.cost - 1.0).abs() < 1e-12, "{again:?}");
    }
    assert_eq!(schedules.budgets[0].distance, Some(0.375f64.sqrt()));
}

#[test]
fn steps_without_a_sensible_path_are_known_before_anything_is_measured() {
    let schedule = schedule();
    // All four steps lead through 101, 100, 1: that to 1 is a hundred times as long as the one before.
    let nodes = [1, 100, 101, 200];
    let grid = TimePath::new(nodes, 200).expect("a path");
    let check = |solver, steps: &[usize]| check_reachable(&schedule, &grid, solver, steps);
    check(Sampler::Ddim, &[1, 2, 3, 4]).expect("any path serves DDIM");
    check(Sampler::DpmSolver2M, &[]).expect("nothing asked");
    let model = QualityModel::new(&exact(1, &nodes)).expect("flow");
    for steps in 1..=4 {
        let solver = Sampler::DpmSolver2M;
        let found = check(solver, &[steps]);
        let best = model.best_paths(solver, Weighting::default(), &[steps]);
        assert_eq!(found.is_ok(), steps < 4, "{steps}: {found:?}");
        assert_eq!(found.is_ok(), best.is_ok(), "{steps}: {best:?}");
    }
    let both = check(Sampler::DpmSolver2M, &[2, 4]).expect_err("one of them");
    assert!(matches!(
        both,
        Error::Schedule(ddpm_schedule::Error::Unreachable { steps: 4, end: 200 })
    ));
    let many = check(Sampler::Ddim, &[5]).expect_err("more than nodes");
    assert!(matches!(
        many,
        Error::Schedule(ddpm_schedule::Error::Steps { max: 4, found: 5 })
    ));
}

#[test]
fn parts_of_a_run_are_joined_and_others_refused() {
    let whole = exact(3, &NODES);
    let part = |images: std::ops::Range<usize>| {
        let mut origin = whole.origin().clone();
        origin.images = images.clone().map(|i| i as u64).collect();
        let all = |of: &dyn Fn(usize, usize) -> Vec<f32>| -> Vec<f32> {
            let images = images.clone();
            images
                .flat_map(|image| (1..=8).flat_map(move |i| of(image, i)))
                .collect()
        };
        Trajectories::new(
            origin,
            schedule(),
            NODES.to_vec(),
            all(&|image, i| whole.state(image, i).to_vec()),
            all(&|image, i| whole.estimate(image, i).to_vec()),
        )
        .expect("a part")
    };
    let mut joined = part(0..1);
    joined.append(part(1..3)).expect("of one run");
    assert_eq!(joined.to_bytes(), whole.to_bytes());

    let mut other = whole.origin().clone();
    other.seed += 1;
    let refused = whole
        .check_same_run(&other, &schedule(), &NODES, None)
        .expect_err("another seed");
    assert!(matches!(refused, Error::Mismatch(Difference { field, .. }) if field == "seed"));
    let refused = whole.check_same_run(whole.origin(), &schedule(), &NODES[1..], None);
    assert!(refused.is_err_and(|e| e.to_string().contains("grid")));
    let mut moved = NODES;
    moved[3] += 1;
    assert!(
        whole
            .check_same_run(whole.origin(), &schedule(), &moved, None)
            .is_err()
    );
    let linear = NoiseSchedule::named(NoiseScheduleName::Linear, 200).expect("valid");
    assert!(
        whole
            .check_same_run(whole.origin(), &linear, &NODES, None)
            .is_err()
    );

    let mut unfinished = exact(2, &NODES);
    unfinished.set_evaluations(0);
    let refused = choose_quality(&unfinished, Sampler::Ddim, &Budgets::All).expect_err("a part");
    assert!(refused.to_string().contains("has ended"), "{refused}");

    let mut measured = with_growth(exact(2, &NODES), |_| 1.0);
    assert!(
        measured.append(part(2..3)).is_err(),
        "growth is of two images"
    );
}

#[test]
fn trajectories_of_an_unknown_network_are_kept_but_not_continued() {
    let mut unknown = origin(1, TrajectoryKind::Flow);
    unknown.model.network = NetworkId::Unknown;
    let known = exact(1, &NODES);
    let all = |of: &dyn Fn(usize) -> Vec<f32>| (1..=8).flat_map(of).collect();
    let made = Trajectories::new(
        unknown.clone(),
        schedule(),
        NODES.to_vec(),
        all(&|i| known.state(0, i).to_vec()),
        all(&|i| known.estimate(0, i).to_vec()),
    )
    .expect("consistent");
    let bytes = made.to_bytes();
    let read = Trajectories::from_bytes(&bytes).expect("readable");
    assert_eq!(read.origin(), &unknown);
    assert_eq!(read.to_bytes(), bytes);
    let refused = read
        .check_same_run(&unknown, &schedule(), &NODES, None)
        .expect_err("of any network");
    let message = refused.to_string();
    assert!(message.contains("network is unknown"), "{message}");
    assert!(message.contains("expected the hash of its checkpoint or a name"));
    // What differs is said first.
    let refused = read
        .check_same_run(known.origin(), &schedule(), &NODES, None)
        .expect_err("another network");
    assert!(
        matches!(refused, Error::Mismatch(Difference { field, .. }) if field == "checkpoint_sha256")
    );
}

#[test]
fn every_priced_sampler_is_solved_and_no_other() {
    let point = GrowthPoint {
        sampler: Sampler::Ddpm,
        coefficients: CoefficientKind::Solver,
        t: 5,
        factors: vec![1.0; 2],
    };
    let refused = exact(2, &NODES).with_growth(vec![point]).unwrap_err();
    assert!(refused.to_string().contains("ddpm"), "{refused}");
    let trial = Trial {
        sampler: Sampler::Ddpm,
        coefficients: CoefficientKind::Solver,
        fitted: Vec::new(),
        evaluations: None,
        path: vec![0, 200],
        squared_distances: vec![1.0; 2],
    };
    let refused = exact(2, &NODES).with_trials(vec![trial]).unwrap_err();
    assert!(refused.to_string().contains("ddpm"), "{refused}");
}
