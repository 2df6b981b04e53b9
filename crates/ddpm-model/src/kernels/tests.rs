//! Every kernel against the plain candle version, over odd shapes.

use candle_core::{D, Device, Tensor};
use proptest::prelude::*;

use super::{HeadLayout, PackedConv2d, PackedGroupNorm, PackedLinear, attend, upsample};

/// Reproducible values around zero, with mean `offset`.
fn values(len: usize, seed: usize, offset: f32) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 + seed * 104_729 + 1) as f32 * 0.618_034).fract() * 2.0 - 1.0 + offset)
        .collect()
}

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

/// Largest difference relative to the largest expected value.
fn difference(found: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(found.dims(), expected.dims());
    let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (found, expected) = (numbers(found), numbers(expected));
    let scale = expected.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    found
        .iter()
        .zip(&expected)
        .fold(0f32, |m, (a, b)| m.max((a - b).abs()))
        / scale
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn convolution(
        inputs in 1usize..10, outputs in 1usize..30, height in 1usize..12, width in 1usize..36,
        kernel in prop::sample::select(vec![1usize, 3]), stride in 1usize..3, seed in 0usize..1000,
    ) {
        let padding = kernel / 2;
        let x = tensor(&values(inputs * height * width, seed, 0.0), &[1, inputs, height, width]);
        let weight = values(outputs * inputs * kernel * kernel, seed + 1, 0.0);
        let bias = values(outputs, seed + 2, 0.0);
        let packed = PackedConv2d::new(&weight, bias.clone(), inputs, kernel, stride, padding);
        let expected = x
            .conv2d(&tensor(&weight, &[outputs, inputs, kernel, kernel]), padding, stride, 1, 1)
            .unwrap()
            .broadcast_add(&tensor(&bias, &[1, outputs, 1, 1]))
            .unwrap();
        let found = packed.apply(&x, None).unwrap();
        prop_assert!(difference(&found, &expected) < 1e-5);

        let shift = tensor(&values(outputs, seed + 3, 0.0), &[1, outputs]);
        let shifted = expected.broadcast_add(&shift.reshape((1, outputs, 1, 1)).unwrap()).unwrap();
        let found = packed.apply(&x, Some(&shift)).unwrap();
        prop_assert!(difference(&found, &shifted) < 1e-5);

        let addend = values(expected.elem_count(), seed + 4, 0.0);
        let addend = tensor(&addend, expected.dims());
        let found = packed.apply_onto(&x, &addend).unwrap();
        prop_assert!(difference(&found, &(expected + addend).unwrap()) < 1e-5);
    }

    #[test]
    fn group_normalisation(
        groups in 1usize..6, per_group in 1usize..5, height in 1usize..9, width in 1usize..9,
        offset in -3f32..3.0, silu in any::<bool>(), modulated in any::<bool>(), seed in 0usize..1000,
    ) {
        let channels = groups * per_group;
        let x = values(channels * height * width, seed, offset);
        let x = tensor(&x, &[1, channels, height, width]);
        let (weight, bias) = (values(channels, seed + 1, 1.0), values(channels, seed + 2, 0.0));
        let norm = candle_nn::GroupNorm::new(
            tensor(&weight, &[channels]), tensor(&bias, &[channels]), channels, groups, 1e-5,
        ).unwrap();
        let mut expected = x.apply(&norm).unwrap();
        let scale_shift = tensor(&values(2 * channels, seed + 3, 0.0), &[1, 2 * channels]);
        if modulated {
            let half = |start| {
                scale_shift.narrow(1, start, channels).unwrap().reshape((1, channels, 1, 1)).unwrap()
            };
            expected = expected.broadcast_mul(&(half(0) + 1.0).unwrap()).unwrap();
            expected = expected.broadcast_add(&half(channels)).unwrap();
        }
        if silu {
            expected = expected.silu().unwrap();
        }
        let packed = PackedGroupNorm::new(weight, bias, groups, 1e-5);
        let found = packed.apply(&x, modulated.then_some(&scale_shift), silu).unwrap();
        // A group of one value has no variance: both versions amplify its rounding by up to 1 / sqrt(1e-5).
        let tolerance = if per_group * height * width == 1 { 1e-3 } else { 2e-5 };
        prop_assert!(difference(&found, &expected) < tolerance);
    }

    #[test]
    fn attention(
        heads in 1usize..5, channels in 1usize..20, height in 1usize..9, width in 1usize..9,
        kind_first in any::<bool>(), gain in 0.1f32..20.0, seed in 0usize..1000,
    ) {
        let positions = height * width;
        let qkv: Vec<f32> = values(3 * heads * channels * positions, seed, 0.0)
            .into_iter().map(|v| v * gain).collect();
        let qkv = tensor(&qkv, &[1, 3 * heads * channels, height, width]);
        let part = |kind: usize| {
            let block = |index: usize| {
                qkv.reshape((3 * heads, channels, positions)).unwrap().get(index).unwrap()
            };
            let blocks: Vec<Tensor> = (0..heads)
                .map(|head| block(if kind_first { kind * heads + head } else { 3 * head + kind }))
                .collect();
            Tensor::stack(&blocks, 0).unwrap()
        };
        let (q, k, v) = (part(0), part(1), part(2));
        let scores = q.transpose(1, 2).unwrap().contiguous().unwrap().matmul(&k).unwrap();
        let scores = (scores / (channels as f64).sqrt()).unwrap();
        let weights = candle_nn::ops::softmax(&scores, D::Minus1).unwrap();
        let expected = v.matmul(&weights.transpose(1, 2).unwrap().contiguous().unwrap()).unwrap()
            .reshape((1, heads * channels, height, width)).unwrap();
        let layout = if kind_first { HeadLayout::KindFirst } else { HeadLayout::HeadFirst };
        let found = attend(&qkv, heads, layout).unwrap();
        prop_assert!(difference(&found, &expected) < 1e-4);
    }

    #[test]
    fn dense_layers(inputs in 1usize..40, outputs in 1usize..40, seed in 0usize..1000) {
        let x = tensor(&values(inputs, seed, 0.0), &[1, inputs]);
        let (weight, bias) = (values(inputs * outputs, seed + 1, 0.0), values(outputs, seed + 2, 0.0));
        let expected = x
            .matmul(&tensor(&weight, &[outputs, inputs]).t().unwrap())
            .unwrap()
            .broadcast_add(&tensor(&bias, &[outputs]))
            .unwrap();
        let found = PackedLinear::new(&weight, bias, inputs).apply(&x).unwrap();
        prop_assert!(difference(&found, &expected) < 1e-5);
    }

    #[test]
    fn upsampling(channels in 1usize..5, height in 1usize..9, width in 1usize..9) {
        let x = tensor(&values(channels * height * width, 0, 0.0), &[1, channels, height, width]);
        let expected = x.upsample_nearest2d(2 * height, 2 * width).unwrap();
        prop_assert_eq!(difference(&upsample(&x).unwrap(), &expected), 0.0);
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let conv = PackedConv2d::new(&[0.0; 18], vec![0.0], 2, 3, 1, 1);
    let x = |shape: &[usize]| tensor(&values(shape.iter().product(), 0, 0.0), shape);
    assert!(conv.apply(&x(&[1, 3, 4, 4]), None).is_err());
    assert!(conv.apply(&x(&[2, 2, 4, 4]), None).is_err());
    assert!(
        conv.apply(&x(&[1, 2, 4, 6]).transpose(2, 3).unwrap(), None)
            .is_err()
    );
    assert!(conv.apply(&x(&[1, 2, 4, 4]), Some(&x(&[1, 2]))).is_err());
    assert!(
        conv.apply_onto(&x(&[1, 2, 4, 4]), &x(&[1, 1, 4, 5]))
            .is_err()
    );
    let norm = PackedGroupNorm::new(vec![1.0; 4], vec![0.0; 4], 2, 1e-5);
    assert!(norm.apply(&x(&[1, 3, 4, 4]), None, true).is_err());
    assert!(
        norm.apply(&x(&[1, 4, 4, 4]), Some(&x(&[1, 4])), true)
            .is_err()
    );
    assert!(attend(&x(&[1, 9, 2, 2]), 2, HeadLayout::HeadFirst).is_err());
    let linear = PackedLinear::new(&[0.0; 6], vec![0.0; 2], 3);
    assert!(linear.apply(&x(&[1, 2])).is_err());
}

/// Widths at, just below and just above the width of a panel and the rows of a tile.
#[test]
fn convolution_at_the_edges_of_tiles() {
    for (inputs, outputs, height, width) in
        [(3, 13, 4, 8), (64, 26, 1, 33), (2, 27, 5, 7), (5, 65, 8, 8)]
    {
        let x = tensor(
            &values(inputs * height * width, 1, 0.0),
            &[1, inputs, height, width],
        );
        let (weight, bias) = (
            values(outputs * inputs * 9, 2, 0.0),
            values(outputs, 3, 0.0),
        );
        let expected = x
            .conv2d(&tensor(&weight, &[outputs, inputs, 3, 3]), 1, 1, 1, 1)
            .unwrap()
            .broadcast_add(&tensor(&bias, &[1, outputs, 1, 1]))
            .unwrap();
        let found = PackedConv2d::new(&weight, bias, inputs, 3, 1, 1)
            .apply(&x, None)
            .unwrap();
        assert!(difference(&found, &expected) < 1e-5);
    }
}
