//! The CIFAR ResNet of 8 layers of `features.py`, for tests of several crates.

/// Names and shapes of its weights, in the order of the layers.
pub(crate) fn resnet8(mut put: impl FnMut(String, &[usize])) {
    let mut layer = |scope: &str, index: usize, outputs: usize, inputs: usize| {
        put(
            format!("{scope}conv{index}.weight"),
            &[outputs, inputs, 3, 3],
        );
        for kind in ["weight", "bias", "running_mean", "running_var"] {
            put(format!("{scope}bn{index}.{kind}"), &[outputs]);
        }
    };
    layer("", 1, 16, 3);
    let mut inputs = 16;
    for (stage, outputs) in [(1, 16), (2, 32), (3, 64)] {
        let scope = format!("layer{stage}.0.");
        layer(&scope, 1, outputs, inputs);
        layer(&scope, 2, outputs, outputs);
        inputs = outputs;
    }
    put("linear.weight".into(), &[10, 64]);
    put("linear.bias".into(), &[10]);
}
