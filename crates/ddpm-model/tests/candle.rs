//! The networks on candle's operations: against the original outputs, and against our kernels.

mod common;

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use common::{Io, cases, golden, io, io_at, two_heads, waves, without_resampling_weights, worst};
use ddpm_core::Denoiser;
use ddpm_model::{Backend, Checkpoint, ModelOptions, Resampling, UNet, UNetDenoiser};
use ndarray::{Array4, s};

fn load(path: &Path, options: &ModelOptions, backend: Backend) -> UNet {
    UNet::load_on(&Checkpoint::open(path).unwrap(), options, backend).unwrap()
}

fn run(unet: &UNet, io: &Io) -> Array4<f32> {
    unet.forward(io.x.view(), &io.timesteps, io.y.as_deref())
        .unwrap()
}

/// Checkpoint, options, and what the network makes of what.
fn originals() -> Vec<(PathBuf, ModelOptions, Io)> {
    let open_ai = cases().into_iter().map(|(case, options)| {
        let name = case["name"].as_str().unwrap();
        (golden(&format!("unet-{name}.pt")), options, io(name))
    });
    let diffusers = [
        "ddpm-pipeline",
        "v-prediction",
        "learned-range",
        "without-attention",
    ];
    let diffusers = diffusers.map(|name| {
        let folder = golden("diffusers").join(name);
        let io = io_at(&folder.join("io.safetensors"));
        (folder, ModelOptions::default(), io)
    });
    open_ai.chain(diffusers).collect()
}

#[test]
fn outputs_equal_the_original() {
    for (path, options, io) in originals() {
        let output = run(&load(&path, &options, Backend::Stock), &io);
        let worst = worst(&output, &io.output);
        let tolerance = if path.is_dir() { 2e-5 } else { 1e-5 };
        assert!(worst < tolerance, "{}: {worst:e}", path.display());
    }
}

#[test]
fn outputs_do_not_depend_on_the_batch() {
    for (path, options, io) in originals() {
        let unet = load(&path, &options, Backend::Stock);
        let together = run(&unet, &io);
        for image in 0..io.timesteps.len() {
            let alone = Io {
                x: io.x.slice(s![image..=image, .., .., ..]).to_owned(),
                timesteps: vec![io.timesteps[image]],
                y: io.y.as_ref().map(|y| vec![y[image]]),
                output: Array4::default([0; 4]),
            };
            let expected = together.slice(s![image..=image, .., .., ..]);
            assert_eq!(run(&unet, &alone), expected, "{}, {image}", path.display());
        }
    }
}

#[test]
fn the_shipped_checkpoint_runs_alike_on_both() {
    let path = golden("../../datasets/cifar10-small.safetensors");
    let x = waves([2, 3, 32, 32]);
    let options = ModelOptions::default();
    let [stock, packed] = [Backend::Stock, Backend::default()].map(|backend| {
        let denoiser = UNetDenoiser::new(load(&path, &options, backend), &options).unwrap();
        denoiser
            .predict(x.view().into_dyn(), &[1, 3000], None)
            .unwrap()
    });
    let means = worst(&stock.mean, &packed.mean);
    let variances = worst(&stock.variance.unwrap(), &packed.variance.unwrap());
    assert!(means < 3e-5 && variances < 3e-5, "{means:e} {variances:e}");
}

#[test]
fn resampling_without_weights_is_the_same_on_both() {
    let checkpoint = without_resampling_weights();
    let x = waves([4, 3, 16, 16]);
    let [stock, packed] = [Backend::Stock, Backend::default()].map(|backend| {
        let unet = UNet::load_on(&checkpoint, &two_heads(), backend).unwrap();
        let levels = &unet.config().architecture.levels;
        assert_eq!(levels[0].downsample, Resampling::Plain);
        unet.forward(x.view(), &[0.0, 133.7, 267.4, 999.0], None)
            .unwrap()
    });
    let worst = worst(&stock, &packed);
    // Rounding of F(4, 3) included.
    assert!(worst < 5e-5, "{worst:e}");
}

#[test]
fn the_network_is_one_operation_of_candle() {
    let (case, options) = &cases()[0];
    let name = case["name"].as_str().unwrap();
    let checkpoint = Checkpoint::open(&golden(&format!("unet-{name}.pt"))).unwrap();
    let io = io(name);
    let unet = UNet::load(&checkpoint, options).unwrap();
    let values: Vec<f32> = io.x.iter().copied().collect();
    let x = Tensor::from_vec(values, io.x.dim(), &Device::Cpu).unwrap();
    let found = unet.apply(&x, &io.timesteps, io.y.as_deref()).unwrap();
    let expected = unet
        .forward(io.x.view(), &io.timesteps, io.y.as_deref())
        .unwrap();
    assert_eq!(found.dims(), expected.shape());
    let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
    assert!(found.iter().eq(expected.iter()));
    assert!(unet.apply(&x, &[0.0], None).is_err());
}
