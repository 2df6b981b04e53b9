//! Convolutions with weights packed once.

use std::sync::{Arc, OnceLock};

use half::bf16;

use super::conv_method::{Epilogue, Prepared, Window};
use super::gemm_conv::GemmConv;
use super::isa::{Arithmetic, Isa, padded};
use super::maps::{Maps, Shape, Vectors};
use super::tasks::Pool;
use super::timing;
use super::winograd::{F2, F4, Winograd};
use crate::{Error, Result};

/// A convolution with zeros around the image and a bias.
pub(crate) struct PackedConv2d {
    isa: Isa,
    arithmetic: Arithmetic,
    /// `[outputs, inputs, kernel height, kernel width]`
    weight: Vec<f32>,
    /// Padded.
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    window: Window,
    relu: bool,
    /// The weights as each [`Method`] reads them, packed when an image first asks for it.
    packed: [OnceLock<Box<dyn Prepared>>; 3],
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// F(2, 3).
    SmallTiles,
    /// F(4, 3).
    LargeTiles,
    /// One product over patches.
    Patches,
}

impl PackedConv2d {
    /// `weight` of shape `[outputs, inputs, kernel, kernel]`, `bias` of shape `[outputs]`; `kernel / 2` zeros around the
    /// image.
    pub(crate) fn new(
        isa: Isa,
        arithmetic: Arithmetic,
        weight: Vec<f32>,
        bias: &[f32],
        [inputs, kernel, stride]: [usize; 3],
    ) -> Self {
        let window = Window::centred(kernel, stride);
        Self::with_window(isa, arithmetic, weight, bias, inputs, window)
    }

    /// `weight` of shape `[outputs, inputs, kernel height, kernel width]`, `bias` of shape `[outputs]`.
    pub(crate) fn with_window(
        isa: Isa,
        arithmetic: Arithmetic,
        weight: Vec<f32>,
        bias: &[f32],
        inputs: usize,
        window: Window,
    ) -> Self {
        let mut padded_bias = bias.to_vec();
        padded_bias.resize(padded(bias.len()), 0.0);
        Self {
            isa,
            arithmetic,
            weight,
            bias: padded_bias,
            inputs,
            outputs: bias.len(),
            window,
            relu: false,
            packed: Default::default(),
        }
    }

    /// The same convolution with `lead` zeros above and left of the image, the others below and right of it.
    pub(crate) fn with_lead(mut self, lead: usize) -> Self {
        let Window { kernel, .. } = self.window;
        self.window.padding = [lead; 2];
        self.window.trailing = kernel.map(|kernel| kernel - 1 - lead);
        self
    }

    /// The same with negative results replaced by zero, after everything that is added.
    pub(crate) fn then_relu(mut self) -> Self {
        self.relu = true;
        self
    }

    /// Depends on the layer and the size of the image alone: an image's result must not depend on its batch.
    fn method(&self, shape: Shape) -> Method {
        if self.window != Window::centred(3, 1) {
            return Method::Patches;
        }
        // F(4, 3) has 2.25 times the weights of F(2, 3) to stream: it pays from a few tiles per image on.
        let large = shape.height >= 8 && shape.width >= 8;
        match self.arithmetic {
            Arithmetic::F32 if large => Method::LargeTiles,
            Arithmetic::F32 => Method::SmallTiles,
            // The tile registers are so fast that transforms would cost more than they save.
            Arithmetic::Bf16 if self.isa.has_tiles() => Method::Patches,
            Arithmetic::Bf16 => Method::SmallTiles,
        }
    }

    /// The convolution of `x`, plus one value per image and channel (`shift`), plus maps of the result's shape
    /// (`addend`).
    ///
    /// # Errors
    /// [`Error::Input`] where shapes do not fit.
    pub(crate) fn forward(
        &self,
        pool: &Arc<Pool>,
        x: &Maps,
        shift: Option<&Vectors>,
        addend: Option<&Maps>,
    ) -> Result<Maps> {
        let shape = x.shape();
        let Some([height, width]) = self.window.result([shape.height, shape.width]) else {
            return Err(Error::Input(format!(
                "conv2d: an image of {}x{} pixels is smaller than {:?}",
                shape.height, shape.width, self.window
            )));
        };
        let result = Shape {
            height,
            width,
            channels: self.outputs,
            ..shape
        };
        if shape.channels != self.inputs {
            return Err(Error::Input(format!(
                "conv2d: {} channels, expected {}",
                shape.channels, self.inputs
            )));
        }
        if let Some(addend) = addend.map(Maps::shape)
            && addend != result
        {
            return Err(Error::Input(format!(
                "conv2d: the addend is {addend:?}, expected {result:?}"
            )));
        }
        let shift = shift
            .map(|shift| shift.padded(shape.batch, self.outputs))
            .transpose()?;
        let epilogue = Epilogue {
            bias: &self.bias,
            shift: shift.as_deref(),
            addend: addend.map(Maps::values),
            relu: self.relu,
        };
        let method = self.method(shape);
        // Packing is not part of the operation's time.
        let prepared = self.prepared(method);
        let _timer = timing::start(|| {
            let method = match method {
                Method::SmallTiles => "F(2,3)",
                Method::LargeTiles => "F(4,3)",
                Method::Patches => "product",
            };
            let [down, across] = self.window.kernel;
            format!(
                "conv {down}x{across} {}->{} {}x{} {method}",
                self.inputs, self.outputs, result.height, result.width
            )
        });
        Ok(Maps::new(pool, result, |out| {
            prepared.forward(x.values(), shape, result, epilogue, out);
        }))
    }

    /// The weights packed for `method`.
    fn prepared(&self, method: Method) -> &dyn Prepared {
        let cell = &self.packed[method as usize];
        if let Some(prepared) = cell.get() {
            return prepared.as_ref();
        }
        // Outside of the cell: packing runs on the thread pool, and a thread that waits for its parts may meanwhile begin
        // another pass through this very layer. Two passes at once pack twice, and one result is dropped.
        let packed = self.pack(method);
        cell.get_or_init(|| packed).as_ref()
    }

    fn pack(&self, method: Method) -> Box<dyn Prepared> {
        let (isa, weight, inputs, outputs) = (self.isa, &self.weight, self.inputs, self.outputs);
        match (method, self.arithmetic) {
            (Method::LargeTiles, _) => {
                Box::new(Winograd::<f32, F4, 6, 4>::new(isa, weight, inputs, outputs))
            }
            (Method::SmallTiles, Arithmetic::F32) => {
                Box::new(Winograd::<f32, F2, 4, 2>::new(isa, weight, inputs, outputs))
            }
            (Method::SmallTiles, Arithmetic::Bf16) => Box::new(Winograd::<bf16, F2, 4, 2>::new(
                isa, weight, inputs, outputs,
            )),
            (Method::Patches, Arithmetic::F32) => Box::new(GemmConv::<f32>::new(
                isa,
                weight,
                inputs,
                outputs,
                self.window,
            )),
            (Method::Patches, Arithmetic::Bf16) => Box::new(GemmConv::<bf16>::new(
                isa,
                weight,
                inputs,
                outputs,
                self.window,
            )),
        }
    }
}
