//! The public API of the crate, by subject.

mod cifar10_oracle;
mod exactness;
mod monge;
mod support;
mod validation;
