//! Growth and trials of steps whose coefficients are fitted.

use ddpm_core::{CoefficientKind, Sampler, StepCoefficients};
use ddpm_trajectory::{FittedModel, Fitting, Trajectories, Trial};

use super::follow::Run;
use super::growth::Steps;
use super::saver::Saver;
use super::student::{Lessons, MOVES, Taken};
use crate::error::Result;
use crate::progress::Part;

impl Run<'_> {
    /// For every sampler, kind of fit and number of steps one trial, with the coefficients of its steps; with the evaluations per sample
    /// that all of it takes.
    pub(super) fn fitted(
        &self,
        mut made: Trajectories,
        saver: &mut Saver<'_>,
    ) -> Result<(Trajectories, usize)> {
        let kinds = || self.plan.fitted.iter().copied();
        let mut evaluations = 0;
        if kinds().any(CoefficientKind::is_per_band) && made.bands().is_none() {
            let bands = made.bands_of_fits()?;
            made = made.with_bands(Some(bands))?;
        }
        for &sampler in &self.plan.growth.solvers {
            for kind in kinds() {
                let found = self.fitted_of(made, sampler, kind, saver)?;
                made = found.0;
                evaluations += found.1;
            }
        }
        // In one order, whatever that of an earlier run's.
        let mut growth = made.growth().to_vec();
        let position = |sampler| self.plan.growth.solvers.iter().position(|&s| s == sampler);
        growth.sort_by_key(|point| {
            let kind = point.coefficients;
            let own = kind == CoefficientKind::Solver;
            (!own, position(point.sampler), kind, point.t)
        });
        Ok((made.with_growth(growth)?, evaluations))
    }

    fn fitted_of(
        &self,
        mut made: Trajectories,
        sampler: Sampler,
        kind: CoefficientKind,
        saver: &mut Saver<'_>,
    ) -> Result<(Trajectories, usize)> {
        let bands = made.bands().cloned();
        let count = self.plan.flow.count;
        let known = |made: &Trajectories, steps: usize| -> Option<Trial> {
            let is_own =
                |t: &&Trial| t.sampler == sampler && t.coefficients == kind && t.steps() == steps;
            made.trials().iter().find(is_own).cloned()
        };
        let mut evaluations = self.plan.growth.evaluations(made.nodes());
        let to_measure = self.left_to_measure(&made, sampler, kind);
        let missing = self
            .plan
            .steps
            .iter()
            .filter(|&&k| known(&made, k).is_none());
        let most: usize = missing.map(|k| (MOVES + 8) * k * count).sum();
        if to_measure + most > 0 {
            self.stage(
                &format!(
                    "fitting coefficients ({sampler}, {kind}): at most {} evaluations",
                    to_measure + most
                ),
                to_measure + most,
            );
        }
        let mut model = None;
        if to_measure > 0 || most > 0 {
            let fitting = Fitting::new(sampler, kind);
            model = Some(FittedModel::new(&made, fitting, bands.as_deref())?);
        }
        if let Some(model) = model.as_ref().filter(|_| to_measure > 0) {
            let coefficients =
                |before: [Option<usize>; 2], t: usize, s: usize| -> StepCoefficients {
                    model.coefficients(before, t, s)
                };
            let steps = Steps {
                sampler,
                kind,
                coefficients: &coefficients,
                bands: bands.as_deref(),
            };
            made = self.growth_of(made, &steps, saver)?;
        }
        let mut trials: Vec<Trial> = made.trials().to_vec();
        for &steps in &self.plan.steps {
            let trial = match known(&made, steps) {
                Some(trial) => trial,
                None => {
                    let taught = self.teach(&made, &mut model, sampler, kind, steps);
                    taught.map_err(|error| saver.last(Some(&made), error))?
                }
            };
            evaluations += trial.evaluations.unwrap_or(steps);
            // In the order of the plan, whatever that of an earlier run's.
            trials.retain(|t| {
                !(t.sampler == sampler && t.coefficients == kind && t.steps() == steps)
            });
            trials.push(trial);
            made = made.with_trials(trials.clone())?;
            saver.piece(&made)?;
        }
        self.progress.finish();
        Ok((made, evaluations))
    }

    /// The path and the coefficients of so many steps that end closest, on images that the coefficients were not fitted to: candidates are the
    /// path that is best for the sampler's own steps, and the cheapest paths of fitted ones under a ridge that was measured on it.
    fn teach(
        &self,
        made: &Trajectories,
        model: &mut Option<FittedModel>,
        sampler: Sampler,
        kind: CoefficientKind,
        steps: usize,
    ) -> Result<Trial> {
        let part = Part(self.progress);
        let flow = self.plan.flow.flow(self.denoiser, &part);
        let mut lessons = Lessons {
            flow: &flow,
            plan: &self.plan.flow,
            reference: made,
            sampler,
            kind: CoefficientKind::Solver,
            bands: made.bands().cloned(),
            evaluations: 0,
        };
        let own = made.trials().iter().filter(|t| {
            t.sampler == sampler && t.coefficients == CoefficientKind::Solver && t.steps() == steps
        });
        let own = own.min_by(|a, b| a.rms().total_cmp(&b.rms()));
        let mut paths: Vec<Vec<usize>> = Vec::new();
        let grid: Vec<usize> = std::iter::once(0)
            .chain(made.nodes().iter().copied())
            .collect();
        let indices = |path: &[usize]| -> Option<Vec<usize>> {
            path.iter().map(|t| grid.binary_search(t).ok()).collect()
        };
        paths.extend(own.and_then(|trial| indices(&trial.path)));
        let deviations = match paths.first() {
            Some(path) => {
                let walk = lessons.walk(path, None, Taken::Judged)?;
                lessons.kind = kind;
                lessons.deviations(&walk)
            }
            None => Default::default(),
        };
        lessons.kind = kind;
        let fitting = Fitting::new(sampler, kind);
        let fresh = match model.take() {
            Some(model) => model,
            None => FittedModel::new(made, fitting, made.bands().map(|b| &**b))?,
        };
        let prepared = fresh.with_deviations(made, deviations);
        for path in prepared.candidates(steps)? {
            let path = indices(path.nodes());
            paths.extend(path.filter(|path| !paths.contains(path)));
        }
        *model = Some(prepared);
        let mut best = lessons.walk(&paths[0], None, Taken::Judged)?;
        for path in &paths[1..] {
            let walk = lessons.walk(path, None, Taken::Judged)?;
            if walk.distance() < best.distance() {
                best = walk;
            }
        }
        let best = lessons.refine(best)?;
        let learned = lessons.walk(&best.path, None, Taken::Learned)?;
        Ok(Trial {
            sampler,
            coefficients: kind,
            path: best.path.iter().map(|&i| grid[i]).collect(),
            fitted: learned.coefficients(),
            evaluations: Some(lessons.evaluations),
            squared_distances: best.squared_distances,
        })
    }
}
