//! From a finished pickle to named tensors.

use std::collections::BTreeMap;

use super::pickle::{Node, Pickle, TensorRef};
use super::read_error::{ReadError, ReadResult};
use super::tensor::Tensor;

/// Tensors by name.
pub(super) type StateDict = BTreeMap<String, Tensor>;

/// The entries of a pickled state dict.
///
/// # Errors
/// [`ReadError::NotACheckpoint`] if the pickle holds something other than a dictionary from strings to tensors.
pub(super) fn entries(pickle: &Pickle) -> ReadResult<Vec<(&str, &TensorRef)>> {
    let Node::Dict(items) = pickle.root() else {
        return Err(ReadError::NotACheckpoint(format!(
            "a pickle of {}",
            pickle.root().describe()
        )));
    };
    if items.is_empty() {
        return Err(ReadError::NotACheckpoint("an empty dictionary".into()));
    }
    items
        .iter()
        .map(
            |&(key, value)| match (pickle.node(key), pickle.node(value)) {
                (Node::Text(key), Node::Tensor(tensor)) => Ok((key.as_str(), tensor)),
                (Node::Text(key), other) => Err(ReadError::NotACheckpoint(format!(
                    "a dictionary whose entry `{key}` is {}",
                    other.describe()
                ))),
                (other, _) => Err(ReadError::NotACheckpoint(format!(
                    "a dictionary with {} as a key",
                    other.describe()
                ))),
            },
        )
        .collect()
}

/// Reads every entry out of its storage.
///
/// `limit` bounds the bytes of all tensors together: entries may share a storage, and without a bound a small file
/// could name one storage very often.
pub(super) fn materialise<'a>(
    entries: &[(&str, &TensorRef)],
    limit: usize,
    mut storage: impl FnMut(&TensorRef) -> ReadResult<std::borrow::Cow<'a, [u8]>>,
) -> ReadResult<StateDict> {
    let mut tensors = StateDict::new();
    let mut total = 0usize;
    for &(key, reference) in entries {
        let element = reference.storage.element;
        let bytes = storage(reference)?;
        let tensor = Tensor::gather(
            &bytes,
            element,
            reference.offset,
            &reference.shape,
            &reference.strides,
        )
        .map_err(|error| named(key, error))?;
        total = total.saturating_add(tensor.len().saturating_mul(element.size()));
        if total > limit {
            return Err(ReadError::Damaged(format!(
                "its tensors claim more than {limit} bytes, several times the length of the file"
            )));
        }
        if tensors.insert(key.to_owned(), tensor).is_some() {
            return Err(ReadError::Damaged(format!("key `{key}` appears twice")));
        }
    }
    Ok(tensors)
}

/// Puts the tensor's name in front of what is wrong with it.
fn named(key: &str, error: ReadError) -> ReadError {
    match error {
        ReadError::Damaged(detail) => ReadError::Damaged(format!("key `{key}`: {detail}")),
        other => other,
    }
}
