//! The resize in front of Inception.

use rayon::prelude::*;

use crate::{Result, room};

/// Resizes planes of `from` (height, width) to planes of `to`, bilinearly with pixel centres at half-integers
/// (`interpolate(mode="bilinear", align_corners=False)` in PyTorch, without antialiasing).
///
/// Pixel i of the result lies at `(i + 1/2) from / to - 1/2`, not below 0, between two pixels of the image of which the
/// second is at most the last one.
///
/// # Errors
/// [`crate::Error::Memory`].
pub(super) fn bilinear(planes: &[f32], from: [usize; 2], to: [usize; 2]) -> Result<Vec<f32>> {
    if from == to {
        let mut same = room::floats(planes.len())?;
        same.extend_from_slice(planes);
        return Ok(same);
    }
    let [rows, columns] = [0, 1].map(|axis| taps(from[axis], to[axis]));
    let count = planes.len() / (from[0] * from[1]).max(1);
    let floats = count.saturating_mul(to[0] * to[1]);
    let mut out = room::floats(floats)?;
    out.resize(floats, 0.0);
    let pairs = planes
        .par_chunks_exact(from[0] * from[1])
        .zip(out.par_chunks_exact_mut(to[0] * to[1]));
    pairs.for_each(|(plane, out)| {
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(to[1])) {
            let above = &plane[row.first * from[1]..][..from[1]];
            let below = &plane[row.second * from[1]..][..from[1]];
            for (column, out) in columns.iter().zip(out) {
                let mix = |line: &[f32]| {
                    (1.0 - column.weight) * line[column.first] + column.weight * line[column.second]
                };
                *out = (1.0 - row.weight) * mix(above) + row.weight * mix(below);
            }
        }
    });
    Ok(out)
}

/// Where a pixel of the result comes from along one axis.
struct Tap {
    first: usize,
    second: usize,
    /// Of the second.
    weight: f32,
}

fn taps(from: usize, to: usize) -> Vec<Tap> {
    // In f32, as PyTorch does: the weights then agree to the bit.
    let scale = from as f32 / to as f32;
    (0..to)
        .map(|i| {
            let place = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
            let first = (place as usize).min(from - 1);
            Tap {
                first,
                second: (first + 1).min(from - 1),
                weight: place - first as f32,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_half_integer_centres() {
        // 2 -> 4: centres at -1/4 (clamped to 0), 1/4, 3/4, 5/4 (beyond the last pixel: it alone).
        let out = bilinear(&[0.0, 1.0], [1, 2], [1, 4]).unwrap();
        assert_eq!(out, [0.0, 0.25, 0.75, 1.0]);
        let out = bilinear(&[0.0, 1.0, 2.0, 3.0], [1, 4], [1, 2]).unwrap();
        assert_eq!(out, [0.5, 2.5]);
        let plane: Vec<f32> = (0..6).map(|i| i as f32).collect();
        assert_eq!(bilinear(&plane, [2, 3], [2, 3]).unwrap(), plane);
        // A linear ramp stays one between the outermost centres.
        let out = bilinear(&plane[..3], [1, 3], [1, 9]).unwrap();
        for (i, x) in out.iter().enumerate().take(8).skip(1) {
            assert!((x - ((i as f32 + 0.5) / 3.0 - 0.5)).abs() < 1e-6);
        }
    }
}
