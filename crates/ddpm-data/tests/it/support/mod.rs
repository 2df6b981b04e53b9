//! What several subjects need.

pub(crate) mod archives;
pub(crate) mod cifar;
