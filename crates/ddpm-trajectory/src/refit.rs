//! Coefficients of a step fitted to what a sampler itself has reached.

use ddpm_core::{Bands, CoefficientKind, LinearStep, StepCoefficients};
use rayon::prelude::*;

use crate::fitted::coefficients_of;
use crate::least_squares::{Directions, MOST_TERMS, Normal, Products, Terms, terms_of};
use crate::pooled::FOLDS;

/// How many numbers of the data a prior counts for, from none to what leaves it alone; which of them is found by cross-fitting.
const PRIORS: [f64; 7] = [0.0, 30.0, 300.0, 3e3, 3e4, 3e5, 3e6];

/// What a step of a sampler begins from, for all images, one after another, and what it should come to.
#[derive(Clone, Copy, Debug)]
pub struct Student<'a> {
    /// The states at t.
    pub x_t: &'a [f64],
    /// The estimates at t.
    pub xhat0: &'a [f64],
    /// What is remembered of the nodes before that the step uses, the nearest first; empty for the first step and for samplers of first order.
    pub history: &'a [&'a [f64]],
    /// The weights of a state and an estimate in what is remembered of t ([`ddpm_core::Sampler::remembered`]).
    pub remembered: [f64; 2],
    /// The reference's states at s, or its end points.
    pub target: &'a [f64],
    /// Numbers of an image.
    pub dims: usize,
}

impl Student<'_> {
    fn images(&self) -> usize {
        self.x_t.len() / self.dims
    }

    /// Of one image, band by band.
    fn products(&self, image: usize, bands: Option<&Bands>) -> Vec<Products> {
        let part = |all: &[f64]| -> Option<Vec<f64>> {
            let own = all.get(image * self.dims..(image + 1) * self.dims)?;
            Some(bands.map_or_else(|| own.to_vec(), |bands| bands.transform(own)))
        };
        let fields = [self.x_t, self.xhat0]
            .into_iter()
            .chain(self.history.iter().copied());
        let fields: Vec<Option<Vec<f64>>> = fields.map(part).collect();
        let Some(target) = part(self.target) else {
            return Vec::new();
        };
        let mut found = vec![Products::default(); bands.map_or(1, Bands::count)];
        for k in 0..self.dims {
            let of = &mut found[bands.map_or(0, |bands| bands.of_coefficients()[k])];
            of.square += target[k] * target[k];
            for (i, a) in fields.iter().enumerate() {
                let Some(a) = a else { continue };
                of.target[i] += a[k] * target[k];
                for (j, b) in fields.iter().enumerate().take(i + 1) {
                    let Some(b) = b else { continue };
                    of.fields[i][j] += a[k] * b[k];
                }
            }
        }
        for of in &mut found {
            for i in 0..MOST_TERMS {
                for j in 0..i {
                    of.fields[j][i] = of.fields[i][j];
                }
            }
        }
        found
    }
}

/// The coefficients of one step: those fitted on all images, and per fold of the images those fitted on the others.
#[derive(Clone, Debug)]
pub struct Refit {
    /// On all images.
    pub all: StepCoefficients,
    /// Without the images of each fold; image i is in fold i mod the number of folds. What these make of the images of their fold says how good
    /// the fit is on images that it does not know.
    pub without: Vec<StepCoefficients>,
}

impl Refit {
    /// The coefficients that image `i` is judged with.
    pub fn judging(&self, image: usize) -> &StepCoefficients {
        &self.without[image % self.without.len()]
    }
}

/// The coefficients of one step on a sampler's own states: least squares towards the reference, from the coefficients of `base`.
///
/// A prior holds the fit where the data say little: the base for whole images, the fit of whole images for single bands. How much it counts is
/// what predicts the images of each of four folds best from the others.
///
/// # Panics
/// If the fields are not of as many images, or of fewer than two, or the bands not of their shape; per-band coefficients need bands; if the
/// step looks back on more than two nodes.
pub fn refit(
    kind: CoefficientKind,
    base: &LinearStep,
    student: &Student<'_>,
    bands: Option<&Bands>,
) -> Refit {
    let bands = bands.filter(|_| kind.is_per_band());
    assert!(
        bands.is_some() || !kind.is_per_band(),
        "per-band coefficients without bands"
    );
    let images = student.images();
    assert!(images > 1, "one image cannot judge what is fitted to it");
    let folds = FOLDS.min(images);
    let of_kind =
        |kind: CoefficientKind| Directions::new(kind, student.history.len(), student.remembered);
    let base = terms_of(base);
    if of_kind(kind).is_empty() {
        let all = coefficients_of(&[base]);
        let without = vec![all.clone(); folds];
        return Refit { all, without };
    }
    let count = bands.map_or(1, Bands::count);
    let products: Vec<Vec<Products>> = (0..images)
        .into_par_iter()
        .map(|image| student.products(image, bands))
        .collect();
    let mut sums = vec![vec![Products::default(); count]; folds];
    for (image, products) in products.iter().enumerate() {
        for (sum, product) in sums[image % folds].iter_mut().zip(products) {
            *sum = sum.plus(product, 1.0);
        }
    }
    let sizes: Vec<f64> = match bands {
        Some(bands) => bands.sizes().iter().map(|&n| n as f64).collect(),
        None => vec![student.dims as f64],
    };
    let fit = |parts: &[&Vec<Products>], observed: f64, counts: f64| -> Vec<Terms> {
        let whole = |b: &usize| {
            parts
                .iter()
                .fold(Products::default(), |sum, part| sum.plus(&part[*b], 1.0))
        };
        let by_band: Vec<Products> = (0..count).map(|b| whole(&b)).collect();
        // The prior of the bands is the fit of whole images; that of whole images the sampler's own step.
        let prior = if kind.is_per_band() {
            let all = by_band
                .iter()
                .fold(Products::default(), |sum, one| sum.plus(one, 1.0));
            let free = of_kind(CoefficientKind::Fitted);
            Normal::new(&all, &Default::default(), free).solve(&base, &all.target)
        } else {
            base
        };
        let free = of_kind(kind);
        let of_band = |(products, size): (&Products, &f64)| {
            // So many numbers more of the same kind, that obey the prior.
            let share = counts / (observed * size);
            let mut ridge = [[0.0; MOST_TERMS]; MOST_TERMS];
            let mut target = products.target;
            for i in 0..MOST_TERMS {
                ridge[i][i] = share * products.fields[i][i];
                target[i] += ridge[i][i] * prior[i];
            }
            Normal::new(products, &ridge, free).solve(&prior, &target)
        };
        by_band.iter().zip(&sizes).map(of_band).collect()
    };
    let without = |fold: usize, counts: f64| -> Vec<Terms> {
        let others: Vec<&Vec<Products>> = (0..folds)
            .filter(|&other| other != fold)
            .map(|other| &sums[other])
            .collect();
        let own = (fold..images).step_by(folds).count();
        fit(&others, (images - own) as f64, counts)
    };
    let left_out = |counts: f64| -> f64 {
        let of_fold = |fold: usize| {
            let errors = sums[fold].iter().zip(without(fold, counts));
            errors.map(|(own, c)| own.residual(&c)).sum::<f64>()
        };
        (0..folds).map(of_fold).sum()
    };
    let best = |best: (f64, f64), counts: f64| {
        let left = left_out(counts);
        if left < best.0 { (left, counts) } else { best }
    };
    let (_, counts) = PRIORS.into_iter().fold((f64::INFINITY, 0.0), best);
    let all: Vec<&Vec<Products>> = sums.iter().collect();
    Refit {
        all: coefficients_of(&fit(&all, images as f64, counts)),
        without: (0..folds)
            .map(|fold| coefficients_of(&without(fold, counts)))
            .collect(),
    }
}
