//! Convolutions with weights packed once.

use std::sync::{Arc, OnceLock};

use half::bf16;

use super::conv_method::{ConvSizes, Epilogue, Prepared, Window};
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
    /// Of the shape [`ConvSizes::weight`].
    weight: Vec<f32>,
    /// Padded.
    bias: Vec<f32>,
    sizes: ConvSizes,
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
    /// `weight` of the shape [`ConvSizes::weight`], one `bias` per output.
    pub(crate) fn new(
        isa: Isa,
        arithmetic: Arithmetic,
        weight: Vec<f32>,
        mut bias: Vec<f32>,
        sizes: ConvSizes,
    ) -> Self {
        bias.resize(padded(sizes.outputs), 0.0);
        Self {
            isa,
            arithmetic,
            weight,
            bias,
            sizes,
            relu: false,
            packed: Default::default(),
        }
    }

    /// The same with negative results replaced by zero, after everything that is added.
    pub(crate) fn then_relu(mut self) -> Self {
        self.relu = true;
        self
    }

    /// Depends on the layer and the size of the image alone: an image's result must not depend on its batch.
    fn method(&self, shape: Shape) -> Method {
        if self.sizes.window != Window::centred(3, 1) {
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
    pub(crate) fn forward(
        &self,
        pool: &Arc<Pool>,
        x: &Maps,
        shift: Option<&Vectors>,
        addend: Option<&Maps>,
    ) -> Result<Maps> {
        let ConvSizes {
            inputs,
            outputs,
            window,
        } = self.sizes;
        let wrong = |detail: String| Error::Input(format!("conv2d: {detail}"));
        let shape = x.shape();
        let (height, width) = (shape.height, shape.width);
        let [height, width] = window.result([height, width]).ok_or_else(|| {
            wrong(format!(
                "an image of {height}x{width} pixels is smaller than {window:?}"
            ))
        })?;
        let result = Shape {
            height,
            width,
            channels: outputs,
            ..shape
        };
        if shape.channels != inputs {
            let found = shape.channels;
            return Err(wrong(format!("{found} channels, expected {inputs}")));
        }
        if let Some(addend) = addend.map(Maps::shape).filter(|&addend| addend != result) {
            let detail = format!("the addend is {addend:?}, expected {result:?}");
            return Err(wrong(detail));
        }
        let padded = |shift: &Vectors| shift.padded(shape.batch, outputs);
        let shift = shift.map(padded).transpose()?;
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
            let [down, across] = window.kernel;
            format!("conv {down}x{across} {inputs}->{outputs} {height}x{width} {method}")
        });
        Maps::new(pool, result, |out| {
            prepared.forward(x.values(), shape, result, epilogue, out);
        })
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
        use Arithmetic::{Bf16, F32};
        use Method::{LargeTiles, Patches, SmallTiles};
        let (isa, weight, sizes) = (self.isa, &self.weight, self.sizes);
        match (method, self.arithmetic) {
            (LargeTiles, _) => Box::new(Winograd::<f32, F4, 6, 4>::new(isa, weight, sizes)),
            (SmallTiles, F32) => Box::new(Winograd::<f32, F2, 4, 2>::new(isa, weight, sizes)),
            (SmallTiles, Bf16) => Box::new(Winograd::<bf16, F2, 4, 2>::new(isa, weight, sizes)),
            (Patches, F32) => Box::new(GemmConv::<f32>::new(isa, weight, sizes)),
            (Patches, Bf16) => Box::new(GemmConv::<bf16>::new(isa, weight, sizes)),
        }
    }
}
