//! Numbers that `tests/golden/tools/features.py` makes too.

use ndarray::Array2;

/// `units` of the script: f64 in [-1, 1) from an integer hash, seeded by a name.
pub(crate) fn units(name: &str) -> impl Iterator<Item = f64> {
    let seed = name.bytes().fold(0x811C_9DC5u32, |state, byte| {
        (state ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (0u32..).map(move |i| {
        let mut h = i.wrapping_mul(0x9E37_79B9).wrapping_add(seed);
        h ^= h >> 16;
        h = h.wrapping_mul(0x85EB_CA6B);
        h ^= h >> 13;
        h = h.wrapping_mul(0xC2B2_AE35);
        f64::from(h ^ h >> 16) / f64::from(1u32 << 31) - 1.0
    })
}

/// `features` of the script.
pub(crate) fn features(name: &str, count: usize, dims: usize, shift: f64) -> Array2<f32> {
    let u = Array2::from_shape_vec((count, dims), units(name).take(count * dims).collect());
    let u = u.unwrap();
    Array2::from_shape_fn((count, dims), |(i, j)| {
        let mixed = u[[i, j]] + 0.5 * u[[i, (j + dims - 1) % dims]];
        (mixed * (1.0 + j as f64 / dims as f64) + shift) as f32
    })
}

/// `dyadic` of the script.
pub(crate) fn dyadic(name: &str, rows: usize, dims: usize) -> Array2<f64> {
    let values = units(name)
        .take(rows * dims)
        .map(|u| (u * 256.0).round_ties_even() / 256.0);
    Array2::from_shape_vec((rows, dims), values.collect()).unwrap()
}
