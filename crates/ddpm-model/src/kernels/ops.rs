//! The kernels as candle operations on tensors of one image.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::attention::{self, HeadLayout};
use super::conv2d::PackedConv2d;
use super::group_norm::PackedGroupNorm;
use super::linear::PackedLinear;
use super::upsample::double;

/// The values of a contiguous f32 tensor.
fn values<'a>(name: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((begin, end)) => Ok(&storage.as_slice::<f32>()?[begin..end]),
        None => bail!("{name}: the input is not contiguous"),
    }
}

/// `[channels, height, width]` of a tensor `[1, channels, height, width]`.
fn one_image(name: &str, layout: &Layout) -> Result<[usize; 3]> {
    match layout.shape().dims4()? {
        (1, channels, height, width) => Ok([channels, height, width]),
        (batch, ..) => bail!("{name}: {batch} images, expected one"),
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

struct Convolve<'a> {
    conv: &'a PackedConv2d,
    shift: Option<Vec<f32>>,
}

impl Convolve<'_> {
    fn check(&self, layout: &Layout) -> Result<[usize; 2]> {
        let [channels, height, width] = one_image(CustomOp1::name(self), layout)?;
        if channels != self.conv.inputs() {
            bail!(
                "conv2d: {channels} channels, expected {}",
                self.conv.inputs()
            );
        }
        Ok([height, width])
    }
}

impl CustomOp1 for Convolve<'_> {
    fn name(&self) -> &'static str {
        "packed-conv2d"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let image = values(CustomOp1::name(self), storage, layout)?;
        let [height, width] = self.check(layout)?;
        let shape = self.conv.output_shape(height, width);
        let mut out = vec![0.0; shape.iter().product()];
        let shift = self.shift.as_deref();
        self.conv
            .forward(image, [height, width], shift, false, &mut out);
        Ok(tensor(out, (1, shape[0], shape[1], shape[2])))
    }
}

impl CustomOp2 for Convolve<'_> {
    fn name(&self) -> &'static str {
        "packed-conv2d-add"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        addend: &CpuStorage,
        addend_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let name = CustomOp2::name(self);
        let image = values(name, storage, layout)?;
        let [height, width] = self.check(layout)?;
        let shape = self.conv.output_shape(height, width);
        if one_image(name, addend_layout)? != shape {
            bail!(
                "{name}: the addend is {:?}, expected {shape:?}",
                addend_layout.shape()
            );
        }
        let mut out = values(name, addend, addend_layout)?.to_vec();
        let shift = self.shift.as_deref();
        self.conv
            .forward(image, [height, width], shift, true, &mut out);
        Ok(tensor(out, (1, shape[0], shape[1], shape[2])))
    }
}

impl PackedConv2d {
    /// The convolution of `x`, plus `shift` (one value per output channel) if given.
    pub(crate) fn apply(&self, x: &Tensor, shift: Option<&Tensor>) -> Result<Tensor> {
        let shift: Option<Vec<f32>> = shift
            .map(|shift| shift.flatten_all()?.to_vec1())
            .transpose()?;
        if let Some(shift) = &shift
            && shift.len() != self.outputs()
        {
            bail!(
                "conv2d: {} shifts for {} output channels",
                shift.len(),
                self.outputs()
            );
        }
        x.apply_op1_no_bwd(&Convolve { conv: self, shift })
    }

    /// The convolution of `x` plus `addend`.
    pub(crate) fn apply_onto(&self, x: &Tensor, addend: &Tensor) -> Result<Tensor> {
        x.apply_op2_no_bwd(
            addend,
            &Convolve {
                conv: self,
                shift: None,
            },
        )
    }
}

struct Normalise<'a> {
    norm: &'a PackedGroupNorm,
    scale_shift: Option<Vec<f32>>,
    then_silu: bool,
}

impl CustomOp1 for Normalise<'_> {
    fn name(&self) -> &'static str {
        "packed-group-norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let image = values(self.name(), storage, layout)?;
        let [channels, ..] = one_image(self.name(), layout)?;
        if channels != self.norm.channels() {
            bail!(
                "group norm: {channels} channels, expected {}",
                self.norm.channels()
            );
        }
        let mut out = vec![0.0; image.len()];
        let scale_shift = self.scale_shift.as_deref();
        self.norm
            .forward(image, scale_shift, self.then_silu, &mut out);
        Ok(tensor(out, layout.shape().clone()))
    }
}

impl PackedGroupNorm {
    /// The norm of `x`, modulated by `[scale, shift]` if given, followed by SiLU if asked for.
    pub(crate) fn apply(
        &self,
        x: &Tensor,
        scale_shift: Option<&Tensor>,
        then_silu: bool,
    ) -> Result<Tensor> {
        let scale_shift: Option<Vec<f32>> = scale_shift
            .map(|values| values.flatten_all()?.to_vec1())
            .transpose()?;
        if let Some(values) = &scale_shift
            && values.len() != 2 * self.channels()
        {
            bail!(
                "group norm: {} scales and shifts for {} channels",
                values.len(),
                self.channels()
            );
        }
        x.apply_op1_no_bwd(&Normalise {
            norm: self,
            scale_shift,
            then_silu,
        })
    }
}

impl PackedLinear {
    /// `x` of shape `[1, inputs]` to `[1, outputs]`.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let x: Vec<f32> = x.flatten_all()?.to_vec1()?;
        if x.len() != self.inputs() {
            bail!("linear: {} inputs, expected {}", x.len(), self.inputs());
        }
        let y = self.forward(&x);
        let outputs = y.len();
        Tensor::from_vec(y, (1, outputs), &candle_core::Device::Cpu)
    }
}

struct Attend {
    heads: usize,
    layout: HeadLayout,
}

impl CustomOp1 for Attend {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = values(self.name(), storage, layout)?;
        let [rows, height, width] = one_image(self.name(), layout)?;
        if self.heads == 0 || !rows.is_multiple_of(3 * self.heads) {
            bail!("attention: {rows} rows of qkv for {} heads", self.heads);
        }
        let (channels, positions) = (rows / 3, height * width);
        let mut out = vec![0.0; channels * positions];
        attention::attend(qkv, positions, self.heads, self.layout, &mut out);
        Ok(tensor(out, (1, channels, height, width)))
    }
}

/// Attention inside `qkv` of shape `[1, 3 channels, H, W]`.
pub(crate) fn attend(qkv: &Tensor, heads: usize, layout: HeadLayout) -> Result<Tensor> {
    qkv.apply_op1_no_bwd(&Attend { heads, layout })
}

struct Upsample;

impl CustomOp1 for Upsample {
    fn name(&self) -> &'static str {
        "upsample"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let image = values(self.name(), storage, layout)?;
        let [channels, height, width] = one_image(self.name(), layout)?;
        let out = double(image, width);
        Ok(tensor(out, (1, channels, 2 * height, 2 * width)))
    }
}

/// `x` with height and width doubled by repeating pixels.
pub(crate) fn upsample(x: &Tensor) -> Result<Tensor> {
    x.apply_op1_no_bwd(&Upsample)
}
