//! From a finished pickle to named tensors.

use super::place::{AVERAGED, Asked, RAW, StateDictPlace, is_averaged, shorten};
use super::read_error::{ReadError, ReadResult};
pub(super) use super::tensor::StateDict;
use super::tensor::Tensor;
use super::torch_pickle::{Node, Object, Pickle, StorageRef, TensorRef};

/// A pickled state dict.
pub(super) struct Located<'a> {
    pub(super) entries: Vec<(&'a str, &'a TensorRef<'a>)>,
    pub(super) place: StateDictPlace,
}

/// Finds the state dict: the pickled dictionary itself, or an entry of it that is known to hold weights, or the one that is
/// `asked` for. What is left of `asked` names modules.
///
/// # Errors
/// [`ReadError::NotACheckpoint`] if there is no dictionary from strings to tensors, or not the one asked for.
pub(super) fn locate<'a>(pickle: &'a Pickle<'a>, asked: &mut Asked<'_>) -> ReadResult<Located<'a>> {
    let mut node = pickle.root();
    let mut place = StateDictPlace::default();
    loop {
        if let Node::Object(Object::Opaque(name)) = node {
            return Err(ReadError::Forbidden(name.to_string()));
        }
        let Node::Dict(items) = node else {
            return Err(ReadError::NotACheckpoint(format!(
                "a pickle of {}",
                node.describe()
            )));
        };
        let text_keys = || items.iter().map(|&(key, _)| pickle.node(key));
        let has =
            |name: &str| text_keys().any(|key| matches!(key, Node::Text(key) if *key == name));
        if has("param_groups") && has("state") {
            return Err(ReadError::NotACheckpoint(
                "the state of an optimizer; its network's weights are in another file or entry"
                    .into(),
            ));
        }
        let inner: Vec<(&str, &Node<'_>)> = items
            .iter()
            .filter_map(
                |&(key, value)| match (pickle.node(key), pickle.node(value)) {
                    (Node::Text(key), value @ Node::Dict(_)) => Some((*key, value)),
                    _ => None,
                },
            )
            .collect();
        let holds_tensors = items
            .iter()
            .any(|&(_, value)| matches!(pickle.node(value), Node::Object(Object::Tensor(_))));
        let find = |name: &str| inner.iter().find(|(key, _)| *key == name).copied();
        let chosen = match asked.next().map(find) {
            Some(Some(entry)) => {
                asked.advance();
                Some(entry)
            }
            // The name of a module, if tensors are here; else an error further down.
            Some(None) if holds_tensors => None,
            Some(None) => {
                let names: Vec<String> = inner.iter().map(|(key, _)| (*key).to_owned()).collect();
                return Err(asked.absent(&names));
            }
            None => match AVERAGED.iter().find_map(|name| find(name)) {
                Some(known) => Some(known),
                None => {
                    averaged(pickle, &inner)?.or_else(|| RAW.iter().find_map(|name| find(name)))
                }
            },
        };
        let Some((name, value)) = chosen else {
            let entries = tensors(pickle, items, &place)?;
            return Ok(Located { entries, place });
        };
        let others = inner
            .iter()
            .map(|(key, _)| *key)
            .filter(|key| *key != name)
            .filter(|key| AVERAGED.contains(key) || RAW.contains(key) || is_averaged(key));
        place.set_aside.extend(others.map(str::to_owned));
        place.entries.push(name.to_owned());
        // A pickle may refer to itself.
        if place.entries.len() > 8 {
            return Err(ReadError::NotACheckpoint(
                "dictionaries in dictionaries without end".into(),
            ));
        }
        node = value;
    }
}

/// The entry that is averaged weights by its name, if there is one.
fn averaged<'a>(
    pickle: &'a Pickle<'a>,
    inner: &[(&'a str, &'a Node<'a>)],
) -> ReadResult<Option<(&'a str, &'a Node<'a>)>> {
    let mut found = inner
        .iter()
        .filter(|(name, value)| is_averaged(name) && holds_tensors(pickle, value, 3));
    match (found.next(), found.next()) {
        (Some((first, _)), Some((second, _))) => {
            let names = [(*first).to_owned(), (*second).to_owned()];
            Err(ReadError::NotACheckpoint(format!(
                "several averaged weights ({}); name one with --state-dict",
                shorten(&names)
            )))
        }
        (only, _) => Ok(only.copied()),
    }
}

/// Whether a dictionary has tensors, or has dictionaries that have, so many deep.
fn holds_tensors(pickle: &Pickle<'_>, node: &Node<'_>, deep: usize) -> bool {
    let Node::Dict(items) = node else {
        return matches!(node, Node::Object(Object::Tensor(_)));
    };
    deep > 0
        && items
            .iter()
            .any(|&(_, value)| holds_tensors(pickle, pickle.node(value), deep - 1))
}

/// The entries of a dictionary of tensors.
fn tensors<'a>(
    pickle: &'a Pickle<'a>,
    items: &[(usize, usize)],
    place: &StateDictPlace,
) -> ReadResult<Vec<(&'a str, &'a TensorRef<'a>)>> {
    let inside = if place.entries.is_empty() {
        String::new()
    } else {
        format!(" (in its entry `{}`)", place.entries.join("."))
    };
    if items.is_empty() {
        return Err(ReadError::NotACheckpoint(format!(
            "an empty dictionary{inside}"
        )));
    }
    items
        .iter()
        .map(
            |&(key, value)| match (pickle.node(key), pickle.node(value)) {
                (Node::Text(key), Node::Object(Object::Tensor(tensor))) => Ok((*key, &**tensor)),
                (_, Node::Object(Object::Opaque(name))) => {
                    Err(ReadError::Forbidden(name.to_string()))
                }
                (Node::Text(key), other) => {
                    let hint = match other {
                        Node::Dict(_) => "; if the weights are in it, name it with --state-dict",
                        _ if !place.entries.is_empty() => {
                            "; other weights of the file can be named with --state-dict"
                        }
                        _ => "",
                    };
                    Err(ReadError::NotACheckpoint(format!(
                        "a dictionary whose entry `{key}` is {}{inside}{hint}",
                        other.describe()
                    )))
                }
                (other, _) => Err(ReadError::NotACheckpoint(format!(
                    "a dictionary with {} as a key{inside}",
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
    entries: &[(&str, &TensorRef<'_>)],
    limit: usize,
    storage: impl Fn(&StorageRef<'_>) -> ReadResult<&'a [u8]>,
) -> ReadResult<StateDict> {
    let mut tensors = StateDict::new();
    let mut total = 0usize;
    for &(key, reference) in entries {
        let element = reference.storage.element;
        let bytes = storage(&reference.storage)?;
        let (offset, shape, strides) = (reference.offset, &reference.shape, &reference.strides);
        let tensor = Tensor::gather(bytes, element, offset, shape, strides);
        let tensor = tensor.map_err(|error| match error {
            ReadError::Damaged(detail) => ReadError::Damaged(format!("key `{key}`: {detail}")),
            other => other,
        })?;
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
