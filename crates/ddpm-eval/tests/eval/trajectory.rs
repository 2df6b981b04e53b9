//! Trajectories of the closed-form Gaussian denoiser: its flow is linear, so states, ends and growth are known.

use std::sync::Arc;
use std::time::Duration;

use ddpm_core::{
    Denoiser, DenoiserError, GaussianDenoiser, MeanCorrection, MeanKind, NoiseDomain, NoiseKey,
    NoiseSchedule, Parameterization, Prediction, Sampler, TimePath, VarianceKind, standard_normal,
};
use ddpm_data::{ImageSet, Split};
use ddpm_dp::{SolveOptions, solve};
use ddpm_eval::{
    Error, FlowPlan, ForwardPlan, GrowthPlan, Progress, Silent, TrajectoryPlan, end_points,
    follow_flow, follow_forward, reference_trajectories, squared_distances,
};
use ddpm_schedule::{Budgets, Corrections, Schedule, Schedules, Scoring, TrajectoryKind};
use ddpm_trajectory::{Trajectories, choose_quality, klub, reference_grid};
use ndarray::{Array3, ArrayD, ArrayViewD, Axis};

use crate::support::models::{Conditional, InBands, cosine, fixed};

const SHAPE: (usize, usize, usize) = (1, 4, 4);
const DIMS: usize = 16;
const VARIANCE: f64 = 0.2;

/// Every pixel N(0.3, 0.2).
fn plain(schedule: &NoiseSchedule) -> GaussianDenoiser {
    let mu = Array3::from_elem(SHAPE, 0.3);
    let variance = Array3::from_elem(SHAPE, VARIANCE);
    GaussianDenoiser::new(schedule.clone(), mu, variance, Parameterization::Epsilon).unwrap()
}

fn plan(count: usize) -> FlowPlan {
    FlowPlan {
        first: 0,
        count,
        seed: 5,
        labels: None,
        clip_denoised: false,
        means: None,
        batch: 3,
    }
}

/// A whole run that nothing interrupts.
fn made_with(
    model: &GaussianDenoiser,
    flow: FlowPlan,
    grid: TimePath,
    growth: GrowthPlan,
    steps: &[usize],
) -> Trajectories {
    let plan = TrajectoryPlan {
        fitted: Vec::new(),
        flow,
        grid,
        growth,
        steps: steps.to_vec(),
        save_every: Duration::MAX,
    };
    follow_flow(model, &plan, None, &Silent, &mut |_| Ok(())).unwrap()
}

fn start(image: usize) -> Vec<f64> {
    let mut noise = vec![0.0f32; DIMS];
    let key = NoiseKey {
        seed: 5,
        domain: NoiseDomain::Prior,
        stream: image as u64,
        step: 0,
    };
    standard_normal(key, &mut noise);
    noise.into_iter().map(f64::from).collect()
}

fn spread(schedule: &NoiseSchedule, t: usize) -> f64 {
    (schedule.alpha_bar(t) * VARIANCE + schedule.one_minus_alpha_bar(t)).sqrt()
}

/// The estimate's distance from the mean per distance of x_t from its mean.
fn gain(schedule: &NoiseSchedule, t: usize) -> f64 {
    schedule.alpha_bar(t).sqrt() * VARIANCE / spread(schedule, t).powi(2)
}

#[test]
fn the_reference_follows_the_exact_flow() {
    let schedule = cosine(1000);
    let model = plain(&schedule);
    let grid = reference_grid(&schedule, 200).unwrap();
    let found = reference_trajectories(&model, &plan(5), &grid, &Silent).unwrap();
    assert_eq!(found.origin().kind, TrajectoryKind::Flow);
    assert_eq!(found.origin().evaluations, 1000);
    for image in [0, 4] {
        // abar_T is 1e-9 or so: the start is N(sqrt(abar) mu, s_T^2) but for that.
        let first = start(image);
        for i in [1, 20, 100, 180, 200] {
            let t = found.nodes()[i - 1];
            let factor = spread(&schedule, t) / spread(&schedule, 1000);
            let mean = schedule.alpha_bar(t).sqrt() * 0.3;
            for (x, z) in found.state(image, i).iter().zip(&first) {
                let expected = mean + factor * (z - schedule.alpha_bar(1000).sqrt() * 0.3);
                assert!(
                    (f64::from(*x) - expected).abs() < 1e-3,
                    "t={t}: {x} {expected}"
                );
            }
            for (d, x) in found.estimate(image, i).iter().zip(found.state(image, i)) {
                let expected = 0.3 + gain(&schedule, t) * (f64::from(*x) - mean);
                // The network is fed f32 and gives f32; where little signal is left epsilon is a poor way to say x0.
                assert!(
                    (f64::from(*d) - expected).abs() < 1e-6 / schedule.alpha_bar(t).sqrt(),
                    "t={t}"
                );
            }
        }
    }
}

#[test]
fn ends_of_short_paths_are_products_of_known_factors() {
    let schedule = cosine(1000);
    let model = plain(&schedule);
    let path = TimePath::new([40, 300, 620, 900], 1000).unwrap();
    for solver in Sampler::PRICED {
        let ends = end_points(&model, &plan(4), &path, solver, &Silent).unwrap();
        for image in 0..4 {
            for (end, z) in ends[image * DIMS..].iter().zip(start(image)) {
                // Distances from the mean; the mean itself is kept by every step.
                let nodes = path.nodes();
                let mut away = z - schedule.alpha_bar(900).sqrt() * 0.3;
                let mut history: Vec<f64> = Vec::new();
                for k in (1..=4).rev() {
                    // Of 3M the last step but one is of second order on so short a path.
                    let order = if solver == Sampler::DpmSolver3M && k == 2 {
                        1
                    } else {
                        2
                    };
                    let before = &nodes[k + 1..(k + 1 + order).min(5)];
                    let step = solver.flow_step(&schedule, before, nodes[k], nodes[k - 1]);
                    let estimate = gain(&schedule, nodes[k]) * away;
                    let [of_state, of_estimate] = solver.remembered(&schedule, nodes[k]);
                    let known = of_state * away + of_estimate * estimate;
                    let weighed = step.from_history.iter().zip(&history);
                    away = step.from_x_t * away
                        + step.from_xhat0 * estimate
                        + weighed.map(|(weight, known)| weight * known).sum::<f64>();
                    history.insert(0, known);
                }
                assert!(
                    (f64::from(*end) - 0.3 - away).abs() < 1e-5,
                    "{solver}: {end} {}",
                    0.3 + away
                );
            }
        }
    }
}

#[test]
fn growth_is_that_of_the_linear_flow() {
    let schedule = cosine(1000);
    let model = plain(&schedule);
    let plan = plan(4);
    let grid = reference_grid(&schedule, 160).unwrap();
    let growth = GrowthPlan {
        stride: 2,
        ..GrowthPlan::default()
    };
    let made = made_with(&model, plan, grid, growth, &[]);
    assert_eq!(made.growth().len(), 16);
    for point in made.growth() {
        // Down to t = 1, and what the estimate there makes of it.
        let flow = gain(&schedule, 1) * spread(&schedule, 1) / spread(&schedule, point.t);
        for factor in &point.factors {
            assert!(
                (factor / flow - 1.0).abs() < 0.01,
                "{} t={}: {factor} {flow}",
                point.sampler,
                point.t
            );
        }
    }
}

/// On a coarse grid the steps that are measured are longer than those of the reference, whose error is rounding.
#[test]
fn growth_on_a_coarse_grid_is_not_that_of_rounding() {
    let schedule = cosine(1000);
    let model = plain(&schedule);
    for nodes in [3, 5, 12, 20] {
        let grid = reference_grid(&schedule, nodes).unwrap();
        let growth = GrowthPlan {
            solvers: Sampler::PRICED.to_vec(),
            ..GrowthPlan::default()
        };
        let made = made_with(&model, plan(4), grid, growth, &[]);
        for point in made.growth() {
            let flow = gain(&schedule, 1) * spread(&schedule, 1) / spread(&schedule, point.t);
            for factor in &point.factors {
                let off = factor / flow;
                let near = (0.3..3.0).contains(&off);
                assert!(
                    near,
                    "{} nodes={nodes} t={}: {factor} {flow}",
                    point.sampler, point.t
                );
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_batches_threads_or_neighbours() {
    let schedule = cosine(200);
    let model = fixed(&schedule, Parameterization::V);
    let grid = reference_grid(&schedule, 20).unwrap();
    let run = |batch: usize, first: usize, count: usize, threads: usize| {
        let plan = FlowPlan {
            batch,
            first,
            clip_denoised: true,
            means: None,
            ..plan(count)
        };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| made_with(&model, plan, grid.clone(), GrowthPlan::default(), &[]))
    };
    let expected = run(0, 0, 5, 1);
    assert_eq!(run(1, 0, 5, 2).to_bytes(), expected.to_bytes());
    assert_eq!(run(4, 0, 5, 3).to_bytes(), expected.to_bytes());
    let later = run(2, 3, 2, 2);
    assert_eq!(later.state(0, 7), expected.state(3, 7));
    assert_eq!(
        later.growth()[4].factors[1],
        expected.growth()[4].factors[4]
    );
    let clipped = (1..=20)
        .flat_map(|i| expected.estimate(2, i))
        .all(|x| x.abs() <= 1.0);
    assert!(clipped);
}

#[test]
fn trials_compare_with_the_end_of_the_reference() {
    let schedule = cosine(200);
    let model = plain(&schedule);
    let grid = reference_grid(&schedule, 60).unwrap();
    let growth = GrowthPlan {
        solvers: vec![Sampler::Ddim],
        ..GrowthPlan::default()
    };
    let made = made_with(&model, plan(4), grid.clone(), growth, &[3]);
    let target: Vec<f32> = (0..4).flat_map(|i| made.state(i, 0).to_vec()).collect();
    let apart = |path: &TimePath, solver| {
        let ends = end_points(&model, &plan(4), path, solver, &Silent).unwrap();
        squared_distances(&ends, &target, DIMS)
    };
    assert_eq!(apart(&grid, Sampler::DpmSolver2M), [0.0; 4]);
    assert!(!made.trials().is_empty());
    for trial in made.trials() {
        let path = TimePath::new(trial.path.clone(), 200).unwrap();
        assert_eq!(trial.squared_distances, apart(&path, Sampler::Ddim));
        assert!(trial.rms() > 1e-3);
        assert_eq!((trial.steps(), trial.sampler), (3, Sampler::Ddim));
    }
}

/// For an ideal denoiser E|D_u - D_t|^2 = m(t) - m(u): the bound is the fixed-small interior ELBO but for a part that telescopes.
#[test]
fn klub_of_an_ideal_denoiser_is_the_fixed_small_elbo_up_to_a_constant() {
    let schedule = cosine(60);
    let shape = (1, 16, 16);
    let model = GaussianDenoiser::new(
        schedule.clone(),
        Array3::from_elem(shape, -0.1),
        Array3::from_elem(shape, VARIANCE),
        Parameterization::X0,
    )
    .unwrap();
    let data = images(&model, 11, 200);
    let chosen: Vec<usize> = (0..200).collect();
    let plan = ForwardPlan {
        images: chosen,
        grid: TimePath::all(60),
        seed: 3,
        clip_denoised: false,
        batch: 16,
        save_every: Duration::MAX,
    };
    let made = forward(&model, &data, &plan);
    let table = klub(&made.gram(), &schedule, made.nodes()).unwrap();
    // m dSNR between neighbours, by the rule that the bound is integrated by.
    let mut integral = vec![0.0; 61];
    for t in 2..=60 {
        integral[t] = integral[t - 1]
            + 0.5 * (schedule.snr(t - 1) - schedule.snr(t)) * (model.mse(t) + model.mse(t - 1));
    }
    for (t, s) in [(60, 1), (60, 30), (40, 10), (20, 19), (12, 3), (5, 1)] {
        let elbo = model.term((t, s), VarianceKind::FixedSmall).unwrap();
        let expected = elbo - 0.5 * (integral[t] - integral[s]);
        let found = table.edge(t, s);
        // 51,200 pixels: the Monte-Carlo error of a mean square is below 1%.
        assert!(
            (found / expected - 1.0).abs() < 0.03,
            "({t}, {s}): {found} {expected}"
        );
    }
    // And so its best paths are as good as the best by the ELBO from node 1 up.
    let elbo = ddpm_dp::CostTable::from_fn(60, |t, s| match s {
        0 if t == 1 => 0.0,
        0 => model.term((t, 1), VarianceKind::FixedSmall).unwrap(),
        s => model.term((t, s), VarianceKind::FixedSmall).unwrap(),
    })
    .unwrap();
    let (by_klub, by_elbo) = (
        solve(&table, &SolveOptions::default()).unwrap(),
        solve(&elbo, &SolveOptions::default()).unwrap(),
    );
    for k in [3, 6, 12] {
        let path = by_klub.path(&table, k, 60).unwrap();
        let excess = elbo.path_cost(&path) / by_elbo.cost(k, 60) - 1.0;
        assert!(excess < 0.01, "{k}: {excess}");
    }
}

#[test]
fn the_forward_process_has_the_joint_law_of_the_sde() {
    let schedule = cosine(50);
    let model = plain(&schedule);
    let data = images(&model, 1, 400);
    let chosen: Vec<usize> = (0..400).collect();
    let plan = ForwardPlan {
        images: chosen,
        grid: TimePath::new([3, 20, 40], 50).unwrap(),
        seed: 9,
        clip_denoised: true,
        batch: 7,
        save_every: Duration::MAX,
    };
    let made = forward(&model, &data, &plan);
    assert_eq!(made.origin().kind, TrajectoryKind::Forward);
    // Cov(x_t, x_s) = sqrt(alpha_{t|s}) s_s^2: independent noise per timestep would give sqrt(abar_t abar_s) v.
    let (n, mut product) = (400.0 * DIMS as f64, 0.0);
    for i in 0..400 {
        for (a, b) in made.state(i, 3).iter().zip(made.state(i, 2)) {
            let centred = |x: f32, t: usize| f64::from(x) - schedule.alpha_bar(t).sqrt() * 0.3;
            product += centred(*a, 40) * centred(*b, 20) / n;
        }
    }
    let expected = schedule.transition(40, 20).alpha.sqrt() * spread(&schedule, 20).powi(2);
    // Standard error about 1 / sqrt(6400).
    assert!((product - expected).abs() < 0.05, "{product} {expected}");
    let independent = (schedule.alpha_bar(40) * schedule.alpha_bar(20)).sqrt() * VARIANCE;
    assert!(
        (product - independent).abs() > 0.1,
        "{product} {independent}"
    );
}

#[test]
fn requests_that_do_not_fit_are_named() {
    let schedule = cosine(50);
    let model = plain(&schedule);
    let path = TimePath::new([10, 50], 50).unwrap();
    let ends = |plan: &FlowPlan| end_points(&model, plan, &path, Sampler::Ddim, &Silent);
    let message = |plan: &FlowPlan| ends(plan).unwrap_err().to_string();
    assert!(message(&plan(0)).contains("count: expected at least one image"));
    let labelled = FlowPlan {
        labels: Some(vec![0, 1]),
        ..plan(2)
    };
    assert!(message(&labelled).contains("labels: expected none"));
    let long = TimePath::new([60], 60).unwrap();
    let long = end_points(&model, &plan(1), &long, Sampler::Ddim, &Silent).unwrap_err();
    assert!(long.to_string().contains("up to 50, found 60"));
    let classes = Conditional(vec![plain(&schedule), plain(&schedule)]);
    let missing = end_points(&classes, &plan(2), &path, Sampler::Ddim, &Silent).unwrap_err();
    assert!(missing.to_string().contains("conditional on 2 classes"));
    assert!(end_points(&classes, &labelled, &path, Sampler::Ddim, &Silent).is_ok());
}

/// Images of the model's distribution.
fn images(model: &GaussianDenoiser, seed: u64, count: u64) -> ImageSet {
    let images: Vec<ArrayD<f32>> = (0..count).map(|i| model.sample(seed, i)).collect();
    let views: Vec<_> = images.iter().map(|x| x.view()).collect();
    ImageSet::from_array("gaussian", ndarray::stack(Axis(0), &views).unwrap().view()).unwrap()
}

/// The forward process at one go.
fn forward(model: &GaussianDenoiser, data: &ImageSet, plan: &ForwardPlan) -> Trajectories {
    let save = &mut |_: &Trajectories| Ok(());
    follow_forward(model, data, plan, Split::Train, None, &Silent, save).unwrap()
}

/// Asks to stop after so many evaluations.
struct StopsAfter {
    evaluations: u64,
    /// What the stages said they would make.
    told: std::sync::atomic::AtomicU64,
    done: std::sync::atomic::AtomicU64,
}

impl StopsAfter {
    fn new(evaluations: u64) -> Self {
        Self {
            evaluations,
            told: 0.into(),
            done: 0.into(),
        }
    }
}

impl Progress for StopsAfter {
    fn start(&self, total: u64) {
        self.told
            .fetch_add(total, std::sync::atomic::Ordering::Relaxed);
    }

    fn advance(&self, n: u64) {
        self.done.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
    }

    fn finish(&self) {}

    fn interrupted(&self) -> bool {
        self.done.load(std::sync::atomic::Ordering::Relaxed) >= self.evaluations
    }
}

/// A plan of 5 samples, two at a time, on a grid of 12 nodes.
fn whole_plan(solvers: &[Sampler], steps: &[usize], schedule: &NoiseSchedule) -> TrajectoryPlan {
    TrajectoryPlan {
        fitted: Vec::new(),
        flow: FlowPlan {
            batch: 2,
            ..plan(5)
        },
        grid: reference_grid(schedule, 12).unwrap(),
        growth: GrowthPlan {
            solvers: solvers.to_vec(),
            points: 3,
            ..GrowthPlan::default()
        },
        steps: steps.to_vec(),
        save_every: Duration::MAX,
    }
}

#[test]
fn a_run_that_is_interrupted_anywhere_resumes_to_the_same_bytes() {
    let schedule = cosine(200);
    let model = plain(&schedule);
    let plan = whole_plan(&Sampler::USUAL, &[3, 5], &schedule);
    let run = |earlier, progress: &dyn Progress, kept: &mut Option<Trajectories>| {
        follow_flow(&model, &plan, earlier, progress, &mut |so_far| {
            assert_eq!(so_far.origin().evaluations, 0, "not finished");
            *kept = Some(Trajectories::from_bytes(&so_far.to_bytes())?);
            Ok(())
        })
    };
    let mut nothing = None;
    let whole = run(None, &Silent, &mut nothing).unwrap();
    assert!(nothing.is_none(), "no save fell due");
    let count = StopsAfter::new(u64::MAX);
    run(None, &count, &mut nothing).unwrap();
    assert_eq!(count.told.into_inner(), whole.origin().evaluations);
    let total = count.done.into_inner();
    assert_eq!(whole.origin().evaluations, total, "as many as were made");
    // What it begins with.
    let reference = reference_trajectories(&model, &plan.flow, &plan.grid, &Silent).unwrap();
    assert_eq!(whole.state(4, 7), reference.state(4, 7));
    // Every stage is met. A try that ends before one piece does keeps what there was, and the next one has more time.
    let (mut after, mut stages, mut resumptions) = (1, std::collections::BTreeSet::new(), 0);
    while after < total {
        let (mut earlier, mut patience) = (None::<Trajectories>, after);
        let resumed = loop {
            let progress = StopsAfter::new(patience);
            let mut kept = None;
            match run(earlier.clone(), &progress, &mut kept) {
                Ok(resumed) => break resumed,
                Err(Error::Interrupted) => {
                    resumptions += 1;
                    patience += 1;
                    if let Some(now) = kept {
                        stages.insert((now.growth().len() / 3, now.trials().len() / 4));
                        earlier = Some(now);
                    }
                }
                Err(other) => panic!("{other}"),
            }
        };
        assert!(resumed.to_bytes() == whole.to_bytes(), "every {after}");
        after += 1 + after / 4;
    }
    assert!(resumptions > 50, "{resumptions}");
    assert!(stages.len() >= 4, "{stages:?}");
}

#[test]
fn saves_fall_due_and_a_save_that_fails_ends_the_run() {
    let schedule = cosine(200);
    let model = plain(&schedule);
    let plan = TrajectoryPlan {
        fitted: Vec::new(),
        save_every: Duration::ZERO,
        ..whole_plan(&[Sampler::Ddim], &[3], &schedule)
    };
    let mut sizes = Vec::new();
    follow_flow(&model, &plan, None, &Silent, &mut |so_far| {
        sizes.push((
            so_far.images(),
            so_far.growth().len(),
            so_far.trials().len(),
        ));
        Ok(())
    })
    .unwrap();
    assert_eq!(
        sizes[..6],
        [
            (2, 0, 0),
            (4, 0, 0),
            (5, 0, 0),
            (5, 1, 0),
            (5, 2, 0),
            (5, 3, 0)
        ]
    );
    assert!(
        sizes[6..].iter().map(|s| s.2).eq(1..=sizes.len() - 6),
        "{sizes:?}"
    );
    let refused = follow_flow(&model, &plan, None, &Silent, &mut |_| {
        Err(Error::Interrupted)
    });
    assert!(refused.is_err());
}

#[test]
fn a_finished_run_takes_more_samplers_and_steps_and_nothing_of_another_run() {
    let schedule = cosine(200);
    let model = plain(&schedule);
    let run = |plan: &TrajectoryPlan, earlier, progress: &dyn Progress| {
        follow_flow(&model, plan, earlier, progress, &mut |_| Ok(()))
    };
    let small = whole_plan(&[Sampler::DpmSolver2M], &[5], &schedule);
    let large = whole_plan(&Sampler::USUAL, &[3, 5], &schedule);
    let first = run(&small, None, &Silent).unwrap();
    let count = StopsAfter::new(u64::MAX);
    let grown = run(&large, Some(first.clone()), &count).unwrap();
    let direct = run(&large, None, &Silent).unwrap();
    assert!(grown.to_bytes() == direct.to_bytes());
    let left = direct.origin().evaluations - first.origin().evaluations;
    assert_eq!(count.told.into_inner(), left);
    assert_eq!(count.done.into_inner(), left);
    // The order is that of the plan, not of what happened.
    let reversed = whole_plan(&[Sampler::DpmSolver2M, Sampler::Ddim], &[5, 3], &schedule);
    let turned = run(&reversed, Some(direct.clone()), &Silent).unwrap();
    assert!(turned.to_bytes() == run(&reversed, None, &Silent).unwrap().to_bytes());
    // What is finished has nothing left to do.
    let again = run(&large, Some(direct.clone()), &StopsAfter::new(0)).unwrap();
    assert!(again.to_bytes() == direct.to_bytes());

    let refused =
        |plan: &TrajectoryPlan, field: &str| match run(plan, Some(direct.clone()), &Silent) {
            Err(error @ Error::Resume { .. }) => {
                assert!(error.to_string().contains(field), "{field}: {error}");
            }
            other => panic!("{field}: {other:?}"),
        };
    let with = |change: &dyn Fn(&mut TrajectoryPlan)| {
        let mut plan = large.clone();
        change(&mut plan);
        plan
    };
    refused(&with(&|p| p.flow.seed += 1), "seed");
    refused(&with(&|p| p.flow.clip_denoised ^= true), "clip_denoised");
    refused(&with(&|p| p.flow.count = 4), "count");
    refused(&with(&|p| p.flow.count = 6), "count");
    refused(&with(&|p| p.flow.first = 1), "images");
    refused(&with(&|p| p.growth.stride = 1), "conventions");
    refused(&with(&|p| p.growth.reach = 0.5), "conventions");
    refused(
        &with(&|p| p.grid = reference_grid(&schedule, 13).unwrap()),
        "grid",
    );
    refused(&with(&|p| p.growth.points = 2), "growth");
    refused(&small, "growth");
    refused(&with(&|p| p.steps = vec![5]), "tried");
    let beyond = TrajectoryPlan {
        fitted: Vec::new(),
        grid: TimePath::new([5, 20, 201], 201).unwrap(),
        ..small
    };
    assert!(matches!(
        run(&beyond, None, &Silent),
        Err(Error::Request { field: "path", .. })
    ));
}

#[test]
fn the_forward_process_resumes_too() {
    let schedule = cosine(50);
    let model = plain(&schedule);
    let data = images(&model, 1, 9);
    let plan = ForwardPlan {
        images: vec![8, 1, 4, 2, 7],
        grid: TimePath::new([3, 20, 40], 50).unwrap(),
        seed: 9,
        clip_denoised: true,
        batch: 2,
        save_every: Duration::MAX,
    };
    let run =
        |plan: &ForwardPlan, earlier, progress: &dyn Progress, kept: &mut Option<Trajectories>| {
            follow_forward(
                &model,
                &data,
                plan,
                Split::Train,
                earlier,
                progress,
                &mut |so_far| {
                    *kept = Some(so_far.clone());
                    Ok(())
                },
            )
        };
    let mut kept = None;
    let whole = run(&plan, None, &Silent, &mut kept).unwrap();
    assert!(whole.origin().data_sha256.is_some());
    assert!(run(&plan, None, &StopsAfter::new(8), &mut kept).is_err());
    let kept = kept.expect("what was finished");
    assert_eq!(kept.origin().images, [8, 1]);
    let progress = StopsAfter::new(u64::MAX);
    let resumed = run(&plan, Some(kept.clone()), &progress, &mut None).unwrap();
    assert_eq!(progress.done.into_inner(), 9, "three images are left");
    assert!(resumed.to_bytes() == whole.to_bytes());
    // A finished run of fewer images grows, and is not finished while it does.
    let few = ForwardPlan {
        images: vec![8, 1],
        ..plan.clone()
    };
    let first = run(&few, None, &Silent, &mut None).unwrap();
    assert_eq!(first.origin().evaluations, 6);
    let saving = ForwardPlan {
        save_every: Duration::ZERO,
        ..plan.clone()
    };
    let mut last = None;
    let grown = run(&saving, Some(first), &Silent, &mut last).unwrap();
    assert!(grown.to_bytes() == whole.to_bytes());
    assert_eq!(last.expect("a save").origin().evaluations, 0);

    let other = ForwardPlan {
        images: vec![1, 8, 4, 2, 7],
        ..plan.clone()
    };
    let refused = run(&other, Some(kept.clone()), &Silent, &mut None).unwrap_err();
    assert!(refused.to_string().contains("images"), "{refused}");
    // The split decides the noise, even of the same images.
    let nothing = &mut |_: &Trajectories| Ok(());
    let refused = follow_forward(
        &model,
        &data,
        &plan,
        Split::Test,
        Some(kept),
        &Silent,
        nothing,
    )
    .unwrap_err();
    assert!(matches!(refused, Error::Resume { .. }), "{refused}");
    let beyond = ForwardPlan {
        grid: TimePath::new([3, 60], 60).unwrap(),
        ..plan
    };
    assert!(matches!(
        run(&beyond, None, &Silent, &mut None),
        Err(Error::Request { field: "path", .. })
    ));
}

/// The same predictions, and nobody who vouches for them.
struct Anonymous(GaussianDenoiser);

impl Denoiser for Anonymous {
    fn noise_schedule(&self) -> &NoiseSchedule {
        self.0.noise_schedule()
    }
    fn shape(&self) -> Vec<usize> {
        self.0.shape()
    }
    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        self.0.predict(x, t, labels)
    }
}

#[test]
fn an_unknown_network_is_followed_in_one_go_and_not_resumed() {
    let schedule = cosine(200);
    let model = Anonymous(plain(&schedule));
    let plan = TrajectoryPlan {
        fitted: Vec::new(),
        save_every: Duration::ZERO,
        ..whole_plan(&[Sampler::Ddim], &[3], &schedule)
    };
    let nothing = &mut |_: &Trajectories| Ok(());
    // More than one batch: its parts are of one run, whoever it is.
    let whole = follow_flow(&model, &plan, None, &Silent, nothing).unwrap();
    assert_eq!(whole.images(), 5);
    let resumed = follow_flow(&model, &plan, Some(whole), &Silent, nothing);
    let resumed = resumed.unwrap_err().to_string();
    assert!(
        resumed.contains("the network is unknown: expected the hash of its checkpoint or a name"),
        "{resumed}"
    );
    let data = images(&model.0, 1, 4);
    let plan = ForwardPlan {
        images: vec![0, 1, 2],
        grid: TimePath::new([3, 20, 40], 200).unwrap(),
        seed: 9,
        clip_denoised: true,
        batch: 1,
        save_every: Duration::MAX,
    };
    let split = Split::Train;
    let whole = follow_forward(&model, &data, &plan, split, None, &Silent, nothing).unwrap();
    assert_eq!(whole.images(), 3);
    let resumed = follow_forward(&model, &data, &plan, split, Some(whole), &Silent, nothing);
    let resumed = resumed.unwrap_err().to_string();
    assert!(resumed.contains("the network is unknown"), "{resumed}");
}

/// A network that has corrections of another inside.
struct Corrected {
    inner: InBands,
    corrections: Corrections,
}

impl Denoiser for Corrected {
    fn noise_schedule(&self) -> &NoiseSchedule {
        self.inner.noise_schedule()
    }
    fn shape(&self) -> Vec<usize> {
        self.inner.shape()
    }
    fn parameterization(&self) -> Parameterization {
        Parameterization::X0
    }
    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        let mut prediction = self.inner.predict(x.view(), t, labels)?;
        let data = x
            .axis_iter(Axis(0))
            .zip(prediction.mean.axis_iter_mut(Axis(0)));
        for ((x, mut mean), &t) in data.zip(t) {
            let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let mut xhat0: Vec<f64> = mean.iter().map(|&m| f64::from(m)).collect();
            let correction = self.corrections.at(t).unwrap();
            correction.apply(
                self.corrections.bands(),
                self.noise_schedule(),
                t,
                &x,
                &mut xhat0,
            );
            mean.iter_mut()
                .zip(xhat0)
                .for_each(|(mean, x)| *mean = x as f32);
        }
        Ok(prediction)
    }
}

/// Corrections that grow with the band, at the nodes of a path.
fn corrections(model: &InBands, path: &TimePath, by: f64) -> Corrections {
    let bands = Arc::new(model.bands.clone());
    let of_band = |scale: f64| (0..bands.count()).map(|b| scale * b as f64).collect();
    let mean = |(t, _)| {
        Arc::new(MeanCorrection {
            estimate: of_band(by),
            noise: of_band(-by / 2.0),
            offset: vec![0.001 * t as f64; bands.constants().count()],
        })
    };
    let scoring = Scoring::new(VarianceKind::FixedSmall);
    let plain = Schedule::of_path(&model.schedule, path.clone(), &scoring).unwrap();
    let schedule = Schedule {
        means: path.edges().map(mean).collect(),
        bands: Some(bands.clone()),
        ..plain
    };
    Corrections::of_schedule(&schedule).unwrap()
}

#[test]
fn a_corrected_flow_is_the_flow_of_the_corrected_network() {
    let schedule = cosine(60);
    let inner = || InBands::new(schedule.clone());
    let grid = reference_grid(&schedule, 12).unwrap();
    let corrections = corrections(&inner(), &grid, 0.01);
    let run = |model: &dyn Denoiser, means: Option<&Corrections>, earlier| {
        let plan = TrajectoryPlan {
            fitted: Vec::new(),
            flow: FlowPlan {
                means: means.cloned().map(Arc::new),
                ..plan(3)
            },
            grid: grid.clone(),
            growth: GrowthPlan::default(),
            steps: vec![4],
            save_every: Duration::MAX,
        };
        follow_flow(model, &plan, earlier, &Silent, &mut |_| Ok(()))
    };
    let made = run(&inner(), Some(&corrections), None).unwrap();
    let inside = Corrected {
        inner: inner(),
        corrections: corrections.clone(),
    };
    let wanted = run(&inside, None, None).unwrap();
    let plain = run(&inner(), None, None).unwrap();
    for image in 0..3 {
        for i in 0..=12 {
            let apart = |a: &Trajectories, b: &Trajectories| {
                let squares = squared_distances(a.state(image, i), b.state(image, i), a.dims());
                squares[0].sqrt()
            };
            assert!(apart(&made, &wanted) < 1e-5, "{image} {i}");
            assert!(i == 12 || apart(&made, &plain) > 1e-4, "{image} {i}");
        }
    }
    assert_ne!(made.growth(), plain.growth());
    assert!(!made.trials().is_empty());

    // The file keeps them, and the schedules chosen on it sample with them.
    let read = Trajectories::from_bytes(&made.to_bytes()).unwrap();
    assert_eq!(read.means(), Some(&corrections));
    assert_eq!(read.to_bytes(), made.to_bytes());
    let budgets = Budgets::Only(vec![4, 6]);
    let chosen = choose_quality(&read, Sampler::Ddim, &budgets).unwrap();
    assert_eq!(chosen.scoring.mean, MeanKind::Calibrated);
    let chosen = Schedules::from_json(&chosen.to_json().unwrap()).unwrap();
    for k in [4, 6] {
        let schedule = chosen.schedule(k).unwrap();
        assert_eq!(schedule.sampler, Sampler::Ddim);
        let means = corrections.of_path(&schedule.path).unwrap();
        assert_eq!(schedule.means, means, "K = {k}");
    }

    // A run goes on with the same corrections alone, and none goes without one of a node.
    let other = self::corrections(&inner(), &grid, 0.02);
    assert!(run(&inner(), Some(&corrections), Some(made.clone())).is_ok());
    for means in [None, Some(&other)] {
        let refused = run(&inner(), means, Some(made.clone())).unwrap_err();
        assert!(refused.to_string().contains("mean"), "{refused}");
    }
    let fewer = reference_grid(&schedule, 6).unwrap();
    let fewer = self::corrections(&inner(), &fewer, 0.01);
    let refused = run(&inner(), Some(&fewer), None).unwrap_err();
    assert!(
        refused.to_string().contains("corrections of the mean"),
        "{refused}"
    );
}
