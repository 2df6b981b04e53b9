//! Second moments per band of frequencies: what a mean and a variance per band are fitted on.
//!
//! With e = x0 - xhat0 and epshat = (x_t - sqrt(abar_t) xhat0) / sqrt(1 - abar_t), and U the transform of [`Bands`], a band keeps the
//! means over its coefficients of the products of U e, U xhat0 and U epshat; the constant of a channel, which may have a mean,
//! their means too. All are linear in the images.

use ddpm_core::Bands;

/// The products of a band, in the order of the file format: e^2, e h, e n, h^2, h n, n^2 (h = U xhat0, n = U epshat).
pub(crate) const PRODUCTS: usize = 6;
/// The means of a constant: of e, h and n.
pub(crate) const MEANS: usize = 3;

/// The band statistics of one image, or sums of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct BandMoments {
    /// By band.
    pub(crate) products: Vec<[f64; PRODUCTS]>,
    /// Of the bands that are constants, in their order.
    pub(crate) means: Vec<[f64; MEANS]>,
}

/// What of a mean is calibrated: xtilde0 = xhat0 + U^T (a U xhat0 + b U epshat + m).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Fit {
    pub(crate) estimate: f64,
    pub(crate) noise: f64,
    pub(crate) offset: f64,
}

/// What a fit is drawn towards the network's own mean by, as a share of the diagonal.
const RIDGE: f64 = 1e-6;
/// Fewer images fit no constant, whose coefficients are one per image.
pub(crate) const IMAGES_OF_A_CONSTANT: u64 = 30;
/// Fewer images fit no band.
pub(crate) const IMAGES: u64 = 20;

impl BandMoments {
    /// No images yet; empty without bands.
    pub(crate) fn zero(bands: Option<&Bands>) -> Self {
        let Some(bands) = bands else {
            return Self::default();
        };
        Self {
            products: vec![[0.0; PRODUCTS]; bands.count()],
            means: vec![[0.0; MEANS]; bands.constants().count()],
        }
    }

    /// Of one image. `sigma`: sqrt(1 - abar_t) and `signal`: sqrt(abar_t).
    pub(crate) fn of_image(
        bands: &Bands,
        x0: &[f64],
        x_t: &[f64],
        xhat0: &[f64],
        signal: f64,
        sigma: f64,
    ) -> Self {
        let e: Vec<f64> = x0.iter().zip(xhat0).map(|(x, h)| x - h).collect();
        let noise = x_t.iter().zip(xhat0);
        let n: Vec<f64> = noise.map(|(x, h)| (x - signal * h) / sigma).collect();
        let (e, h, n) = (
            bands.transform(&e),
            bands.transform(xhat0),
            bands.transform(&n),
        );
        let mut found = Self::zero(Some(bands));
        let mut sums = vec![[0.0; MEANS]; bands.count()];
        for (i, &band) in bands.of_coefficients().iter().enumerate() {
            let (e, h, n) = (e[i], h[i], n[i]);
            let products = [e * e, e * h, e * n, h * h, h * n, n * n];
            for (sum, product) in found.products[band].iter_mut().zip(products) {
                *sum += product;
            }
            for (sum, value) in sums[band].iter_mut().zip([e, h, n]) {
                *sum += value;
            }
        }
        for (products, &size) in found.products.iter_mut().zip(bands.sizes()) {
            products.iter_mut().for_each(|p| *p /= size as f64);
        }
        found.means = bands.constants().map(|band| sums[band]).collect();
        found
    }

    pub(crate) fn accumulate(&mut self, other: &Self) {
        for (a, b) in self.values_mut().zip(other.values()) {
            *a += b;
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = f64> {
        let products = self.products.as_flattened().iter();
        products.chain(self.means.as_flattened()).copied()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        let products = self.products.as_flattened_mut().iter_mut();
        products.chain(self.means.as_flattened_mut())
    }

    /// The mean square of the network's errors in a band.
    pub(crate) fn power(&self, band: usize) -> f64 {
        self.products[band][0]
    }

    /// The mean square in a band of what the correction leaves; `mean`: those of the constant, where the band is one.
    pub(crate) fn power_left(&self, band: usize, mean: Option<&[f64; MEANS]>, fit: &Fit) -> f64 {
        let [ee, eh, en, hh, hn, nn] = self.products[band];
        let [e1, h1, n1] = mean.copied().unwrap_or_default();
        let Fit {
            estimate: a,
            noise: b,
            offset: m,
        } = *fit;
        let linear = a * eh + b * en + m * e1;
        let square =
            a * a * hh + 2.0 * a * b * hn + b * b * nn + 2.0 * m * (a * h1 + b * n1) + m * m;
        // Rounding must not make a square negative.
        (ee - 2.0 * linear + square).max(0.0)
    }

    /// The least-squares correction of every band on these images, whose number is `images`: of U e on U xhat0, U epshat and,
    /// for a constant, 1.
    pub(crate) fn fits(&self, bands: &Bands, images: u64) -> Vec<Fit> {
        let fit = |(band, mean): (usize, Option<&[f64; MEANS]>)| {
            let fewest = if mean.is_some() {
                IMAGES_OF_A_CONSTANT
            } else {
                IMAGES
            };
            let [_, eh, en, hh, hn, nn] = self.products[band];
            let [e1, h1, n1] = mean.copied().unwrap_or_default();
            if images < fewest {
                return Fit::default();
            }
            let one = f64::from(mean.is_some());
            let [estimate, noise, offset] =
                solve([[hh, hn, h1], [hn, nn, n1], [h1, n1, one]], [eh, en, e1]);
            Fit {
                estimate,
                noise,
                offset,
            }
        };
        let means = bands.by_band(&self.means);
        means.into_iter().enumerate().map(fit).collect()
    }
}

/// Solves the normal equations with the ridge, in units in which the diagonal is 1. A variable that is always 0 gets 0.
fn solve(matrix: [[f64; 3]; 3], right: [f64; 3]) -> [f64; 3] {
    let unit: [f64; 3] = std::array::from_fn(|i| match matrix[i][i].sqrt() {
        root if root > 0.0 => 1.0 / root,
        _ => 0.0,
    });
    let entry = |i: usize, j: usize| {
        if i == j {
            1.0 + RIDGE
        } else {
            matrix[i][j] * unit[i] * unit[j]
        }
    };
    // Cholesky: the ridge keeps every pivot above it.
    let mut lower = [[0.0; 3]; 3];
    for i in 0..3 {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let rest = entry(i, j) - dot;
            lower[i][j] = if i == j {
                rest.max(RIDGE).sqrt()
            } else {
                rest / lower[j][j]
            };
        }
    }
    let mut forward = [0.0; 3];
    for i in 0..3 {
        let dot: f64 = (0..i).map(|k| lower[i][k] * forward[k]).sum();
        forward[i] = (right[i] * unit[i] - dot) / lower[i][i];
    }
    let mut x = [0.0; 3];
    for i in (0..3).rev() {
        let dot: f64 = (i + 1..3).map(|k| lower[k][i] * x[k]).sum();
        x[i] = (forward[i] - dot) / lower[i][i];
    }
    std::array::from_fn(|i| x[i] * unit[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data whose error is known to be 0.3 xhat0 - 0.2 epshat + an offset in the constants.
    #[test]
    fn fits_find_the_correction_that_leaves_nothing() {
        let bands = Bands::of_shape(&[2, 4, 5]).unwrap();
        let dims = bands.dims();
        let mut all = BandMoments::zero(Some(&bands));
        let (signal, sigma) = (0.8, 0.6);
        let images = 64;
        for image in 0..images {
            let number = |seed: f64, i: usize| ((image * dims + i) as f64 * seed).sin();
            let xhat0: Vec<f64> = (0..dims).map(|i| number(1.37, i)).collect();
            let noise: Vec<f64> = (0..dims).map(|i| number(2.11, i)).collect();
            let pairs = xhat0.iter().zip(&noise);
            let x0: Vec<f64> = pairs
                .clone()
                .map(|(h, n)| h + 0.3 * h - 0.2 * n + 0.1)
                .collect();
            let x_t: Vec<f64> = pairs.map(|(h, n)| signal * h + sigma * n).collect();
            all.accumulate(&BandMoments::of_image(
                &bands, &x0, &x_t, &xhat0, signal, sigma,
            ));
        }
        all.values_mut().for_each(|x| *x /= images as f64);
        let fits = all.fits(&bands, images as u64);
        let means = bands.by_band(&all.means);
        for (band, fit) in fits.iter().enumerate() {
            let mean = means[band];
            let offset = if mean.is_some() {
                0.1 * 20f64.sqrt()
            } else {
                0.0
            };
            assert!((fit.estimate - 0.3).abs() < 1e-4, "{band} {fit:?}");
            assert!((fit.noise + 0.2).abs() < 1e-4, "{band} {fit:?}");
            assert!((fit.offset - offset).abs() < 1e-4, "{band} {fit:?}");
            let left = all.power_left(band, mean, fit);
            assert!(left < 1e-9 && left <= all.power(band));
        }
        let few = all.fits(&bands, 19);
        assert!(few.iter().all(|fit| *fit == Fit::default()));
        let without_constants = all.fits(&bands, 29);
        assert_eq!(without_constants[0], Fit::default());
        assert_ne!(without_constants[1], Fit::default());
    }

    #[test]
    fn variables_that_are_always_zero_have_no_coefficient() {
        let found = solve([[0.0; 3], [0.0, 4.0, 0.0], [0.0; 3]], [0.0, 2.0, 0.0]);
        assert_eq!((found[0], found[2]), (0.0, 0.0));
        assert!((found[1] - 0.5).abs() < 1e-5);
    }
}
