//! The Inception-v3 of the Frechet Inception distance: TensorFlow's network of 2015-12-05 as pytorch-fid ported it.
//!
//! It differs from torchvision's network in its weights, in average pools that leave the padding out of the mean, and in
//! a largest-value pool in the last block. Names of weights and blocks are those of the port.
//!
//! The features are the means over the last 8x8 maps, 2048 numbers.

use std::sync::Arc;

use super::conv_norm;
use super::resize::bilinear;
use crate::Result;
use crate::kernels::{
    ConvSizes, Isa, Maps, PackedConv2d, Pool, Pooling, Shape, Window, global_means, join,
};
use crate::unet::{Scope, Weights};

const EPSILON: f64 = 1e-3;
/// Outputs of the dense layer, which the features do not use: TensorFlow's network has 1008 classes.
const CLASSES: usize = 1008;

/// Number of features.
pub(super) const FEATURES: usize = 2048;
/// Height and width that images are resized to.
const SIDE: usize = 299;

/// The network with its weights.
pub(super) struct Inception {
    pool: Arc<Pool>,
    /// Before the first pool, and between the first and the second.
    stem: [Vec<PackedConv2d>; 2],
    blocks: Vec<Block>,
}

/// Branches of which the channels are joined.
struct Block(Vec<Branch>);

struct Branch {
    first_pool: Option<(Pooling, Window)>,
    convs: Vec<PackedConv2d>,
    /// More convolutions side by side at the end, joined.
    fork: Vec<PackedConv2d>,
}

/// A square window without padding.
fn inner(kernel: usize, stride: usize) -> Window {
    Window {
        kernel: [kernel; 2],
        padding: [0; 2],
        trailing: [0; 2],
        stride,
    }
}

/// A window of odd height and width around its pixel.
fn around(height: usize, width: usize) -> Window {
    Window::around([height, width], 1)
}

/// Name, outputs and window of a convolution.
type Layer = (&'static str, usize, Window);

/// Takes the weights of one block.
struct Loader<'a> {
    isa: Isa,
    scope: Scope<'a>,
    inputs: usize,
    branches: Vec<Branch>,
    outputs: usize,
}

impl Loader<'_> {
    fn conv(&self, inputs: usize, (name, outputs, window): Layer) -> Result<PackedConv2d> {
        let scope = self.scope.scope(name);
        let sizes = ConvSizes {
            inputs,
            outputs,
            window,
        };
        conv_norm::take(self.isa, &scope, ["conv", "bn"], EPSILON, sizes)
            .map(PackedConv2d::then_relu)
    }

    fn chain(&self, layers: &[Layer]) -> Result<(Vec<PackedConv2d>, usize)> {
        let mut inputs = self.inputs;
        let mut convs = Vec::with_capacity(layers.len());
        for &layer in layers {
            convs.push(self.conv(inputs, layer)?);
            inputs = layer.1;
        }
        Ok((convs, inputs))
    }

    /// Adds a branch: a pool if any, convolutions one after the other, and more side by side at the end if any.
    fn add(
        mut self,
        first_pool: Option<(Pooling, Window)>,
        layers: &[Layer],
        fork: &[Layer],
    ) -> Result<Self> {
        let (convs, outputs) = self.chain(layers)?;
        self.outputs += match fork {
            [] => outputs,
            fork => fork.iter().map(|layer| layer.1).sum(),
        };
        let fork = fork.iter().map(|&layer| self.conv(outputs, layer));
        let fork = fork.collect::<Result<_>>()?;
        self.branches.push(Branch {
            first_pool,
            convs,
            fork,
        });
        Ok(self)
    }

    fn branch(self, layers: &[Layer]) -> Result<Self> {
        self.add(None, layers, &[])
    }

    fn forked(self, layers: &[Layer], fork: [Layer; 2]) -> Result<Self> {
        self.add(None, layers, &fork)
    }

    fn pooled(self, pooling: Pooling, window: Window, layers: &[Layer]) -> Result<Self> {
        self.add(Some((pooling, window)), layers, &[])
    }
}

impl Inception {
    /// Takes all weights.
    pub(super) fn load(isa: Isa, weights: &Weights<'_>) -> Result<Self> {
        let root = weights.root();
        let loader = |scope, inputs| Loader {
            isa,
            scope,
            inputs,
            branches: vec![],
            outputs: 0,
        };
        let (before, inputs) = loader(weights.root(), 3).chain(&[
            ("Conv2d_1a_3x3", 32, inner(3, 2)),
            ("Conv2d_2a_3x3", 32, inner(3, 1)),
            ("Conv2d_2b_3x3", 64, around(3, 3)),
        ])?;
        let (between, mut inputs) = loader(weights.root(), inputs).chain(&[
            ("Conv2d_3b_1x1", 80, inner(1, 1)),
            ("Conv2d_4a_3x3", 192, inner(3, 1)),
        ])?;
        let mut blocks = Vec::new();
        let mut add = |name: &str, build: fn(Loader<'_>) -> Result<Loader<'_>>| -> Result<()> {
            let block = build(loader(root.scope(name), inputs))?;
            inputs = block.outputs;
            blocks.push(Block(block.branches));
            Ok(())
        };
        add("Mixed_5b", |block| block_a(block, 32))?;
        add("Mixed_5c", |block| block_a(block, 64))?;
        add("Mixed_5d", |block| block_a(block, 64))?;
        add("Mixed_6a", block_b)?;
        add("Mixed_6b", |block| block_c(block, 128))?;
        add("Mixed_6c", |block| block_c(block, 160))?;
        add("Mixed_6d", |block| block_c(block, 160))?;
        add("Mixed_6e", |block| block_c(block, 192))?;
        add("Mixed_7a", block_d)?;
        add("Mixed_7b", |block| block_e(block, Pooling::Mean))?;
        add("Mixed_7c", |block| block_e(block, Pooling::Largest))?;
        debug_assert_eq!(inputs, FEATURES);
        // Part of every checkpoint, of no feature: taken so that its shape tells TensorFlow's network from others.
        root.scope("fc").take_both(&[CLASSES, FEATURES])?;
        Ok(Self {
            pool: Arc::default(),
            stem: [before, between],
            blocks,
        })
    }

    /// [`FEATURES`] numbers for each of the images `[batch, 3, height, width]` in [-1, 1], of any size.
    pub(super) fn features(&self, planes: &[f32], size: [usize; 2]) -> Result<Vec<f32>> {
        let resized = bilinear(planes, size, [SIDE; 2])?;
        let shape = Shape {
            batch: resized.len() / (3 * SIDE * SIDE),
            height: SIDE,
            width: SIDE,
            channels: 3,
        };
        let pool = &self.pool;
        let mut x = Maps::from_planes(pool, shape, &resized)?;
        for convs in &self.stem {
            for conv in convs {
                x = conv.forward(pool, &x, None, None)?;
            }
            x = Pooling::Largest.forward(pool, &x, inner(3, 2))?;
        }
        for block in &self.blocks {
            x = block.forward(pool, &x)?;
        }
        Ok(global_means(&x))
    }
}

impl Block {
    fn forward(&self, pool: &Arc<Pool>, x: &Maps) -> Result<Maps> {
        let mut parts = Vec::with_capacity(self.0.len() + 2);
        for branch in &self.0 {
            let mut y = match branch.first_pool {
                Some((pooling, window)) => pooling.forward(pool, x, window)?,
                None => x.clone(),
            };
            for conv in &branch.convs {
                y = conv.forward(pool, &y, None, None)?;
            }
            for conv in &branch.fork {
                parts.push(conv.forward(pool, &y, None, None)?);
            }
            if branch.fork.is_empty() {
                parts.push(y);
            }
        }
        join(pool, &parts.iter().collect::<Vec<_>>())
    }
}

/// 35x35 pixels.
fn block_a(block: Loader<'_>, pool_features: usize) -> Result<Loader<'_>> {
    block
        .branch(&[("branch1x1", 64, inner(1, 1))])?
        .branch(&[
            ("branch5x5_1", 48, inner(1, 1)),
            ("branch5x5_2", 64, around(5, 5)),
        ])?
        .branch(&[
            ("branch3x3dbl_1", 64, inner(1, 1)),
            ("branch3x3dbl_2", 96, around(3, 3)),
            ("branch3x3dbl_3", 96, around(3, 3)),
        ])?
        .pooled(
            Pooling::Mean,
            around(3, 3),
            &[("branch_pool", pool_features, inner(1, 1))],
        )
}

/// 35x35 to 17x17 pixels.
fn block_b(block: Loader<'_>) -> Result<Loader<'_>> {
    block
        .branch(&[("branch3x3", 384, inner(3, 2))])?
        .branch(&[
            ("branch3x3dbl_1", 64, inner(1, 1)),
            ("branch3x3dbl_2", 96, around(3, 3)),
            ("branch3x3dbl_3", 96, inner(3, 2)),
        ])?
        .pooled(Pooling::Largest, inner(3, 2), &[])
}

/// 17x17 pixels.
fn block_c(block: Loader<'_>, channels: usize) -> Result<Loader<'_>> {
    block
        .branch(&[("branch1x1", 192, inner(1, 1))])?
        .branch(&[
            ("branch7x7_1", channels, inner(1, 1)),
            ("branch7x7_2", channels, around(1, 7)),
            ("branch7x7_3", 192, around(7, 1)),
        ])?
        .branch(&[
            ("branch7x7dbl_1", channels, inner(1, 1)),
            ("branch7x7dbl_2", channels, around(7, 1)),
            ("branch7x7dbl_3", channels, around(1, 7)),
            ("branch7x7dbl_4", channels, around(7, 1)),
            ("branch7x7dbl_5", 192, around(1, 7)),
        ])?
        .pooled(
            Pooling::Mean,
            around(3, 3),
            &[("branch_pool", 192, inner(1, 1))],
        )
}

/// 17x17 to 8x8 pixels.
fn block_d(block: Loader<'_>) -> Result<Loader<'_>> {
    block
        .branch(&[
            ("branch3x3_1", 192, inner(1, 1)),
            ("branch3x3_2", 320, inner(3, 2)),
        ])?
        .branch(&[
            ("branch7x7x3_1", 192, inner(1, 1)),
            ("branch7x7x3_2", 192, around(1, 7)),
            ("branch7x7x3_3", 192, around(7, 1)),
            ("branch7x7x3_4", 192, inner(3, 2)),
        ])?
        .pooled(Pooling::Largest, inner(3, 2), &[])
}

/// 8x8 pixels.
fn block_e(block: Loader<'_>, pooling: Pooling) -> Result<Loader<'_>> {
    block
        .branch(&[("branch1x1", 320, inner(1, 1))])?
        .forked(
            &[("branch3x3_1", 384, inner(1, 1))],
            [
                ("branch3x3_2a", 384, around(1, 3)),
                ("branch3x3_2b", 384, around(3, 1)),
            ],
        )?
        .forked(
            &[
                ("branch3x3dbl_1", 448, inner(1, 1)),
                ("branch3x3dbl_2", 384, around(3, 3)),
            ],
            [
                ("branch3x3dbl_3a", 384, around(1, 3)),
                ("branch3x3dbl_3b", 384, around(3, 1)),
            ],
        )?
        .pooled(pooling, around(3, 3), &[("branch_pool", 192, inner(1, 1))])
}
