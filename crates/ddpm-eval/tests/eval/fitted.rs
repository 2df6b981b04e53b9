//! Steps that are taught on the sampler's own way down: how close they end, and that sampling takes them as they were taught.

use std::time::Duration;

use ddpm_core::{CoefficientKind, NoiseSchedule, Parameterization, Sampler};
use ddpm_eval::{
    Error, FlowPlan, GrowthPlan, Progress, SamplingPlan, Silent, TrajectoryPlan, follow_flow,
    sample, squared_distances,
};
use ddpm_schedule::{Budgets, Schedules};
use ddpm_trajectory::{Trajectories, choose_fitted, reference_grid};

use crate::support::models::{cosine, fixed};

const COUNT: usize = 12;
const KINDS: [CoefficientKind; 3] = [
    CoefficientKind::History,
    CoefficientKind::Fitted,
    CoefficientKind::FittedBands,
];

fn plan(schedule: &NoiseSchedule, fitted: &[CoefficientKind]) -> TrajectoryPlan {
    TrajectoryPlan {
        flow: FlowPlan {
            first: 0,
            count: COUNT,
            seed: 3,
            labels: None,
            clip_denoised: false,
            means: None,
            batch: 5,
        },
        grid: reference_grid(schedule, 30).unwrap(),
        growth: GrowthPlan {
            solvers: Sampler::PRICED.to_vec(),
            points: 3,
            ..GrowthPlan::default()
        },
        steps: vec![3, 5],
        fitted: fitted.to_vec(),
        save_every: Duration::MAX,
    }
}

/// Counts evaluations, and stops after some.
struct Counts {
    most: u64,
    done: std::sync::atomic::AtomicU64,
}

impl Progress for Counts {
    fn start(&self, _: u64) {}

    fn advance(&self, n: u64) {
        self.done.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
    }

    fn finish(&self) {}

    fn interrupted(&self) -> bool {
        self.done.load(std::sync::atomic::Ordering::Relaxed) >= self.most
    }
}

fn counts(most: u64) -> Counts {
    Counts {
        most,
        done: 0.into(),
    }
}

/// Root mean square distance of samples along the schedule of K steps from the reference's ends, from the same starts.
fn sampled(schedules: &Schedules, k: usize, reference: &Trajectories) -> f64 {
    let model = fixed(&schedules.noise_schedule, Parameterization::Epsilon);
    let plan = SamplingPlan {
        seed: 3,
        clip_denoised: false,
        ..SamplingPlan::new(schedules.schedule(k).unwrap().clone(), COUNT)
    };
    let samples = sample(&model, &plan, &Silent).unwrap();
    let ends: Vec<f32> = (0..COUNT)
        .flat_map(|image| reference.state(image, 0).to_vec())
        .collect();
    let samples: Vec<f32> = samples.iter().copied().collect();
    let squares = squared_distances(&samples, &ends, reference.dims());
    (squares.iter().sum::<f64>() / COUNT as f64).sqrt()
}

#[test]
fn taught_steps_end_closer_and_are_sampled_as_they_were_taught() {
    let schedule = cosine(200);
    let model = fixed(&schedule, Parameterization::Epsilon);
    let progress = counts(u64::MAX);
    let plan = plan(&schedule, &KINDS);
    let made = follow_flow(&model, &plan, None, &progress, &mut |_| Ok(())).unwrap();
    let evaluated = progress.done.into_inner();
    assert_eq!(made.origin().evaluations, evaluated, "as many as were made");
    let read = Trajectories::from_bytes(&made.to_bytes()).unwrap();
    for sampler in Sampler::PRICED {
        let rms = |kind, k| {
            let of = |t: &&ddpm_trajectory::Trial| {
                (t.sampler, t.coefficients, t.steps()) == (sampler, kind, k)
            };
            let trials = read.trials().iter().filter(of).map(|t| t.rms());
            trials.fold(f64::INFINITY, f64::min)
        };
        for kind in KINDS {
            let budgets = Budgets::Only(plan.steps.clone());
            let chosen = choose_fitted(&read, sampler, kind, &budgets).unwrap();
            for k in [3, 5] {
                let (own, taught) = (rms(CoefficientKind::Solver, k), rms(kind, k));
                let found = sampled(&chosen, k, &read);
                let says = format!("{sampler} {kind} K={k}: {own} {taught} {found}");
                // The trial judged every image by what was fitted without it; samples take what was fitted on all.
                assert!(taught <= own * 1.0001, "{says}");
                assert!(found <= taught * 1.05, "{says}");
                // DDIM has no history.
                if kind != CoefficientKind::History {
                    assert!(taught < 0.9 * own, "{says}");
                }
            }
        }
    }
}

#[test]
fn teaching_that_is_interrupted_anywhere_resumes_to_the_same_bytes() {
    let schedule = cosine(200);
    let model = fixed(&schedule, Parameterization::Epsilon);
    let plan = plan(&schedule, &[CoefficientKind::FittedBands]);
    let run = |earlier, progress: &dyn Progress, kept: &mut Option<Trajectories>| {
        follow_flow(&model, &plan, earlier, progress, &mut |so_far| {
            *kept = Some(Trajectories::from_bytes(&so_far.to_bytes())?);
            Ok(())
        })
    };
    let whole = run(None, &Silent, &mut None).unwrap();
    let (mut earlier, mut patience, mut resumptions) = (None, 400, 0);
    let resumed = loop {
        let mut kept = None;
        match run(earlier.clone(), &counts(patience), &mut kept) {
            Ok(resumed) => break resumed,
            Err(Error::Interrupted) => {
                resumptions += 1;
                let trials = |of: &Option<Trajectories>| {
                    of.as_ref()
                        .map_or(0, |t| t.trials().len() + t.growth().len() + t.images())
                };
                // A piece that took longer than that gets more time.
                if trials(&kept) <= trials(&earlier) {
                    patience += 400;
                }
                earlier = kept.or(earlier);
            }
            Err(other) => panic!("{other}"),
        }
    };
    assert!(resumptions > 5, "{resumptions}");
    assert!(resumed.to_bytes() == whole.to_bytes());
    // A run that does not fit takes in none of it, one that fits more goes on.
    let less = self::plan(&schedule, &[]);
    let refused = follow_flow(&model, &less, Some(whole.clone()), &Silent, &mut |_| Ok(()));
    assert!(matches!(refused, Err(Error::Resume { .. })), "{refused:?}");
    let more = self::plan(
        &schedule,
        &[CoefficientKind::Fitted, CoefficientKind::FittedBands],
    );
    let grown = follow_flow(&model, &more, Some(whole), &Silent, &mut |_| Ok(())).unwrap();
    let anew = follow_flow(&model, &more, None, &Silent, &mut |_| Ok(())).unwrap();
    assert!(grown.to_bytes() == anew.to_bytes());
}
