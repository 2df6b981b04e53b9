//! PyTorch's stream format from before release 1.6.
//!
//! Five pickles in a row (magic number, protocol version, system information, the object, the list of storage keys),
//! then for every key the storage's length in elements (i64) and its raw little-endian bytes.

use std::collections::HashMap;

use ddpm_files::pickle::{Cursor, read_pickle};

use super::place::{Asked, StateDictPlace};
use super::read_error::{ReadError, ReadResult};
use super::state_dict::{self, Located, StateDict};
use super::torch_pickle::{Node, Object, Pickle};

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const PROTOCOL_VERSION: i128 = 1001;

/// Reads a whole legacy file.
pub(super) fn read(bytes: &[u8], asked: &mut Asked<'_>) -> ReadResult<(StateDict, StateDictPlace)> {
    let mut cursor = Cursor::new(bytes);
    let magic: Pickle<'_> = read_pickle(&mut cursor)?;
    if !matches!(magic.root(), Node::Int(MAGIC)) {
        return Err(ReadError::NotACheckpoint(format!(
            "a pickle of {} without PyTorch's magic number",
            magic.root().describe()
        )));
    }
    let version: Pickle<'_> = read_pickle(&mut cursor)?;
    if !matches!(version.root(), Node::Int(PROTOCOL_VERSION)) {
        return Err(ReadError::Damaged(format!(
            "its protocol version is {:?}, expected {PROTOCOL_VERSION}",
            version.root()
        )));
    }
    check_byte_order(&read_pickle(&mut cursor)?)?;
    let object: Pickle<'_> = read_pickle(&mut cursor)?;
    let keys = storage_keys(&read_pickle(&mut cursor)?)?;

    // The stream stores no element types: they come from the object.
    let sizes: HashMap<&str, (usize, usize)> = object
        .nodes()
        .filter_map(|node| match node {
            Node::Object(Object::Storage(storage)) => {
                Some((storage.key, (storage.element.size(), storage.len)))
            }
            _ => None,
        })
        .collect();
    let mut storages: HashMap<&str, &[u8]> = HashMap::with_capacity(keys.len());
    for key in keys {
        let &(size, expected) = sizes.get(key).ok_or_else(|| {
            ReadError::Unsupported(format!(
                "storage {key} is listed and belongs to no tensor of known elements, so that nobody knows its length; torch.save's present format is read"
            ))
        })?;
        let len = i64::from_le_bytes(cursor.array()?);
        if usize::try_from(len).ok() != Some(expected) {
            return Err(ReadError::Damaged(format!(
                "storage {key} has {len} elements, expected {expected}"
            )));
        }
        let count = expected
            .checked_mul(size)
            .ok_or_else(|| ReadError::Damaged(format!("storage {key} has {expected} elements")))?;
        storages.insert(key, cursor.take(count)?);
    }
    if cursor.remaining() > 0 {
        return Err(ReadError::Damaged(format!(
            "{} bytes follow the last storage",
            cursor.remaining()
        )));
    }
    let Located { entries, place } = state_dict::locate(&object, asked)?;
    let tensors = state_dict::materialise(&entries, bytes.len(), |storage| {
        let absent = || format!("storage {} is used and not stored", storage.key);
        let stored = storages.get(storage.key).copied();
        stored.ok_or_else(|| ReadError::Damaged(absent()))
    })?;
    Ok((tensors, place))
}

fn check_byte_order(info: &Pickle<'_>) -> ReadResult<()> {
    let Node::Dict(items) = info.root() else {
        return Err(ReadError::Damaged(format!(
            "its system information is {}, expected a dictionary",
            info.root().describe()
        )));
    };
    for &(key, value) in items {
        if matches!(info.node(key), Node::Text("little_endian"))
            && !matches!(info.node(value), Node::Bool(true))
        {
            return Err(ReadError::Damaged(
                "it was written on a big-endian machine, which is not supported".into(),
            ));
        }
    }
    Ok(())
}

fn storage_keys<'a>(list: &Pickle<'a>) -> ReadResult<Vec<&'a str>> {
    let wrong = |node: &Node<'_>| {
        ReadError::Damaged(format!("its list of storages holds {}", node.describe()))
    };
    let Node::List(items) = list.root() else {
        return Err(wrong(list.root()));
    };
    items
        .iter()
        .map(|&item| match list.node(item) {
            Node::Text(key) => Ok(*key),
            other => Err(wrong(other)),
        })
        .collect()
}
