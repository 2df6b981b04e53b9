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
}

impl BandMoments {
    /// Refuses sums that no `count` images have; `place`: block and timestep, in words; `squared_error`: the sum of the mean squared
    /// errors there, which the bands divide among them.
    pub(crate) fn check(
        &self,
        bands: &Bands,
        place: &str,
        count: u64,
        squared_error: f64,
    ) -> Result<()> {
        let means = bands.by_band(&self.means);
        let wrong = |name: &str, what: String, expected: &str, found: f64| {
            let field = format!("{name} of {place}, {what}");
            Err(Invalid::field(field, expected, found).into())
        };
        for (band, products) in self.products.iter().enumerate() {
            let of = |i: usize| format!("band {band}: {}", NAMES[i]);
            if let Some(i) = products.iter().position(|x| !x.is_finite()) {
                return wrong("band_products", of(i), "a finite number", products[i]);
            }
            if let Some(i) = SQUARES.into_iter().find(|&i| products[i] < 0.0) {
                let expected = "a sum of squares, at least 0";
                return wrong("band_products", of(i), expected, products[i]);
            }
            let bound =
                |i: usize, j: usize| products[i].sqrt() * products[j].sqrt() * (1.0 + AGREE);
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
            let volume = volume(products);
            if volume < -10.0 * AGREE {
                let what = format!("band {band}: the determinant of the correlations");
                let expected = "at least 0, as e, h and n of any images have it";
                return wrong("band_products", what, expected, volume);
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
        let powers = self.products.iter().map(|products| products[0]);
        let total = bands.mean(powers);
        if (total - squared_error).abs() > AGREE * squared_error {
            let expected = format!("the sum of squared errors, {squared_error:e}");
            let what = "mean of e^2 over all coefficients".to_owned();
            return wrong("band_products", what, &expected, total);
        }
        Ok(())
    }
}

/// The determinant of the correlations of e, h and n, uncentred; 1 where one of them is always 0.
fn volume(products: &[f64; PRODUCTS]) -> f64 {
    let [eh, en, hn] = CROSS.map(|(i, a, b)| {
        let square = products[a].sqrt() * products[b].sqrt();
        if square > 0.0 {
            products[i] / square
        } else {
            0.0
        }
    });
    1.0 + 2.0 * eh * en * hn - eh * eh - en * en - hn * hn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_bands_that_no_images_have_are_refused() {
        let bands = Bands::of_shape(&[1, 2, 2]).unwrap();
        let (x0, xhat0) = ([0.5, -0.25, 0.75, 0.125], [0.25, 0.5, 0.625, -0.5]);
        let x_t = [1.0, -0.5, 0.25, 0.375];
        let good = BandMoments::of_image(&bands, &x0, &x_t, &xhat0, 0.8, 0.6);
        let squares = x0.iter().zip(xhat0).map(|(x, h)| (x - h) * (x - h));
        let squared_error = squares.sum::<f64>() / 4.0;
        let check = |change: &dyn Fn(&mut BandMoments)| {
            let mut changed = good.clone();
            change(&mut changed);
            let found = changed.check(&bands, "block 0 at t = 3", 1, squared_error);
            found.map_err(|error| error.to_string())
        };
        assert_eq!(check(&|_| ()), Ok(()));
        let products = |change: &dyn Fn(&mut [f64; PRODUCTS])| {
            check(&|moments| change(&mut moments.products[1])).unwrap_err()
        };
        for (error, expected) in [
            (products(&|p| p[4] = f64::NAN), "a finite number"),
            (products(&|p| p[3] = -0.1), "at least 0"),
            (
                products(&|p| p[1] = 10.0),
                "within the root of e^2 times h^2",
            ),
            // Each pair could be, all three together not.
            (
                products(&|p| *p = [1.0, 0.9, -0.9, 1.0, 0.9, 1.0]),
                "determinant",
            ),
            (products(&|p| p[0] *= 2.0), "the sum of squared errors"),
            (
                check(&|moments| moments.means[0][2] = 1e3).unwrap_err(),
                "which its mean square allows",
            ),
        ] {
            assert!(
                error.contains(expected) && error.contains("block 0 at t = 3"),
                "{error}"
            );
        }
    }
}
