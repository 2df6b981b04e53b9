//! What a step costs whose coefficients are fitted, and the paths that cost least.

use std::collections::BTreeMap;

use ddpm_core::{Bands, CoefficientKind, NoiseSchedule, Sampler, StepCoefficients, TimePath};
use ddpm_schedule::{Budgets, TrajectoryKind};
use rayon::prelude::*;

use crate::cheapest::cheapest;
use crate::error::{Invalid, Result};
use crate::growth::GrowthCurve;
use crate::least_squares::{MOST_TERMS, Normal, Products, Terms, directions, terms_of};
use crate::pooled::{PooledGram, check_fit_size};
use crate::quality::Weighting;
use crate::store::Trajectories;

/// How far the states and estimates of a sampler are from those of the reference at the nodes that it visits: per node and band the second
/// moments of the deviations of (x_t, the estimate at t, the estimate before), per dimension of the whole image.
///
/// They are what a fit must be prepared for: least squares on the reference alone would trust its fields to the last digit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deviations {
    /// By timestep: of every band (or of the whole, one entry) the moments in the order xx, xD, DD, xP, DP, PP.
    pub by_timestep: BTreeMap<usize, Vec<[f64; 6]>>,
}

impl Deviations {
    /// As an addition to the products of the fields at `t`, band by band; between the nodes that were visited linear in log-SNR, constant
    /// beyond.
    fn at(&self, schedule: &NoiseSchedule, t: usize, bands: usize) -> Vec<[Terms; MOST_TERMS]> {
        let mut found = vec![[[0.0; MOST_TERMS]; MOST_TERMS]; bands];
        let below = self.by_timestep.range(..=t).next_back();
        let above = self.by_timestep.range(t..).next();
        let parts = match (below, above) {
            (Some(below), Some(above)) if below.0 < above.0 => {
                let at = |t: usize| schedule.log_snr(t).max(-40.0);
                let width = at(*below.0) - at(*above.0);
                // Both may lie where log-SNR says nothing any more.
                let share = if width > 0.0 {
                    (at(t) - at(*above.0)) / width
                } else {
                    1.0
                };
                vec![(share, below.1), (1.0 - share, above.1)]
            }
            (Some(one), _) | (None, Some(one)) => vec![(1.0, one.1)],
            (None, None) => Vec::new(),
        };
        for (share, moments) in parts {
            for (found, m) in found.iter_mut().zip(moments) {
                let rows = [[m[0], m[1], m[3]], [m[1], m[2], m[4]], [m[3], m[4], m[5]]];
                for (found, row) in found.iter_mut().zip(rows) {
                    for (found, x) in found.iter_mut().zip(row) {
                        *found += share * x;
                    }
                }
            }
        }
        found
    }
}

/// How the coefficients of steps are fitted.
#[derive(Clone, Debug)]
pub struct Fitting {
    /// The sampler whose steps they are: it says whether a step looks back, and from which coefficients the fit begins.
    pub sampler: Sampler,
    /// What is fitted.
    pub kind: CoefficientKind,
    /// The ridge; without any the reference is trusted.
    pub deviations: Deviations,
    /// Whether the step onto the data is fitted too. It is not usually: least squares shrink what they cannot know, and what the last step
    /// shows is seen.
    pub fit_last: bool,
}

impl Fitting {
    /// Without a ridge, the step onto the data left as it is.
    pub fn new(sampler: Sampler, kind: CoefficientKind) -> Self {
        Self {
            sampler,
            kind,
            deviations: Deviations::default(),
            fit_last: false,
        }
    }
}

/// Local errors of fitted steps on a reference trajectory, and their growth.
///
/// The error of a step between nodes is cross-fitted: its coefficients are fitted on the images of all folds but one, and judged on that
/// one. Paths are minima over very many steps, and whoever judges a fit on what it was fitted to finds those that had luck.
#[derive(Clone, Debug)]
pub struct FittedModel {
    schedule: NoiseSchedule,
    /// With node 0: index i is the i-th node.
    nodes: Vec<usize>,
    fitting: Fitting,
    grams: PooledGram,
    log_growth: Vec<f64>,
    errors: Errors,
}

/// Mean squared errors, an entry per s < t.
#[derive(Clone, Debug, Default)]
struct Errors {
    /// Of steps without a previous node, by t.
    begun: Vec<Vec<f64>>,
    /// By the previous node, and t.
    after: Vec<Vec<Vec<f64>>>,
}

impl FittedModel {
    /// A model of these trajectories. `bands` are those of per-band coefficients.
    ///
    /// # Errors
    /// [`Error::Schedule`](crate::Error::Schedule) for trajectories of another process than the flow, for fewer than two images, and for bands
    /// of another shape or none where they are needed; [`Error::Core`](crate::Error::Core) for a sampler whose steps are not priced.
    pub fn new(
        trajectories: &Trajectories,
        fitting: Fitting,
        bands: Option<&Bands>,
    ) -> Result<Self> {
        check(trajectories, &fitting, bands)?;
        let bands = bands.filter(|_| fitting.kind.is_per_band());
        Ok(Self::of_grams(
            trajectories,
            fitting,
            PooledGram::new(trajectories, bands),
        ))
    }

    /// The same fits with another ridge.
    #[must_use]
    pub fn with_deviations(self, trajectories: &Trajectories, deviations: Deviations) -> Self {
        let fitting = Fitting {
            deviations,
            ..self.fitting
        };
        Self::of_grams(trajectories, fitting, self.grams)
    }

    fn of_grams(trajectories: &Trajectories, fitting: Fitting, grams: PooledGram) -> Self {
        let schedule = trajectories.schedule().clone();
        let nodes: Vec<usize> = std::iter::once(0)
            .chain(trajectories.nodes().iter().copied())
            .collect();
        let growth = trajectories.growth();
        let curve = GrowthCurve::new(growth, fitting.sampler, fitting.kind, &schedule);
        let log_growth = nodes.iter().map(|&t| curve.log(&schedule, t)).collect();
        let mut model = Self {
            log_growth,
            schedule,
            nodes,
            fitting,
            grams,
            errors: Errors::default(),
        };
        let n = model.grams.nodes();
        let begun = (1..=n).into_par_iter().map(|t| model.errors(None, t));
        let begun = begun.collect();
        let after = (1..=n).into_par_iter().map(|p| {
            let of_previous = (1..p).into_par_iter();
            of_previous.map(|t| model.errors(Some(p), t)).collect()
        });
        let after = match model.fitting.sampler {
            Sampler::Ddim => Vec::new(),
            _ => after.collect(),
        };
        model.errors = Errors { begun, after };
        model
    }

    /// The fields that a step uses, from where its fit begins, and along what it is free.
    fn start(&self, previous: Option<usize>, t: usize, s: usize) -> (Terms, &'static [Terms]) {
        let of = |i: usize| self.nodes[i];
        let step = self
            .fitting
            .sampler
            .flow_step(&self.schedule, previous.map(of), of(t), of(s));
        let kind = if s == 0 && !self.fitting.fit_last {
            CoefficientKind::Solver
        } else {
            self.fitting.kind
        };
        (terms_of(&step), directions(kind, previous.is_some()))
    }

    /// Cross-fitted mean squared errors of the steps from t that follow one from `previous`, per s < t.
    fn errors(&self, previous: Option<usize>, t: usize) -> Vec<f64> {
        let (folds, bands) = (self.grams.folds(), self.grams.bands());
        let ridges = self.ridge(t);
        let starts: Vec<(Terms, &[Terms])> = (0..t).map(|s| self.start(previous, t, s)).collect();
        let mut errors = vec![0.0; t];
        for (band, ridge) in ridges.iter().enumerate().take(bands) {
            let of_fold: Vec<OfFold<'_>> = (0..folds)
                .map(|fold| OfFold::new(&self.grams, fold, band, previous, t))
                .collect();
            for fold in 0..folds {
                let others = || of_fold.iter().enumerate().filter(move |&(q, _)| q != fold);
                // The fields are the same for every s: their equations are factored once.
                let fields = others().fold(Products::default(), |sum, (_, one)| {
                    sum.plus(&one.products, 1.0)
                });
                let fitted_on = self.grams.images() - self.images_of(fold);
                let ridge = scaled(ridge, fitted_on as f64);
                let inner = Normal::new(&fields, &ridge, starts[t - 1].1);
                let last = Normal::new(&fields, &ridge, starts[0].1);
                for (s, error) in errors.iter_mut().enumerate() {
                    let normal = if s == 0 { &last } else { &inner };
                    let target = others().fold([0.0; MOST_TERMS], |mut sum, (_, one)| {
                        let target = one.target(s);
                        for (sum, x) in sum.iter_mut().zip(target) {
                            *sum += x;
                        }
                        sum
                    });
                    let coefficients = normal.solve(&starts[s].0, &target);
                    *error += of_fold[fold].at(s).residual(&coefficients);
                }
            }
        }
        let images = self.grams.images() as f64;
        errors.iter().map(|error| error / images).collect()
    }

    /// What is added to the products of the fields at node index `t`, per band and image.
    fn ridge(&self, t: usize) -> Vec<[Terms; MOST_TERMS]> {
        let deviations = &self.fitting.deviations;
        deviations.at(&self.schedule, self.nodes[t], self.grams.bands())
    }

    fn images_of(&self, fold: usize) -> usize {
        (fold..self.grams.images())
            .step_by(self.grams.folds())
            .count()
    }

    /// The cross-fitted mean square, per dimension, of the error of a step on the reference; indices as in
    /// [`QualityModel::cost`](crate::QualityModel::cost).
    pub fn squared_error(&self, previous: Option<usize>, t: usize, s: usize) -> f64 {
        match previous.filter(|_| self.fitting.sampler != Sampler::Ddim) {
            Some(p) => self.errors.after[p - 1][t - 1][s],
            None => self.errors.begun[t - 1][s],
        }
    }

    /// The cost of a step: its error under a weighting, growth included if it was measured for these coefficients.
    pub fn cost(&self, weighting: Weighting, previous: Option<usize>, t: usize, s: usize) -> f64 {
        let mut square = self.squared_error(previous, t, s);
        if weighting.growth {
            square *= libm::exp(2.0 * self.log_growth[s]);
        }
        libm::pow(square, 0.5 * weighting.power)
    }

    /// The coefficients of a step between node indices, fitted on the reference's states of all images.
    ///
    /// # Panics
    /// If an index is above N, or `t` is 0.
    pub fn coefficients(&self, previous: Option<usize>, t: usize, s: usize) -> StepCoefficients {
        let previous = previous.filter(|_| self.fitting.sampler != Sampler::Ddim);
        let (base, free) = self.start(previous, t, s);
        let ridges = self.ridge(t);
        let images = self.grams.images() as f64;
        let fitted: Vec<Terms> = ridges
            .iter()
            .enumerate()
            .map(|(band, ridge)| {
                let all = (0..self.grams.folds()).fold(Products::default(), |sum, fold| {
                    let of_fold = OfFold::new(&self.grams, fold, band, previous, t);
                    sum.plus(&of_fold.at(s), 1.0)
                });
                Normal::new(&all, &scaled(ridge, images), free).solve(&base, &all.target)
            })
            .collect();
        coefficients_of(&fitted)
    }

    /// The coefficients of every step of a path, in ascending t; `None` if it visits nodes that are not of the grid.
    pub fn coefficients_along(&self, path: &TimePath) -> Option<Vec<StepCoefficients>> {
        let at = |t: &usize| self.nodes.binary_search(t).ok();
        let indices: Vec<usize> = path.nodes().iter().map(at).collect::<Option<_>>()?;
        let step = |k: usize| {
            let before = indices.get(k + 2).copied();
            self.coefficients(before, indices[k + 1], indices[k])
        };
        Some((0..path.steps()).map(step).collect())
    }

    /// The cost of a path, or `None` if it visits nodes that are not of the grid.
    pub fn path_cost(&self, weighting: Weighting, path: &TimePath) -> Option<f64> {
        let at = |t: &usize| self.nodes.binary_search(t).ok();
        let indices: Vec<usize> = path.nodes().iter().map(at).collect::<Option<_>>()?;
        let cost = |p: Option<usize>, t: usize, s: usize| self.cost(weighting, p, t, s);
        Some(ddpm_dp::second_order::path_cost(&cost, &indices))
    }

    /// The cheapest paths from the last node to 0 of K = 1..=`max_steps` steps: cost and path in timesteps.
    ///
    /// # Errors
    /// Those of the solver.
    pub fn solve(
        &self,
        weighting: Weighting,
        max_steps: usize,
    ) -> Result<Vec<Option<(f64, TimePath)>>> {
        let cost = |p: Option<usize>, t: usize, s: usize| self.cost(weighting, p, t, s);
        let (schedule, nodes) = (&self.schedule, &self.nodes);
        cheapest(self.fitting.sampler, schedule, nodes, max_steps, &cost)
    }

    /// The best paths of `steps` steps under squares and norms, with growth and without, none twice.
    ///
    /// # Errors
    /// As [`QualityModel::best_paths`](crate::QualityModel::best_paths).
    pub fn candidates(&self, steps: usize) -> Result<Vec<TimePath>> {
        let last = self.nodes.len() - 1;
        Budgets::Only(vec![steps]).wanted(last)?;
        let mut found = Vec::new();
        for (power, growth) in [(2.0, true), (1.0, true), (2.0, false), (1.0, false)] {
            let weighting = Weighting {
                power,
                growth,
                extrapolation: 0.0,
            };
            let end = self.schedule.train_steps();
            let best = self.solve(weighting, steps)?.pop().flatten();
            let (_, path) = best.ok_or(Invalid::Unreachable { steps, end })?;
            if !found.contains(&path) {
                found.push(path);
            }
        }
        Ok(found)
    }
}

/// Refuses what cannot be fitted.
pub(crate) fn check(
    trajectories: &Trajectories,
    fitting: &Fitting,
    bands: Option<&Bands>,
) -> Result<()> {
    fitting.sampler.check_priced()?;
    if trajectories.origin().kind != TrajectoryKind::Flow {
        let why = "fitted coefficients: expected trajectories of the probability flow, found those of the forward process";
        return Err(Invalid::Unsupported(why.into()).into());
    }
    if trajectories.images() < 2 {
        let expected = "at least 2 images: one is fitted to, the other judges";
        return Err(Invalid::field("images of the trajectories", expected, 1).into());
    }
    let per_band = bands.filter(|_| fitting.kind.is_per_band());
    let (nodes, images) = (trajectories.nodes().len(), trajectories.images());
    check_fit_size(nodes, images, per_band.map_or(1, Bands::count))?;
    if !fitting.kind.is_per_band() {
        return Ok(());
    }
    let shape = &trajectories.origin().model.shape;
    match bands {
        Some(bands) if bands.shape() == &shape[..] => Ok(()),
        Some(bands) => {
            let (expected, found) = (format!("{shape:?}"), format!("{:?}", bands.shape()));
            Err(Invalid::field("shape of the bands", expected, found).into())
        }
        None => {
            let expected = "those that the coefficients are fitted in";
            Err(Invalid::field("bands", expected, "none").into())
        }
    }
}

/// The products of one fold and band with the fields of the steps from t.
struct OfFold<'a> {
    /// Of the fields alone.
    products: Products,
    /// Of every field with all states and estimates.
    rows: [Option<&'a [f64]>; MOST_TERMS],
    squares: &'a [f64],
    nodes: usize,
}

impl<'a> OfFold<'a> {
    fn new(
        grams: &'a PooledGram,
        fold: usize,
        band: usize,
        previous: Option<usize>,
        t: usize,
    ) -> Self {
        let n = grams.nodes();
        let fields = [Some(t - 1), Some(n + t - 1), previous.map(|p| n + p - 1)];
        let rows = fields.map(|field| field.map(|field| grams.row(fold, band, field)));
        let mut products = Products::default();
        for (products, row) in products.fields.iter_mut().zip(rows) {
            for (product, field) in products.iter_mut().zip(fields) {
                if let (Some(row), Some(field)) = (row, field) {
                    *product = row[field];
                }
            }
        }
        Self {
            products,
            rows,
            squares: grams.squares(fold, band),
            nodes: n,
        }
    }

    /// Where the state at s is; the reference ends at the estimate at the first node.
    fn index(&self, s: usize) -> usize {
        if s == 0 { self.nodes } else { s - 1 }
    }

    /// The products of the fields with the state at s.
    fn target(&self, s: usize) -> Terms {
        let at = self.index(s);
        self.rows.map(|row| row.map_or(0.0, |row| row[at]))
    }

    /// All products of the step to s.
    fn at(&self, s: usize) -> Products {
        Products {
            target: self.target(s),
            square: self.squares[self.index(s)],
            ..self.products
        }
    }
}

/// `ridge` is of one image.
fn scaled(ridge: &[Terms; MOST_TERMS], images: f64) -> [Terms; MOST_TERMS] {
    ridge.map(|row| row.map(|x| images * x))
}

/// Fitted terms, one entry per band; a term that is 0 in all is none.
pub(crate) fn coefficients_of(fitted: &[Terms]) -> StepCoefficients {
    let looks_back = fitted.iter().any(|c| c[2] != 0.0);
    let terms = if looks_back { 3 } else { 2 };
    // Alike in every band: they are of none.
    let alike = fitted.iter().all(|c| c == &fitted[0]);
    let fitted = if alike { &fitted[..1] } else { fitted };
    let term = |j: usize| fitted.iter().map(|c| c[j]).collect();
    match StepCoefficients::new((0..terms).map(term).collect()) {
        Some(found) => found,
        None => unreachable!("fits of finite products are finite"),
    }
}
