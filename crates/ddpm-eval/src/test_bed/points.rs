//! The centres of mixtures: patterns of the plane, alone or in every pair of many dimensions.

use std::f64::consts::TAU;

use ddpm_core::{NoiseDomain, NoiseKey, permutation, standard_normal};
use ndarray::{Array2, Axis};

use crate::error::{Error, Result};

/// Root mean square of a coordinate: about that of images in [-1, 1].
const SCALE: f64 = 0.5;
/// Turns of an arm of the spiral.
const TURNS: f64 = 1.5;

/// Where the centres of a mixture lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Two rings, the outer with twice the radius and twice the points of the inner.
    Rings,
    /// Two arms of a spiral, with points at even distances.
    Spirals,
    /// A square grid.
    Grid,
    /// Draws of a normal distribution, in any number of dimensions.
    Gaussians,
}

ddpm_core::names!(
    Pattern, "pattern",
    Rings => "rings",
    Spirals => "spirals",
    Grid => "grid",
    Gaussians => "gaussians",
);

/// `count` centres `[N, D]`: every pair of dimensions shows the whole pattern, each in an order of its own, so that far more
/// combinations are possible than there are centres. Centred, with a root mean square coordinate of one half.
pub(super) fn centres(
    pattern: Pattern,
    count: usize,
    dimensions: usize,
    seed: u64,
) -> Result<Array2<f32>> {
    check(pattern, count, dimensions)?;
    let mut all = Array2::<f64>::zeros((count, dimensions));
    if pattern == Pattern::Gaussians {
        for (i, mut centre) in all.outer_iter_mut().enumerate() {
            let key = NoiseKey {
                seed,
                domain: NoiseDomain::Data,
                stream: i as u64,
                step: 0,
            };
            let mut noise = vec![0.0_f32; dimensions];
            standard_normal(key, &mut noise);
            for (x, z) in centre.iter_mut().zip(noise) {
                *x = f64::from(z);
            }
        }
    } else {
        let plane: Vec<[f64; 2]> = (0..count)
            .map(|place| in_the_plane(pattern, place, count))
            .collect();
        for pair in 0..dimensions / 2 {
            let order = match pair {
                0 => (0..count).collect(),
                pair => permutation(seed.wrapping_add(pair as u64), count),
            };
            for (mut centre, place) in all.outer_iter_mut().zip(order) {
                centre[2 * pair] = plane[place][0];
                centre[2 * pair + 1] = plane[place][1];
            }
        }
    }
    for mut column in all.axis_iter_mut(Axis(1)) {
        // In one order, so that the means of all pairs are equal.
        let mut sorted = column.to_vec();
        sorted.sort_by(f64::total_cmp);
        column -= sorted.iter().sum::<f64>() / count as f64;
    }
    let squares: f64 = all.iter().map(|x| x * x).sum();
    let scale = SCALE / (squares / (count * dimensions) as f64).sqrt();
    Ok(all.mapv(|x| (x * scale) as f32))
}

fn check(pattern: Pattern, count: usize, dimensions: usize) -> Result<()> {
    if count < 2 {
        let problem = format!("expected at least 2, found {count}");
        return Err(Error::request("points", problem));
    }
    let plane = pattern != Pattern::Gaussians;
    if dimensions == 0 || (plane && dimensions % 2 == 1) {
        let expected = if plane {
            "an even number above 0, because every pair shows the pattern"
        } else {
            "at least 1"
        };
        let problem = format!("expected {expected}, found {dimensions}");
        return Err(Error::request("dimensions", problem));
    }
    if pattern == Pattern::Grid && count.isqrt().pow(2) != count {
        let problem = format!("expected a square number for a grid, found {count}");
        return Err(Error::request("points", problem));
    }
    Ok(())
}

/// Point `place` of `count` of a pattern of the plane, in any unit.
fn in_the_plane(pattern: Pattern, place: usize, count: usize) -> [f64; 2] {
    let around = |angle: f64, radius: f64| [radius * libm::cos(angle), radius * libm::sin(angle)];
    match pattern {
        Pattern::Rings => {
            let inner = count.div_ceil(3);
            match place.checked_sub(inner) {
                None => around(TAU * place as f64 / inner as f64, 1.0),
                Some(outer) => around(TAU * outer as f64 / (count - inner) as f64, 2.0),
            }
        }
        Pattern::Spirals => {
            let (arm, along) = (place % 2, (place / 2) as f64 + 0.5);
            // The length of an arm grows with the square of its angle.
            let part = (along / count.div_ceil(2) as f64).sqrt();
            around(TAU * (TURNS * part + 0.5 * arm as f64), part)
        }
        Pattern::Grid => {
            let side = count.isqrt();
            [(place % side) as f64, (place / side) as f64]
        }
        Pattern::Gaussians => [0.0; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_dimensions_shows_the_whole_pattern() {
        for pattern in [Pattern::Rings, Pattern::Spirals, Pattern::Grid] {
            let all = centres(pattern, 64, 6, 3).unwrap();
            let of_pair = |pair: usize| {
                let mut points: Vec<[u32; 2]> = all
                    .outer_iter()
                    .map(|row| [row[2 * pair].to_bits(), row[2 * pair + 1].to_bits()])
                    .collect();
                points.sort_unstable();
                points
            };
            assert_eq!(of_pair(0), of_pair(1), "{pattern}");
            assert_eq!(of_pair(0), of_pair(2), "{pattern}");
            let column = |d: usize| all.column(d).to_vec();
            assert_ne!(column(0), column(2), "{pattern}: an order of its own");
        }
    }

    #[test]
    fn centres_have_the_scale_of_images() {
        for &pattern in Pattern::ALL {
            let all = centres(pattern, 100, 4, 1).unwrap();
            let squares: f64 = all.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((squares / 400.0 - 0.25).abs() < 1e-6, "{pattern}");
            assert!(all.sum().abs() < 1e-4, "{pattern}");
        }
    }

    #[test]
    fn rings_are_round_and_spirals_evenly_spaced() {
        let rings = centres(Pattern::Rings, 300, 2, 0).unwrap();
        let radius = |i: usize| f64::from(rings[[i, 0]]).hypot(f64::from(rings[[i, 1]]));
        for i in 1..100 {
            assert!((radius(i) - radius(0)).abs() < 1e-6);
            assert!((radius(200 + i) / radius(0) - 2.0).abs() < 1e-5);
        }
        let spirals = centres(Pattern::Spirals, 400, 2, 0).unwrap();
        let gap = |i: usize| {
            let [a, b] = [i, i + 2].map(|i| spirals.row(i).mapv(f64::from));
            (&a - &b).mapv(|x| x * x).sum().sqrt()
        };
        let outer: Vec<f64> = (100..390).step_by(2).map(gap).collect();
        let (least, most) = outer
            .iter()
            .fold((f64::MAX, 0.0_f64), |(a, b), &x| (a.min(x), b.max(x)));
        assert!(most < 1.1 * least, "{least} {most}");
    }

    #[test]
    fn patterns_that_cannot_be_are_refused() {
        for (pattern, count, dimensions, expected) in [
            (Pattern::Rings, 1, 2, "points: expected at least 2, found 1"),
            (
                Pattern::Grid,
                10,
                2,
                "points: expected a square number for a grid, found 10",
            ),
            (
                Pattern::Spirals,
                10,
                3,
                "dimensions: expected an even number above 0, because every pair shows the pattern, found 3",
            ),
            (
                Pattern::Gaussians,
                10,
                0,
                "dimensions: expected at least 1, found 0",
            ),
        ] {
            let refused = centres(pattern, count, dimensions, 0).unwrap_err();
            assert_eq!(refused.to_string(), expected);
        }
    }
}
