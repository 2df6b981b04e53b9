//! Every kernel against plain loops in f64, over odd shapes, on every instruction set of this processor.

use std::sync::Arc;

use ndarray::{Array, Array2, Array4, Axis, Dimension, concatenate, s};
use proptest::prelude::*;

use super::{
    Arithmetic, ConvSizes, HeadLayout, Isa, Maps, PackedConv2d, PackedGroupNorm, PackedLinear,
    Pool, Pooling, Shape, Vectors, Window, attend, global_means, join, pool_means, subsample,
    upsample,
};

/// Reproducible values around zero, with mean `offset`.
fn values(len: usize, seed: usize, offset: f32) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 + seed * 104_729 + 1) as f64 * 0.618_033_988_749_895).fract() as f32)
        .map(|unit| unit * 2.0 - 1.0 + offset)
        .collect()
}

/// Row-major values in f64.
fn wide<D: Dimension>(values: &[f32], shape: impl Into<ndarray::StrideShape<D>>) -> Array<f64, D> {
    Array::from_shape_vec(shape, values.iter().copied().map(f64::from).collect()).unwrap()
}

/// `[batch, channels, height, width]`, or whatever else has four sizes.
fn planes_of(values: &[f32], [a, b, c, d]: [usize; 4]) -> Array4<f64> {
    wide(values, (a, b, c, d))
}

/// Largest difference relative to the largest expected value.
fn difference<D: Dimension>(found: &[f32], expected: &Array<f64, D>) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    found
        .iter()
        .zip(expected)
        .fold(0f64, |m, (a, b)| m.max((f64::from(*a) - b).abs()))
        / scale
}

/// `weight` of shape `[outputs, inputs, kernel height, kernel width]`.
fn plain_convolution(x: &Array4<f64>, weight: &[f32], bias: &[f32], window: Window) -> Array4<f64> {
    let (batch, inputs, height, width) = x.dim();
    let [down, across] = window.kernel;
    let weight = planes_of(weight, [bias.len(), inputs, down, across]);
    let [rows, columns] = window.result([height, width]).unwrap();
    let [above, left] = window.padding;
    Array4::from_shape_fn(
        (batch, bias.len(), rows, columns),
        |(image, output, i, j)| {
            let mut sum = f64::from(bias[output]);
            for (k, l) in (0..down).flat_map(|k| (0..across).map(move |l| (k, l))) {
                let y = (i * window.stride + k).checked_sub(above);
                let column = (j * window.stride + l).checked_sub(left);
                let (Some(y), Some(column)) = (y, column) else {
                    continue;
                };
                if y < height && column < width {
                    for input in 0..inputs {
                        sum += weight[[output, input, k, l]] * x[[image, input, y, column]];
                    }
                }
            }
            sum
        },
    )
}

/// `shift` of shape `[batch, channels]` added to every pixel.
fn plus_shift(mut x: Array4<f64>, shift: &[f32]) -> Array4<f64> {
    let (batch, channels, ..) = x.dim();
    let shift: Array2<f64> = wide(shift, (batch, channels));
    x += &shift.insert_axis(Axis(2)).insert_axis(Axis(3));
    x
}

fn shape([batch, channels, height, width]: [usize; 4]) -> Shape {
    Shape {
        batch,
        height,
        width,
        channels,
    }
}

fn pool() -> Arc<Pool> {
    Arc::default()
}

fn maps(pool: &Arc<Pool>, values: &[f32], sizes: [usize; 4]) -> Maps {
    Maps::from_planes(pool, shape(sizes), values).unwrap()
}

/// Every instruction set that this processor has.
fn isas() -> Vec<Isa> {
    let isas: Vec<Isa> = Isa::NAMES
        .iter()
        .filter_map(|name| Isa::named(name).ok())
        .collect();
    assert_eq!(isas[0].name(), "generic");
    isas
}

/// A pool whose buffers hold NaN: what a kernel does not write would be seen.
fn dirty_pool(len: usize) -> Arc<Pool> {
    let pool = pool();
    drop([pool.take(len), pool.take(len)].map(|buffer| {
        let mut buffer = buffer.unwrap();
        buffer.as_mut_slice().fill(f32::NAN);
        buffer
    }));
    pool
}

/// Every operation writes zeros behind the channels: the next one reads them.
fn assert_padding(maps: &Maps) {
    let Shape { channels, .. } = maps.shape();
    for pixel in maps.values().chunks_exact(maps.shape().stride()) {
        assert!(pixel[channels..].iter().all(|&x| x == 0.0), "padding");
    }
}

/// Batch, inputs, outputs, height, width, kernel, stride, zeros above and left.
type ConvCase = [usize; 8];

fn check_convolution(case: ConvCase, arithmetic: Arithmetic, seed: usize, tolerance: f64) {
    let [batch, inputs, outputs, height, width, kernel, stride, lead] = case;
    let sizes = [batch, inputs, height, width];
    let planes = values(sizes.iter().product(), seed, 0.0);
    let weight = values(outputs * inputs * kernel * kernel, seed + 1, 0.0);
    let bias = values(outputs, seed + 2, 0.0);
    let lead = lead.min(kernel / 2);
    let window = Window {
        kernel: [kernel; 2],
        padding: [lead; 2],
        trailing: [kernel - 1 - lead; 2],
        stride,
    };
    let expected = plain_convolution(&planes_of(&planes, sizes), &weight, &bias, window);
    let result: [usize; 4] = expected.dim().into();
    let shift = values(batch * outputs, seed + 3, 0.0);
    let addend = values(expected.len(), seed + 4, 0.0);
    let shifted = plus_shift(expected.clone(), &shift);
    let both = &shifted + &planes_of(&addend, result);
    for isa in isas() {
        let sizes_of = ConvSizes {
            inputs,
            outputs,
            window,
        };
        let (weight, bias) = (weight.clone(), bias.clone());
        let conv = PackedConv2d::new(isa, arithmetic, weight, bias, sizes_of);
        let pool = dirty_pool(both.len());
        let x = maps(&pool, &planes, sizes);
        let addend = maps(&pool, &addend, result);
        let shift = Vectors::new(outputs, shift.clone());
        let runs = [
            (None, None, &expected),
            (Some(&shift), None, &shifted),
            (Some(&shift), Some(&addend), &both),
        ];
        for (shift, addend, expected) in runs {
            let found = conv.forward(&pool, &x, shift, addend).unwrap();
            assert_eq!(found.shape(), shape(result));
            let difference = difference(&found.to_planes().unwrap(), expected);
            assert!(difference < tolerance, "{}: {difference:e}", isa.name());
            assert_padding(&found);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn convolution(
        batch in 1usize..4, inputs in 1usize..40, outputs in 1usize..90,
        height in 1usize..14, width in 1usize..36,
        kernel in prop::sample::select(vec![1usize, 3]), stride in 1usize..3, lead in 0usize..2,
        seed in 0usize..1000,
    ) {
        let case = [batch, inputs, outputs, height, width, kernel, stride, lead];
        check_convolution(case, Arithmetic::F32, seed, 1e-5);
    }

    #[test]
    fn rectangular_windows_with_any_padding_rectified(
        batch in 1usize..4, inputs in 1usize..20, outputs in 1usize..70,
        height in 7usize..14, width in 7usize..20,
        down in 1usize..8, across in 1usize..8, above in 0usize..4, left in 0usize..4,
        stride in 1usize..3, seed in 0usize..1000,
    ) {
        let window = Window {
            kernel: [down, across],
            padding: [above.min(down - 1), left.min(across - 1)],
            trailing: [above.min(down - 1), left.min(across - 1)],
            stride,
        };
        let sizes = [batch, inputs, height, width];
        let planes = values(sizes.iter().product(), seed, 0.0);
        let weight = values(outputs * inputs * down * across, seed + 1, 0.0);
        let bias = values(outputs, seed + 2, 0.0);
        let expected = plain_convolution(&planes_of(&planes, sizes), &weight, &bias, window);
        let result: [usize; 4] = expected.dim().into();
        let addend = values(expected.len(), seed + 3, 0.0);
        let expected = (expected + planes_of(&addend, result)).mapv(|sum| sum.max(0.0));
        for isa in isas() {
            let sizes_of = ConvSizes { inputs, outputs, window };
            let (weight, bias) = (weight.clone(), bias.clone());
            let conv = PackedConv2d::new(isa, Arithmetic::F32, weight, bias, sizes_of).then_relu();
            let pool = dirty_pool(expected.len());
            let x = maps(&pool, &planes, sizes);
            let addend = maps(&pool, &addend, result);
            let found = conv.forward(&pool, &x, None, Some(&addend)).unwrap();
            prop_assert_eq!(found.shape(), shape(result));
            let difference = difference(&found.to_planes().unwrap(), &expected);
            prop_assert!(difference < 1e-5, "{}: {difference:e}", isa.name());
            assert_padding(&found);
        }
    }

    #[test]
    fn pools_leave_the_padding_out(
        batch in 1usize..3, channels in 1usize..40, height in 3usize..10, width in 3usize..10,
        kernel in 1usize..4, padding in 0usize..2, stride in 1usize..3, seed in 0usize..1000,
    ) {
        let window = Window {
            kernel: [kernel; 2],
            padding: [padding.min(kernel - 1); 2],
            trailing: [padding.min(kernel - 1); 2],
            stride,
        };
        let sizes = [batch, channels, height, width];
        // Below zero, so that zeros of the padding would be the largest.
        let planes = values(sizes.iter().product(), seed, -2.0);
        let pool = dirty_pool(4 * planes.len() + 4096);
        let x = maps(&pool, &planes, sizes);
        let [rows, columns] = window.result([height, width]).unwrap();
        for pooling in [Pooling::Largest, Pooling::Mean] {
            let found = pooling.forward(&pool, &x, window).unwrap();
            assert_padding(&found);
            let mut found = found.to_planes().unwrap().into_iter();
            for plane in planes.chunks_exact(height * width) {
                for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                    let inside = |begin: usize, size: usize| {
                        (0..kernel).filter_map(move |k| {
                            (begin * stride + k).checked_sub(padding.min(kernel - 1)).filter(|&at| at < size)
                        })
                    };
                    let seen: Vec<f32> = inside(i, height)
                        .flat_map(|y| inside(j, width).map(move |x| plane[y * width + x]))
                        .collect();
                    let expected = match pooling {
                        Pooling::Largest => seen.iter().copied().fold(f32::MIN, f32::max),
                        Pooling::Mean => seen.iter().sum::<f32>() / seen.len() as f32,
                    };
                    let found = found.next().unwrap();
                    prop_assert!((found - expected).abs() < 1e-5, "{found} {expected}");
                }
            }
        }
        let means = planes_of(&planes, sizes).mean_axis(Axis(3)).unwrap().mean_axis(Axis(2)).unwrap();
        prop_assert!(difference(&global_means(&x), &means) < 1e-6);
    }

    #[test]
    fn shortcuts_without_weights(
        batch in 1usize..3, channels in 1usize..40, height in 1usize..9, width in 1usize..9,
        stride in 1usize..3, before in 0usize..20, behind in 0usize..20,
    ) {
        let sizes = [batch, channels, height, width];
        let planes = values(sizes.iter().product(), 0, 0.0);
        let pool = dirty_pool(4 * planes.len() + 4096);
        let found = subsample(&pool, &maps(&pool, &planes, sizes), stride, before, before + channels + behind).unwrap();
        assert_padding(&found);
        let seen = planes_of(&planes, sizes).slice_move(s![.., .., ..;stride, ..;stride]);
        let (_, _, rows, columns) = seen.dim();
        let zeros = |channels| Array4::zeros((batch, channels, rows, columns));
        let (before, behind) = (zeros(before), zeros(behind));
        let expected = concatenate(Axis(1), &[before.view(), seen.view(), behind.view()]).unwrap();
        prop_assert_eq!(difference(&found.to_planes().unwrap(), &expected), 0.0);
    }

    /// Against f32: rounding operands to 8 bits changes a sum by a few thousandths of its largest.
    #[test]
    fn convolution_in_bf16(
        batch in 1usize..4, inputs in 1usize..40, outputs in 1usize..90,
        height in 1usize..14, width in 1usize..36,
        kernel in prop::sample::select(vec![1usize, 3]), stride in 1usize..3, lead in 0usize..2,
        seed in 0usize..1000,
    ) {
        let case = [batch, inputs, outputs, height, width, kernel, stride, lead];
        check_convolution(case, Arithmetic::Bf16, seed, 3e-2);
    }

    #[test]
    fn group_normalisation(
        batch in 1usize..4, groups in 1usize..6, per_group in 1usize..5,
        height in 1usize..20, width in 1usize..9,
        offset in -3f32..3.0, silu in any::<bool>(), modulated in any::<bool>(), seed in 0usize..1000,
    ) {
        let channels = groups * per_group;
        let sizes = [batch, channels, height, width];
        let planes = values(sizes.iter().product(), seed, offset);
        let (weight, bias) = (values(channels, seed + 1, 1.0), values(channels, seed + 2, 0.0));
        let scale_shift = values(batch * 2 * channels, seed + 3, 0.0);
        let mut expected = planes_of(&planes, sizes);
        for (image, mut x) in expected.outer_iter_mut().enumerate() {
            for (group, mut x) in x.axis_chunks_iter_mut(Axis(0), per_group).enumerate() {
                let (mean, deviation) = (x.mean().unwrap(), (x.var(0.0) + 1e-5).sqrt());
                for (i, mut x) in x.outer_iter_mut().enumerate() {
                    let channel = group * per_group + i;
                    let row = &scale_shift[image * 2 * channels..];
                    x.mapv_inplace(|x| {
                        let mut y = (x - mean) / deviation * f64::from(weight[channel]) + f64::from(bias[channel]);
                        if modulated {
                            y = y * (f64::from(row[channel]) + 1.0) + f64::from(row[channels + channel]);
                        }
                        if silu { y / (1.0 + (-y).exp()) } else { y }
                    });
                }
            }
        }
        // A group of one value has no variance: the kernel amplifies its rounding by up to 1 / sqrt(1e-5).
        let tolerance = if per_group * height * width == 1 { 1e-3 } else { 1e-5 };
        for isa in isas() {
            let packed = PackedGroupNorm::new(isa, weight.clone(), bias.clone(), groups, 1e-5);
            let pool = dirty_pool(planes.len());
            let x = maps(&pool, &planes, sizes);
            let scale_shift = Vectors::new(2 * channels, scale_shift.clone());
            let found = packed.forward(&pool, &x, modulated.then_some(&scale_shift), silu).unwrap();
            assert_padding(&found);
            let difference = difference(&found.to_planes().unwrap(), &expected);
            prop_assert!(difference < tolerance, "{}: {difference:e}", isa.name());
        }
    }

    #[test]
    fn attention(
        batch in 1usize..3, heads in 1usize..5, channels in 1usize..20,
        height in 1usize..12, width in 1usize..9,
        kind_first in any::<bool>(), gain in 0.1f32..20.0, seed in 0usize..1000,
    ) {
        let positions = height * width;
        let sizes = [batch, 3 * heads * channels, height, width];
        let planes: Vec<f32> = values(sizes.iter().product(), seed, 0.0)
            .into_iter().map(|v| v * gain).collect();
        let qkv = planes_of(&planes, [batch, 3 * heads, channels, positions]);
        let mut expected = Array4::zeros((batch, heads, channels, positions));
        for (image, head) in (0..batch).flat_map(|b| (0..heads).map(move |h| (b, h))) {
            let part = |kind: usize| {
                let index = if kind_first { kind * heads + head } else { 3 * head + kind };
                qkv.slice(s![image, index, .., ..])
            };
            let mut scores = part(0).t().dot(&part(1)) / (channels as f64).sqrt();
            for mut row in scores.outer_iter_mut() {
                let most = row.iter().copied().fold(f64::MIN, f64::max);
                row.mapv_inplace(|score| (score - most).exp());
                row /= row.sum();
            }
            expected.slice_mut(s![image, head, .., ..]).assign(&part(2).dot(&scores.t()));
        }
        let layout = if kind_first { HeadLayout::KindFirst } else { HeadLayout::HeadFirst };
        for isa in isas() {
            let pool = dirty_pool(planes.len());
            let found = attend(isa, &pool, &maps(&pool, &planes, sizes), heads, layout).unwrap();
            assert_padding(&found);
            prop_assert!(difference(&found.to_planes().unwrap(), &expected) < 1e-4);
        }
    }

    #[test]
    fn dense_layers(
        batch in 1usize..5, inputs in 1usize..40, outputs in 1usize..40, seed in 0usize..1000,
    ) {
        let x = values(batch * inputs, seed, 0.0);
        let (weight, bias) = (values(inputs * outputs, seed + 1, 0.0), values(outputs, seed + 2, 0.0));
        let rows: Array2<f64> = wide(&x, (batch, inputs));
        let columns: Array2<f64> = wide(&weight, (outputs, inputs));
        let expected = rows.dot(&columns.t()) + wide(&bias, outputs);
        for isa in isas() {
            let linear = PackedLinear::new(isa, &weight, bias.clone(), inputs);
            let found = linear.forward(&Vectors::new(inputs, x.clone())).unwrap();
            prop_assert!(difference(found.values(), &expected) < 1e-5);
        }
    }

    #[test]
    fn changes_of_resolution_and_joins(
        batch in 1usize..4, channels in 1usize..40, others in 1usize..40,
        height in 1usize..9, width in 1usize..9,
    ) {
        let sizes = [batch, channels, height, width];
        let planes = values(sizes.iter().product(), 0, 0.0);
        let x = planes_of(&planes, sizes);
        let pool = dirty_pool(8 * planes.len());
        let packed = maps(&pool, &planes, sizes);
        let expected = Array4::from_shape_fn((batch, channels, 2 * height, 2 * width), |(b, c, i, j)| {
            x[[b, c, i / 2, j / 2]]
        });
        let doubled = upsample(&pool, &packed).unwrap();
        prop_assert_eq!(difference(&doubled.to_planes().unwrap(), &expected), 0.0);
        let halved = pool_means(&pool, &doubled).unwrap();
        prop_assert_eq!(difference(&halved.to_planes().unwrap(), &x), 0.0);
        assert_padding(&doubled);
        assert_padding(&halved);

        let sizes = [batch, others, height, width];
        let planes = values(sizes.iter().product(), 1, 0.0);
        let expected = concatenate(Axis(1), &[x.view(), planes_of(&planes, sizes).view()]).unwrap();
        let joined = join(&pool, &[&packed, &maps(&pool, &planes, sizes)]).unwrap();
        prop_assert_eq!(difference(&joined.to_planes().unwrap(), &expected), 0.0);
        assert_padding(&joined);
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let isa = isas()[0];
    let pool = pool();
    let x = |sizes: [usize; 4]| maps(&pool, &values(sizes.iter().product(), 0, 0.0), sizes);
    let sizes = ConvSizes::centred(2, 1, 3);
    let conv = PackedConv2d::new(isa, Arithmetic::F32, vec![0.0; 18], vec![0.0], sizes);
    let four = x([1, 2, 4, 4]);
    assert!(conv.forward(&pool, &x([1, 3, 4, 4]), None, None).is_err());
    let shift = Vectors::new(2, vec![0.0; 2]);
    assert!(conv.forward(&pool, &four, Some(&shift), None).is_err());
    let addend = x([1, 1, 4, 5]);
    assert!(conv.forward(&pool, &four, None, Some(&addend)).is_err());
    let norm = PackedGroupNorm::new(isa, vec![1.0; 4], vec![0.0; 4], 2, 1e-5);
    assert!(norm.forward(&pool, &x([1, 3, 4, 4]), None, true).is_err());
    let rows = Vectors::new(4, vec![0.0; 4]);
    assert!(
        norm.forward(&pool, &x([1, 4, 4, 4]), Some(&rows), true)
            .is_err()
    );
    assert!(attend(isa, &pool, &x([1, 9, 2, 2]), 2, HeadLayout::HeadFirst).is_err());
    assert!(join(&pool, &[&four, &x([1, 2, 4, 5])]).is_err());
    let linear = PackedLinear::new(isa, &[0.0; 6], vec![0.0; 2], 3);
    assert!(linear.forward(&Vectors::new(2, vec![0.0; 2])).is_err());
    assert!(Isa::named("sse9").unwrap_err().contains("generic, avx2"));
}

/// Sizes at, just below and just above those of tiles, tasks, panels and parts of a patch.
#[test]
fn convolution_at_the_edges_of_blocks() {
    for case in [
        [1, 3, 13, 4, 8, 3, 1, 1],
        [2, 64, 65, 8, 8, 3, 1, 1],
        [1, 17, 64, 9, 33, 3, 1, 1],
        [3, 16, 16, 12, 48, 3, 1, 1],
        [1, 64, 48, 9, 9, 3, 2, 1],
        [2, 57, 33, 5, 7, 3, 2, 1],
        [1, 16, 80, 7, 7, 1, 1, 0],
        [2, 33, 48, 8, 6, 3, 2, 0],
    ] {
        check_convolution(case, Arithmetic::F32, 1, 1e-5);
        check_convolution(case, Arithmetic::Bf16, 1, 3e-2);
    }
}
