//! Feature networks with weights made by a formula against the programs that they are ports of.
//!
//! `tests/golden/tools/features.py` evaluates the same formula and says which versions it ran.

mod common;
#[path = "../../../tests/golden/tools/resnet8.rs"]
mod resnet8;

use std::collections::BTreeMap;
use std::path::Path;

use common::golden;
use ddpm_model::{Checkpoint, Error, FeatureNetwork, NetworkKind};
use ndarray::{Array4, s};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

/// `units` of the script: 32-bit words of an integer hash, seeded by a name.
fn words(name: &str) -> impl Iterator<Item = u32> {
    let seed = name.bytes().fold(0x811C_9DC5u32, |state, byte| {
        (state ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (0u32..).map(move |i| {
        let mut h = i.wrapping_mul(0x9E37_79B9).wrapping_add(seed);
        h ^= h >> 16;
        h = h.wrapping_mul(0x85EB_CA6B);
        h ^= h >> 13;
        h = h.wrapping_mul(0xC2B2_AE35);
        h ^ h >> 16
    })
}

fn weights(name: &str, shape: &[usize]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let units = words(name)
        .take(count)
        .map(|word| f64::from(word) / f64::from(2u32.pow(31)) - 1.0);
    let (scale, offset) = match name.rsplit('.').next() {
        _ if shape.len() == 4 => ((6.0 / (count / shape[0]) as f64).sqrt(), 0.0),
        _ if name.starts_with("fc.") => (0.01, 0.0),
        Some("weight") => (0.2, 1.0),
        Some("running_var") => (0.3, 1.0),
        _ => (0.1, 0.0),
    };
    units.map(|u| (offset + u * scale) as f32).collect()
}

/// Bytes of the script's images as the network sees them, in [-1, 1].
fn images(name: &str, shape: [usize; 4]) -> Array4<f32> {
    let count = shape.iter().product();
    let pixels = words(name).take(count);
    let pixels = pixels.map(|word| (word >> 24) as f32 / 127.5 - 1.0);
    Array4::from_shape_vec(shape, pixels.collect()).unwrap()
}

type StateDict = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Names and shapes of the port, as its own `state_dict` has them.
fn inception() -> StateDict {
    let mut convs: Vec<(String, [usize; 4])> = Vec::new();
    let mut add = |block: &str, layers: &[(&str, usize, usize, usize, usize)]| {
        for &(name, outputs, inputs, height, width) in layers {
            let name = format!("{block}{}{name}", if block.is_empty() { "" } else { "." });
            convs.push((name, [outputs, inputs, height, width]));
        }
    };
    add(
        "",
        &[
            ("Conv2d_1a_3x3", 32, 3, 3, 3),
            ("Conv2d_2a_3x3", 32, 32, 3, 3),
            ("Conv2d_2b_3x3", 64, 32, 3, 3),
            ("Conv2d_3b_1x1", 80, 64, 1, 1),
            ("Conv2d_4a_3x3", 192, 80, 3, 3),
        ],
    );
    for (block, inputs, pool) in [
        ("Mixed_5b", 192, 32),
        ("Mixed_5c", 256, 64),
        ("Mixed_5d", 288, 64),
    ] {
        add(
            block,
            &[
                ("branch1x1", 64, inputs, 1, 1),
                ("branch5x5_1", 48, inputs, 1, 1),
                ("branch5x5_2", 64, 48, 5, 5),
                ("branch3x3dbl_1", 64, inputs, 1, 1),
                ("branch3x3dbl_2", 96, 64, 3, 3),
                ("branch3x3dbl_3", 96, 96, 3, 3),
                ("branch_pool", pool, inputs, 1, 1),
            ],
        );
    }
    add(
        "Mixed_6a",
        &[
            ("branch3x3", 384, 288, 3, 3),
            ("branch3x3dbl_1", 64, 288, 1, 1),
            ("branch3x3dbl_2", 96, 64, 3, 3),
            ("branch3x3dbl_3", 96, 96, 3, 3),
        ],
    );
    for (block, c) in [
        ("Mixed_6b", 128),
        ("Mixed_6c", 160),
        ("Mixed_6d", 160),
        ("Mixed_6e", 192),
    ] {
        add(
            block,
            &[
                ("branch1x1", 192, 768, 1, 1),
                ("branch7x7_1", c, 768, 1, 1),
                ("branch7x7_2", c, c, 1, 7),
                ("branch7x7_3", 192, c, 7, 1),
                ("branch7x7dbl_1", c, 768, 1, 1),
                ("branch7x7dbl_2", c, c, 7, 1),
                ("branch7x7dbl_3", c, c, 1, 7),
                ("branch7x7dbl_4", c, c, 7, 1),
                ("branch7x7dbl_5", 192, c, 1, 7),
                ("branch_pool", 192, 768, 1, 1),
            ],
        );
    }
    add(
        "Mixed_7a",
        &[
            ("branch3x3_1", 192, 768, 1, 1),
            ("branch3x3_2", 320, 192, 3, 3),
            ("branch7x7x3_1", 192, 768, 1, 1),
            ("branch7x7x3_2", 192, 192, 1, 7),
            ("branch7x7x3_3", 192, 192, 7, 1),
            ("branch7x7x3_4", 192, 192, 3, 3),
        ],
    );
    for (block, inputs) in [("Mixed_7b", 1280), ("Mixed_7c", 2048)] {
        add(
            block,
            &[
                ("branch1x1", 320, inputs, 1, 1),
                ("branch3x3_1", 384, inputs, 1, 1),
                ("branch3x3_2a", 384, 384, 1, 3),
                ("branch3x3_2b", 384, 384, 3, 1),
                ("branch3x3dbl_1", 448, inputs, 1, 1),
                ("branch3x3dbl_2", 384, 448, 3, 3),
                ("branch3x3dbl_3a", 384, 384, 1, 3),
                ("branch3x3dbl_3b", 384, 384, 3, 1),
                ("branch_pool", 192, inputs, 1, 1),
            ],
        );
    }
    let mut state = StateDict::new();
    let mut put = |name: String, shape: &[usize]| {
        let values = weights(&name, shape);
        state.insert(name, (shape.to_vec(), values));
    };
    for (name, shape) in convs {
        put(format!("{name}.conv.weight"), &shape);
        for kind in ["weight", "bias", "running_mean", "running_var"] {
            put(format!("{name}.bn.{kind}"), &shape[..1]);
        }
    }
    put("fc.weight".into(), &[1008, 2048]);
    put("fc.bias".into(), &[1008]);
    state
}

/// A CIFAR ResNet of 8 layers.
fn resnet8() -> StateDict {
    let mut state = StateDict::new();
    resnet8::resnet8(|name, shape| {
        let values = weights(&name, shape);
        state.insert(name, (shape.to_vec(), values));
    });
    state
}

fn checkpoint(state: &StateDict) -> Checkpoint {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = state
        .iter()
        .map(|(name, (shape, values))| {
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, (*shape).clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    let file = safetensors::serialize(views, None).unwrap();
    Checkpoint::from_bytes(Path::new("weights.safetensors"), &file).unwrap()
}

#[expect(clippy::print_stdout, reason = "a test says what it measured")]
fn check(network: &FeatureNetwork, file: &str, name: &str, shape: [usize; 4], tolerance: f64) {
    let bytes = std::fs::read(golden(file)).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let expected: Vec<f32> = stored
        .tensor(name)
        .unwrap()
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&b| f32::from_le_bytes(b))
        .collect();
    let found = network.features(images(name, shape).view()).unwrap();
    assert_eq!(found.dim(), (shape[0], network.kind().dims()));
    // Relative to the feature itself; one in a thousand of the mean is where rounding in f32 begins to show.
    let floor = expected.iter().map(|x| x.abs()).sum::<f32>() / expected.len() as f32 * 1e-3;
    let mut worst = 0f64;
    for (f, e) in found.iter().zip(&expected) {
        worst = worst.max(f64::from((f - e).abs() / (e.abs() + floor)));
    }
    println!("{name}: largest relative difference {worst:.1e}");
    assert!(worst < tolerance, "{name}: {worst:e}");
}

#[test]
fn inception_gives_the_features_of_pytorch_fid() {
    let checkpoint = checkpoint(&inception());
    let network = FeatureNetwork::load(&checkpoint).unwrap();
    assert_eq!(network.kind(), NetworkKind::Inception);
    let file = "features/inception.safetensors";
    check(&network, file, "small", [2, 3, 32, 32], 1e-3);
    check(&network, file, "tall", [1, 3, 320, 40], 1e-3);
}

#[test]
fn the_cifar_resnet_gives_the_features_of_pytorch() {
    let network = FeatureNetwork::load(&checkpoint(&resnet8())).unwrap();
    assert_eq!(network.kind(), NetworkKind::CifarResNet { layers: 8 });
    check(
        &network,
        "features/resnet8.safetensors",
        "small",
        [2, 3, 32, 32],
        1e-4,
    );
}

#[test]
fn features_do_not_depend_on_the_batch_or_the_threads() {
    let network = FeatureNetwork::load(&checkpoint(&resnet8())).unwrap();
    let x = images("batch", [7, 3, 32, 32]);
    let together = network.features(x.view()).unwrap();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    for i in 0..7 {
        let alone = pool.install(|| network.features(x.slice(s![i..=i, .., .., ..])).unwrap());
        assert_eq!(alone.row(0), together.row(i), "image {i}");
    }
    let grey = x.slice(s![.., ..1, .., ..]);
    let colour = ndarray::concatenate![ndarray::Axis(1), grey, grey, grey];
    assert_eq!(
        network.features(grey).unwrap(),
        network.features(colour.view()).unwrap()
    );
    let scores = network.logits(&together).unwrap().unwrap();
    assert_eq!(scores.dim(), (7, 10));
}

#[test]
fn digits_are_seen_in_a_black_frame() {
    let network = FeatureNetwork::load(&checkpoint(&resnet8())).unwrap();
    let digits = images("digits", [3, 1, 28, 28]);
    let mut framed = Array4::from_elem((3, 3, 32, 32), -1.0);
    for channel in 0..3 {
        framed
            .slice_mut(s![.., channel, 2..30, 2..30])
            .assign(&digits.slice(s![.., 0, .., ..]));
    }
    let found = network.features(digits.view()).unwrap();
    assert_eq!(found, network.features(framed.view()).unwrap());
    // Nothing else is made to fit.
    for shape in [[1, 3, 28, 28], [1, 1, 27, 28], [1, 1, 64, 64]] {
        let refused = network
            .features(images("others", shape).view())
            .unwrap_err();
        assert!(refused.to_string().contains("32x32"), "{refused}");
    }
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let error = |change: fn(&mut StateDict)| {
        let mut state = resnet8();
        change(&mut state);
        FeatureNetwork::load(&checkpoint(&state)).err().unwrap()
    };
    let missing = error(|state| drop(state.remove("layer2.0.bn2.running_var")));
    assert!(
        matches!(missing, Error::MissingKey { ref key, .. } if key == "layer2.0.bn2.running_var")
    );
    let extra = error(|state| drop(state.insert("layer4.x".into(), (vec![1], vec![0.0]))));
    assert!(matches!(extra, Error::ExtraKeys { .. }), "{extra}");
    let shape = error(|state| drop(state.insert("bn1.bias".into(), (vec![3], vec![0.0; 3]))));
    assert!(matches!(shape, Error::WrongShape { .. }), "{shape}");
    let negative = error(|state| state.get_mut("bn1.running_var").unwrap().1[5] = -1.0);
    let text = negative.to_string();
    assert!(
        text.contains("conv1") && text.contains("channel 5"),
        "{text}"
    );
    let unknown = error(|state| drop(state.remove("linear.weight")));
    assert!(
        unknown.to_string().contains("pytorch-fid's Inception"),
        "{unknown}"
    );
    // torchvision's weights have the same names and another number of classes.
    let mut other = StateDict::new();
    let conv = "Mixed_5b.branch1x1.conv.weight";
    other.insert(conv.into(), (vec![64, 192, 1, 1], vec![0.0; 64 * 192]));
    other.insert("fc.weight".into(), (vec![1000, 1], vec![0.0; 1000]));
    let text = FeatureNetwork::load(&checkpoint(&other))
        .err()
        .unwrap()
        .to_string();
    assert!(text.contains("torchvision"), "{text}");

    let network = FeatureNetwork::load(&checkpoint(&resnet8())).unwrap();
    let text = network
        .features(images("x", [1, 3, 16, 16]).view())
        .unwrap_err()
        .to_string();
    assert!(text.contains("16x16") && text.contains("32x32"), "{text}");
    assert!(
        network
            .features(images("x", [1, 2, 32, 32]).view())
            .is_err()
    );
}
