//! Statistics of bands of frequencies that another program summed up.

use ddpm_core::Bands;

use crate::band_moments::{BandMoments, MEANS, PRODUCTS};
use crate::error::{Invalid, Result};

/// The products of a band, as they stand in [`BandSums::products`].
const NAMES: [&str; PRODUCTS] = ["e^2", "e h", "e n", "h^2", "h n", "n^2"];
/// Products of two variables: their place, and the places of the two squares.
const CROSS: [(usize, usize, usize); 3] = [(1, 0, 3), (2, 0, 5), (4, 3, 5)];
/// The squares of e, h and n.
const SQUARES: [usize; MEANS] = [0, 3, 5];
/// How far sums that have to agree may be apart, relative: single precision may have summed them.
const AGREE: f64 = 1e-4;

/// Sums over images of what a variance and a mean per band of frequencies are fitted on, per block and timestep.
///
/// e, h and n are the transforms U (x0 - xhat0), U xhat0 and U (x_t - sqrt(abar_t) xhat0) / sqrt(1 - abar_t) of [`Bands`]. A fit
/// subtracts products that agree in many digits, so they want double precision.
#[derive(Clone, Debug, PartialEq)]
pub struct BandSums {
    /// The transform and its N bands, Q of which are constants.
    pub bands: Bands,
    /// B x M x N x 6, the last axis without gaps: the sums over images of the means over a band of e^2, e h, e n, h^2, h n, n^2.
    pub products: Vec<f64>,
    /// B x M x Q x 3: the sums over images of e, h and n of the constants, which are the bands that [`Bands::constants`] lists.
    pub means: Vec<f64>,
}

impl BandSums {
    /// The sums of one block and timestep, `index` counting timesteps block after block.
    pub(crate) fn point(&self, index: usize) -> BandMoments {
        let (n, q) = (self.bands.count(), self.bands.constants().count());
        let products = &self.products.as_chunks().0[index * n..(index + 1) * n];
        let means = &self.means.as_chunks().0[index * q..(index + 1) * q];
        BandMoments {
            products: products.to_vec(),
            means: means.to_vec(),
        }
    }

    /// Refuses arrays that are not of `points` blocks and timesteps.
    pub(crate) fn check_lengths(&self, points: usize) -> Result<()> {
        let (n, q) = (self.bands.count(), self.bands.constants().count());
        let products = points * n * PRODUCTS;
        Invalid::check_length("band_products", products, self.products.len())?;
        Invalid::check_length("band_means", points * q * MEANS, self.means.len())?;
        Ok(())
    }

    /// Refuses numbers that no images have; `place`: block and timestep, in words; `squared_error`: the sum of the mean squared errors
    /// there, which the bands divide among them.
    pub(crate) fn check_point(
        &self,
        index: usize,
        place: &str,
        count: u64,
        squared_error: f64,
    ) -> Result<()> {
        let point = self.point(index);
        let means = self.bands.by_band(&point.means);
        let wrong = |name: &str, what: String, expected: &str, found: f64| {
            let field = format!("{name} of {place}, {what}");
            Err(Invalid::field(field, expected, found).into())
        };
        for (band, products) in point.products.iter().enumerate() {
            let of = |i: usize| format!("band {band}: {}", NAMES[i]);
            if let Some(i) = products.iter().position(|x| !x.is_finite()) {
                return wrong("band_products", of(i), "a finite number", products[i]);
            }
            if let Some(i) = SQUARES.into_iter().find(|&i| products[i] < 0.0) {
                let expected = "a sum of squares, at least 0";
                return wrong("band_products", of(i), expected, products[i]);
            }
            let bound = |i: usize, j: usize| (products[i] * products[j]).sqrt() * (1.0 + AGREE);
            let beyond = |&(i, a, b): &(usize, usize, usize)| products[i].abs() > bound(a, b);
            if let Some((i, a, b)) = CROSS.into_iter().find(beyond) {
                let expected = format!(
                    "within the root of {} times {}, {:e}",
                    NAMES[a],
                    NAMES[b],
                    bound(a, b)
                );
                return wrong("band_products", of(i), &expected, products[i]);
            }
            for (i, &sum) in means[band].into_iter().flatten().enumerate() {
                let largest = (products[SQUARES[i]] * count as f64).sqrt() * (1.0 + AGREE);
                if sum.is_nan() || sum.abs() > largest {
                    let what = format!("band {band}: {}", ["e", "h", "n"][i]);
                    let expected = format!("within {largest:e}, which its mean square allows");
                    return wrong("band_means", what, &expected, sum);
                }
            }
        }
        let powers = point.products.iter().map(|products| products[0]);
        let total = self.bands.mean(powers);
        if (total - squared_error).abs() > AGREE * squared_error {
            let expected = format!("that of sum_squared_error, {squared_error:e}");
            let what = "mean of e^2 over all coefficients".to_owned();
            return wrong("band_products", what, &expected, total);
        }
        Ok(())
    }
}
