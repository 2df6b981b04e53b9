//! What a step costs whose coefficients are fitted, and the paths that cost least.

use std::collections::BTreeMap;

use ddpm_core::{Bands, CoefficientKind, NoiseSchedule, Sampler, StepCoefficients, TimePath};
use ddpm_dp::third_order;
use ddpm_schedule::{Budgets, TrajectoryKind};
use rayon::prelude::*;

use crate::cheapest::{LastButOne, cheapest, check_nodes, last_but_one_is_lower};
use crate::error::{Invalid, Result};
use crate::grid_steps::{Before, GridSteps};
use crate::growth::GrowthCurve;
use crate::least_squares::{
    Directions, Lanes, MOST_TERMS, Normal, Products, Terms, residual, terms_of,
};
use crate::pooled::{PooledGram, check_fit_size};
use crate::quality::{Weighting, raised};
use crate::store::Trajectories;

/// How far the states and estimates of a sampler are from those of the reference at the nodes that it visits: per node and band the second
/// moments of the deviations of (x_t, the estimate at t, what is remembered of the two nodes before), per dimension of the whole image.
///
/// They are what a fit must be prepared for: least squares on the reference alone would trust its fields to the last digit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deviations {
    /// By timestep: of every band (or of the whole, one entry) the products of each with each.
    pub by_timestep: BTreeMap<usize, Vec<[[f64; 4]; 4]>>,
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
            for (found, row) in found.iter_mut().flatten().zip(moments.iter().flatten()) {
                for (found, x) in found.iter_mut().zip(row) {
                    *found += share * x;
                }
            }
        }
        found
    }
}

/// Steps whose coefficients are computed together.
const SIDE_BY_SIDE: usize = 8;

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
    steps: GridSteps,
    fitting: Fitting,
    grams: PooledGram,
    /// By t and band, what is added to the products of the fields, per image.
    ridges: Vec<Vec<[Terms; MOST_TERMS]>>,
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
    /// By the node before the previous one, and that one: by t and s < t, one after another.
    third: Vec<Vec<Vec<f64>>>,
}

impl FittedModel {
    /// A model of these trajectories. `bands` are those of per-band coefficients.
    ///
    /// # Errors
    /// [`Error::Schedule`](crate::Error::Schedule) for trajectories of another process than the flow, for fewer than two images, and for bands
    /// of another shape or none where they are needed, and for too many nodes; [`Error::Core`](crate::Error::Core) for a sampler whose steps
    /// are not priced.
    pub fn new(
        trajectories: &Trajectories,
        fitting: Fitting,
        bands: Option<&Bands>,
    ) -> Result<Self> {
        check(trajectories, &fitting, bands)?;
        let bands = bands.filter(|_| fitting.kind.is_per_band());
        let sampler = fitting.sampler;
        Ok(Self::of_grams(
            trajectories,
            fitting,
            PooledGram::new(trajectories, bands, sampler),
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
        let deviations = &fitting.deviations;
        let ridge = |&t: &usize| deviations.at(&schedule, t, grams.bands());
        let mut model = Self {
            ridges: nodes[1..].iter().map(ridge).collect(),
            log_growth,
            steps: GridSteps::new(&schedule, &nodes),
            schedule,
            nodes,
            fitting,
            grams,
            errors: Errors::default(),
        };
        model.errors = model.cross_fitted();
        model
    }

    /// The errors of all steps.
    fn cross_fitted(&self) -> Errors {
        let n = self.grams.nodes();
        let looks_back = self.fitting.sampler.looks_back();
        let of_t = || (1..=n).map(|t| vec![0.0; t]).collect::<Vec<_>>();
        let after = |p: usize| (1..p).map(|t| vec![0.0; t]).collect::<Vec<_>>();
        let third = |q: usize| {
            (1..q)
                .map(|p| vec![0.0; p * (p - 1) / 2])
                .collect::<Vec<_>>()
        };
        let of_order = |order: usize| if looks_back >= order { n } else { 0 };
        let mut found = Errors {
            begun: of_t(),
            after: (1..=of_order(1)).map(after).collect(),
            third: (1..=of_order(2)).map(third).collect(),
        };
        // Band by band: the products of all are more than the caches hold.
        for band in 0..self.grams.bands() {
            let begun = found.begun.par_iter_mut().enumerate();
            begun.for_each(|(t, errors)| self.add_errors(band, [None; 2], t + 1, errors));
            let after = found.after.par_iter_mut().enumerate();
            after.for_each(|(p, of_p)| {
                let of_t = of_p.par_iter_mut().enumerate();
                of_t.for_each(|(t, errors)| {
                    self.add_errors(band, [Some(p + 1), None], t + 1, errors);
                });
            });
            let third = found.third.par_iter_mut().enumerate();
            third.for_each(|(q, of_q)| {
                let of_p = of_q.par_iter_mut().enumerate();
                of_p.for_each(|(p, errors)| {
                    let mut left = errors.as_mut_slice();
                    for t in 1..=p {
                        let (own, rest) = left.split_at_mut(t);
                        self.add_errors(band, [Some(p + 1), Some(q + 1)], t, own);
                        left = rest;
                    }
                });
            });
        }
        let images = self.grams.images() as f64;
        let all = found.begun.iter_mut();
        let all = all.chain(found.after.iter_mut().flatten());
        let all = all.chain(found.third.iter_mut().flatten()).flatten();
        all.for_each(|error| *error /= images);
        found
    }

    /// The nodes before t that the sampler looks at.
    fn seen(&self, [near, far]: Before) -> Before {
        match self.fitting.sampler.looks_back() {
            0 => [None; 2],
            1 => [near, None],
            _ => [near, far],
        }
    }

    /// From where the fit of a step begins, and along what it is free.
    fn start(&self, before: Before, t: usize, s: usize) -> (Terms, Directions) {
        let sampler = self.fitting.sampler;
        let step = self.steps.step(sampler, before, t, s);
        let kind = if s == 0 && !self.fitting.fit_last {
            CoefficientKind::Solver
        } else {
            self.fitting.kind
        };
        let looks_back = before.iter().flatten().count();
        let remembered = self.steps.remembered(sampler, t);
        (
            terms_of(&step),
            Directions::new(kind, looks_back, remembered),
        )
    }

    /// Adds, of one band, the cross-fitted squared errors of all images, of the steps from t that follow those from the nodes before, per s < t.
    fn add_errors(&self, band: usize, before: Before, t: usize, errors: &mut [f64]) {
        let folds = self.grams.folds();
        let ridge = &self.ridges[t - 1][band];
        let (last_base, last_free) = self.start(before, t, 0);
        let (_, free) = self.start(before, t, t - 1);
        // Of the steps to s = 1, 2, ..: the sampler's own coefficients, so many steps side by side.
        let bases: Vec<Lanes<SIDE_BY_SIDE>> = (1..t)
            .step_by(SIDE_BY_SIDE)
            .map(|begin| {
                let mut base = [[0.0; SIDE_BY_SIDE]; MOST_TERMS];
                for (l, s) in (begin..t).take(SIDE_BY_SIDE).enumerate() {
                    let (terms, _) = self.start(before, t, s);
                    for (base, term) in base.iter_mut().zip(terms) {
                        base[l] = term;
                    }
                }
                base
            })
            .collect();
        let of_fold: Vec<OfFold<'_>> = (0..folds)
            .map(|fold| OfFold::new(&self.grams, fold, band, before, t))
            .collect();
        for fold in 0..folds {
            let others = || of_fold.iter().enumerate().filter(move |&(q, _)| q != fold);
            // The fields are the same for every s: their equations are factored once.
            let fields = others().fold(Products::default(), |sum, (_, one)| {
                sum.plus(&one.products, 1.0)
            });
            let fitted_on = self.grams.images() - self.images_of(fold);
            let ridge = scaled(ridge, fitted_on as f64);
            let own = &of_fold[fold];
            let target = others().fold([0.0; MOST_TERMS], |mut sum, (_, one)| {
                for (sum, x) in sum.iter_mut().zip(one.target(0)) {
                    *sum += x;
                }
                sum
            });
            let last = Normal::new(&fields, &ridge, last_free).solve(&last_base, &target);
            errors[0] += own.at(0).residual(&last);
            let normal = Normal::new(&fields, &ridge, free);
            for (base, begin) in bases.iter().zip((1..t).step_by(SIDE_BY_SIDE)) {
                let mut target = [[0.0; SIDE_BY_SIDE]; MOST_TERMS];
                for (_, one) in others() {
                    one.add_targets(begin, &mut target);
                }
                let found = normal.solve_all(base, &target);
                let mut target = [[0.0; SIDE_BY_SIDE]; MOST_TERMS];
                own.add_targets(begin, &mut target);
                let squares = own.squares_from(begin);
                let left = residual(&own.products.fields, &target, &squares, &found);
                for (error, left) in errors[begin..].iter_mut().zip(left) {
                    *error += left;
                }
            }
        }
    }

    fn images_of(&self, fold: usize) -> usize {
        (fold..self.grams.images())
            .step_by(self.grams.folds())
            .count()
    }

    /// The cross-fitted mean square, per dimension, of the error of a step on the reference; indices as in
    /// [`QualityModel::squared_error`](crate::QualityModel::squared_error).
    ///
    /// # Panics
    /// As [`QualityModel::squared_error`](crate::QualityModel::squared_error).
    pub fn squared_error(&self, before: [Option<usize>; 2], t: usize, s: usize) -> f64 {
        assert!(s < t, "node indices out of order: {s} is not before {t}");
        match self.seen(before) {
            [Some(p), Some(q)] => self.errors.third[q - 1][p - 1][t * (t - 1) / 2 + s],
            [Some(p), None] => self.errors.after[p - 1][t - 1][s],
            _ => self.errors.begun[t - 1][s],
        }
    }

    /// The cost of a step: its error under a weighting, growth included if it was measured for these coefficients.
    pub fn cost(
        &self,
        weighting: Weighting,
        before: [Option<usize>; 2],
        t: usize,
        s: usize,
    ) -> f64 {
        let mut square = self.squared_error(before, t, s);
        if weighting.growth {
            square *= libm::exp(2.0 * self.log_growth[s]);
        }
        raised(square, weighting.power)
    }

    /// The coefficients of a step between node indices, fitted on the reference's states of all images.
    ///
    /// # Panics
    /// If an index is above N, or `t` is 0.
    pub fn coefficients(&self, before: [Option<usize>; 2], t: usize, s: usize) -> StepCoefficients {
        let before = self.seen(before);
        let (base, free) = self.start(before, t, s);
        let ridges = &self.ridges[t - 1];
        let images = self.grams.images() as f64;
        let fitted: Vec<Terms> = ridges
            .iter()
            .enumerate()
            .map(|(band, ridge)| {
                let all = (0..self.grams.folds()).fold(Products::default(), |sum, fold| {
                    let of_fold = OfFold::new(&self.grams, fold, band, before, t);
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
            let far = indices
                .get(k + 3)
                .filter(|_| !(k == 1 && self.ends_lower(path.steps())));
            let before = [indices.get(k + 2).copied(), far.copied()];
            self.coefficients(before, indices[k + 1], indices[k])
        };
        Some((0..path.steps()).map(step).collect())
    }

    /// Whether the last step but one of a path is of lower order: coefficients that are fitted use all nodes that there are.
    fn ends_lower(&self, steps: usize) -> bool {
        let is_fitted = self.fitting.kind != CoefficientKind::Solver;
        !is_fitted && last_but_one_is_lower(self.fitting.sampler, steps)
    }

    /// The cost of a path, or `None` if it visits nodes that are not of the grid.
    pub fn path_cost(&self, weighting: Weighting, path: &TimePath) -> Option<f64> {
        let at = |t: &usize| self.nodes.binary_search(t).ok();
        let indices: Vec<usize> = path.nodes().iter().map(at).collect::<Option<_>>()?;
        let cost = |before: Before, t: usize, s: usize| self.cost(weighting, before, t, s);
        let lower = self.ends_lower(path.steps());
        let cost = LastButOne { cost: &cost, lower };
        Some(third_order::path_cost(&cost, &indices))
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
        let cost = |before: Before, t: usize, s: usize| self.cost(weighting, before, t, s);
        let (schedule, nodes) = (&self.schedule, &self.nodes);
        let ends_lower = self.fitting.kind == CoefficientKind::Solver;
        let sampler = self.fitting.sampler;
        cheapest(sampler, schedule, nodes, max_steps, ends_lower, &cost)
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
    check_nodes(fitting.sampler, trajectories.nodes().len())?;
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
    check_fit_size(
        fitting.sampler,
        nodes,
        images,
        per_band.map_or(1, Bands::count),
    )?;
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
    fn new(grams: &'a PooledGram, fold: usize, band: usize, [near, far]: Before, t: usize) -> Self {
        let n = grams.nodes();
        let remembered = |p: Option<usize>| p.map(|p| grams.remembered(p));
        let fields = [
            Some(t - 1),
            Some(n + t - 1),
            remembered(near),
            remembered(far),
        ];
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

    /// Adds the products of the fields with the states at s = begin, begin + 1, ..; beyond the grid's last anything, which nobody reads.
    fn add_targets(&self, begin: usize, sums: &mut Lanes<SIDE_BY_SIDE>) {
        for (sums, row) in sums.iter_mut().zip(self.rows) {
            let Some(row) = row else { continue };
            for (sum, x) in sums.iter_mut().zip(&row[begin - 1..]) {
                *sum += x;
            }
        }
    }

    /// The squares of these states.
    fn squares_from(&self, begin: usize) -> [f64; SIDE_BY_SIDE] {
        let mut found = [0.0; SIDE_BY_SIDE];
        for (found, x) in found.iter_mut().zip(&self.squares[begin - 1..]) {
            *found = *x;
        }
        found
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
    let is_used = |j: &usize| fitted.iter().any(|c| c[*j] != 0.0);
    let terms = 1 + (2..MOST_TERMS).rev().find(is_used).unwrap_or(1);
    // Alike in every band: they are of none.
    let alike = fitted.iter().all(|c| c == &fitted[0]);
    let fitted = if alike { &fitted[..1] } else { fitted };
    let term = |j: usize| fitted.iter().map(|c| c[j]).collect();
    match StepCoefficients::new((0..terms).map(term).collect()) {
        Some(found) => found,
        None => unreachable!("fits of finite products are finite"),
    }
}
