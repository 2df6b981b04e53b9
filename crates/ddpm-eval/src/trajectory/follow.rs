//! Everything that schedules for the quality of samples are chosen on, piece by piece, so that a long run can be continued.

use std::time::Duration;

use ddpm_core::{Bands, CoefficientKind, Denoiser, Sampler, StepCoefficients, TimePath};
use ddpm_schedule::TrajectoryOrigin;
use ddpm_trajectory::{
    GrowthPoint, QualityModel, Trajectories, Trial, check_fit_size, check_reachable,
};

use super::earlier::check_earlier;
use super::end_points::{FlowPlan, end_points, squared_distances};
use super::growth::{GrowthPlan, Steps, measure_at};
use super::reference::{flow_origin, follow_grid};
use super::saver::Saver;
use crate::error::{Error, Result};
use crate::network::batch_size;
use crate::progress::{Part, Progress};

/// What is followed, measured and tried.
#[derive(Clone, Debug)]
pub struct TrajectoryPlan {
    /// The samples.
    pub flow: FlowPlan,
    /// The nodes of the reference, among which schedules are sought.
    pub grid: TimePath,
    /// How growth is measured, and for which solvers.
    pub growth: GrowthPlan,
    /// Numbers of steps whose best paths are run.
    pub steps: Vec<usize>,
    /// What is fitted beside the samplers' own steps; each takes further trials, and growth of its own.
    pub fitted: Vec<CoefficientKind>,
    /// How much of a run may be lost when its process is killed: time between two saves of finished pieces.
    pub save_every: Duration,
}

/// A reference of the flow ([`super::reference_trajectories`]), how much errors grow on it, and trials of the best paths from its starts,
/// in pieces: a batch of samples, a point of growth, a path.
///
/// `save` is given what there is, with [`TrajectoryOrigin::evaluations`] zero, whenever [`TrajectoryPlan::save_every`] has passed since
/// it was last given it, and when the network fails or `progress` asks to stop. What it keeps can come back as `earlier`, whose pieces are not made again;
/// the result is bit-identical to that of a run that was never interrupted. So can a finished run of fewer samplers or numbers of
/// steps.
///
/// # Errors
/// When the parts do not fit each other, or there is no path of the asked number of steps; when `earlier` is of another run; when the
/// network or `save` fails; [`Error::Interrupted`] when `progress` asks to stop.
pub fn follow_flow(
    denoiser: &dyn Denoiser,
    plan: &TrajectoryPlan,
    earlier: Option<Trajectories>,
    progress: &dyn Progress,
    save: &mut dyn FnMut(&Trajectories) -> Result<()>,
) -> Result<Trajectories> {
    plan.flow.check(denoiser, &plan.grid)?;
    let schedule = denoiser.noise_schedule();
    for &solver in &plan.growth.solvers {
        check_reachable(schedule, &plan.grid, solver, &plan.steps)?;
    }
    if plan.fitted.iter().any(|kind| kind.is_per_band()) {
        let bands = match &plan.flow.means {
            Some(means) => means.bands().count(),
            None => Bands::of_shape(&denoiser.shape())?.count(),
        };
        for &solver in &plan.growth.solvers {
            check_fit_size(solver, plan.grid.steps(), plan.flow.count, bands)?;
        }
    }
    if let Some(earlier) = &earlier {
        plan.check_earlier(denoiser, earlier)?;
    }
    let run = Run {
        denoiser,
        plan,
        wanted: plan.origin(denoiser),
        progress,
    };
    let mut saver = Saver::new(plan.save_every, save);
    let made = run.reference(earlier, &mut saver)?;
    let (made, growth) = run.growth(made, &mut saver)?;
    let (made, trials) = run.trials(made, &mut saver)?;
    let (mut made, fitted) = run.fitted(made, &mut saver)?;
    let reference = plan.grid.steps();
    made.set_evaluations(((reference + growth + trials + fitted) * plan.flow.count) as u64);
    Ok(made)
}

impl TrajectoryPlan {
    /// Makes sure that this run goes on with all that is in `earlier`: that nothing of it is lost.
    ///
    /// # Errors
    /// [`Error::Resume`] names what differs.
    pub fn check_earlier(&self, denoiser: &dyn Denoiser, earlier: &Trajectories) -> Result<()> {
        let (nodes, means) = (&self.grid.nodes()[1..], self.flow.means.as_deref());
        let wanted = self.origin(denoiser);
        check_earlier(earlier, &wanted, denoiser.noise_schedule(), nodes, means)?;
        self.check_measurements(earlier)
    }

    /// What the run is of.
    fn origin(&self, denoiser: &dyn Denoiser) -> TrajectoryOrigin {
        // How growth is measured is a fact of the run: other growth is not this one's.
        let GrowthPlan { stride, reach, .. } = self.growth;
        let mut origin = flow_origin(denoiser, &self.flow);
        origin.extra.insert(
            "growth".into(),
            format!("errors of steps over {reach} of the grid, along every {stride} nodes"),
        );
        origin
    }

    /// Growth and trials of an earlier run must be of this plan.
    fn check_measurements(&self, earlier: &Trajectories) -> Result<()> {
        let nodes = earlier.nodes();
        let growth = &self.growth;
        let indices = growth.indices(nodes.len());
        let kind_is_wanted =
            |kind: CoefficientKind| kind == CoefficientKind::Solver || self.fitted.contains(&kind);
        let is_wanted = |point: &GrowthPoint| {
            growth.solvers.contains(&point.sampler)
                && kind_is_wanted(point.coefficients)
                && indices.iter().any(|&i| nodes[i - 1] == point.t)
        };
        if let Some(point) = earlier.growth().iter().find(|point| !is_wanted(point)) {
            return Err(Error::Resume {
                field: "growth of errors".into(),
                expected: "the samplers asked for (those that the file has are to be named again), at as many points".into(),
                found: format!("{} at t = {}", point.sampler, point.t),
            });
        }
        // Whether it is one of the best paths is known when growth is.
        let is_wanted = |trial: &Trial| {
            growth.solvers.contains(&trial.sampler)
                && kind_is_wanted(trial.coefficients)
                && self.steps.contains(&trial.steps())
        };
        match earlier.trials().iter().find(|trial| !is_wanted(trial)) {
            None => Ok(()),
            Some(trial) => Err(foreign_trial(trial)),
        }
    }
}

pub(super) struct Run<'a> {
    pub(super) denoiser: &'a dyn Denoiser,
    pub(super) plan: &'a TrajectoryPlan,
    wanted: TrajectoryOrigin,
    pub(super) progress: &'a dyn Progress,
}

impl Run<'_> {
    /// Samples, a batch at a time.
    fn reference(
        &self,
        earlier: Option<Trajectories>,
        saver: &mut Saver<'_>,
    ) -> Result<Trajectories> {
        let (flow, grid) = (&self.plan.flow, &self.plan.grid);
        let done = earlier.as_ref().map_or(0, Trajectories::images);
        let left = flow.count - done;
        let what = format!(
            "following {left} samples through {} timesteps",
            grid.steps()
        );
        self.stage(&what, left * grid.steps());
        let size = batch_size(flow.batch, self.denoiser);
        let made = saver.by_images(earlier, flow.count, size, |positions| {
            let part = flow.part(positions);
            let origin = TrajectoryOrigin {
                extra: self.wanted.extra.clone(),
                ..flow_origin(self.denoiser, &part)
            };
            follow_grid(self.denoiser, &part, grid, origin, &Part(self.progress))
        })?;
        self.progress.finish();
        Ok(made)
    }

    /// Growth of the samplers' own steps; with the evaluations per sample that all of it takes.
    fn growth(&self, made: Trajectories, saver: &mut Saver<'_>) -> Result<(Trajectories, usize)> {
        let (growth, nodes) = (&self.plan.growth, made.nodes().to_vec());
        let schedule = self.denoiser.noise_schedule();
        let left = growth
            .solvers
            .iter()
            .map(|&s| self.left_to_measure(&made, s, CoefficientKind::Solver));
        let left: usize = left.sum();
        self.stage(
            &format!("measuring how errors grow: {left} evaluations"),
            left,
        );
        let mut made = made;
        for &sampler in &growth.solvers {
            let coefficients = |before: [Option<usize>; 2], t: usize, s: usize| {
                let of = |i: usize| nodes[i - 1];
                let before: Vec<usize> = before.into_iter().flatten().map(of).collect();
                let step = sampler.flow_step(schedule, &before, of(t), of(s));
                StepCoefficients::from(&step)
            };
            let steps = Steps {
                sampler,
                kind: CoefficientKind::Solver,
                coefficients: &coefficients,
                bands: None,
            };
            made = self.growth_of(made, &steps, saver)?;
        }
        self.progress.finish();
        Ok((made, growth.evaluations(&nodes) * growth.solvers.len()))
    }

    /// Evaluations that are left until growth of these steps is measured.
    pub(super) fn left_to_measure(
        &self,
        made: &Trajectories,
        sampler: Sampler,
        kind: CoefficientKind,
    ) -> usize {
        let (growth, nodes) = (&self.plan.growth, made.nodes());
        let known = |t: usize| made.growth().iter().any(|p| is_at(p, sampler, kind, t));
        let indices = growth.indices(nodes.len()).into_iter();
        let left = indices.filter(|&i| !known(nodes[i - 1]));
        left.map(|i| growth.evaluations_at(nodes, i) * self.plan.flow.count)
            .sum()
    }

    /// Growth along the errors of some steps, a point at a time, after those that are known.
    pub(super) fn growth_of(
        &self,
        mut made: Trajectories,
        steps: &Steps<'_>,
        saver: &mut Saver<'_>,
    ) -> Result<Trajectories> {
        let (flow, growth) = (&self.plan.flow, &self.plan.growth);
        let nodes = made.nodes().to_vec();
        let part = Part(self.progress);
        let process = flow.flow(self.denoiser, &part);
        for i in growth.indices(nodes.len()) {
            let mut points = made.growth().to_vec();
            let is_own = |p: &GrowthPoint| is_at(p, steps.sampler, steps.kind, nodes[i - 1]);
            // In the order of the plan, whatever that of an earlier run's.
            let point = match points.iter().position(is_own) {
                Some(at) => points.remove(at),
                None => {
                    let measured = measure_at(&process, flow, &made, growth, steps, i);
                    measured.map_err(|error| saver.last(Some(&made), error))?
                }
            };
            points.push(point);
            made = made.with_growth(points)?;
            saver.piece(&made)?;
        }
        Ok(made)
    }

    /// The best paths, one at a time; with the evaluations per sample that all of them take.
    fn trials(
        &self,
        mut made: Trajectories,
        saver: &mut Saver<'_>,
    ) -> Result<(Trajectories, usize)> {
        let flow = &self.plan.flow;
        let mut candidates: Vec<(Sampler, TimePath)> = Vec::new();
        if !self.plan.steps.is_empty() {
            let model = QualityModel::new(&made)?;
            for &solver in &self.plan.growth.solvers {
                let paths = model.candidates(solver, &self.plan.steps)?.into_iter();
                candidates.extend(paths.flatten().map(|path| (solver, path)));
            }
        }
        if let Some(foreign) = made
            .trials()
            .iter()
            .filter(|trial| trial.coefficients == CoefficientKind::Solver)
            .find(|trial| !candidates.iter().any(|(s, path)| is_of(trial, *s, path)))
        {
            return Err(foreign_trial(foreign));
        }
        let mut trials: Vec<Option<Trial>> = candidates
            .iter()
            .map(|(solver, path)| made.trials().iter().find(|t| is_of(t, *solver, path)))
            .map(|known| known.cloned())
            .collect();
        let fitted = made.trials().iter();
        let fitted = fitted.filter(|trial| trial.coefficients != CoefficientKind::Solver);
        let fitted: Vec<Trial> = fitted.cloned().collect();
        let steps = |(_, path): &(Sampler, TimePath)| path.steps();
        let missing = candidates.iter().zip(&trials).filter(|(_, t)| t.is_none());
        let (count, left) = missing.fold((0, 0), |(count, left), (candidate, _)| {
            (count + 1, left + steps(candidate) * flow.count)
        });
        self.stage(
            &format!("running {count} schedules: {left} evaluations"),
            left,
        );
        let target = ends_of(&made);
        for (at, (solver, path)) in candidates.iter().enumerate() {
            if trials[at].is_some() {
                continue;
            }
            let part = Part(self.progress);
            let run = run_trial(self.denoiser, flow, &target, *solver, path, &part);
            trials[at] = Some(run.map_err(|error| saver.last(Some(&made), error))?);
            let so_far = trials.iter().flatten().chain(&fitted);
            made = made.with_trials(so_far.cloned().collect())?;
            saver.piece(&made)?;
        }
        // In the order of the candidates, whatever the order of an earlier run's.
        made = made.with_trials(trials.into_iter().flatten().chain(fitted).collect())?;
        self.progress.finish();
        Ok((made, candidates.iter().map(steps).sum()))
    }

    /// Says what comes, if anything does.
    pub(super) fn stage(&self, what: &str, evaluations: usize) {
        if evaluations > 0 {
            self.progress.stage(what);
        }
        self.progress.start(evaluations as u64);
    }
}

/// Where the reference ends, `[images, dims]`.
fn ends_of(reference: &Trajectories) -> Vec<f32> {
    (0..reference.images())
        .flat_map(|i| reference.state(i, 0))
        .copied()
        .collect()
}

/// One path, compared with the `target` it should end at.
fn run_trial(
    denoiser: &dyn Denoiser,
    plan: &FlowPlan,
    target: &[f32],
    solver: Sampler,
    path: &TimePath,
    progress: &dyn Progress,
) -> Result<Trial> {
    let ends = end_points(denoiser, plan, path, solver, progress)?;
    let dims = denoiser.shape().iter().product();
    Ok(Trial {
        sampler: solver,
        coefficients: CoefficientKind::Solver,
        path: path.nodes().to_vec(),
        fitted: Vec::new(),
        evaluations: None,
        squared_distances: squared_distances(&ends, target, dims),
    })
}

/// An earlier run tried what this one does not.
fn foreign_trial(trial: &Trial) -> Error {
    let path: Vec<String> = trial.path.iter().map(ToString::to_string).collect();
    Error::Resume {
        field: "what was tried".into(),
        expected: "the best paths of the samplers and numbers of steps asked for".into(),
        found: format!(
            "{} with K = {} ({})",
            trial.sampler,
            trial.steps(),
            path.join(",")
        ),
    }
}

fn is_at(point: &GrowthPoint, solver: Sampler, kind: CoefficientKind, t: usize) -> bool {
    point.sampler == solver && point.coefficients == kind && point.t == t
}

fn is_of(trial: &Trial, solver: Sampler, path: &TimePath) -> bool {
    trial.sampler == solver
        && trial.coefficients == CoefficientKind::Solver
        && trial.path == path.nodes()
}
