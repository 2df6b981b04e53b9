//! What computes the layers of a network.

use crate::Result;
use crate::config::AttentionOrder;
use crate::kernels::ConvSizes;

/// Operations on a batch, and the form that activations and weights have for them.
///
/// Weights are row-major, in the shapes in which PyTorch stores them.
pub(super) trait Engine {
    /// Feature maps of a batch; clones are cheap.
    type Maps: Clone;
    /// One vector per image of a batch.
    type Vectors;
    type Conv2d;
    type GroupNorm;
    type Linear;

    /// `weight` of the shape [`ConvSizes::weight`], one `bias` per output.
    fn conv2d(&self, weight: Vec<f32>, bias: Vec<f32>, sizes: ConvSizes) -> Result<Self::Conv2d>;

    /// One `weight` and `bias` per channel.
    fn group_norm(
        &self,
        weight: Vec<f32>,
        bias: Vec<f32>,
        groups: usize,
        epsilon: f64,
    ) -> Result<Self::GroupNorm>;

    /// `weight` of shape `[outputs, inputs]`, one `bias` per output.
    fn linear(&self, weight: Vec<f32>, bias: Vec<f32>, inputs: usize) -> Result<Self::Linear>;

    /// From `[batch, channels, height, width]`.
    fn load(&self, images: Vec<f32>, shape: [usize; 4]) -> Result<Self::Maps>;

    /// To `[batch, channels, height, width]`.
    fn unload(&self, maps: &Self::Maps) -> Result<Vec<f32>>;

    /// From one row per image.
    fn load_vectors(&self, rows: Vec<f32>, len: usize) -> Result<Self::Vectors>;

    /// The convolution of `x`, plus `shift` (one value per image and output channel), plus `addend`.
    fn convolve(
        &self,
        conv: &Self::Conv2d,
        x: &Self::Maps,
        shift: Option<&Self::Vectors>,
        addend: Option<&Self::Maps>,
    ) -> Result<Self::Maps>;

    /// norm(x), or norm(x) (1 + scale) + shift where `scale_shift` holds all scales, then all shifts; followed by SiLU if
    /// asked for.
    fn normalise(
        &self,
        norm: &Self::GroupNorm,
        x: &Self::Maps,
        scale_shift: Option<&Self::Vectors>,
        then_silu: bool,
    ) -> Result<Self::Maps>;

    /// The dense layer, followed by SiLU if asked for.
    fn dense(
        &self,
        linear: &Self::Linear,
        x: &Self::Vectors,
        then_silu: bool,
    ) -> Result<Self::Vectors>;

    /// SiLU(x + y).
    fn add_silu(&self, x: &Self::Vectors, y: &Self::Vectors) -> Result<Self::Vectors>;

    /// Attention of every position to every position, in every head of `qkv`.
    fn attend(&self, qkv: &Self::Maps, heads: usize, order: AttentionOrder) -> Result<Self::Maps>;

    /// The channels of `x`, then those of `y`.
    fn join(&self, x: &Self::Maps, y: &Self::Maps) -> Result<Self::Maps>;

    /// Height and width doubled by repeating pixels.
    fn upsample(&self, x: &Self::Maps) -> Result<Self::Maps>;

    /// Height and width halved by the mean of 2x2 pixels.
    fn pool_means(&self, x: &Self::Maps) -> Result<Self::Maps>;
}
