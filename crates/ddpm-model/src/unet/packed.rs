//! The engine on this crate's own kernels.

use std::sync::Arc;

use super::engine::Engine;
use crate::Result;
use crate::config::AttentionOrder;
use crate::kernels::{
    self, Arithmetic, ConvSizes, HeadLayout, Isa, Maps, PackedConv2d, PackedGroupNorm,
    PackedLinear, Pool, Shape, Vectors, silu,
};

/// Weights packed once, activations with channels last in memory that is used again.
pub(super) struct Packed {
    isa: Isa,
    arithmetic: Arithmetic,
    pool: Arc<Pool>,
}

impl Packed {
    pub(super) fn new(isa: Isa, arithmetic: Arithmetic) -> Self {
        Self {
            isa,
            arithmetic,
            pool: Arc::default(),
        }
    }
}

impl Engine for Packed {
    type Maps = Maps;
    type Vectors = Vectors;
    type Conv2d = PackedConv2d;
    type GroupNorm = PackedGroupNorm;
    type Linear = PackedLinear;

    fn conv2d(&self, weight: Vec<f32>, bias: Vec<f32>, sizes: ConvSizes) -> Result<PackedConv2d> {
        let (isa, arithmetic) = (self.isa, self.arithmetic);
        Ok(PackedConv2d::new(isa, arithmetic, weight, bias, sizes))
    }

    fn group_norm(
        &self,
        weight: Vec<f32>,
        bias: Vec<f32>,
        groups: usize,
        epsilon: f64,
    ) -> Result<PackedGroupNorm> {
        Ok(PackedGroupNorm::new(
            self.isa, weight, bias, groups, epsilon,
        ))
    }

    fn linear(&self, weight: Vec<f32>, bias: Vec<f32>, inputs: usize) -> Result<PackedLinear> {
        Ok(PackedLinear::new(self.isa, &weight, bias, inputs))
    }

    fn load(&self, images: Vec<f32>, shape: [usize; 4]) -> Result<Maps> {
        let [batch, channels, height, width] = shape;
        let shape = Shape {
            batch,
            height,
            width,
            channels,
        };
        Maps::from_planes(&self.pool, shape, &images)
    }

    fn unload(&self, maps: &Maps) -> Result<Vec<f32>> {
        maps.to_planes()
    }

    fn load_vectors(&self, rows: Vec<f32>, len: usize) -> Result<Vectors> {
        Ok(Vectors::new(len, rows))
    }

    fn convolve(
        &self,
        conv: &PackedConv2d,
        x: &Maps,
        shift: Option<&Vectors>,
        addend: Option<&Maps>,
    ) -> Result<Maps> {
        conv.forward(&self.pool, x, shift, addend)
    }

    fn normalise(
        &self,
        norm: &PackedGroupNorm,
        x: &Maps,
        scale_shift: Option<&Vectors>,
        then_silu: bool,
    ) -> Result<Maps> {
        norm.forward(&self.pool, x, scale_shift, then_silu)
    }

    fn dense(&self, linear: &PackedLinear, x: &Vectors, then_silu: bool) -> Result<Vectors> {
        let mut y = linear.forward(x)?;
        if then_silu {
            y.values_mut().iter_mut().for_each(|v| *v = silu(*v));
        }
        Ok(y)
    }

    fn add_silu(&self, x: &Vectors, y: &Vectors) -> Result<Vectors> {
        let sums = x.values().iter().zip(y.values()).map(|(x, y)| silu(x + y));
        Ok(Vectors::new(x.vector_len(), sums.collect()))
    }

    fn attend(&self, qkv: &Maps, heads: usize, order: AttentionOrder) -> Result<Maps> {
        let layout = match order {
            AttentionOrder::Legacy => HeadLayout::HeadFirst,
            AttentionOrder::New => HeadLayout::KindFirst,
        };
        kernels::attend(self.isa, &self.pool, qkv, heads, layout)
    }

    fn join(&self, x: &Maps, y: &Maps) -> Result<Maps> {
        kernels::join(&self.pool, &[x, y])
    }

    fn upsample(&self, x: &Maps) -> Result<Maps> {
        kernels::upsample(&self.pool, x)
    }

    fn pool_means(&self, x: &Maps) -> Result<Maps> {
        kernels::pool_means(&self.pool, x)
    }
}
