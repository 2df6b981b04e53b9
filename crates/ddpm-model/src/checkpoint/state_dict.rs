//! From a finished pickle to named tensors.

use std::collections::HashSet;

use super::place::{AVERAGED, Asked, RAW, StateDictPlace, is_averaged, names_a_network, shorten};
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
        let chosen = if asked.is_over() {
            match AVERAGED.iter().find_map(|name| find(name)) {
                Some(known) => Some(known),
                None => match averaged(pickle, &inner)? {
                    Some(known) => Some(known),
                    None => {
                        let raw = RAW.iter().find_map(|name| find(name));
                        if let Some((raw, _)) = raw {
                            refuse_unread_averages(pickle, items, raw)?;
                        }
                        raw
                    }
                },
            }
        } else {
            match asked.take_longest(|name| find(name).is_some()) {
                Some(name) => find(&name),
                // The name of a module, if tensors are here; else an error further down.
                None if holds_tensors => None,
                None => {
                    let names: Vec<String> =
                        inner.iter().map(|(key, _)| (*key).to_owned()).collect();
                    return Err(asked.absent(&names));
                }
            }
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
        // A second network under a name that says nothing.
        let mut seen = HashSet::new();
        for (key, value) in &inner {
            let is_told = *key == name || place.set_aside.iter().any(|told| told == key);
            if !is_told && holds_network(pickle, value, 2, &mut seen) {
                place.set_aside.push((*key).to_owned());
            }
        }
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

/// The entry that is averaged weights of a network by its name, if there is one.
fn averaged<'a>(
    pickle: &'a Pickle<'a>,
    inner: &[(&'a str, &'a Node<'a>)],
) -> ReadResult<Option<(&'a str, &'a Node<'a>)>> {
    let (mut seen, mut known) = (HashSet::new(), HashSet::new());
    // A dictionary under many names is looked at once.
    let mut found = inner.iter().filter(|(name, value)| {
        let place = std::ptr::from_ref::<Node<'_>>(value);
        is_averaged(name) && known.insert(place) && holds_network(pickle, value, 4, &mut seen)
    });
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

/// Whether a dictionary has a network's tensors, or has dictionaries that have, so many deep. What was `seen` is not looked at again: a pickle may refer
/// to one dictionary, and to itself, as often as it likes.
fn holds_network(
    pickle: &Pickle<'_>,
    node: &Node<'_>,
    deep: usize,
    seen: &mut HashSet<usize>,
) -> bool {
    let Node::Dict(items) = node else {
        return false;
    };
    items.iter().any(
        |&(key, value)| match (pickle.node(key), pickle.node(value)) {
            (Node::Text(key), Node::Object(Object::Tensor(_))) => names_a_network(key),
            (_, inner @ Node::Dict(_)) => {
                deep > 1 && seen.insert(value) && holds_network(pickle, inner, deep - 1, seen)
            }
            _ => false,
        },
    )
}

/// Refuses to take the `raw` entry where averaged weights stand beside it, however deep, in a form that is not read: as an object, as a list without
/// names, under names of their own, in a trainer's state.
fn refuse_unread_averages(
    pickle: &Pickle<'_>,
    items: &[(usize, usize)],
    raw: &str,
) -> ReadResult<()> {
    let mut seen = HashSet::new();
    let mut rest: Vec<(String, usize)> = Vec::new();
    let push = |rest: &mut Vec<(String, usize)>, place: &str, items: &[(usize, usize)]| {
        for &(key, value) in items {
            if let Node::Text(key) = pickle.node(key) {
                let joint = if place.is_empty() { "" } else { "." };
                rest.push((format!("{place}{joint}{key}"), value));
            }
        }
    };
    push(&mut rest, "", items);
    rest.retain(|(key, _)| key != raw);
    while let Some((place, value)) = rest.pop() {
        let node = pickle.node(value);
        let last = place.rsplit('.').next().unwrap_or(&place);
        let is_object = matches!(node, Node::Object(Object::Opaque(_)));
        if is_averaged(last) && (is_object || holds_matrix(pickle, value)) {
            return Err(ReadError::NotACheckpoint(format!(
                "averaged weights `{place}` that are {}, expected a dictionary of tensors in an entry of its own; save them as one, or take the raw weights with --state-dict {raw}",
                node.describe()
            )));
        }
        if let Node::Dict(items) = node
            && seen.insert(value)
        {
            // What a pickle names without end is not followed without end.
            const LONGEST: usize = 256;
            if place.len() < LONGEST {
                push(&mut rest, &place, items);
            }
        }
    }
    Ok(())
}

/// Whether a tensor of two axes or more, as every network has, is anywhere in a value.
fn holds_matrix(pickle: &Pickle<'_>, value: usize) -> bool {
    let mut seen = HashSet::from([value]);
    let mut rest = vec![value];
    while let Some(id) = rest.pop() {
        match pickle.node(id) {
            Node::Object(Object::Tensor(tensor)) if tensor.shape.len() > 1 => return true,
            Node::Dict(items) => {
                rest.extend(items.iter().map(|&(_, v)| v).filter(|&v| seen.insert(v)))
            }
            Node::List(items) | Node::Tuple(items) => {
                rest.extend(items.iter().copied().filter(|&v| seen.insert(v)));
            }
            _ => {}
        }
    }
    false
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
/// The length of the `file` bounds the bytes of all tensors together, as they lie in memory: entries may share a storage, and without a bound a small file
/// could name one storage very often.
pub(super) fn materialise<'a>(
    entries: &[(&str, &TensorRef<'_>)],
    file: usize,
    storage: impl Fn(&StorageRef<'_>) -> ReadResult<&'a [u8]>,
) -> ReadResult<StateDict> {
    const ROOM: usize = 64 << 20;
    let limit = file.saturating_mul(4).saturating_add(ROOM);
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
        total = total.saturating_add(tensor.bytes());
        if total > limit {
            return Err(ReadError::Damaged(format!(
                "its tensors claim more than {limit} bytes, more than a file of its length has reason for"
            )));
        }
        if tensors.insert(key.to_owned(), tensor).is_some() {
            return Err(ReadError::Damaged(format!("key `{key}` appears twice")));
        }
    }
    Ok(tensors)
}
