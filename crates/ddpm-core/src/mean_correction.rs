//! [`MeanCorrection`]: the least-squares correction of a network's estimate, band by band.

use crate::{Bands, NoiseSchedule};

/// A correction of the estimate of x_0 at one timestep, by band of frequencies:
/// `xtilde0 = xhat0 + U^T (a U xhat0 + b U epshat + m)`, where `epshat = (x_t - sqrt(abar_t) xhat0) / sqrt(1 - abar_t)`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeanCorrection {
    /// a of every band.
    pub estimate: Vec<f64>,
    /// b of every band.
    pub noise: Vec<f64>,
    /// m of the bands that are [constants](Bands::is_constant), in their order; others have none.
    pub offset: Vec<f64>,
}

impl MeanCorrection {
    /// Whether it has the lengths that these bands ask for.
    pub fn fits(&self, bands: &Bands) -> bool {
        self.estimate.len() == bands.count()
            && self.noise.len() == bands.count()
            && self.offset.len() == bands.constants().count()
    }

    /// Whether it [fits](Self::fits) these bands and is made of finite numbers.
    pub fn is_usable(&self, bands: &Bands) -> bool {
        let mut numbers = self.estimate.iter().chain(&self.noise).chain(&self.offset);
        self.fits(bands) && numbers.all(|x| x.is_finite())
    }

    /// Corrects the estimate `xhat0` that a network made of `x_t`, in place. It is not clipped.
    ///
    /// # Panics
    /// If the lengths are not those of `bands`.
    pub fn apply(
        &self,
        bands: &Bands,
        schedule: &NoiseSchedule,
        t: usize,
        x_t: &[f64],
        xhat0: &mut [f64],
    ) {
        let signal = libm::exp(0.5 * schedule.log_alpha_bar(t));
        let spread = schedule.one_minus_alpha_bar(t).sqrt();
        let noise = x_t.iter().zip(&*xhat0);
        let noise: Vec<f64> = noise.map(|(x, h)| (x - signal * h) / spread).collect();
        let (estimate, noise) = (bands.transform(xhat0), bands.transform(&noise));
        let offset = bands.by_band(&self.offset);
        let pairs = estimate.iter().zip(&noise).zip(bands.of_coefficients());
        let shift: Vec<f64> = pairs
            .map(|((h, n), &band)| {
                self.estimate[band] * h
                    + self.noise[band] * n
                    + offset[band].copied().unwrap_or_default()
            })
            .collect();
        for (x, shift) in xhat0.iter_mut().zip(bands.inverse(&shift)) {
            *x += shift;
        }
    }
}
