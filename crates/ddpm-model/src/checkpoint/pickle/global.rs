//! The Python names that a state dict may mention.

use crate::checkpoint::read_error::{ReadError, ReadResult};
use crate::checkpoint::tensor::ElementType;

/// A name on the allow-list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// `collections.OrderedDict`
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`
    RebuildParameter,
    /// `torch.Size`
    Size,
    /// `torch.FloatStorage` and its siblings
    Storage(ElementType),
}

impl Global {
    /// Looks `module name` up; whatever is not listed is refused.
    pub(super) fn find(module: &str, name: &str) -> ReadResult<Self> {
        let global = match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch", "HalfStorage") => Self::Storage(ElementType::F16),
            ("torch", "BFloat16Storage") => Self::Storage(ElementType::Bf16),
            ("torch", "FloatStorage") => Self::Storage(ElementType::F32),
            ("torch", "DoubleStorage") => Self::Storage(ElementType::F64),
            ("torch", "ByteStorage") => Self::Storage(ElementType::U8),
            ("torch", "CharStorage") => Self::Storage(ElementType::I8),
            ("torch", "ShortStorage") => Self::Storage(ElementType::I16),
            ("torch", "IntStorage") => Self::Storage(ElementType::I32),
            ("torch", "LongStorage") => Self::Storage(ElementType::I64),
            ("torch", "BoolStorage") => Self::Storage(ElementType::Bool),
            _ => return Err(ReadError::Forbidden(format!("{module} {name}"))),
        };
        Ok(global)
    }
}
