//! The CIFAR ResNet of He et al. 2016, section 4.2, with shortcuts without weights (option A).
//!
//! `6 n + 2` layers: a convolution, three stages of `n` blocks of two convolutions with 16, 32 and 64 channels at 32, 16 and
//! 8 pixels, the mean over the image, and a dense layer. The features are the 64 means.

use std::sync::Arc;

use super::conv_norm;
use crate::Result;
use crate::kernels::{
    ConvSizes, Isa, Maps, PackedConv2d, PackedLinear, Pool, Shape, Vectors, Window, global_means,
    subsample,
};
use crate::unet::{Scope, Weights};

/// PyTorch's default.
const EPSILON: f64 = 1e-5;
/// Mean and standard deviation of each colour channel, of pixels in [0, 1], that the network was trained with (ImageNet's).
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
/// Channels of the first stage; each stage doubles them.
const CHANNELS: usize = 16;
const STAGES: usize = 3;
const CLASSES: usize = 10;

/// Number of features.
pub(super) const FEATURES: usize = CHANNELS << (STAGES - 1);
/// Height and width of the images.
pub(super) const SIDE: usize = 32;

/// The network with its weights.
pub(super) struct CifarResNet {
    pool: Arc<Pool>,
    first: PackedConv2d,
    blocks: Vec<Block>,
    dense: PackedLinear,
}

struct Block {
    convs: [PackedConv2d; 2],
    stride: usize,
    outputs: usize,
}

impl CifarResNet {
    /// Takes all weights; `blocks` in each stage.
    pub(super) fn load(isa: Isa, weights: &Weights<'_>, blocks: usize) -> Result<Self> {
        let root = weights.root();
        let sizes = |inputs, outputs, stride| ConvSizes {
            inputs,
            outputs,
            window: Window::centred(3, stride),
        };
        let conv = |scope: &Scope<'_>, index: usize, sizes: ConvSizes| {
            let names = [format!("conv{index}"), format!("bn{index}")];
            let names = names.each_ref().map(String::as_str);
            // The second of a block is rectified after the shortcut is added, which a convolution does in this order.
            conv_norm::take(isa, scope, names, EPSILON, sizes).map(PackedConv2d::then_relu)
        };
        let first = conv(&root, 1, sizes(3, CHANNELS, 1))?;
        let mut all = Vec::with_capacity(STAGES * blocks);
        let mut inputs = CHANNELS;
        for stage in 0..STAGES {
            let outputs = CHANNELS << stage;
            for block in 0..blocks {
                let scope = root.scope(&format!("layer{}.{block}", stage + 1));
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                all.push(Block {
                    convs: [
                        conv(&scope, 1, sizes(inputs, outputs, stride))?,
                        conv(&scope, 2, sizes(outputs, outputs, 1))?,
                    ],
                    stride,
                    outputs,
                });
                inputs = outputs;
            }
        }
        let (weight, bias) = root.scope("linear").take_both(&[CLASSES, FEATURES])?;
        Ok(Self {
            pool: Arc::default(),
            first,
            blocks: all,
            dense: PackedLinear::new(isa, &weight, bias, FEATURES),
        })
    }

    /// [`FEATURES`] numbers for each of the images `[batch, 3, 32, 32]` in [-1, 1].
    pub(super) fn features(&self, mut planes: Vec<f32>) -> Result<Vec<f32>> {
        let pixels = SIDE * SIDE;
        for (index, plane) in planes.chunks_exact_mut(pixels).enumerate() {
            let (mean, deviation) = (MEAN[index % 3], DEVIATION[index % 3]);
            for x in plane {
                *x = ((*x + 1.0) / 2.0 - mean) / deviation;
            }
        }
        let shape = Shape {
            batch: planes.len() / (3 * pixels),
            height: SIDE,
            width: SIDE,
            channels: 3,
        };
        let pool = &self.pool;
        let x = Maps::from_planes(pool, shape, &planes)?;
        let mut x = self.first.forward(pool, &x, None, None)?;
        for block in &self.blocks {
            let inner = block.convs[0].forward(pool, &x, None, None)?;
            if block.stride != 1 || block.outputs != x.shape().channels {
                let before = (block.outputs - x.shape().channels) / 2;
                x = subsample(pool, &x, block.stride, before, block.outputs)?;
            }
            x = block.convs[1].forward(pool, &inner, None, Some(&x))?;
        }
        Ok(global_means(&x))
    }

    /// Scores of the ten classes from features.
    pub(super) fn logits(&self, features: Vec<f32>) -> Result<Vec<f32>> {
        let scores = self.dense.forward(&Vectors::new(FEATURES, features))?;
        Ok(scores.values().to_vec())
    }
}
