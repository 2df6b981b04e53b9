//! An image's output is the same to the bit whatever shares its batch, wherever it stands and however many threads run.

mod common;

use common::{golden, two_heads, waves, without_resampling_weights};
use ddpm_model::{Arithmetic, AttentionOrder, Backend, Checkpoint, ModelOptions, Resampling, UNet};
use ndarray::{Array4, ArrayView3, Axis, concatenate, s};
use rayon::prelude::*;

const IMAGES: usize = 8;

struct Batch {
    x: Array4<f32>,
    time: Vec<f32>,
    labels: Option<Vec<usize>>,
}

impl Batch {
    fn new(channels: usize, classes: Option<usize>) -> Self {
        Self {
            x: waves([IMAGES, channels, 16, 16]),
            time: (0..IMAGES).map(|b| 133.7 * b as f32).collect(),
            labels: classes.map(|classes| (0..IMAGES).map(|b| 3 * b % classes).collect()),
        }
    }

    fn select(&self, indices: &[usize]) -> Self {
        Self {
            x: self.x.select(Axis(0), indices),
            time: indices.iter().map(|&i| self.time[i]).collect(),
            labels: self
                .labels
                .as_ref()
                .map(|labels| indices.iter().map(|&i| labels[i]).collect()),
        }
    }

    fn run(&self, unet: &UNet, threads: usize) -> Array4<f32> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            unet.forward(self.x.view(), &self.time, self.labels.as_deref())
                .unwrap()
        })
    }
}

fn bits(image: ArrayView3<'_, f32>) -> Vec<u32> {
    image.iter().map(|v| v.to_bits()).collect()
}

fn check(unet: &UNet, batch: &Batch) {
    let all = batch.run(unet, 2);
    let alone: Vec<Array4<f32>> = (0..IMAGES)
        .map(|i| batch.select(&[i]).run(unet, 1 + i % 2))
        .collect();
    let views: Vec<_> = alone.iter().map(|image| image.view()).collect();
    let alone = concatenate(Axis(0), &views).unwrap();
    let orders: [&[usize]; 4] = [
        &[0, 1, 2, 3, 4, 5, 6, 7],
        &[7, 2, 5],
        &[6, 1, 4, 0, 3, 7, 2, 5],
        &[3, 3, 3],
    ];
    for threads in [1, 2] {
        for order in orders {
            let output = batch.select(order).run(unet, threads);
            for (position, &image) in order.iter().enumerate() {
                let found = bits(output.slice(s![position, .., .., ..]));
                assert_eq!(
                    found,
                    bits(alone.slice(s![image, .., .., ..])),
                    "image {image} of {order:?}, {threads} threads"
                );
            }
        }
    }
    assert_eq!(
        bits(all.slice(s![0, .., .., ..])),
        bits(alone.slice(s![0, .., .., ..]))
    );
}

#[test]
fn outputs_do_not_depend_on_the_batch() {
    let checkpoint = Checkpoint::open(&golden("unet-hybrid-16px.pt")).unwrap();
    for backend in [Backend::default(), Backend::Packed(Arithmetic::Bf16)] {
        let unet = UNet::load_on(&checkpoint, &two_heads(), backend).unwrap();
        check(&unet, &Batch::new(3, None));
    }
}

#[test]
fn nor_do_they_with_classes() {
    let checkpoint = Checkpoint::open(&golden("unet-classcond-noscale.pt")).unwrap();
    let options = ModelOptions {
        num_heads: Some(4),
        image_size: Some(16),
        ..ModelOptions::default()
    };
    let unet = UNet::load(&checkpoint, &options).unwrap();
    check(&unet, &Batch::new(3, Some(10)));
}

#[test]
fn nor_do_they_where_residual_blocks_change_the_resolution() {
    let checkpoint = Checkpoint::open(&golden("unet-guided-updown-newattn.pt")).unwrap();
    let options = ModelOptions {
        num_head_channels: Some(16),
        attention_order: Some(AttentionOrder::New),
        ..ModelOptions::default()
    };
    let unet = UNet::load(&checkpoint, &options).unwrap();
    check(&unet, &Batch::new(3, Some(10)));
}

/// Average pooling instead of convolutions.
#[test]
fn nor_do_they_where_the_resolution_changes_without_weights() {
    let checkpoint = without_resampling_weights();
    let unet = UNet::load(&checkpoint, &two_heads()).unwrap();
    let levels = &unet.config().architecture.levels;
    assert_eq!(levels[0].downsample, Resampling::Plain);
    check(&unet, &Batch::new(3, None));
}

/// The first passes of a network pack its weights on the pool that they run on: several at once must neither wait for each
/// other nor differ.
#[test]
fn first_passes_may_run_at_once() {
    let checkpoint = Checkpoint::open(&golden("unet-hybrid-16px.pt")).unwrap();
    let batch = Batch::new(3, None).select(&[0]);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(4)
        .build()
        .unwrap();
    for _ in 0..5 {
        let unet = UNet::load(&checkpoint, &two_heads()).unwrap();
        let outputs: Vec<_> = pool.install(|| {
            (0..16)
                .into_par_iter()
                .map(|_| unet.forward(batch.x.view(), &batch.time, None).unwrap())
                .collect()
        });
        assert!(outputs.iter().all(|output| *output == outputs[0]));
    }
}
