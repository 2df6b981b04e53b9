//! The samplers on a denoiser that is known: the covariance of what they draw, step by step.
//!
//! For data N(0, v) the estimate of x_0 is linear in x_t, so that x_s, x_t, the estimate before and the noise of a step are
//! jointly Gaussian. Their covariances are computed here from the formulas as the papers print them, and compared with
//! those of a few million samples. The same comparison has to fail for every coefficient that is off by one percent.

use std::sync::OnceLock;

use ddpm_core::{
    LinearStep, NoiseDomain, NoiseKey, NoiseSchedule, NoiseScheduleName, VarianceKind,
    analytic_variance, learned_log_variance, standard_normal,
};

/// Samples of one scalar.
const COUNT: usize = 1 << 23;
/// Standard errors that a covariance may be off by: some hundred are looked at, always of the same noise.
const MOST: f64 = 3.5;
/// Variance of the data.
const DATA: f64 = 3.0;
/// The learned variance's place between its bounds.
const V: f64 = 0.3;

#[derive(Clone, Copy, Debug)]
enum Sampler {
    Ancestral(VarianceKind),
    Ddim(f64),
    DpmSolver,
}

/// alpha_bar by product, as the papers have it.
fn alpha_bar(t: usize) -> f64 {
    (0..t)
        .map(|i| 1.0 - (1e-4 + (0.02 - 1e-4) * i as f64 / 999.0))
        .product()
}

/// `E[x_0 | x_t] = g x_t`.
fn gain(t: usize) -> f64 {
    let a = alpha_bar(t);
    a.sqrt() * DATA / (a * DATA + 1.0 - a)
}

/// What multiplies x_t, the estimate before and the noise, from the printed formulas.
fn printed(sampler: Sampler, previous: Option<usize>, t: usize, s: usize) -> [f64; 3] {
    let (a, b, g) = (alpha_bar(t), alpha_bar(s), gain(t));
    let lambda = |t: usize| (alpha_bar(t).sqrt() / (1.0 - alpha_bar(t)).sqrt()).ln();
    match sampler {
        Sampler::Ancestral(kind) => {
            // Ho et al. 2020, eq. 7.
            let beta = 1.0 - a / b;
            let posterior = (1.0 - b) / (1.0 - a) * beta;
            let from_x0 = b.sqrt() * beta / (1.0 - a);
            let from_x_t = (a / b).sqrt() * (1.0 - b) / (1.0 - a);
            let error = DATA - g * g * (a * DATA + 1.0 - a);
            let variance = match kind {
                VarianceKind::FixedSmall => posterior,
                VarianceKind::FixedLarge => beta,
                VarianceKind::Learned => beta.powf(V) * posterior.powf(1.0 - V),
                VarianceKind::Analytic => posterior + from_x0.powi(2) * error,
                other => unreachable!("{other} is no variance of the paper"),
            };
            [from_x_t + from_x0 * g, 0.0, variance.sqrt()]
        }
        Sampler::Ddim(eta) => {
            // Song et al. 2021, eq. 12 and 16.
            let sigma = eta * ((1.0 - b) / (1.0 - a)).sqrt() * (1.0 - a / b).sqrt();
            let epsilon = (1.0 - a.sqrt() * g) / (1.0 - a).sqrt();
            let kept = (1.0 - b - sigma * sigma).sqrt();
            [b.sqrt() * g + kept * epsilon, 0.0, sigma]
        }
        Sampler::DpmSolver => {
            // Lu et al. 2022, algorithm 2.
            let h = lambda(s) - lambda(t);
            let ratio = ((1.0 - b) / (1.0 - a)).sqrt();
            let from_data = -b.sqrt() * ((-h).exp() - 1.0);
            match previous {
                None => [ratio + from_data * g, 0.0, 0.0],
                Some(p) => {
                    let r = (lambda(t) - lambda(p)) / h;
                    let (now, before) = (1.0 + 1.0 / (2.0 * r), 1.0 / (2.0 * r));
                    [ratio + from_data * now * g, -from_data * before, 0.0]
                }
            }
        }
    }
}

/// The step of the library.
fn built(
    sampler: Sampler,
    schedule: &NoiseSchedule,
    previous: Option<usize>,
    t: usize,
    s: usize,
) -> LinearStep {
    let edge = schedule.transition(t, s);
    let mse = DATA / (1.0 + schedule.snr(t) * DATA);
    match sampler {
        Sampler::Ancestral(kind) => {
            let log_variance = match kind {
                VarianceKind::FixedSmall => edge.log_posterior_variance,
                VarianceKind::FixedLarge => edge.log_beta,
                VarianceKind::Learned => {
                    learned_log_variance(V, edge.log_beta, edge.log_posterior_variance)
                }
                VarianceKind::Analytic => analytic_variance(&edge, mse).ln(),
                other => unreachable!("{other} is no variance of the paper"),
            };
            LinearStep::ancestral(&edge, log_variance)
        }
        Sampler::Ddim(eta) => LinearStep::ddim(schedule, t, s, eta).unwrap(),
        Sampler::DpmSolver => LinearStep::dpm_solver_2m(schedule, previous, t, s),
    }
}

/// A coefficient of a step.
type Field = fn(&mut LinearStep) -> &mut f64;

/// Every coefficient that matters, off by one percent in either direction.
fn mutants(step: LinearStep) -> Vec<(String, LinearStep)> {
    let fields: [(&str, Field); 4] = [
        ("from_x_t", |step| &mut step.from_x_t),
        ("from_xhat0", |step| &mut step.from_xhat0),
        ("from_history", |step| &mut step.from_history[0]),
        ("noise", |step| &mut step.noise),
    ];
    let mut found = Vec::new();
    for (name, field) in fields {
        for factor in [0.99, 1.01] {
            let mut mutant = step;
            *field(&mut mutant) *= factor;
            if mutant != step {
                found.push((format!("{name} times {factor}"), mutant));
            }
        }
    }
    found
}

/// The samples before a step.
struct Samples {
    x_t: Vec<f64>,
    xhat0: Vec<f64>,
    /// Zeros before the first step.
    previous: Vec<f64>,
    noise: &'static [f32],
}

impl Samples {
    /// Takes the step; also the means of the products of x_s with itself, x_t, the estimate before and the noise.
    fn step(&self, step: &LinearStep, x_s: &mut [f64]) -> [f64; 4] {
        let mut sums = [0.0; 4];
        // Pieces stay in the cache.
        for (i, x_s) in x_s.chunks_mut(PIECE).enumerate() {
            let piece = i * PIECE..i * PIECE + x_s.len();
            let (x_t, noise) = (&self.x_t[piece.clone()], &self.noise[piece.clone()]);
            let previous = &self.previous[piece.clone()];
            step.apply(x_t, &self.xhat0[piece], &[previous], noise, x_s);
            sums[0] += dot(x_s, x_s);
            sums[1] += dot(x_s, x_t);
            sums[2] += dot(x_s, previous);
            sums[3] += dot(x_s, noise);
        }
        sums.map(|sum| sum / COUNT as f64)
    }
}

/// Samples that are looked at together.
const PIECE: usize = 1 << 12;

/// A sum of products, in eight interleaved parts.
fn dot<T: Copy + Into<f64>>(a: &[f64], b: &[T]) -> f64 {
    let mut parts = [0.0; 8];
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for i in 0..8 {
            parts[i] += a[i] * b[i].into();
        }
    }
    parts.iter().sum()
}

/// The start (0) and the noise of step i (from 1), the same for every sampler.
fn normals(i: usize) -> &'static [f32] {
    static DRAWN: [OnceLock<Vec<f32>>; 4] = [const { OnceLock::new() }; 4];
    DRAWN[i].get_or_init(|| {
        let mut noise = vec![0.0; COUNT];
        let key = NoiseKey {
            seed: 11,
            domain: NoiseDomain::Sampling,
            stream: 0,
            step: i as u32,
        };
        standard_normal(key, &mut noise);
        noise
    })
}

/// Runs one sampler down a path; returns the least number of standard errors that a mutant was off by.
fn run(sampler: Sampler, nodes: &[usize]) -> f64 {
    let schedule = NoiseSchedule::named(NoiseScheduleName::LinearUnscaled, 1000).unwrap();
    let mut x_t: Vec<f64> = normals(0).iter().map(|&x| f64::from(x)).collect();
    let mut previous = vec![0.0; COUNT];
    // Variances of x_t and of the estimate before, and their covariance.
    let [mut of_x, mut of_previous, mut between] = [1.0, 0.0, 0.0];
    let mut least = f64::INFINITY;
    for (i, pair) in nodes.windows(2).enumerate() {
        let (t, s) = (pair[0], pair[1]);
        let before = i.checked_sub(1).map(|i| nodes[i]);
        let g = gain(t);
        let [k, p, sigma] = printed(sampler, before, t, s);
        let variance = k * k * of_x + p * p * of_previous + 2.0 * k * p * between + sigma * sigma;
        let expected = [
            variance,
            k * of_x + p * between,
            k * between + p * of_previous,
            sigma,
        ];
        let variances = [variance, of_x, of_previous, 1.0];
        // The largest number of standard errors that a covariance is off by.
        let off = |found: [f64; 4]| {
            let each = found.iter().zip(expected).zip(variances);
            each.filter(|&(_, other)| other > 0.0)
                .map(|((found, expected), other)| {
                    let error = ((variance * other + expected * expected) / COUNT as f64).sqrt();
                    (found - expected).abs() / error
                })
                .fold(0.0, f64::max)
        };
        let samples = Samples {
            xhat0: x_t.iter().map(|x| g * x).collect(),
            x_t,
            previous,
            noise: normals(i + 1),
        };
        let step = built(sampler, &schedule, before, t, s);
        let mut x_s = vec![0.0; COUNT];
        let found = off(samples.step(&step, &mut x_s));
        assert!(
            found < MOST,
            "{sampler:?} ({t}, {s}): off by {found} standard errors"
        );
        let mut scratch = vec![0.0; COUNT];
        for (name, mutant) in mutants(step) {
            let off = off(samples.step(&mutant, &mut scratch));
            assert!(
                off > MOST,
                "{sampler:?} ({t}, {s}): {name} goes unnoticed ({off})"
            );
            least = least.min(off);
        }
        between = g * expected[1];
        (of_previous, of_x) = (g * g * of_x, variance);
        (previous, x_t) = (samples.xhat0, x_s);
    }
    least
}

/// Even the mutant that is nearest to the truth stands well clear of chance.
fn check(sampler: Sampler, nodes: &[usize]) {
    let least = run(sampler, nodes);
    assert!(least > 1.3 * MOST, "{sampler:?}: {least} standard errors");
}

// The nodes are where x_t, the estimates and the noise all matter: of a coefficient that hardly does, one percent is nothing.

#[test]
fn ancestral_steps_have_the_covariance_of_their_variance() {
    for kind in [
        VarianceKind::Learned,
        VarianceKind::FixedSmall,
        VarianceKind::FixedLarge,
        VarianceKind::Analytic,
    ] {
        check(Sampler::Ancestral(kind), &[430, 320, 260, 160]);
    }
}

#[test]
fn ddim_steps_have_the_covariance_of_their_eta() {
    check(Sampler::Ddim(0.0), &[480, 270, 150, 80]);
    for eta in [0.8, 1.0] {
        check(Sampler::Ddim(eta), &[480, 370, 310, 220]);
    }
}

#[test]
fn dpm_solver_steps_have_the_covariance_of_two_estimates() {
    check(Sampler::DpmSolver, &[360, 240, 100, 30]);
}
