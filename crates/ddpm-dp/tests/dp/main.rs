//! The public API of the crate, by subject.

mod brute_force;
mod cifar10_oracle;
mod exactness;
mod monge;
mod second_order;
mod support;
mod textbook;
mod third_order;
mod validation;
