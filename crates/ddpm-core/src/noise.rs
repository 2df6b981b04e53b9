//! Counter-based noise.
//!
//! Every random number is a pure function of a seed and of what it is for, by Philox4x32-10 (Salmon et al. 2011).
//! Any shard, batch or thread order therefore sees the same noise. The layout, which is part of the meaning of
//! stored profiles and does not change:
//!
//! - key: `[seed low 32, seed high 32]`,
//! - counter: `[block index, step, stream low 32, stream bits 32..56 | domain << 24]`,
//! - word pairs `(a, b)` of a block become two normals by Box-Muller,
//!   `sqrt(-2 ln((a + 1/2) / 2^32))` times the cosine and the sine of `2 pi (b + 1/2) / 2^32`.

/// What a stream of noise is for; streams of different domains never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum NoiseDomain {
    /// The noise of `q(x_t | x_0)` on training images; stream = image, step = `t`.
    Forward = 0,
    /// The noise added by the reverse step that leaves `t`; stream = sample, step = `t`.
    Sampling = 1,
    /// The `x_T` that sampling starts from; stream = sample.
    Prior = 2,
    /// Shuffling.
    Order = 3,
    /// Synthetic data; stream = image.
    Data = 4,
    /// As [`Forward`](Self::Forward), on test images: image `i` of one split shares no noise with image `i` of the other.
    ForwardTest = 5,
}

/// Names one stream of normals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NoiseKey {
    /// The user's seed.
    pub seed: u64,
    /// What the noise is for.
    pub domain: NoiseDomain,
    /// Image or sample index, below `2^56`.
    pub stream: u64,
    /// Timestep `t`, or 0 where there is none.
    pub step: u32,
}

impl NoiseKey {
    fn block(&self, index: u32) -> [u32; 4] {
        philox4x32(
            [
                index,
                self.step,
                self.stream as u32,
                (self.stream >> 32) as u32 | (self.domain as u32) << 24,
            ],
            [self.seed as u32, (self.seed >> 32) as u32],
        )
    }
}

/// One block of Philox4x32-10: four random words from a counter and a key.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    const ROUNDS: usize = 10;
    const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let p0 = u64::from(MULTIPLIER[0]) * u64::from(c0);
        let p1 = u64::from(MULTIPLIER[1]) * u64::from(c2);
        (c0, c1, c2, c3) = (
            (p1 >> 32) as u32 ^ c1 ^ k0,
            p1 as u32,
            (p0 >> 32) as u32 ^ c3 ^ k1,
            p0 as u32,
        );
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

/// Fills `dst` with the first standard normals of the stream `key`.
///
/// A longer slice begins with the numbers of a shorter one. The largest magnitude possible is 6.8.
///
/// ```
/// use ddpm_core::{NoiseDomain, NoiseKey, standard_normal};
///
/// let key = NoiseKey { seed: 7, domain: NoiseDomain::Forward, stream: 12, step: 500 };
/// let (mut long, mut short) = ([0.0; 10], [0.0; 3]);
/// standard_normal(key, &mut long);
/// standard_normal(key, &mut short);
/// assert_eq!(long[..3], short);
/// ```
///
/// # Panics
///
/// If `key.stream` is `2^56` or more, or `dst` has more than `2^34` elements.
pub fn standard_normal(key: NoiseKey, dst: &mut [f32]) {
    assert!(
        key.stream < 1 << 56,
        "noise stream {} is out of range: expected less than 2^56",
        key.stream
    );
    for (index, four) in dst.chunks_mut(4).enumerate() {
        let index = u32::try_from(index).expect("a noise stream has 2^34 numbers");
        let [a, b, c, d] = key.block(index);
        let (z0, z1) = box_muller(a, b);
        let (z2, z3) = box_muller(c, d);
        for (dst, z) in four.iter_mut().zip([z0, z1, z2, z3]) {
            *dst = z as f32;
        }
    }
}

fn box_muller(a: u32, b: u32) -> (f64, f64) {
    // The half keeps the logarithm finite.
    let unit = |word: u32| (f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0);
    let radius = (-2.0 * libm::log(unit(a))).sqrt();
    let (sin, cos) = libm::sincos(std::f64::consts::TAU * unit(b));
    (radius * cos, radius * sin)
}

/// A uniformly random order of `0..n`: a Fisher-Yates shuffle, unbiased, the same on every machine.
pub fn permutation(seed: u64, n: usize) -> Vec<usize> {
    let key = NoiseKey {
        seed,
        domain: NoiseDomain::Order,
        stream: 0,
        step: 0,
    };
    let mut words = Words {
        key,
        index: 0,
        second: None,
    };
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, words.below(i as u64 + 1) as usize);
    }
    order
}

/// The 64-bit words of a stream, in order; runs on into the next step after `2^32` blocks.
struct Words {
    key: NoiseKey,
    index: u32,
    second: Option<u64>,
}

impl Words {
    fn next(&mut self) -> u64 {
        if let Some(word) = self.second.take() {
            return word;
        }
        let [a, b, c, d] = self.key.block(self.index);
        let (index, wrapped) = self.index.overflowing_add(1);
        self.index = index;
        self.key.step = self.key.step.wrapping_add(u32::from(wrapped));
        self.second = Some(u64::from(c) | u64::from(d) << 32);
        u64::from(a) | u64::from(b) << 32
    }

    /// Uniform in `0..bound` (Lemire 2019): the high half of a product, redrawn where the low half would favour some values.
    fn below(&mut self, bound: u64) -> u64 {
        let unfair = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            if product as u64 >= unfair {
                return (product >> 64) as u64;
            }
        }
    }
}
