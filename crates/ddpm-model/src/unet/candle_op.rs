//! The network as one operation of candle.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, bail};
use ndarray::ArrayView4;

use super::model::UNet;
use crate::Result;

/// The network at given times.
struct Forward<'a> {
    unet: &'a UNet,
    network_time: &'a [f32],
    labels: Option<&'a [usize]>,
}

impl CustomOp1 for Forward<'_> {
    fn name(&self) -> &'static str {
        "ddpm-unet"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let Some((begin, end)) = layout.contiguous_offsets() else {
            bail!("{}: the input is not contiguous", self.name());
        };
        let images = &storage.as_slice::<f32>()?[begin..end];
        let x = ArrayView4::from_shape(layout.shape().dims4()?, images)
            .map_err(candle_core::Error::wrap)?;
        let output = self
            .unet
            .forward(x, self.network_time, self.labels)
            .map_err(candle_core::Error::wrap)?;
        let shape = Shape::from(output.dim());
        let (values, _) = output.into_raw_vec_and_offset();
        Ok((CpuStorage::F32(values), shape))
    }
}

impl UNet {
    /// [`UNet::forward`] on a candle tensor of f32 on the processor, as one custom operation without a backward pass.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if the tensor is of another type or device, or if shapes, times or labels do not fit.
    pub fn apply(
        &self,
        x: &Tensor,
        network_time: &[f32],
        labels: Option<&[usize]>,
    ) -> Result<Tensor> {
        Ok(x.contiguous()?.apply_op1_no_bwd(&Forward {
            unet: self,
            network_time,
            labels,
        })?)
    }
}
