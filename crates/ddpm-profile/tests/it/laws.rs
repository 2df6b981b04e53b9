//! Data whose best denoiser is known, with expectations by quadrature: what an infinite profile would measure.

use ddpm_core::{
    Denoiser, GaussianDenoiser, NoiseDomain, NoiseKey, NoiseSchedule, NoiseScheduleName,
    Parameterization, StepVariance, VarianceKind, diffuse, edge_nll, standard_normal,
};
use ndarray::ArrayViewD;

use crate::support::{Point, spread, uniform};

/// Channels, height and width of every image: as many pixels as the kernels take at a time.
pub(crate) const SHAPE: [usize; 3] = [1, 4, 8];
pub(crate) const PIXELS: usize = SHAPE[0] * SHAPE[1] * SHAPE[2];

/// Points of a quadrature, [`PIXELS`] times a power of two.
const POINTS: usize = 1 << 16;

/// A law of images together with its exact posterior mean.
pub(crate) trait Law: Sync {
    /// Image `index` of data set `seed`.
    fn image(&self, seed: u64, index: u64) -> Vec<f32>;

    /// The posterior mean given x_t, and a learned fraction.
    fn predict(&self, t: usize, x_t: &[f64]) -> Point;

    /// Pixels (x0 and what the network makes of it at t) of equal weight, over which a mean is the expectation over images and noise
    /// of a mean over the pixels of an image. The x0 are the same for every t.
    fn quadrature(&self, t: usize) -> (Vec<f64>, Point);
}

/// Draws x_t of one image and denoises it.
pub(crate) fn observe(
    law: &dyn Law,
    schedule: &NoiseSchedule,
    seed: u64,
    index: u64,
    t: usize,
    x0: &[f32],
) -> Point {
    let key = NoiseKey {
        seed,
        domain: NoiseDomain::Forward,
        stream: index,
        step: t as u32,
    };
    let mut noise = vec![0.0; x0.len()];
    standard_normal(key, &mut noise);
    let mut x_t = vec![0.0; x0.len()];
    diffuse(schedule, t, x0, &noise, &mut x_t);
    law.predict(t, &x_t)
}

/// Independent Gaussian pixels, each of its own mean and variance.
pub(crate) struct Gaussian {
    pub(crate) model: GaussianDenoiser,
    mu: Vec<f64>,
    variance: Vec<f64>,
}

impl Gaussian {
    pub(crate) fn new(schedule: &NoiseSchedule) -> Self {
        let mu = uniform(SHAPE, |i, n| 0.9 * (i as f64 / n as f64 * 9.0).sin());
        let variance = uniform(SHAPE, |i, n| {
            10f64.powf(-3.0 + 2.5 * ((i * 31) % n) as f64 / n as f64)
        });
        let (means, variances) = (
            mu.iter().copied().collect(),
            variance.iter().copied().collect(),
        );
        let model = GaussianDenoiser::new(schedule.clone(), mu, variance, Parameterization::X0)
            .and_then(|model| model.with_v(uniform(SHAPE, spread)))
            .expect("valid");
        Self {
            model,
            mu: means,
            variance: variances,
        }
    }
}

impl Law for Gaussian {
    fn image(&self, seed: u64, index: u64) -> Vec<f32> {
        self.model.sample(seed, index).iter().copied().collect()
    }

    fn predict(&self, t: usize, x_t: &[f64]) -> Point {
        let [c, h, w] = SHAPE;
        let input: Vec<f32> = x_t.iter().map(|&x| x as f32).collect();
        let input = ArrayViewD::from_shape(vec![1, c, h, w], &input).expect("fits");
        let output = self.model.predict(input, &[t], None).expect("valid");
        let raw = output.variance.expect("learned");
        Point {
            x_t: Vec::new(),
            xhat0: output.mean.iter().map(|&x| f64::from(x)).collect(),
            v: Some(raw.iter().map(|&r| (f64::from(r) + 1.0) / 2.0).collect()),
        }
    }

    fn quadrature(&self, t: usize) -> (Vec<f64>, Point) {
        let schedule = self.model.noise_schedule();
        let (signal, noise) = (schedule.alpha_bar(t), schedule.one_minus_alpha_bar(t));
        let normal = Quantiles::new(-8.0, 8.0, |x| -0.5 * x * x);
        let mut x0 = Vec::with_capacity(POINTS);
        let mut xhat0 = Vec::with_capacity(POINTS);
        for k in 0..POINTS {
            // Every pixel gets a run of the sequence: each such run is even, every 32nd point need not be.
            let i = k * PIXELS / POINTS;
            let [a, b] = lattice(k);
            let (mu, variance) = (self.mu[i], self.variance[i]);
            let off = variance.sqrt() * normal.at(a);
            let observed = signal.sqrt() * off + noise.sqrt() * normal.at(b);
            x0.push(mu + off);
            xhat0.push(mu + signal.sqrt() * variance / (signal * variance + noise) * observed);
        }
        let v = (0..POINTS)
            .map(|k| spread(k * PIXELS / POINTS, PIXELS))
            .collect();
        (
            x0,
            Point {
                x_t: Vec::new(),
                xhat0,
                v: Some(v),
            },
        )
    }
}

/// Images of two kinds: all pixels of an image are independent draws from the one Gaussian or all from the other.
///
/// Pixels of an image are therefore not independent, images differ in how hard they are, and the network must guess the kind from
/// x_t. Its v depends on its guess, but not by much: with v 0.5 apart between the kinds, images whose kind is guessed wrongly cost so
/// much under the learned variance that differences of paths have a skewness above 3, and 64 images are too few for that
/// ([`half_width`](crate::student::half_width)).
pub(crate) struct Mixture {
    schedule: NoiseSchedule,
}

/// Mean and standard deviation of the pixels of each kind; both kinds are equally frequent.
const KINDS: [(f64, f64); 2] = [(-0.15, 0.15), (0.1, 0.35)];

impl Mixture {
    pub(crate) fn new(schedule: &NoiseSchedule) -> Self {
        Self {
            schedule: schedule.clone(),
        }
    }

    /// The kinds as seen at t: the gain that takes x_t to the posterior mean, and mean and variance of x_t.
    fn seen(&self, t: usize) -> [(f64, f64, f64); 2] {
        let signal = self.schedule.alpha_bar(t);
        let noise = self.schedule.one_minus_alpha_bar(t);
        KINDS.map(|(mu, sigma)| {
            let total = signal * sigma * sigma + noise;
            let gain = signal.sqrt() * sigma * sigma / total;
            (gain, signal.sqrt() * mu, total)
        })
    }
}

/// The posterior probability of the second kind, from the sums of x_t and x_t^2 over the image.
fn guess(seen: &[(f64, f64, f64); 2], sum: f64, squares: f64) -> f64 {
    let n = PIXELS as f64;
    let [first, second] = seen.map(|(_, centre, total)| {
        let distance = squares - 2.0 * centre * sum + n * centre * centre;
        -0.5 * (n * total.ln() + distance / total)
    });
    1.0 / (1.0 + (first - second).exp())
}

/// Posterior mean and v of pixel i.
fn estimate(seen: &[(f64, f64, f64); 2], second: f64, i: usize, x_t: f64) -> (f64, f64) {
    let of_kind = |k: usize| {
        let (gain, centre, _) = seen[k];
        KINDS[k].0 + gain * (x_t - centre)
    };
    let xhat0 = (1.0 - second) * of_kind(0) + second * of_kind(1);
    (xhat0, 0.35 + 0.2 * second + 0.3 * spread(i, PIXELS))
}

impl Law for Mixture {
    fn image(&self, seed: u64, index: u64) -> Vec<f32> {
        let key = |step| NoiseKey {
            seed,
            domain: NoiseDomain::Data,
            stream: index,
            step,
        };
        let mut kind = [0.0];
        standard_normal(key(1), &mut kind);
        let (mu, sigma) = KINDS[usize::from(kind[0] > 0.0)];
        let mut pixels = vec![0.0; PIXELS];
        standard_normal(key(0), &mut pixels);
        let pixel = |z: f32| (mu + sigma * f64::from(z)) as f32;
        pixels.into_iter().map(pixel).collect()
    }

    fn predict(&self, t: usize, x_t: &[f64]) -> Point {
        let seen = self.seen(t);
        let second = guess(&seen, x_t.iter().sum(), x_t.iter().map(|x| x * x).sum());
        let pixels = x_t.iter().enumerate();
        let (xhat0, v) = pixels.map(|(i, &x)| estimate(&seen, second, i, x)).unzip();
        Point {
            x_t: Vec::new(),
            xhat0,
            v: Some(v),
        }
    }

    /// The rest of the image enters through its sum and its sum of squares: a normal and a chi-squared number.
    fn quadrature(&self, t: usize) -> (Vec<f64>, Point) {
        let (signal, noise) = (
            self.schedule.alpha_bar(t).sqrt(),
            self.schedule.one_minus_alpha_bar(t).sqrt(),
        );
        let seen = self.seen(t);
        let normal = Quantiles::new(-8.0, 8.0, |x| -0.5 * x * x);
        let rest = (PIXELS - 1) as f64;
        // The square root of chi-squared with rest - 1 degrees of freedom: the deviations of the rest from their own mean.
        let chi = Quantiles::new(0.0, 3.0 * rest.sqrt(), |x| {
            (rest - 2.0) * x.ln() - 0.5 * x * x
        });
        let mut x0 = Vec::with_capacity(POINTS);
        let (mut xhat0, mut v) = (Vec::with_capacity(POINTS), Vec::with_capacity(POINTS));
        for k in 0..POINTS / 2 {
            let i = k * PIXELS / (POINTS / 2);
            let [a, b, c, d] = lattice(k);
            for ((mu, sigma), (_, centre, total)) in KINDS.into_iter().zip(seen) {
                let clean = mu + sigma * normal.at(a);
                let x_t = signal * clean + noise * normal.at(b);
                let mean = centre + (total / rest).sqrt() * normal.at(c);
                let squares = rest * mean * mean + total * chi.at(d).powi(2);
                let second = guess(&seen, x_t + rest * mean, x_t * x_t + squares);
                let (estimate, fraction) = estimate(&seen, second, i, x_t);
                x0.push(clean);
                xhat0.push(estimate);
                v.push(fraction);
            }
        }
        (
            x0,
            Point {
                x_t: Vec::new(),
                xhat0,
                v: Some(v),
            },
        )
    }
}

/// Point k of a low-discrepancy sequence in the unit cube: an additive recurrence in powers of the generalised golden ratio.
fn lattice<const N: usize>(k: usize) -> [f64; N] {
    let mut ratio = 2.0f64;
    for _ in 0..64 {
        ratio = (1.0 + ratio).powf(1.0 / (N as f64 + 1.0));
    }
    std::array::from_fn(|j| (0.5 + k as f64 * ratio.powi(-(j as i32) - 1)).fract())
}

/// The quantile function of a density on an interval.
struct Quantiles {
    low: f64,
    step: f64,
    /// The distribution function at the ends of cells.
    cumulative: Vec<f64>,
}

impl Quantiles {
    fn new(low: f64, high: f64, log_density: impl Fn(f64) -> f64) -> Self {
        const CELLS: usize = 1 << 14;
        let step = (high - low) / CELLS as f64;
        let middle = |i: usize| low + step * (i as f64 + 0.5);
        let most = (0..CELLS)
            .map(|i| log_density(middle(i)))
            .fold(f64::NEG_INFINITY, f64::max);
        let mut cumulative = vec![0.0];
        for i in 0..CELLS {
            cumulative.push(cumulative[i] + (log_density(middle(i)) - most).exp());
        }
        let total = cumulative[CELLS];
        cumulative.iter_mut().for_each(|c| *c /= total);
        Self {
            low,
            step,
            cumulative,
        }
    }

    fn at(&self, probability: f64) -> f64 {
        let c = &self.cumulative;
        let i = c
            .partition_point(|&c| c <= probability)
            .clamp(1, c.len() - 1);
        let share = (probability - c[i - 1]) / (c[i] - c[i - 1]);
        self.low + self.step * ((i - 1) as f64 + share)
    }
}

/// The quadrature knows what is known without it.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn quadrature_agrees_with_closed_forms() {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 40).expect("valid");
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / POINTS as f64;
    let normal = Quantiles::new(-8.0, 8.0, |x| -0.5 * x * x);
    assert!((normal.at(0.975) - 1.959_964).abs() < 1e-5);

    let (gaussian, mixture) = (Gaussian::new(&schedule), Mixture::new(&schedule));
    let square = KINDS.map(|(mu, sigma)| mu * mu + sigma * sigma);
    let laws: [(&dyn Law, f64); 2] = [
        (&gaussian, gaussian.model.x0_mean_square()),
        (&mixture, 0.5 * (square[0] + square[1])),
    ];
    for (law, square) in laws {
        for t in [1, 5, 18, 25, 35, 40] {
            let (x0, point) = law.quadrature(t);
            let found = mean(&mut x0.iter().map(|x| x * x));
            assert!((found / square - 1.0).abs() < 1e-3, "{found} {square}");
            // The error of a posterior mean is orthogonal to it.
            let pairs = || x0.iter().zip(&point.xhat0);
            let product = mean(&mut pairs().map(|(x, e)| e * (x - e)));
            let mse = mean(&mut pairs().map(|(x, e)| (x - e).powi(2)));
            let scale = (mse * square).sqrt();
            assert!(product.abs() < 1e-3 * scale, "{t}: {product} {scale}");
        }
    }
    for (t, s) in [(5, 1), (18, 5), (25, 18), (40, 18), (40, 39)] {
        let (x0, point) = gaussian.quadrature(t);
        let v = StepVariance::Learned(point.v.as_deref().expect("learned"));
        let found = edge_nll(&schedule.transition(t, s), 0.0, v, &x0, &point.xhat0);
        let exact = gaussian.model.term((t, s), VarianceKind::Learned);
        let exact = exact.expect("closed form");
        assert!(
            (found / exact - 1.0).abs() < 1e-3,
            "{t} {s}: {found} {exact}"
        );
        let mse = mean(&mut x0.iter().zip(&point.xhat0).map(|(x, e)| (x - e).powi(2)));
        assert!(
            (mse / gaussian.model.mse(t) - 1.0).abs() < 1e-3,
            "{t}: {mse}"
        );
    }
}
