//! The transforms of Winograd's minimal filtering, F(2, 3) and F(4, 3), along one dimension.
//!
//! y = A^T [ (G g) . (B^T d) ]: the 3-tap correlation of T = M + 2 inputs d with the filter g gives M outputs from T
//! products instead of 3 M. Two dimensions nest one in the other: T^2 products for M^2 outputs, 16 instead of 36 for
//! F(2, 3) and 36 instead of 144 for F(4, 3). Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015).

use pulp::Simd;

use crate::kernels::isa::mul_add;

/// F(M, 3) with T = M + 2.
pub(in crate::kernels) trait Transform<const T: usize, const M: usize>:
    Send + Sync
{
    /// G.
    const FILTER: [[f64; 3]; T];

    /// B^T d.
    fn input<S: Simd>(simd: S, d: [S::f32s; T]) -> [S::f32s; T];

    /// A^T m.
    fn output<S: Simd>(simd: S, m: [S::f32s; T]) -> [S::f32s; M];
}

/// F(2, 3) over the points 0, 1, -1.
pub(in crate::kernels) struct F2;

impl Transform<4, 2> for F2 {
    const FILTER: [[f64; 3]; 4] = [
        [1.0, 0.0, 0.0],
        [0.5, 0.5, 0.5],
        [0.5, -0.5, 0.5],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<S: Simd>(simd: S, [d0, d1, d2, d3]: [S::f32s; 4]) -> [S::f32s; 4] {
        [
            simd.sub_f32s(d0, d2),
            simd.add_f32s(d1, d2),
            simd.sub_f32s(d2, d1),
            simd.sub_f32s(d3, d1),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, [m0, m1, m2, m3]: [S::f32s; 4]) -> [S::f32s; 2] {
        [
            simd.add_f32s(m0, simd.add_f32s(m1, m2)),
            simd.add_f32s(simd.sub_f32s(m1, m2), m3),
        ]
    }
}

/// F(4, 3) over the points 0, +-5/8, +-3/2.
///
/// Any five points give the exact result in exact arithmetic. In f32, the customary 0, +-1, +-2 have 4.6 times the
/// rounding error of direct convolution and these 1.8 times (root mean square, 64 channels of normal data); all
/// constants are exact.
pub(in crate::kernels) struct F4;

/// The points, A and B.
const A: f64 = 5.0 / 8.0;
const B: f64 = 3.0 / 2.0;

/// One over the product of a point's distances from the others.
const AT_ZERO: f64 = 1.0 / (A * A * B * B);
const AT_A: f64 = 1.0 / (2.0 * A * A * (A * A - B * B));
const AT_B: f64 = 1.0 / (2.0 * B * B * (B * B - A * A));

impl Transform<6, 4> for F4 {
    const FILTER: [[f64; 3]; 6] = [
        [AT_ZERO, 0.0, 0.0],
        [AT_A, AT_A * A, AT_A * A * A],
        [AT_A, -AT_A * A, AT_A * A * A],
        [AT_B, AT_B * B, AT_B * B * B],
        [AT_B, -AT_B * B, AT_B * B * B],
        [0.0, 0.0, 1.0],
    ];

    #[inline(always)]
    fn input<S: Simd>(simd: S, [d0, d1, d2, d3, d4, d5]: [S::f32s; 6]) -> [S::f32s; 6] {
        let times = |factor: f64, x, y| mul_add(simd, simd.splat_f32s(factor as f32), x, y);
        let scale = |factor: f64, x| simd.mul_f32s(simd.splat_f32s(factor as f32), x);
        let even_a = times(-B * B, d2, d4);
        let odd_a = scale(A, times(-B * B, d1, d3));
        let even_b = times(-A * A, d2, d4);
        let odd_b = scale(B, times(-A * A, d1, d3));
        [
            times(A * A * B * B, d0, times(-(A * A + B * B), d2, d4)),
            simd.add_f32s(even_a, odd_a),
            simd.sub_f32s(even_a, odd_a),
            simd.add_f32s(even_b, odd_b),
            simd.sub_f32s(even_b, odd_b),
            times(A * A * B * B, d1, times(-(A * A + B * B), d3, d5)),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, [m0, m1, m2, m3, m4, m5]: [S::f32s; 6]) -> [S::f32s; 4] {
        let times = |factor: f64, x, y| mul_add(simd, simd.splat_f32s(factor as f32), x, y);
        let scale = |factor: f64, x| simd.mul_f32s(simd.splat_f32s(factor as f32), x);
        let (sum_a, difference_a) = (simd.add_f32s(m1, m2), simd.sub_f32s(m1, m2));
        let (sum_b, difference_b) = (simd.add_f32s(m3, m4), simd.sub_f32s(m3, m4));
        [
            simd.add_f32s(m0, simd.add_f32s(sum_a, sum_b)),
            times(A, difference_a, scale(B, difference_b)),
            times(A * A, sum_a, scale(B * B, sum_b)),
            times(A * A * A, difference_a, times(B * B * B, difference_b, m5)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Correlation by the transforms and by definition, on integers where both are exact up to G.
    fn check<X: Transform<T, M>, const T: usize, const M: usize>() {
        let simd = pulp::Scalar256b;
        let d: [f32; T] = std::array::from_fn(|i| ((i * i * 7 + 3) % 11) as f32 - 5.0);
        let g = [3.0, -7.0, 4.0];
        let wide = |x: f32| simd.splat_f32s(x);
        let v = X::input(simd, d.map(wide));
        let u = X::FILTER.map(|row| row.iter().zip(g).map(|(a, b)| a * b).sum::<f64>() as f32);
        let products: [_; T] = std::array::from_fn(|i| simd.mul_f32s(v[i], wide(u[i])));
        let y = X::output(simd, products);
        for i in 0..M {
            let expected: f64 = (0..3).map(|k| f64::from(d[i + k]) * g[k]).sum();
            let found = f64::from(simd.reduce_max_f32s(y[i]));
            assert!((found - expected).abs() < 1e-4, "{i}: {found} {expected}");
        }
    }

    #[test]
    fn transforms_correlate() {
        check::<F2, 4, 2>();
        check::<F4, 6, 4>();
    }
}
