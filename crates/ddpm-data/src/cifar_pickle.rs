//! CIFAR-10 as Python pickles: dictionaries with `data`, uint8 `[N, 3072]` (the planes of red, green and blue one
//! after the other), and `labels`, a list of N integers.
//!
//! A pickle can only be read as a whole, so that these images stay in memory: 150 MB of the training set, 30 MB of the test
//! set. The data set ends there; larger ones come in other layouts.

use std::borrow::Cow;
use std::path::Path;

use ddpm_files::pickle::{self, Cursor, NodeId, Nodes, PickleError, read_pickle};

use super::cifar_binary::{DIMS, SHAPE, batch_paths, check_label, has_batches};
use super::pixels::Pixels;
use super::{ImageSet, Split};
use crate::error::{Error, Result};

type Node<'a> = pickle::Node<'a, Object<'a>>;
type Pickle<'a> = pickle::Pickle<'a, Object<'a>>;

/// Whether a folder holds any batch of this layout.
pub(crate) fn is_folder(folder: &Path) -> bool {
    has_batches(folder, "")
}

/// Reads the split of a folder.
pub(crate) fn read_folder(folder: &Path, split: Split) -> Result<ImageSet> {
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for path in batch_paths(folder, split, "")? {
        let bytes = std::fs::read(&path).map_err(|e| Error::read(&path, e))?;
        read_batch(&path, &bytes, &mut pixels, &mut labels)?;
    }
    let name = format!("cifar10-{split}");
    let pixels = Pixels::bytes(DIMS, pixels);
    Ok(ImageSet::from_parts(name, SHAPE, pixels, Some(labels)).with_named_split())
}

fn read_batch(
    path: &Path,
    bytes: &[u8],
    pixels: &mut Vec<u8>,
    labels: &mut Vec<usize>,
) -> Result<()> {
    let mut cursor = Cursor::new(bytes);
    let batch: Pickle<'_> = read_pickle(&mut cursor).map_err(|error| {
        let problem = match error {
            PickleError::Truncated(_) => "the file ends too early".to_owned(),
            PickleError::Damaged(detail) | PickleError::Unsupported(detail) => detail,
            PickleError::UnknownName { module, name } => {
                format!("the name {module}.{name}, which the CIFAR-10 layout does not use")
            }
        };
        let found = format!("{problem} (at byte {})", cursor.position());
        Error::field(path, "pickle", "a CIFAR-10 python batch", found)
    })?;

    let expected = format!("a uint8 array of shape [images, {DIMS}]");
    let wrong = |found: String| Error::field(path, "data", &*expected, found);
    let array = match value(&batch, "data") {
        Some(Node::Object(Object::Array(Some(array)))) => array,
        Some(_) => return Err(wrong("something else".to_owned())),
        None => return Err(wrong("no such key".to_owned())),
    };
    let n = match array.shape[..] {
        [n, DIMS] if n > 0 => n,
        _ => return Err(wrong(format!("shape {:?}", array.shape))),
    };
    let data: Cow<'_, [u8]> = match batch.node(array.data) {
        Node::Bytes(bytes) => (*bytes).into(),
        Node::Object(Object::Latin1(text)) => {
            let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
            let beyond = || wrong("a character beyond Latin-1 in a byte string".to_owned());
            bytes.ok_or_else(beyond)?.into()
        }
        other => return Err(wrong(other.describe().to_owned())),
    };
    if n.checked_mul(DIMS) != Some(data.len()) {
        let found = format!("shape {:?} with {} bytes", array.shape, data.len());
        return Err(wrong(found));
    }

    let expected = format!("a list of {n} integers, one per image");
    let wrong = |found: &str| Error::field(path, "labels", &*expected, found);
    let list = match value(&batch, "labels") {
        Some(Node::List(list)) => list,
        Some(_) => return Err(wrong("something else")),
        None => return Err(wrong("no such key")),
    };
    if list.len() != n {
        return Err(wrong(&format!("{} entries", list.len())));
    }
    for (i, &label) in list.iter().enumerate() {
        let Node::Int(label) = batch.node(label) else {
            return Err(wrong("an entry of another type"));
        };
        let label = usize::try_from(*label).unwrap_or(usize::MAX);
        labels.push(check_label(path, i, label)?);
    }
    if array.column_major {
        pixels.extend((0..n).flat_map(|row| data.iter().skip(row).step_by(n)));
    } else {
        pixels.extend_from_slice(&data);
    }
    Ok(())
}

/// The last value stored under `key`, if this is a dictionary.
fn value<'p, 'a>(pickle: &'p Pickle<'a>, key: &str) -> Option<&'p Node<'a>> {
    let Node::Dict(entries) = pickle.root() else {
        return None;
    };
    let is_key = |&&(k, _): &&(NodeId, NodeId)| string(pickle.node(k)) == Some(key.as_bytes());
    let (_, value) = entries.iter().rev().find(is_key)?;
    Some(pickle.node(*value))
}

/// The content of a byte string or a text: Python 2 files have one where Python 3 files have the other.
fn string<'a>(node: &Node<'a>) -> Option<&'a [u8]> {
    match *node {
        Node::Bytes(bytes) => Some(bytes),
        // All that is compared is ASCII.
        Node::Text(text) | Node::Object(Object::Latin1(text)) => Some(text.as_bytes()),
        _ => None,
    }
}

/// The names that a file may mention, and what is built by calling them: byte strings and `uint8` arrays.
#[derive(Debug)]
enum Object<'a> {
    Reconstruct,
    NdArray,
    DType,
    Encode,
    /// An element type; only `uint8` passes.
    ByteType,
    /// How Python 3 writes byte strings in protocol 2: as text, a character per byte.
    Latin1(&'a str),
    /// An array, once it has its state.
    Array(Option<Box<Array>>),
}

#[derive(Debug)]
struct Array {
    shape: Vec<usize>,
    column_major: bool,
    /// A byte string; nothing says yet that its length is that of the shape.
    data: NodeId,
}

impl<'a> pickle::Object<'a> for Object<'a> {
    const NEWEST_PROTOCOL: u8 = 4;
    const PYTHON_2_STRINGS_ARE_TEXT: bool = false;

    fn named(module: &'a str, name: &'a str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                Self::Reconstruct
            }
            ("numpy", "ndarray") => Self::NdArray,
            ("numpy", "dtype") => Self::DType,
            ("_codecs", "encode") => Self::Encode,
            _ => return None,
        })
    }

    fn describe(&self) -> &'static str {
        match self {
            Self::Latin1(_) => "a byte string",
            Self::Array(_) => "an array",
            _ => "a class or function",
        }
    }

    fn call(
        nodes: &mut Nodes<'a, Self>,
        function: NodeId,
        arguments: &[NodeId],
    ) -> pickle::Result<NodeId> {
        let result = match (&nodes[function], arguments) {
            (Node::Object(Self::Reconstruct), [class, ..])
                if matches!(nodes[*class], Node::Object(Self::NdArray)) =>
            {
                Self::Array(None)
            }
            (Node::Object(Self::DType), [kind, ..]) => match string(&nodes[*kind]) {
                Some(b"u1" | b"|u1" | b"uint8") => Self::ByteType,
                _ => return Err("an array whose elements are not uint8".into()),
            },
            (Node::Object(Self::Encode), [text, encoding]) => {
                match (&nodes[*text], string(&nodes[*encoding])) {
                    (Node::Text(text), Some(b"latin1" | b"latin-1")) => Self::Latin1(text),
                    _ => return Err("a call that the CIFAR-10 layout does not use".into()),
                }
            }
            // How Python 3 writes the empty byte string may be a bare call of `bytes`, which is refused as well.
            _ => return Err("a call that the CIFAR-10 layout does not use".into()),
        };
        Ok(nodes.push(Node::Object(result)))
    }

    /// Element types come with a state that says nothing about single bytes.
    fn set_state(nodes: &mut Nodes<'a, Self>, object: NodeId, state: NodeId) -> pickle::Result<()> {
        match &nodes[object] {
            Node::Object(Self::ByteType) => return Ok(()),
            Node::Object(Self::Array(_)) => {}
            _ => return Err("a state for something that is not an array".into()),
        }
        let Node::Tuple(state) = &nodes[state] else {
            return Err("an array whose state is not a tuple".into());
        };
        let (column_major, shape, data) = match state[..] {
            [_, shape, kind, order, data] => match (&nodes[order], &nodes[shape], &nodes[kind]) {
                (Node::Bool(order), Node::Tuple(shape), Node::Object(Self::ByteType)) => {
                    (*order, shape, data)
                }
                _ => return Err(STATE.into()),
            },
            _ => return Err(STATE.into()),
        };
        if !matches!(nodes[data], Node::Bytes(_) | Node::Object(Self::Latin1(_))) {
            return Err(STATE.into());
        }
        let lengths = shape.iter().map(|&n| match nodes[n] {
            Node::Int(n) => usize::try_from(n).ok(),
            _ => None,
        });
        let shape: Vec<usize> = lengths
            .collect::<Option<_>>()
            .ok_or("an array shape that is not made of lengths")?;
        nodes.charge(shape.len())?;
        *nodes.get_mut(object) = Node::Object(Self::Array(Some(Box::new(Array {
            shape,
            column_major,
            data,
        }))));
        Ok(())
    }
}

const STATE: &str = "an array that is not (version, shape, uint8, order, bytes)";
