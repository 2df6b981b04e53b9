//! A model that is known in closed form: the optimal denoiser of Gaussian data.
//!
//! For data `x_0 ~ N(mu, diag(var))` the posterior mean is linear in `x_t`,
//! `E[x_0 | x_t] = mu + g (x_t - sqrt(alpha_bar) mu)` with `g = sqrt(alpha_bar) var / (alpha_bar var + 1 - alpha_bar)`,
//! and its squared error is `var / (1 + SNR var)`, so every term of the bound is known without sampling.

use ndarray::{Array, ArrayD, ArrayViewD, Axis, Dimension, Zip};

use crate::{
    Denoiser, DenoiserError, Error, NetworkId, NoiseDomain, NoiseKey, NoiseSchedule,
    Parameterization, Prediction, Result, Transition, VarianceKind, analytic_variance,
    gaussian_nll, interior_fixed, interior_learned_pixel, prior_kl, standard_normal,
};

/// The optimal [`Denoiser`] of data `N(mu, diag(variance))`, with its terms in closed form.
///
/// The closed forms hold without clipping of the estimates.
///
/// ```
/// use ddpm_core::{
///     GaussianDenoiser, NoiseSchedule, NoiseScheduleName, Parameterization, VarianceKind,
/// };
/// use ndarray::Array3;
///
/// let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 100)?;
/// let shape = (1, 4, 4);
/// let model = GaussianDenoiser::new(
///     schedule.clone(),
///     Array3::zeros(shape),
///     Array3::from_elem(shape, 0.5),
///     Parameterization::V,
/// )?;
/// let small = model.term((60, 20), VarianceKind::FixedSmall)?;
/// assert!((small - 0.5 * (schedule.snr(20) - schedule.snr(60)) * model.mse(60)).abs() < 1e-14);
/// assert!(model.term((60, 20), VarianceKind::Analytic)? < small);
/// # Ok::<(), ddpm_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct GaussianDenoiser {
    schedule: NoiseSchedule,
    mu: ArrayD<f64>,
    variance: ArrayD<f64>,
    parameterization: Parameterization,
    /// v of each pixel, if the model "learns" its variance.
    v: Option<ArrayD<f64>>,
}

impl GaussianDenoiser {
    /// For data with this mean and variance, of one shape without a batch axis, such as `[C, H, W]`.
    ///
    /// # Errors
    ///
    /// [`Error::ShapeMismatch`] if the shapes differ or have no axis, [`Error::LengthMismatch`] if they are empty, [`Error::InvalidParameter`] for a variance that is
    /// negative or not finite, or a mean that is not finite.
    pub fn new<D: Dimension>(
        schedule: NoiseSchedule,
        mu: Array<f64, D>,
        variance: Array<f64, D>,
        parameterization: Parameterization,
    ) -> Result<Self> {
        let (mu, variance) = (mu.into_dyn(), variance.into_dyn());
        check_shape("variance of the data", mu.shape(), variance.shape())?;
        if mu.ndim() == 0 {
            check_shape("mean of the data", &[1], &[])?;
        }
        if mu.is_empty() {
            return Err(Error::LengthMismatch {
                what: "mean of the data",
                expected: 1,
                found: 0,
            });
        }
        if let Some(&value) = mu.iter().find(|value| !value.is_finite()) {
            return Err(Error::InvalidParameter {
                what: "mean of the data",
                value,
                expected: "a finite number",
            });
        }
        let valid = |value: f64| value >= 0.0 && value.is_finite();
        if let Some(&value) = variance.iter().find(|&&value| !valid(value)) {
            return Err(Error::InvalidParameter {
                what: "variance of the data",
                value,
                expected: "a finite number of at least 0",
            });
        }
        Ok(Self {
            schedule,
            mu,
            variance,
            parameterization,
            v: None,
        })
    }

    /// The same model with variance channels: pixel by pixel this `v`, at every timestep.
    ///
    /// # Errors
    ///
    /// [`Error::ShapeMismatch`] if the shape is not that of the data.
    pub fn with_v<D: Dimension>(mut self, v: Array<f64, D>) -> Result<Self> {
        check_shape("v", self.mu.shape(), v.shape())?;
        self.v = Some(v.into_dyn());
        Ok(self)
    }

    /// Datum `index` of the data set `seed`: a draw from `N(mu, diag(variance))`, in the shape of the data.
    pub fn sample(&self, seed: u64, index: u64) -> ArrayD<f32> {
        let key = NoiseKey {
            seed,
            domain: NoiseDomain::Data,
            stream: index,
            step: 0,
        };
        let mut noise = vec![0.0; self.mu.len()];
        standard_normal(key, &mut noise);
        let mut image = ArrayD::zeros(self.mu.raw_dim());
        for (((pixel, &mu), &variance), &noise) in image
            .iter_mut()
            .zip(&self.mu)
            .zip(&self.variance)
            .zip(&noise)
        {
            *pixel = (mu + variance.sqrt() * f64::from(noise)) as f32;
        }
        image
    }

    /// `m(t) = E||x_0 - E[x_0|x_t]||^2 / D`, for `t` in `0..=T`.
    pub fn mse(&self, t: usize) -> f64 {
        self.mean(|pixel| self.pixel_mse(t, pixel.variance))
    }

    /// Mean square of the data per dimension, what [`prior_kl`] needs.
    pub fn x0_mean_square(&self) -> f64 {
        self.mean(|pixel| pixel.mu * pixel.mu + pixel.variance)
    }

    /// The expected prior term of a path that ends at `t`, in nats per dimension.
    pub fn prior(&self, t: usize) -> f64 {
        prior_kl(&self.schedule, t, self.x0_mean_square())
    }

    /// The expected term of the edge `(t, s)`, in nats per dimension.
    ///
    /// `analytic` uses the scalar variance that is optimal for [`mse`](Self::mse). An edge to clean data, `s = 0`,
    /// has the continuous Gaussian density with its optimal scalar variance `m(t)`, whatever `kind` is.
    ///
    /// # Errors
    ///
    /// [`Error::NoLearnedVariance`] for the learned variance of a model without one, [`Error::NoClosedForm`] for the variances that are
    /// calibrated on bands or edges.
    pub fn term(&self, edge: (usize, usize), kind: VarianceKind) -> Result<f64> {
        let (t, s) = edge;
        if s == 0 {
            return Ok(self.decoder(t, libm::log(self.mse(t))));
        }
        let transition = self.schedule.transition(t, s);
        Ok(match kind {
            VarianceKind::Learned => self.learned(&transition)?,
            VarianceKind::FixedSmall => {
                interior_fixed(&transition, transition.log_posterior_variance, self.mse(t))
            }
            VarianceKind::FixedLarge => {
                interior_fixed(&transition, transition.log_beta, self.mse(t))
            }
            VarianceKind::Spectral | VarianceKind::LearnedCalibrated | VarianceKind::Best => {
                return Err(Error::NoClosedForm {
                    variance: kind.name(),
                });
            }
            VarianceKind::Analytic => {
                let mse = self.mse(t);
                interior_fixed(
                    &transition,
                    libm::log(analytic_variance(&transition, mse)),
                    mse,
                )
            }
        })
    }

    /// The expected decoder term under the continuous density `N(estimate, exp(log_variance))`, in nats per dimension.
    pub fn decoder(&self, t: usize, log_variance: f64) -> f64 {
        gaussian_nll(self.mse(t), log_variance)
    }

    /// The differential entropy of the data per dimension: no path can cost less, prior and decoder included.
    pub fn entropy(&self) -> f64 {
        self.mean(|pixel| gaussian_nll(pixel.variance, libm::log(pixel.variance)))
    }

    fn learned(&self, transition: &Transition) -> Result<f64> {
        let v = self.v.as_ref().ok_or(Error::NoLearnedVariance)?;
        let sum: f64 = v
            .iter()
            .zip(&self.variance)
            .map(|(&v, &variance)| {
                interior_learned_pixel(transition, v, self.pixel_mse(transition.t, variance))
            })
            .sum();
        Ok(sum / v.len() as f64)
    }

    /// `variance / (1 + SNR variance)`, in a form that holds at both ends of the schedule.
    fn pixel_mse(&self, t: usize, variance: f64) -> f64 {
        let noise = self.schedule.one_minus_alpha_bar(t);
        let total = self.schedule.alpha_bar(t) * variance + noise;
        if total == 0.0 {
            return 0.0;
        }
        variance * noise / total
    }

    fn mean(&self, f: impl Fn(Pixel) -> f64) -> f64 {
        let sum: f64 = self
            .mu
            .iter()
            .zip(&self.variance)
            .map(|(&mu, &variance)| f(Pixel { mu, variance }))
            .sum();
        sum / self.mu.len() as f64
    }

    /// The optimal output for one pixel.
    fn output(&self, t: usize, pixel: Pixel, x_t: f64) -> f64 {
        let signal = libm::exp(0.5 * self.schedule.log_alpha_bar(t));
        let noise = self.schedule.one_minus_alpha_bar(t);
        let total = self.schedule.alpha_bar(t) * pixel.variance + noise;
        let whitened = (x_t - signal * pixel.mu) / total;
        let x0 = pixel.mu + signal * pixel.variance * whitened;
        let epsilon = noise.sqrt() * whitened;
        match self.parameterization {
            Parameterization::X0 => x0,
            Parameterization::Epsilon => epsilon,
            Parameterization::V => signal * epsilon - noise.sqrt() * x0,
        }
    }
}

#[derive(Clone, Copy)]
struct Pixel {
    mu: f64,
    variance: f64,
}

fn check_shape(what: &'static str, expected: &[usize], found: &[usize]) -> Result<()> {
    if expected != found {
        return Err(Error::ShapeMismatch {
            what,
            expected: expected.to_vec(),
            found: found.to_vec(),
        });
    }
    Ok(())
}

impl Denoiser for GaussianDenoiser {
    fn noise_schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    fn shape(&self) -> Vec<usize> {
        self.mu.shape().to_vec()
    }

    fn parameterization(&self) -> Parameterization {
        self.parameterization
    }

    fn learns_variance(&self) -> bool {
        self.v.is_some()
    }

    fn precision(&self) -> &str {
        "f64"
    }

    /// A hash of all that it is made of, `gaussian-` and 16 hexadecimal digits (64-bit FNV-1a).
    fn network_id(&self) -> NetworkId {
        let numbers = self.mu.iter().chain(&self.variance);
        let numbers = numbers.chain(self.v.iter().flatten());
        let numbers = numbers.chain(self.schedule.log_alpha_bars());
        let shape = self.mu.shape().iter().map(|&n| n as u64);
        let words = numbers.map(|x| x.to_bits()).chain(shape);
        let parameterization = self.parameterization.to_string();
        let bytes = words.flat_map(u64::to_le_bytes);
        let hash = bytes
            .chain(parameterization.into_bytes())
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
        NetworkId::Named(format!("gaussian-{hash:016x}"))
    }

    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> std::result::Result<Prediction, DenoiserError> {
        self.check_inputs(&x, t, labels)?;
        let mut mean = ArrayD::zeros(x.raw_dim());
        for ((mut mean, x), &t) in mean.axis_iter_mut(Axis(0)).zip(x.axis_iter(Axis(0))).zip(t) {
            Zip::from(&mut mean)
                .and(&x)
                .and(&self.mu)
                .and(&self.variance)
                .for_each(|out, &x_t, &mu, &variance| {
                    *out = self.output(t, Pixel { mu, variance }, f64::from(x_t)) as f32;
                });
        }
        let variance = self.v.as_ref().map(|v| {
            let mut raw = ArrayD::zeros(x.raw_dim());
            raw.assign(&v.mapv(|v| (2.0 * v - 1.0) as f32));
            raw
        });
        Ok(Prediction { mean, variance })
    }
}
