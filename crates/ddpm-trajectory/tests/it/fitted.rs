//! Coefficients that are fitted to trajectories, against least squares by another way and against flows that they solve exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use ddpm_core::{
    Bands, CoefficientKind, LinearStep, NoiseDomain, NoiseKey, Sampler, StepCoefficients, TimePath,
    standard_normal,
};
use ddpm_schedule::{Budgets, Schedules, TrajectoryKind};
use ddpm_trajectory::{
    Deviations, FittedModel, Fitting, QualityModel, Student, Trajectories, Trial, Weighting,
    choose_fitted, choose_quality, refit,
};

use super::trajectory::{DIMS, SHAPE, T, gain, kept, origin, schedule, spread, z};

const NODES: [usize; 8] = [1, 5, 20, 60, 110, 150, 185, 200];

/// Trajectories that no sampler follows: bent, another way in every image and number.
fn bent(images: usize) -> Trajectories {
    let schedule = schedule();
    let (mut states, mut estimates) = (Vec::new(), Vec::new());
    for image in 0..images {
        for &t in &NODES {
            for pixel in 0..DIMS {
                let (z, u) = (z(image, pixel), z(image + 31, 3 * pixel));
                let u_t = u * (0.9 - 0.004 * t as f64).sin();
                let signal = schedule.alpha_bar(t).sqrt();
                states.push((signal * u_t + schedule.one_minus_alpha_bar(t).sqrt() * z) as f32);
                estimates.push((0.8 * u_t + 0.1 * (0.02 * t as f64 * z).cos()) as f32);
            }
        }
    }
    let origin = origin(images, TrajectoryKind::Flow);
    Trajectories::new(origin, schedule, NODES.to_vec(), states, estimates).expect("consistent")
}

/// The nodes before, the nearest first, t and s.
type Step = ([Option<usize>; 2], usize, usize);

/// What a sampler remembers of a node of one image, in f64.
fn remembered(of: &Trajectories, sampler: Sampler, image: usize, p: usize) -> Vec<f64> {
    let [of_state, of_estimate] = sampler.remembered(&schedule(), NODES[p - 1]);
    let pairs = of.state(image, p).iter().zip(of.estimate(image, p));
    pairs
        .map(|(&x, &d)| of_state * f64::from(x) + of_estimate * f64::from(d))
        .collect()
}

/// The fields of a step and what they should make, of some images: x_t, D_t, what is remembered; the target.
fn fields(
    of: &Trajectories,
    sampler: Sampler,
    images: &[usize],
    (before, t, s): Step,
) -> (Vec<Vec<f64>>, Vec<f64>) {
    let widened = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| f64::from(x)).collect() };
    let all = |field: &dyn Fn(usize) -> Vec<f64>| -> Vec<f64> {
        images.iter().flat_map(|&image| field(image)).collect()
    };
    let mut found = vec![
        all(&|image| widened(of.state(image, t))),
        all(&|image| widened(of.estimate(image, t))),
    ];
    for p in before.into_iter().flatten() {
        found.push(all(&|image| remembered(of, sampler, image, p)));
    }
    (found, all(&|image| widened(of.state(image, s))))
}

/// Least squares by modified Gram-Schmidt with a second pass: no normal equations.
fn orthogonal(fields: &[Vec<f64>], target: &[f64]) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let n = fields.len();
    let (mut q, mut r) = (fields.to_vec(), vec![vec![0.0; n]; n]);
    for j in 0..n {
        for _ in 0..2 {
            for i in 0..j {
                let along = dot(&q[i], &q[j]);
                r[i][j] += along;
                let unit = q[i].clone();
                q[j].iter_mut()
                    .zip(&unit)
                    .for_each(|(x, u)| *x -= along * u);
            }
        }
        r[j][j] = dot(&q[j], &q[j]).sqrt();
        let norm = r[j][j];
        q[j].iter_mut().for_each(|x| *x /= norm);
    }
    let mut c: Vec<f64> = q.iter().map(|q| dot(q, target)).collect();
    for i in (0..n).rev() {
        for j in i + 1..n {
            c[i] -= r[i][j] * c[j];
        }
        c[i] /= r[i][i];
    }
    c
}

fn mean_square(fields: &[Vec<f64>], target: &[f64], c: &[f64]) -> f64 {
    let left = |k: usize| {
        let made: f64 = c.iter().zip(fields).map(|(c, f)| c * f[k]).sum();
        (target[k] - made).powi(2)
    };
    (0..target.len()).map(left).sum::<f64>() / target.len() as f64
}

/// Every step of a sampler between the nodes but those onto the data.
fn steps(sampler: Sampler) -> Vec<Step> {
    let n = NODES.len();
    let mut found = Vec::new();
    for t in 2..=n {
        let mut before = vec![[None; 2]];
        for p in (t + 1..=n).filter(|_| sampler.looks_back() > 0) {
            before.push([Some(p), None]);
            for q in (p + 1..=n).filter(|_| sampler.looks_back() > 1) {
                before.push([Some(p), Some(q)]);
            }
        }
        for before in before {
            found.extend((1..t).map(|s| (before, t, s)));
        }
    }
    found
}

const MULTISTEP: [Sampler; 3] = [Sampler::DpmSolver2M, Sampler::DpmSolver3M, Sampler::Ipndm];

#[test]
fn fits_are_those_of_orthogonal_least_squares() {
    let trajectories = bent(6);
    let all: Vec<usize> = (0..6).collect();
    for sampler in MULTISTEP {
        let fitting = Fitting::new(sampler, CoefficientKind::Fitted);
        let model = FittedModel::new(&trajectories, fitting, None).expect("a flow");
        for step in steps(sampler) {
            let (before, t, s) = step;
            let (fields, target) = fields(&trajectories, sampler, &all, step);
            let expected = orthogonal(&fields, &target);
            let found = model.coefficients(before, t, s);
            let found: Vec<f64> = found.terms().iter().map(|c| c[0]).collect();
            let square = mean_square(&fields, &target, &vec![0.0; expected.len()]);
            let difference =
                mean_square(&fields, &target, &found) - mean_square(&fields, &target, &expected);
            assert!(difference.abs() <= 1e-9 * square, "{sampler} {step:?}");
            // 1e-14 times the condition number of the products.
            let tolerance = 1e-14 * condition(&fields);
            for (a, b) in found.iter().zip(&expected) {
                assert!(
                    (a - b).abs() < tolerance.max(1e-12),
                    "{sampler} {step:?}: {found:?} {expected:?}, {tolerance}"
                );
            }
        }
    }
}

/// The condition number of the products of some fields, from their Gram-Schmidt factor: an upper bound by its Frobenius norms.
fn condition(fields: &[Vec<f64>]) -> f64 {
    let n = fields.len();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let unit = |j: usize| -> Vec<f64> { (0..n).map(|i| if i == j { 1.0 } else { 0.0 }).collect() };
    // Columns of the inverse: with which weights the fields make the unit vectors of their products.
    let products: Vec<Vec<f64>> = fields
        .iter()
        .map(|a| fields.iter().map(|b| dot(a, b)).collect())
        .collect();
    let norm = |rows: &[Vec<f64>]| rows.iter().flatten().map(|x| x * x).sum::<f64>().sqrt();
    let inverse: Vec<Vec<f64>> = (0..n).map(|j| orthogonal(&products, &unit(j))).collect();
    norm(&products) * norm(&inverse)
}

#[test]
fn errors_are_judged_on_images_that_were_not_fitted_to() {
    let trajectories = bent(6);
    for sampler in MULTISTEP {
        let fitting = Fitting::new(sampler, CoefficientKind::Fitted);
        let model = FittedModel::new(&trajectories, fitting, None).expect("a flow");
        for step in steps(sampler) {
            // Four folds: images 0 and 4, 1 and 5, 2, 3.
            let mut sum = 0.0;
            for fold in 0..4 {
                let (own, others): (Vec<usize>, Vec<usize>) = (0..6).partition(|i| i % 4 == fold);
                let (on, target) = fields(&trajectories, sampler, &others, step);
                let fitted = orthogonal(&on, &target);
                let (on, target) = fields(&trajectories, sampler, &own, step);
                sum += own.len() as f64 * mean_square(&on, &target, &fitted) / 6.0;
            }
            let (before, t, s) = step;
            let found = model.squared_error(before, t, s);
            // What is left of squares that are near 1 has no more digits.
            assert!(
                (found - sum).abs() < 1e-5 * sum + 1e-14,
                "{sampler} {step:?}: {found} {sum}"
            );
        }
    }
}

/// The steps of lower order that remember the same are among them, and iPNDM's own for those that remember noise.
#[test]
fn fits_are_ahead_of_the_steps_that_they_have_as_special_cases() {
    let trajectories = bent(6);
    let quality = QualityModel::new(&trajectories).expect("a flow");
    let all: Vec<usize> = (0..6).collect();
    for (sampler, special) in [
        (
            Sampler::DpmSolver2M,
            &[Sampler::Ddim, Sampler::DpmSolver2M][..],
        ),
        (
            Sampler::DpmSolver3M,
            &[Sampler::Ddim, Sampler::DpmSolver2M, Sampler::DpmSolver3M],
        ),
        (Sampler::Ipndm, &[Sampler::Ddim, Sampler::Ipndm]),
    ] {
        let model = |kind| {
            let fitting = Fitting::new(sampler, kind);
            FittedModel::new(&trajectories, fitting, None).expect("a flow")
        };
        let (own, free) = (
            model(CoefficientKind::Solver),
            model(CoefficientKind::Fitted),
        );
        for step in steps(sampler) {
            let (before, t, s) = step;
            // The sampler's own steps cost the same by either model.
            let of_solver = quality.squared_error(sampler, before, t, s);
            let same = own.squared_error(before, t, s);
            let close = 1e-9 * (1e-6 + same);
            assert!((of_solver - same).abs() <= close, "{sampler} {step:?}");
            let (fields, target) = fields(&trajectories, sampler, &all, step);
            let c = free.coefficients(before, t, s);
            let c: Vec<f64> = c.terms().iter().map(|c| c[0]).collect();
            let least = mean_square(&fields, &target, &c);
            for &special in special {
                let square = quality.squared_error(special, before, t, s);
                let most = square * (1.0 + 1e-9) + 1e-12;
                assert!(least <= most, "{sampler} {special} {step:?}");
            }
        }
    }
}

#[test]
fn the_best_paths_of_fitted_steps_are_those_of_trying_all() {
    let trajectories = bent(5);
    for (sampler, kind) in [
        (Sampler::DpmSolver2M, CoefficientKind::History),
        (Sampler::DpmSolver2M, CoefficientKind::Fitted),
        (Sampler::DpmSolver3M, CoefficientKind::Solver),
        (Sampler::DpmSolver3M, CoefficientKind::History),
        (Sampler::DpmSolver3M, CoefficientKind::Fitted),
        (Sampler::Ipndm, CoefficientKind::Solver),
        (Sampler::Ipndm, CoefficientKind::Fitted),
        (Sampler::Ddim, CoefficientKind::Fitted),
    ] {
        let model =
            FittedModel::new(&trajectories, Fitting::new(sampler, kind), None).expect("flow");
        let n = NODES.len();
        let solved = model.solve(Weighting::default(), n).expect("possible");
        let mut best = vec![f64::INFINITY; n + 1];
        for inner in 0..1usize << (n - 1) {
            let inner = (1..n).filter(|i| inner >> (i - 1) & 1 == 1);
            let path: Vec<usize> = std::iter::once(0).chain(inner).chain([n]).collect();
            let timesteps = path.iter().map(|&i| if i == 0 { 0 } else { NODES[i - 1] });
            let path = TimePath::new(timesteps.collect::<Vec<_>>(), T).expect("a path");
            let cost = model.path_cost(Weighting::default(), &path).expect("nodes");
            best[path.steps()] = best[path.steps()].min(cost);
        }
        for k in 1..=n {
            let (cost, path) = solved[k - 1].clone().expect("a path");
            assert_eq!((cost, path.steps()), (best[k], k), "{sampler} {kind}");
        }
    }
}

/// Data that are Gaussian with these variances of their coefficients in `bands`: states and estimates of the exact flow.
fn gaussian(images: usize, bands: &Bands, power: &dyn Fn(usize) -> f64) -> Trajectories {
    let schedule = schedule();
    let (mut states, mut estimates) = (Vec::new(), Vec::new());
    for image in 0..images {
        for &t in &NODES {
            let field = |estimate: bool| -> Vec<f32> {
                let coefficient = |i: usize| {
                    let v = power(bands.of_coefficients()[i]);
                    let x = spread(&schedule, t, v) * z(image, i);
                    if estimate {
                        gain(&schedule, t, v) * x
                    } else {
                        x
                    }
                };
                let spectrum: Vec<f64> = (0..DIMS).map(coefficient).collect();
                bands.inverse(&spectrum).iter().map(|&x| x as f32).collect()
            };
            states.extend(field(false));
            estimates.extend(field(true));
        }
    }
    let origin = origin(images, TrajectoryKind::Flow);
    Trajectories::new(origin, schedule, NODES.to_vec(), states, estimates).expect("consistent")
}

/// Where the fitted steps of a path lead, image by image, when the estimates are those of the Gaussian.
fn walk(
    of: &Trajectories,
    bands: &Bands,
    power: &dyn Fn(usize) -> f64,
    sampler: Sampler,
    path: &TimePath,
    steps: &[StepCoefficients],
) -> f64 {
    let schedule = schedule();
    let mut sum = 0.0;
    for image in 0..of.images() {
        let start = of.state(image, NODES.len());
        let mut x: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
        let mut earlier: Vec<Vec<f64>> = Vec::new();
        for (k, &t) in path.nodes()[1..].iter().enumerate().rev() {
            let mut spectrum = bands.transform(&x);
            for (y, &band) in spectrum.iter_mut().zip(bands.of_coefficients()) {
                *y *= gain(&schedule, t, power(band));
            }
            let estimate = bands.inverse(&spectrum);
            let mut next = vec![0.0; DIMS];
            let history: Vec<&[f64]> = earlier.iter().map(Vec::as_slice).collect();
            steps[k].apply(Some(bands), &x, &estimate, &history, &mut next);
            let [of_state, of_estimate] = sampler.remembered(&schedule, t);
            let pairs = x.iter().zip(&estimate);
            let remembered = pairs.map(|(x, d)| of_state * x + of_estimate * d);
            earlier.insert(0, remembered.collect());
            x = next;
        }
        let away = x
            .iter()
            .zip(of.state(image, 0))
            .map(|(x, &end)| x - f64::from(end));
        sum += away.map(|d| d * d).sum::<f64>() / DIMS as f64;
    }
    (sum / of.images() as f64).sqrt()
}

#[test]
fn a_linear_flow_is_followed_exactly_at_every_number_of_steps() {
    let bands = Bands::of_shape(&SHAPE).expect("valid");
    let white = |_: usize| 0.3;
    let coloured = |band: usize| 0.5 / (1.0 + band as f64).powi(2);
    let cases: [(CoefficientKind, &dyn Fn(usize) -> f64); 2] = [
        (CoefficientKind::Fitted, &white),
        (CoefficientKind::FittedBands, &coloured),
    ];
    for sampler in Sampler::PRICED {
        for (kind, power) in cases {
            let trajectories = gaussian(4, &bands, power);
            let fitting = Fitting {
                fit_last: true,
                ..Fitting::new(sampler, kind)
            };
            let model = FittedModel::new(&trajectories, fitting, Some(&bands)).expect("a flow");
            let solved = model
                .solve(Weighting::default(), NODES.len())
                .expect("paths");
            for found in solved {
                let (_, path) = found.expect("a path of every number of steps");
                let steps = model.coefficients_along(&path).expect("of the grid");
                let distance = walk(&trajectories, &bands, power, sampler, &path, &steps);
                assert!(
                    distance < 1e-6,
                    "{sampler} {kind} K={}: {distance}",
                    path.steps()
                );
            }
        }
    }
}

#[test]
fn what_a_sampler_will_be_off_by_makes_a_fit_careful() {
    let trajectories = bent(6);
    let fitting = Fitting::new(Sampler::DpmSolver2M, CoefficientKind::Fitted);
    let model = FittedModel::new(&trajectories, fitting, None).expect("a flow");
    let step = ([Some(7), None], 5, 3);
    let all: Vec<usize> = (0..6).collect();
    let (mut fields, mut target) = fields(&trajectories, Sampler::DpmSolver2M, &all, step);
    // As if every field were off by noise of its own with these squares, which least squares see as further rows.
    let squares = [0.02, 0.3, 0.1];
    let rows = target.len() as f64;
    for (i, square) in squares.iter().enumerate() {
        for (j, field) in fields.iter_mut().enumerate() {
            field.push(if i == j { (square * rows).sqrt() } else { 0.0 });
        }
        target.push(0.0);
    }
    let expected = orthogonal(&fields, &target);
    let mut moments = [[0.0; 4]; 4];
    for (i, square) in squares.into_iter().enumerate() {
        moments[i][i] = square;
    }
    let (before, t, s) = step;
    let deviations = Deviations {
        by_timestep: BTreeMap::from([(NODES[t - 1], vec![moments])]),
    };
    let prepared = model.with_deviations(&trajectories, deviations);
    let found = prepared.coefficients(before, t, s);
    for (found, expected) in found.terms().iter().zip(&expected) {
        assert!((found[0] - expected).abs() < 1e-10, "{found:?} {expected}");
    }
}

#[test]
fn a_refit_follows_the_data_where_they_speak_and_the_base_where_they_do_not() {
    let dims = 200;
    let numbers = |seed: usize| -> Vec<f64> {
        let frequency = 0.377 * seed as f64;
        (0..8 * dims)
            .map(|i| (1.0 + frequency * i as f64).sin())
            .collect()
    };
    let (x, d, p) = (numbers(1), numbers(2), numbers(3));
    let mut noise = vec![0.0_f32; 8 * dims];
    let key = NoiseKey {
        seed: 4,
        domain: NoiseDomain::Data,
        stream: 0,
        step: 0,
    };
    standard_normal(key, &mut noise);
    let made = |c: [f64; 3], much: f64| -> Vec<f64> {
        (0..8 * dims)
            .map(|i| c[0] * x[i] + c[1] * d[i] + c[2] * p[i] + much * f64::from(noise[i]))
            .collect()
    };
    let base = LinearStep::dpm_solver_2m(&schedule(), Some(200), 150, 60);
    let own = [base.from_x_t, base.from_xhat0, base.from_history[0]];
    let fit = |target: &[f64]| {
        let student = Student {
            x_t: &x,
            xhat0: &d,
            history: &[&p],
            remembered: [0.0, 1.0],
            target,
            dims,
        };
        refit(CoefficientKind::Fitted, &base, &student, None)
    };
    let truth = [0.4, 0.9, -0.6];
    let found = fit(&made(truth, 0.0));
    for (found, truth) in found.all.terms().iter().zip(truth) {
        assert!((found[0] - truth).abs() < 1e-9, "{found:?}");
    }
    assert_eq!(found.without.len(), 4);
    // The sampler's own step and much noise that cannot be predicted: nearer to that step than least squares are.
    let target = made(own, 3.0);
    let found = fit(&target);
    let plain = orthogonal(&[x.clone(), d.clone(), p.clone()], &target);
    let away = |c: &[f64]| -> f64 { c.iter().zip(own).map(|(c, own)| (c - own).powi(2)).sum() };
    let terms: Vec<f64> = found.all.terms().iter().map(|term| term[0]).collect();
    assert!(
        away(&terms) < 0.5 * away(&plain),
        "{terms:?} {plain:?} {own:?}"
    );
}

fn taught(kind: CoefficientKind) -> Trajectories {
    let bands = Arc::new(Bands::rings(&SHAPE, None, 3).expect("valid"));
    let count = if kind.is_per_band() { bands.count() } else { 1 };
    let term = |c: f64| (0..count).map(|b| c + 0.125 * b as f64).collect::<Vec<_>>();
    let step = |terms: &[f64]| {
        StepCoefficients::new(terms.iter().map(|&c| term(c)).collect()).expect("alike")
    };
    let trial = Trial {
        sampler: Sampler::DpmSolver2M,
        coefficients: kind,
        path: vec![0, 60, 200],
        fitted: vec![step(&[0.0, 1.0]), step(&[0.75, 0.5])],
        evaluations: Some(90),
        squared_distances: vec![0.0625, 0.25],
    };
    let kept = kept();
    let trials = [kept.trials(), &[trial]].concat();
    let bands = kind.is_per_band().then_some(bands);
    let made = kept.with_bands(bands).expect("of the shape");
    made.with_trials(trials).expect("of these images")
}

#[test]
fn fitted_trials_survive_their_file_and_become_schedules() {
    for kind in [CoefficientKind::Fitted, CoefficientKind::FittedBands] {
        let made = taught(kind);
        let bytes = made.to_bytes();
        let read = Trajectories::from_bytes(&bytes).expect("readable");
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(read.trials(), made.trials());
        let of = |kind| {
            let budgets = Budgets::Only(vec![2]);
            match kind {
                CoefficientKind::Solver => choose_quality(&read, Sampler::DpmSolver2M, &budgets),
                kind => choose_fitted(&read, Sampler::DpmSolver2M, kind, &budgets),
            }
            .expect("possible")
        };
        let chosen = of(kind);
        let schedule = chosen.schedule(2).expect("chosen");
        assert_eq!(chosen.coefficients, kind);
        assert_eq!(schedule.fitted, made.trials()[1].fitted);
        assert_eq!(chosen.budgets[0].distance, Some(made.trials()[1].rms()));
        let text = chosen.to_json().expect("numbers");
        assert!(text.contains("\"version\": 6"), "{text}");
        assert_eq!(Schedules::from_json(&text).expect("readable"), chosen);
        // Asked for the sampler's own steps, nobody gets others.
        let own = of(CoefficientKind::Solver);
        assert!(own.budgets[0].schedule.fitted.is_empty());
        assert_eq!(own.budgets[0].distance, Some(made.trials()[0].rms()));
        assert!(!own.to_json().expect("numbers").contains("coefficients"));
    }
}

/// `DDPM_WRITE_FIXTURES=1` writes them anew; only a new format version should need it.
#[test]
fn fixtures_of_fitted_coefficients_are_readable() {
    let folder = std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    let trajectories = folder.join("trajectories-v3.safetensors");
    let schedules = folder.join("../../../ddpm-schedule/tests/fixtures/schedules-v6.json");
    let chosen = |made: &Trajectories| {
        let (kind, budgets) = (CoefficientKind::FittedBands, Budgets::Only(vec![2]));
        choose_fitted(made, Sampler::DpmSolver2M, kind, &budgets).expect("possible")
    };
    if std::env::var_os("DDPM_WRITE_FIXTURES").is_some() {
        let made = taught(CoefficientKind::FittedBands);
        std::fs::write(&trajectories, made.to_bytes()).expect("writable");
        let text = chosen(&made).to_json().expect("numbers");
        std::fs::write(&schedules, text).expect("writable");
    }
    let bytes = std::fs::read(&trajectories).expect("kept in the repository");
    let read = Trajectories::from_bytes(&bytes).expect("readable");
    assert_eq!(read.to_bytes(), bytes);
    let text = std::fs::read_to_string(&schedules).expect("kept in the repository");
    let kept = Schedules::from_json(&text).expect("readable");
    assert_eq!(kept.to_json().expect("numbers"), text);
    let again = chosen(&read);
    assert_eq!(again.budgets[0].schedule, kept.budgets[0].schedule);
}

#[test]
fn coefficients_that_no_step_has_are_refused() {
    let with = |change: &dyn Fn(&mut Trial)| {
        let mut trial = taught(CoefficientKind::Fitted).trials()[1].clone();
        change(&mut trial);
        let found = kept().with_trials(vec![trial]).unwrap_err();
        found.to_string()
    };
    let lacking = with(&|trial| drop(trial.fitted.pop()));
    assert!(lacking.contains("coefficients of a trial"), "{lacking}");
    let first = with(&|trial| {
        trial.fitted[1] = StepCoefficients::new(vec![vec![1.0]; 3]).expect("alike");
    });
    assert!(first.contains("step 2"), "{first}");
    let euler = with(&|trial| {
        trial.sampler = Sampler::Ddim;
        trial.fitted[0] = StepCoefficients::new(vec![vec![1.0]; 3]).expect("alike");
    });
    assert!(euler.contains("step 1"), "{euler}");
    let own = with(&|trial| trial.coefficients = CoefficientKind::Solver);
    assert!(own.contains("coefficients of a trial"), "{own}");
    let bands = with(&|trial| {
        trial.fitted[0] = StepCoefficients::new(vec![vec![1.0; 5]; 2]).expect("alike");
    });
    assert!(bands.contains("step 1"), "{bands}");
    let one = bent(1);
    let fitting = Fitting::new(Sampler::DpmSolver2M, CoefficientKind::Fitted);
    let refused = FittedModel::new(&one, fitting, None)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("at least 2 images"), "{refused}");
}
