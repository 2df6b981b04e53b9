//! Deterministic multistep samplers that look back further than one node, or correct what they predicted: iPNDM, DPM-Solver++(3M)
//! and UniPC.
//!
//! All of them are linear in the state and in the estimates, so that a step is a list of weights, the same for every number of an image.
//! With `lambda = log(SNR) / 2`, `h = lambda_s - lambda_t` and the nodes `p1, p2, ..` before `t` (noisier ones), they differ from DDIM
//! by how they extrapolate the estimates over the step.

use super::linear::half_log_snr_gain;
use crate::{LinearStep, NoiseSchedule, Sampler, TimePath};

/// Estimates that are remembered at most.
const MOST_REMEMBERED: usize = 3;

/// One step from `t` down to `s` of a multistep sampler along a path; [`MultistepState::step`] takes it.
///
/// The state `x_t` that the network was shown is corrected first, where the sampler has a corrector, from the state before (corrected
/// too), the estimate at `t` and those before. Then `x_s` is predicted from it. What is remembered of an estimate is the estimate
/// itself, or the noise that goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct MultistepStep {
    corrector: Option<Weights>,
    predictor: Weights,
    /// Weights of `x_t` and of the estimate in what is remembered.
    remembered: [f64; 2],
}

impl MultistepStep {
    /// What `x_s` is made of: the weights of the corrected `x_t`, of the estimate at `t` and of what is remembered of the nodes before, the
    /// nearest first.
    pub fn predictor(&self) -> Vec<f64> {
        self.predictor.all()
    }

    /// What the corrected `x_t` is made of, where the sampler has a corrector: the weights of the corrected state that the step before began
    /// from, of the estimate at `t` and of what is remembered.
    pub fn corrector(&self) -> Option<Vec<f64>> {
        self.corrector.as_ref().map(Weights::all)
    }

    /// The weights of `x_t`, as the network was shown it, and of the estimate in what is remembered of `t`.
    pub fn remembered(&self) -> [f64; 2] {
        self.remembered
    }
}

/// A linear combination.
#[derive(Clone, Debug, PartialEq)]
struct Weights {
    /// Of the state: the one before for a corrector, the corrected one for a predictor.
    state: f64,
    /// Of the estimate at `t`.
    estimate: f64,
    /// Of what is remembered, the node next to `t` first.
    history: Vec<f64>,
}

impl Weights {
    fn all(&self) -> Vec<f64> {
        let own = [self.state, self.estimate].into_iter();
        own.chain(self.history.iter().copied()).collect()
    }

    fn of(state: f64, estimate: f64) -> Self {
        Self {
            state,
            estimate,
            history: Vec::new(),
        }
    }
}

/// What such a sampler knows of an image between its steps.
#[derive(Clone, Debug, Default)]
pub struct MultistepState {
    /// The state that the last step began from, corrected.
    from: Vec<f64>,
    /// Of the nodes before, the nearest first.
    history: Vec<Vec<f64>>,
}

impl MultistepState {
    /// Takes a step: `x` is the state that the network was shown and becomes the next; `estimate` is that of `x_0` there. The steps
    /// of a path are taken one after the other, noisiest first, from a state that is new.
    ///
    /// # Panics
    ///
    /// If the slices differ in length, or if a step looks back on more than was taken.
    pub fn step(&mut self, step: &MultistepStep, estimate: &[f64], x: &mut [f64]) {
        assert_eq!(estimate.len(), x.len(), "estimate and x_t differ in length");
        let combine = |weights: &Weights, state: f64, i: usize| {
            let history = weights.history.iter().zip(&self.history);
            let sum: f64 = history.map(|(weight, values)| weight * values[i]).sum();
            weights.state * state + weights.estimate * estimate[i] + sum
        };
        let looks_back = |weights: &Weights| weights.history.len() <= self.history.len();
        assert!(
            looks_back(&step.predictor) && step.corrector.iter().all(looks_back),
            "a step looks back on more than was taken"
        );
        let [of_state, of_estimate] = step.remembered;
        let mut remembered = vec![0.0; x.len()];
        let mut from = vec![0.0; x.len()];
        for (i, x) in x.iter_mut().enumerate() {
            remembered[i] = of_state * *x + of_estimate * estimate[i];
            from[i] = match &step.corrector {
                Some(corrector) => combine(corrector, self.from[i], i),
                None => *x,
            };
            *x = combine(&step.predictor, from[i], i);
        }
        self.from = from;
        self.history.insert(0, remembered);
        self.history.truncate(MOST_REMEMBERED);
    }
}

/// The steps of a sampler along a path, noisiest first; `None` for the samplers whose step is a [`LinearStep`](crate::LinearStep).
pub(super) fn along(
    sampler: Sampler,
    schedule: &NoiseSchedule,
    path: &TimePath,
) -> Option<Vec<MultistepStep>> {
    let nodes: Vec<usize> = path.nodes().iter().rev().copied().collect();
    let steps = path.steps();
    let at = |k: usize| Place {
        schedule,
        nodes: &nodes[..=k + 1],
        left: steps - k,
        steps,
    };
    let of = |step: &dyn Fn(&Place<'_>) -> MultistepStep| {
        Some((0..steps).map(|k| step(&at(k))).collect())
    };
    match sampler {
        Sampler::Ipndm | Sampler::DpmSolver3M => of(&|place| without_corrector(sampler, place)),
        Sampler::UniPc2 => of(&|place| unipc(place, 2)),
        Sampler::UniPc3 => of(&|place| unipc(place, 3)),
        Sampler::Ddpm | Sampler::Ddim | Sampler::DpmSolver2M => None,
    }
}

/// Where a step is on its path.
struct Place<'a> {
    schedule: &'a NoiseSchedule,
    /// From the noisiest node down to `s`, at least two.
    nodes: &'a [usize],
    /// Steps that are left, this one included.
    left: usize,
    /// K.
    steps: usize,
}

impl Place<'_> {
    fn t(&self) -> usize {
        self.nodes[self.nodes.len() - 2]
    }

    fn s(&self) -> usize {
        self.nodes[self.nodes.len() - 1]
    }

    /// The place one step before; `None` for the first.
    fn before(&self) -> Option<Place<'_>> {
        let nodes = &self.nodes[..self.nodes.len() - 1];
        (nodes.len() > 1).then(|| Place {
            schedule: self.schedule,
            nodes,
            left: self.left + 1,
            steps: self.steps,
        })
    }

    /// `lambda_to - lambda_from`; infinite onto the data and from a node where no signal is left.
    fn gain(&self, from: usize, to: usize) -> f64 {
        half_log_snr_gain(self.schedule, &self.schedule.transition(from, to))
    }

    /// Estimates that a step can use: its own, and of those before that lie at a finite `lambda` so many as `order` wants. Programs that
    /// put a small number in the place of an alpha_bar of 0 extrapolate from there as well.
    fn order(&self, order: usize) -> usize {
        let earlier = self.nodes[..self.nodes.len() - 2].iter().rev();
        let usable = earlier.take_while(|&&p| self.schedule.alpha_bar(p) > 0.0);
        order.min(1 + usable.count())
    }

    /// `(lambda_p - lambda_t) / h` of the nodes before `t`, the nearest first; all below 0.
    fn ratios(&self, count: usize) -> Vec<f64> {
        let h = self.gain(self.t(), self.s());
        let earlier = self.nodes[..self.nodes.len() - 2].iter().rev();
        earlier
            .take(count)
            .map(|&p| -self.gain(p, self.t()) / h)
            .collect()
    }

    /// DDIM's step, which all others extrapolate from: the weights of `x_t` and of the estimate, and `h`.
    fn first_order(&self) -> (Weights, f64) {
        let step = LinearStep::dpm_solver_2m(self.schedule, None, self.t(), self.s());
        let h = self.gain(self.t(), self.s());
        (Weights::of(step.from_x_t, step.from_xhat0), h)
    }
}

/// The step onto the data, the same for every sampler: the estimate.
fn onto_the_data() -> MultistepStep {
    MultistepStep {
        corrector: None,
        predictor: Weights::of(0.0, 1.0),
        remembered: [0.0, 1.0],
    }
}

/// The steps that schedules are chosen for, in this form.
fn without_corrector(sampler: Sampler, place: &Place<'_>) -> MultistepStep {
    if place.s() == 0 {
        return onto_the_data();
    }
    let count = sampler.looks_back_at(place.steps, place.left);
    let earlier = place.nodes[..place.nodes.len() - 2].iter().rev();
    let before: Vec<usize> = earlier.take(count).copied().collect();
    let step = sampler.flow_step(place.schedule, &before, place.t(), place.s());
    MultistepStep {
        corrector: None,
        predictor: Weights {
            state: step.from_x_t,
            estimate: step.from_xhat0,
            history: step.history().to_vec(),
        },
        remembered: sampler.remembered(place.schedule, place.t()),
    }
}

/// UniPC of an order (Zhao et al. 2023, algorithms 5 to 8, B(h) = exp(h) - 1, data prediction): a predictor, and a corrector that uses the
/// estimate at the predicted state, which the next step needs anyway. Orders rise from 1 and fall to 1 at the end.
fn unipc(place: &Place<'_>, order: usize) -> MultistepStep {
    if place.s() == 0 {
        // What it would correct is not looked at any more.
        return onto_the_data();
    }
    let order_at = |place: &Place<'_>| place.order(order.min(place.left));
    let (mut predictor, h) = place.first_order();
    let ratios = place.ratios(order_at(place) - 1);
    let rhos = match ratios.len() {
        // As its authors: the exact solution would be that of UniC.
        1 => vec![0.5],
        _ => moments(&ratios, h),
    };
    let data = predictor.estimate;
    for (rho, r) in rhos.iter().zip(&ratios) {
        predictor.history.push(data * rho / r);
        predictor.estimate -= data * rho / r;
    }
    let corrector = place.before().map(|before| {
        let (first, h) = before.first_order();
        let ratios = before.ratios(order_at(&before) - 1);
        let rhos = if ratios.is_empty() {
            vec![0.5]
        } else {
            moments(&[&ratios[..], &[1.0]].concat(), h)
        };
        let data = first.estimate;
        // The estimate at t is the last; what is remembered begins with that of the node where the step began.
        let own = data * rhos[ratios.len()];
        let mut history = vec![data - own];
        for (rho, r) in rhos.iter().zip(&ratios) {
            history.push(data * rho / r);
            history[0] -= data * rho / r;
        }
        Weights {
            state: first.state,
            estimate: own,
            history,
        }
    });
    MultistepStep {
        corrector,
        predictor,
        remembered: [0.0, 1.0],
    }
}

/// The rho of UniPC: `sum_k rho_k r_k^i = (i + 1)! h phi_{i+2}(-h) / (1 - exp(-h))` for every power i below their number
/// (Bjoerck & Pereyra 1970).
fn moments(ratios: &[f64], h: f64) -> Vec<f64> {
    let n = ratios.len();
    let mut factorial = 1.0;
    let mut x: Vec<f64> = (0..n)
        .map(|i| {
            factorial *= (i + 1) as f64;
            factorial * h * phi(i + 2, h) / -libm::expm1(-h)
        })
        .collect();
    for k in 0..n {
        for j in (k + 1..n).rev() {
            x[j] -= ratios[k] * x[j - 1];
        }
    }
    for k in (0..n.saturating_sub(1)).rev() {
        for j in k + 1..n {
            x[j] /= ratios[j] - ratios[j - k - 1];
        }
        for j in k..n - 1 {
            x[j] -= x[j + 1];
        }
    }
    x
}

/// `phi_k(-h) = sum_j (-h)^j / (j + k)!`: the functions of exponential integrators, `phi_1(-h) = (1 - exp(-h)) / h` and
/// `phi_{k+1}(-h) = (1/k! - phi_k(-h)) / h`.
pub(super) fn phi(k: usize, h: f64) -> f64 {
    let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
    if h < 1.0 {
        // What the recursion would subtract is nearly equal.
        let mut term = 1.0 / factorial(k);
        let mut sum = 0.0;
        for j in 1..24 {
            sum += term;
            term *= -h / (j + k) as f64;
        }
        return sum;
    }
    let first = -libm::expm1(-h) / h;
    (1..k).fold(first, |phi, i| (1.0 / factorial(i) - phi) / h)
}
