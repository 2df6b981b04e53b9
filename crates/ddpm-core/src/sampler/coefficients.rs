//! Steps of a deterministic sampler whose coefficients are not its own, but fitted to a reference.

use serde::{Deserialize, Serialize};

use crate::names::names;
use crate::{Bands, LinearStep};

/// Where the coefficients of a deterministic sampler's steps come from.
///
/// The steps are `x_s = a x_t + b xhat0(t) + c h(p) + d h(q)`, h being what the sampler remembers of the nodes p and q before t
/// ([`LinearStep`]); a sampler of first order has neither c nor d, one of second order no d. Parsed from and printed as `solver`, `history`,
/// `fitted` and `fitted-bands`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CoefficientKind {
    /// The sampler's own, from the noise schedule alone.
    #[default]
    Solver,
    /// The sampler's own but for how far it extrapolates: what is known at t is exchanged for what is remembered of the nodes before, so much as
    /// fits. Of samplers that remember estimates a, and the sum of b, c and d, are their own.
    History,
    /// All of them fitted by least squares.
    Fitted,
    /// All of them fitted in every band of frequencies by itself ([`Bands`]).
    FittedBands,
}

names!(
    CoefficientKind, "coefficients",
    Solver => "solver",
    History => "history",
    Fitted => "fitted",
    FittedBands => "fitted-bands",
);

impl CoefficientKind {
    /// "fitted coefficients" and the like; `None` for the sampler's own.
    pub fn in_words(self) -> Option<&'static str> {
        match self {
            Self::Solver => None,
            Self::History => Some("fitted extrapolation"),
            Self::Fitted => Some("fitted coefficients"),
            Self::FittedBands => Some("coefficients fitted per band"),
        }
    }

    /// Whether a step has numbers of every band.
    pub fn is_per_band(self) -> bool {
        self == Self::FittedBands
    }
}

/// The coefficients of one step, from `t` down to `s`:
///
/// `x_s = sum_j U^T (c_j U f_j)`, where the `f_j` are `x_t`, the estimate of `x_0` at `t`, and what the sampler remembers of the nodes before, the
/// nearest first (the estimates there, or the noise that goes with them: [`Sampler::remembered`](crate::Sampler::remembered)), and `c_j` is one number, or one number per band of frequencies of the transform U ([`Bands`]).
///
/// In files a list of the c_j: numbers, or lists of one number per band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct StepCoefficients {
    /// One list per f_j: of one number, or of one per band.
    terms: Vec<Vec<f64>>,
}

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "coefficients of a step: expected a list of numbers, or of lists of numbers"
)]
enum Stored {
    Whole(Vec<f64>),
    PerBand(Vec<Vec<f64>>),
}

impl From<StepCoefficients> for Stored {
    fn from(coefficients: StepCoefficients) -> Self {
        if coefficients.bands() == 1 {
            Self::Whole(coefficients.terms.into_iter().flatten().collect())
        } else {
            Self::PerBand(coefficients.terms)
        }
    }
}

impl TryFrom<Stored> for StepCoefficients {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let terms = match stored {
            Stored::Whole(terms) => terms.into_iter().map(|c| vec![c]).collect(),
            Stored::PerBand(terms) => terms,
        };
        Self::new(terms).ok_or(
            "coefficients of a step: expected two or more numbers, or as many lists of one length",
        )
    }
}

impl From<&LinearStep> for StepCoefficients {
    /// Those of a deterministic step, of as many nodes before as it uses; its noise is none of them.
    fn from(step: &LinearStep) -> Self {
        let terms = [step.from_x_t, step.from_xhat0].into_iter();
        Self {
            terms: terms
                .chain(step.history().iter().copied())
                .map(|c| vec![c])
                .collect(),
        }
    }
}

impl StepCoefficients {
    /// `terms`: of `x_t`, of the estimate at `t`, and of what is remembered of as many nodes before as the step uses; one number or one per band each, all alike.
    /// `None` for anything else, and for numbers that are not finite.
    pub fn new(terms: Vec<Vec<f64>>) -> Option<Self> {
        let bands = terms.first().map_or(0, Vec::len);
        let alike = terms.iter().all(|term| term.len() == bands);
        let finite = terms.iter().flatten().all(|c| c.is_finite());
        (terms.len() >= 2 && bands > 0 && alike && finite).then_some(Self { terms })
    }

    /// A list per f_j.
    pub fn terms(&self) -> &[Vec<f64>] {
        &self.terms
    }

    /// How many nodes before `t` it uses.
    pub fn looks_back(&self) -> usize {
        self.terms.len() - 2
    }

    /// The number of bands that its numbers are of; 1 where they are of no band.
    pub fn bands(&self) -> usize {
        self.terms[0].len()
    }

    /// Takes the step for one image, into `dst`. `earlier`: what is remembered of the nodes before, the nearest first. `bands` are those that the
    /// numbers are of; they do not matter where there is one number a term.
    ///
    /// # Panics
    ///
    /// If slices differ in length, if it looks back on more than there is, or if its numbers are not of these bands.
    pub fn apply(
        &self,
        bands: Option<&Bands>,
        x_t: &[f64],
        xhat0: &[f64],
        earlier: &[&[f64]],
        dst: &mut [f64],
    ) {
        assert!(
            self.looks_back() <= earlier.len(),
            "a step looks back on more than was taken"
        );
        let fields = [x_t, xhat0].into_iter().chain(earlier.iter().copied());
        dst.fill(0.0);
        if self.bands() == 1 {
            for (term, field) in self.terms.iter().zip(fields) {
                assert_eq!(field.len(), dst.len(), "a field and x_s differ in length");
                for (dst, x) in dst.iter_mut().zip(field) {
                    *dst += term[0] * x;
                }
            }
            return;
        }
        let Some(bands) = bands.filter(|bands| bands.count() == self.bands()) else {
            panic!("coefficients of {} bands without these", self.bands());
        };
        let mut sum = vec![0.0; dst.len()];
        for (term, field) in self.terms.iter().zip(fields) {
            let spectrum = bands.transform(field);
            for ((sum, y), &band) in sum.iter_mut().zip(spectrum).zip(bands.of_coefficients()) {
                *sum += term[band] * y;
            }
        }
        dst.copy_from_slice(&bands.inverse(&sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_in_every_band_are_one_number() {
        let bands = Bands::of_shape(&[3, 5, 4]).unwrap();
        let numbers = |k: f64| -> Vec<f64> { (0..60).map(|i| (k * i as f64).sin()).collect() };
        let (x, d, p) = (numbers(0.7), numbers(1.3), numbers(2.9));
        let c = [0.8, 0.5, -0.2];
        let scalar = StepCoefficients::new(c.map(|c| vec![c]).to_vec()).unwrap();
        let banded = c.map(|c| vec![c; bands.count()]).to_vec();
        let banded = StepCoefficients::new(banded).unwrap();
        let (mut plain, mut coloured) = (vec![0.0; 60], vec![0.0; 60]);
        scalar.apply(None, &x, &d, &[&p], &mut plain);
        banded.apply(Some(&bands), &x, &d, &[&p], &mut coloured);
        for (a, b) in plain.iter().zip(&coloured) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn coefficients_that_are_not_alike_are_none() {
        assert!(StepCoefficients::new(vec![vec![1.0]]).is_none());
        assert!(StepCoefficients::new(vec![vec![1.0], vec![1.0, 2.0]]).is_none());
        assert!(StepCoefficients::new(vec![vec![], vec![]]).is_none());
        assert!(StepCoefficients::new(vec![vec![f64::NAN], vec![1.0]]).is_none());
    }
}
