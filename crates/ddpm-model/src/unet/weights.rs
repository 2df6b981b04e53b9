//! Strict access to a state dict: every key used once, every shape checked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::{Tensor, TensorData};
use crate::{Error, Result};

/// The tensors of a state dict, and which of them some layer has taken.
pub(crate) struct Weights<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    taken: RefCell<BTreeSet<String>>,
}

impl<'a> Weights<'a> {
    pub(crate) fn new(tensors: &'a BTreeMap<String, Tensor>) -> Self {
        Self {
            tensors,
            taken: RefCell::default(),
        }
    }

    /// The part of the state dict under `prefix`.
    pub(crate) fn scope(&'a self, prefix: &str) -> Scope<'a> {
        self.root().scope(prefix)
    }

    /// The whole state dict.
    pub(crate) fn root(&'a self) -> Scope<'a> {
        Scope {
            weights: self,
            prefix: String::new(),
        }
    }

    /// Number of weights taken so far.
    pub(crate) fn parameters(&self) -> usize {
        let taken = self.taken.borrow();
        taken.iter().map(|key| self.tensors[key].len()).sum()
    }

    /// Checks that no tensor is left.
    pub(crate) fn finish(&self) -> Result<()> {
        let taken = self.taken.borrow();
        let keys: Vec<String> = self
            .tensors
            .keys()
            .filter(|key| !taken.contains(*key))
            .cloned()
            .collect();
        match keys[..] {
            [] => Ok(()),
            _ => Err(Error::ExtraKeys { keys }),
        }
    }
}

/// The tensors of one layer.
pub(crate) struct Scope<'a> {
    weights: &'a Weights<'a>,
    prefix: String,
}

impl<'a> Scope<'a> {
    /// The part under `prefix` inside this one.
    pub(crate) fn scope(&self, prefix: &str) -> Self {
        Self {
            weights: self.weights,
            prefix: format!("{}{prefix}.", self.prefix),
        }
    }

    /// Whether any name here starts with `start`.
    pub(super) fn holds(&self, start: &str) -> bool {
        let start = format!("{}{start}", self.prefix);
        let mut from = self.weights.tensors.range(start.clone()..);
        from.next().is_some_and(|(key, _)| key.starts_with(&start))
    }

    /// Allows the tensor `name` to be there without any use.
    pub(crate) fn ignore(&self, name: &str) {
        let key = format!("{}{name}", self.prefix);
        if self.weights.tensors.contains_key(&key) {
            self.weights.taken.borrow_mut().insert(key);
        }
    }

    /// The error for weights of `name` that are no finite numbers.
    pub(crate) fn not_finite(&self, name: &str, channel: usize) -> Error {
        Error::NotFinite {
            key: format!("{}{name}", self.prefix),
            channel,
        }
    }

    /// Takes `weight` of this shape, and `bias` of one number per row of it.
    pub(crate) fn take_both(&self, weight: &[usize]) -> Result<(Vec<f32>, Vec<f32>)> {
        let taken = self.take("weight", weight)?;
        Ok((taken, self.take("bias", &weight[..1])?))
    }

    /// Takes the tensor `name`, row-major.
    pub(crate) fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let key = format!("{}{name}", self.prefix);
        let tensor = self
            .weights
            .tensors
            .get(&key)
            .ok_or_else(|| Error::MissingKey {
                key: key.clone(),
                expected: format!("{shape:?}"),
            })?;
        if tensor.shape() != shape {
            return Err(Error::WrongShape {
                key,
                expected: shape.to_vec(),
                found: tensor.shape().to_vec(),
            });
        }
        let values = match tensor.data() {
            TensorData::F32(values) => values.clone(),
            TensorData::F64(values) => values.iter().map(|&value| value as f32).collect(),
            TensorData::I64(_) => {
                return Err(Error::WrongType {
                    key,
                    found: tensor.element_type(),
                });
            }
        };
        self.weights.taken.borrow_mut().insert(key);
        Ok(values)
    }
}
