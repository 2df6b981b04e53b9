//! Counter-based noise: known answers, determinism, moments.

use std::collections::HashSet;

use ddpm_core::{NoiseDomain, NoiseKey, permutation, philox4x32, standard_normal};
use proptest::prelude::*;

#[test]
fn philox_equals_the_known_answers_of_random123() {
    let cases = [
        (
            [0, 0, 0, 0],
            [0, 0],
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
        ),
        (
            [u32::MAX; 4],
            [u32::MAX; 2],
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
        ),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, expected) in cases {
        assert_eq!(philox4x32(counter, key), expected);
    }
}

fn normals(key: NoiseKey, count: usize) -> Vec<f32> {
    let mut noise = vec![0.0; count];
    standard_normal(key, &mut noise);
    noise
}

const KEY: NoiseKey = NoiseKey {
    seed: 0x0123_4567_89ab_cdef,
    domain: NoiseDomain::Forward,
    stream: 0x00fe_dcba_9876_5432,
    step: 1234,
};

#[test]
fn the_layout_of_the_counter_is_fixed() {
    // Block 1 of the stream, spelled out; profiles on disk depend on it.
    let [a, b, c, d] = philox4x32(
        [1, 1234, 0x9876_5432, 0x00fe_dcba],
        [0x89ab_cdef, 0x0123_4567],
    );
    let unit = |word: u32| (f64::from(word) + 0.5) / 2_f64.powi(32);
    let pair = |a: u32, b: u32| {
        let radius = (-2.0 * unit(a).ln()).sqrt();
        let angle = std::f64::consts::TAU * unit(b);
        [radius * angle.cos(), radius * angle.sin()]
    };
    let expected = [pair(a, b), pair(c, d)].concat();
    for (found, expected) in normals(KEY, 8)[4..].iter().zip(expected) {
        assert!(
            (f64::from(*found) - expected).abs() < 1e-6,
            "{found} {expected}"
        );
    }
    let sampling = NoiseKey {
        domain: NoiseDomain::Sampling,
        ..KEY
    };
    let [a, ..] = philox4x32(
        [0, 1234, 0x9876_5432, 0x01fe_dcba],
        [0x89ab_cdef, 0x0123_4567],
    );
    let [z0, z1] = [normals(sampling, 2)[0], normals(sampling, 2)[1]].map(f64::from);
    let radius = (-2.0 * unit(a).ln()).sqrt();
    assert!((z0.hypot(z1) - radius).abs() < 1e-6);
}

#[test]
fn the_first_numbers_never_change() {
    let key = NoiseKey {
        seed: 0,
        domain: NoiseDomain::Forward,
        stream: 0,
        step: 1,
    };
    let found: Vec<u32> = normals(key, 4).into_iter().map(f32::to_bits).collect();
    assert_eq!(found, FIRST_NUMBERS);
    assert_eq!(permutation(0, 8), FIRST_ORDER);
}

// Computed by an independent program from the documented layout.
const FIRST_NUMBERS: [u32; 4] = [1_066_497_148, 3_207_399_083, 1_067_371_446, 1_046_848_023];
const FIRST_ORDER: [usize; 8] = [1, 0, 7, 6, 2, 5, 3, 4];

#[test]
fn different_keys_are_different_streams() {
    let others = [
        NoiseKey {
            seed: KEY.seed + 1,
            ..KEY
        },
        NoiseKey {
            seed: KEY.seed ^ 1 << 63,
            ..KEY
        },
        NoiseKey {
            stream: KEY.stream + 1,
            ..KEY
        },
        NoiseKey {
            stream: KEY.stream ^ 1 << 55,
            ..KEY
        },
        NoiseKey {
            step: KEY.step + 1,
            ..KEY
        },
        NoiseKey {
            domain: NoiseDomain::Sampling,
            ..KEY
        },
        NoiseKey {
            domain: NoiseDomain::Prior,
            ..KEY
        },
        NoiseKey {
            domain: NoiseDomain::Order,
            ..KEY
        },
        NoiseKey {
            domain: NoiseDomain::Data,
            ..KEY
        },
        NoiseKey {
            domain: NoiseDomain::ForwardTest,
            ..KEY
        },
        KEY,
    ];
    let streams: HashSet<Vec<u32>> = others
        .into_iter()
        .map(|key| normals(key, 4).into_iter().map(f32::to_bits).collect())
        .collect();
    assert_eq!(streams.len(), others.len());
}

#[test]
fn normals_have_normal_moments() {
    let count = 400_000;
    let noise = normals(KEY, count);
    let moment =
        |power: i32| noise.iter().map(|&z| f64::from(z).powi(power)).sum::<f64>() / count as f64;
    // Standard errors of the moments 1..4: sqrt(1, 2, 15, 96) / sqrt(n).
    for (power, expected, spread) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)]
    {
        let error = f64::sqrt(spread / count as f64);
        let found = moment(power);
        assert!(
            (found - expected).abs() < 5.0 * error,
            "moment {power}: {found}"
        );
    }
    // Neighbours, within a pair and across pairs, are uncorrelated.
    for lag in 1..=4 {
        let products = noise
            .iter()
            .zip(&noise[lag..])
            .map(|(&a, &b)| f64::from(a * b));
        let correlation = products.sum::<f64>() / (count - lag) as f64;
        assert!(
            correlation.abs() < 5.0 / (count as f64).sqrt(),
            "lag {lag}: {correlation}"
        );
    }
    let beyond_two = noise.iter().filter(|z| z.abs() > 2.0).count() as f64 / count as f64;
    assert!(
        (beyond_two - 0.0455).abs() < 5.0 * (0.0455 / count as f64).sqrt(),
        "{beyond_two}"
    );
}

#[test]
fn streams_of_images_are_uncorrelated() {
    let count = 200_000;
    let first = normals(KEY, count);
    for other in [
        NoiseKey {
            stream: KEY.stream + 1,
            ..KEY
        },
        NoiseKey {
            step: KEY.step + 1,
            ..KEY
        },
        NoiseKey {
            seed: KEY.seed + 1,
            ..KEY
        },
    ] {
        let second = normals(other, count);
        let products = first.iter().zip(&second).map(|(&a, &b)| f64::from(a * b));
        let correlation = products.sum::<f64>() / count as f64;
        assert!(
            correlation.abs() < 5.0 / (count as f64).sqrt(),
            "{other:?}: {correlation}"
        );
    }
}

#[test]
fn shuffles_are_uniform() {
    // All 24 orders of 4 things, 24000 seeds: chi-squared with 23 degrees of freedom, 99.99% below 56.
    let mut counts = std::collections::HashMap::new();
    for seed in 0..24_000 {
        *counts.entry(permutation(seed, 4)).or_insert(0_u32) += 1;
    }
    assert_eq!(counts.len(), 24);
    let statistic: f64 = counts
        .values()
        .map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0)
        .sum();
    assert!(statistic < 56.0, "{statistic}");
}

#[test]
#[should_panic(expected = "expected less than 2^56")]
fn streams_beyond_their_bits_are_refused() {
    normals(
        NoiseKey {
            stream: 1 << 56,
            ..KEY
        },
        1,
    );
}

proptest! {
    #[test]
    fn permutations_are_permutations(seed: u64, n in 0_usize..2000) {
        let order = permutation(seed, n);
        prop_assert_eq!(&order, &permutation(seed, n));
        let mut sorted = order;
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..n).collect::<Vec<_>>());
    }

    #[test]
    fn noise_is_a_function_of_its_key(
        seed: u64,
        stream in 0_u64..1 << 56,
        step: u32,
        long in 1_usize..300,
        cut in 0.0..1.0_f64,
    ) {
        let key = NoiseKey { seed, domain: NoiseDomain::Prior, stream, step };
        let noise = normals(key, long);
        prop_assert!(noise.iter().all(|z| z.abs() < 6.8));
        let short = (cut * long as f64) as usize;
        prop_assert_eq!(&noise[..short], &normals(key, short)[..]);
    }
}
