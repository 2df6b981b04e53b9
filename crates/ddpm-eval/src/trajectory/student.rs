//! A sampler whose coefficients are fitted on its own way down, step by step, to the reference.

use std::sync::Arc;

use ddpm_core::{Bands, CoefficientKind, Sampler, StepCoefficients};
use ddpm_trajectory::{Deviations, Refit, Student, Trajectories, refit};
use rayon::prelude::*;

use super::end_points::FlowPlan;
use super::flow::{Batch, Flow};
use crate::error::Result;
use crate::sampling::{remembered, starts};

/// How many times the evaluations of one path may be spent on moving its nodes.
pub(super) const MOVES: usize = 40;

/// A sampler that is taught along one path after another.
pub(super) struct Lessons<'a> {
    pub(super) flow: &'a Flow<'a>,
    pub(super) plan: &'a FlowPlan,
    pub(super) reference: &'a Trajectories,
    pub(super) sampler: Sampler,
    pub(super) kind: CoefficientKind,
    pub(super) bands: Option<Arc<Bands>>,
    /// Network evaluations per image so far.
    pub(super) evaluations: usize,
}

/// Where the images are on a path before a step.
#[derive(Clone)]
struct Place {
    /// The states, one after another.
    x: Vec<f64>,
    /// The estimates there, once they are known.
    estimate: Option<Vec<f64>>,
    /// The noise that goes with them, where the sampler remembers it.
    noise: Option<Vec<f64>>,
}

impl Place {
    fn new(x: Vec<f64>) -> Self {
        Self {
            x,
            estimate: None,
            noise: None,
        }
    }

    /// What the sampler remembers of a node that was evaluated.
    fn remembered(&self) -> &[f64] {
        let known = self.noise.as_ref().or(self.estimate.as_ref());
        known.map_or(&[], Vec::as_slice)
    }
}

/// A path that was walked.
#[derive(Clone)]
pub(super) struct Walk {
    /// Node indices, ascending, with 0.
    pub(super) path: Vec<usize>,
    /// Of the steps in the order in which they are taken, from the noisiest node.
    refits: Vec<Refit>,
    places: Vec<Place>,
    /// Per image, from the reference's end.
    pub(super) squared_distances: Vec<f64>,
}

impl Walk {
    /// The mean of the squared distances.
    pub(super) fn distance(&self) -> f64 {
        self.squared_distances.iter().sum::<f64>() / self.squared_distances.len() as f64
    }

    /// The coefficients of the steps fitted on all images, in ascending t.
    pub(super) fn coefficients(&self) -> Vec<StepCoefficients> {
        self.refits
            .iter()
            .rev()
            .map(|fit| fit.all.clone())
            .collect()
    }
}

/// With which of the fits a step is taken.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Taken {
    /// Every image with the coefficients that were fitted without it.
    Judged,
    /// All images with those that were fitted on all.
    Learned,
}

impl Lessons<'_> {
    /// How many nodes before its own a step uses: fitted coefficients use all that there are, but for the step onto the data.
    fn looks_back_at(&self, steps: usize, left: usize) -> usize {
        if self.kind == CoefficientKind::Solver || left == 1 {
            self.sampler.looks_back_at(steps, left)
        } else {
            self.sampler.looks_back().min(steps - left)
        }
    }

    /// Walks a path (node indices, ascending, with 0), from where `before` leaves it: the steps that both begin with are not taken
    /// again.
    pub(super) fn walk(
        &mut self,
        path: &[usize],
        before: Option<&Walk>,
        taken: Taken,
    ) -> Result<Walk> {
        let dims = self.reference.dims();
        let steps = path.len() - 1;
        let node = |k: usize| path[steps - k];
        let common = before.map_or(0, |before| {
            let ends = before.path.iter().rev().zip(path.iter().rev());
            ends.take_while(|(a, b)| a == b).count()
        });
        // The step from the last common node leads elsewhere.
        let kept = common.saturating_sub(1).min(steps);
        let (mut refits, mut places) = match before {
            Some(before) if common > 0 => (
                before.refits[..kept].to_vec(),
                before.places[..=kept].to_vec(),
            ),
            _ => {
                let x = starts(self.plan.seed, &self.plan.names(), dims)?;
                (Vec::new(), vec![Place::new(x)])
            }
        };
        for k in kept..steps {
            let (t, s) = (node(k), node(k + 1));
            if places[k].estimate.is_none() {
                let found = self.estimate(&places[k].x, t)?;
                places[k].estimate = Some(found);
            }
            if places[k].noise.is_none() && self.sampler.remembers_noise() {
                let (sampler, schedule) = (self.sampler, self.flow.schedule());
                let estimate = places[k].estimate.clone().unwrap_or_default();
                let timestep = self.reference.nodes()[t - 1];
                let found = remembered(sampler, schedule, timestep, &places[k].x, estimate);
                places[k].noise = Some(found);
            }
            let looks_back = self.looks_back_at(steps, steps - k);
            let before: Vec<usize> = (1..=looks_back).map(|back| node(k - back)).collect();
            let history: Vec<&[f64]> = (1..=looks_back)
                .map(|back| places[k - back].remembered())
                .collect();
            let estimate = places[k].estimate.as_deref().unwrap_or_default();
            let fit = self.fit(&before, (t, s), &places[k].x, estimate, &history);
            let mut next = vec![0.0; places[k].x.len()];
            next.par_chunks_mut(dims).enumerate().for_each(|(i, dst)| {
                let own = i * dims..(i + 1) * dims;
                let history: Vec<&[f64]> = history.iter().map(|all| &all[own.clone()]).collect();
                let coefficients = match taken {
                    Taken::Judged => fit.judging(i),
                    Taken::Learned => &fit.all,
                };
                let (x, estimate) = (&places[k].x[own.clone()], &estimate[own]);
                coefficients.apply(self.bands.as_deref(), x, estimate, &history, dst);
            });
            refits.push(fit);
            places.push(Place::new(next));
        }
        let ends = self.target(0);
        let squared = |(a, b): (&[f64], &[f64])| {
            let square = |(a, b): (&f64, &f64)| (a - b) * (a - b);
            a.iter().zip(b).map(square).sum::<f64>() / dims as f64
        };
        let images = places[steps].x.chunks(dims).zip(ends.chunks(dims));
        Ok(Walk {
            path: path.to_vec(),
            squared_distances: images.map(squared).collect(),
            refits,
            places,
        })
    }

    /// Moves the nodes of a path one by one while that brings its judged end closer, first far and then less: exact costs are sums of errors
    /// made on the reference, and few steps go where those do not hold.
    pub(super) fn refine(&mut self, start: Walk) -> Result<Walk> {
        let last = self.reference.nodes().len();
        let steps = start.path.len() - 1;
        let most = self.evaluations + MOVES * steps;
        let mut best = start;
        let mut reach = (last / 20).max(1);
        while reach > 0 && self.evaluations < most {
            let mut moved = false;
            for k in (1..steps).rev() {
                for down in [true, false] {
                    let mut path = best.path.clone();
                    let to = if down {
                        path[k].checked_sub(reach)
                    } else {
                        Some(path[k] + reach)
                    };
                    let Some(to) = to.filter(|&to| path[k - 1] < to && to < path[k + 1]) else {
                        continue;
                    };
                    path[k] = to;
                    let tried = self.walk(&path, Some(&best), Taken::Judged)?;
                    if tried.distance() < best.distance() {
                        best = tried;
                        moved = true;
                    }
                    if self.evaluations >= most {
                        return Ok(best);
                    }
                }
            }
            if !moved {
                reach /= 2;
            }
        }
        Ok(best)
    }

    /// How far the states and estimates of a walk are from the reference's at its nodes, in bands or whole.
    pub(super) fn deviations(&self, walk: &Walk) -> Deviations {
        let dims = self.reference.dims();
        let images = self.reference.images();
        let steps = walk.path.len() - 1;
        let bands = self.bands.as_deref().filter(|_| self.kind.is_per_band());
        let mut found = Deviations::default();
        for k in 0..steps {
            let i = walk.path[steps - k];
            let of_image = |image: usize| -> Vec<[[f64; 4]; 4]> {
                let spectrum = |away: Vec<f64>| match bands {
                    Some(bands) => bands.transform(&away),
                    None => away,
                };
                let own = image * dims..(image + 1) * dims;
                let minus = |own: &[f64], reference: &mut dyn Iterator<Item = f64>| {
                    let away = own.iter().zip(reference).map(|(a, b)| a - b);
                    spectrum(away.collect())
                };
                let widened = |&x: &f32| f64::from(x);
                let estimate = walk.places[k].estimate.as_deref().unwrap_or_default();
                let mut fields = vec![
                    minus(
                        &walk.places[k].x[own.clone()],
                        &mut self.reference.state(image, i).iter().map(widened),
                    ),
                    minus(
                        &estimate[own.clone()],
                        &mut self.reference.estimate(image, i).iter().map(widened),
                    ),
                ];
                for back in 1..=self.sampler.looks_back().min(k) {
                    let remembered = walk.places[k - back].remembered();
                    let i = walk.path[steps - k + back];
                    let reference = self.reference.remembered(self.sampler, image, i);
                    fields.push(minus(&remembered[own.clone()], &mut reference.into_iter()));
                }
                let mut sums = vec![[[0.0; 4]; 4]; bands.map_or(1, Bands::count)];
                for j in 0..dims {
                    let sum = &mut sums[bands.map_or(0, |bands| bands.of_coefficients()[j])];
                    for (row, a) in sum.iter_mut().zip(&fields) {
                        for (sum, b) in row.iter_mut().zip(&fields) {
                            *sum += a[j] * b[j];
                        }
                    }
                }
                sums
            };
            let all: Vec<Vec<[[f64; 4]; 4]>> = (0..images).into_par_iter().map(of_image).collect();
            let mut mean = vec![[[0.0; 4]; 4]; bands.map_or(1, Bands::count)];
            for one in &all {
                let means = mean.iter_mut().flatten().flatten();
                for (mean, x) in means.zip(one.iter().flatten().flatten()) {
                    *mean += x / (images * dims) as f64;
                }
            }
            found
                .by_timestep
                .insert(self.reference.nodes()[i - 1], mean);
        }
        found
    }

    /// The fit of one step, node indices.
    fn fit(
        &self,
        before: &[usize],
        (t, s): (usize, usize),
        x_t: &[f64],
        xhat0: &[f64],
        history: &[&[f64]],
    ) -> Refit {
        let nodes = self.reference.nodes();
        let timestep = |i: usize| if i == 0 { 0 } else { nodes[i - 1] };
        let schedule = self.flow.schedule();
        let before: Vec<usize> = before.iter().copied().map(timestep).collect();
        let base = self
            .sampler
            .flow_step(schedule, &before, timestep(t), timestep(s));
        // What the last step shows is seen: least squares would blur it.
        let kind = if s == 0 {
            CoefficientKind::Solver
        } else {
            self.kind
        };
        let target = self.target(s);
        let student = Student {
            x_t,
            xhat0,
            history,
            remembered: self.sampler.remembered(schedule, timestep(t)),
            target: &target,
            dims: self.reference.dims(),
        };
        refit(kind, &base, &student, self.bands.as_deref())
    }

    /// The reference's states at a node index, of all images.
    fn target(&self, i: usize) -> Vec<f64> {
        (0..self.reference.images())
            .flat_map(|image| self.reference.state(image, i))
            .map(|&x| f64::from(x))
            .collect()
    }

    /// The network's estimates at a node index, batch by batch.
    fn estimate(&mut self, x: &[f64], i: usize) -> Result<Vec<f64>> {
        let (dims, t) = (self.reference.dims(), self.reference.nodes()[i - 1]);
        let names = self.plan.names();
        let mut found = Vec::with_capacity(x.len());
        for positions in self.plan.batches(self.flow.denoiser) {
            let batch = Batch {
                x: x[positions.start * dims..positions.end * dims].to_vec(),
                names: &names[positions.clone()],
                labels: self.plan.labels_at(positions),
            };
            found.extend(self.flow.estimate(&batch, t)?);
        }
        self.evaluations += 1;
        Ok(found)
    }
}
