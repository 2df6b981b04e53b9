//! What the pickle of a checkpoint may mention and build: dictionaries, storages and tensors. Whatever else it names is passed over, never
//! built and never called; it is refused where it stands for weights.

use ddpm_files::pickle::{self, NodeId, Nodes, PickleError};

use super::read_error::ReadError;
use super::tensor::ElementType;

/// A node of such a pickle.
pub(super) type Node<'a> = pickle::Node<'a, Object<'a>>;
/// Such a pickle.
pub(super) type Pickle<'a> = pickle::Pickle<'a, Object<'a>>;

/// A name on the allow-list, or what is made by calling one.
#[derive(Debug)]
pub(super) enum Object<'a> {
    /// `collections.OrderedDict`
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`
    RebuildTensor,
    /// `torch._utils._rebuild_parameter` and `_rebuild_parameter_with_state`
    RebuildParameter,
    /// `torch.Size`
    Size,
    /// `torch.FloatStorage` and its siblings
    StorageClass(ElementType),
    Storage(StorageRef<'a>),
    // Boxed, so that the many nodes that are something else stay small.
    Tensor(Box<TensorRef<'a>>),
    /// A name that is not on the list, and whatever is made of it.
    Opaque(Name<'a>),
}

/// A Python name, as the pickle spells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'a> {
    module: &'a str,
    name: &'a str,
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.module, self.name)
    }
}

/// A persistent id: where the bytes of one or more tensors are.
#[derive(Clone, Copy, Debug)]
pub(super) struct StorageRef<'a> {
    /// Name of the storage in the file.
    pub(super) key: &'a str,
    pub(super) element: ElementType,
    /// Length in elements.
    pub(super) len: usize,
}

/// A strided view of a storage.
#[derive(Debug)]
pub(super) struct TensorRef<'a> {
    pub(super) storage: StorageRef<'a>,
    /// First element.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// In elements.
    pub(super) strides: Vec<usize>,
}

impl From<PickleError> for ReadError {
    fn from(error: PickleError) -> Self {
        match error {
            PickleError::Truncated(detail) => Self::Truncated(detail),
            PickleError::Damaged(detail) => Self::Damaged(format!("in the pickle, {detail}")),
            PickleError::Unsupported(detail) => {
                Self::Unsupported(format!("in the pickle, {detail}"))
            }
            PickleError::UnknownName { module, name } => {
                Self::Forbidden(format!("{module} {name}"))
            }
        }
    }
}

impl<'a> pickle::Object<'a> for Object<'a> {
    const NEWEST_PROTOCOL: u8 = 5;
    const PYTHON_2_STRINGS_ARE_TEXT: bool = true;

    fn named(module: &'a str, name: &'a str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::RebuildParameter
            }
            ("torch", "Size") => Self::Size,
            ("torch", "HalfStorage") => Self::StorageClass(ElementType::F16),
            ("torch", "BFloat16Storage") => Self::StorageClass(ElementType::Bf16),
            ("torch", "FloatStorage") => Self::StorageClass(ElementType::F32),
            ("torch", "DoubleStorage") => Self::StorageClass(ElementType::F64),
            ("torch", "ByteStorage") => Self::StorageClass(ElementType::U8),
            ("torch", "CharStorage") => Self::StorageClass(ElementType::I8),
            ("torch", "ShortStorage") => Self::StorageClass(ElementType::I16),
            ("torch", "IntStorage") => Self::StorageClass(ElementType::I32),
            ("torch", "LongStorage") => Self::StorageClass(ElementType::I64),
            ("torch", "BoolStorage") => Self::StorageClass(ElementType::Bool),
            (module, name) => Self::Opaque(Name { module, name }),
        })
    }

    fn is_opaque(&self) -> bool {
        matches!(self, Self::Opaque(_))
    }

    fn describe(&self) -> &'static str {
        match self {
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Opaque(_) => "a Python object",
            _ => "a class or function",
        }
    }

    fn call(
        nodes: &mut Nodes<'a, Self>,
        function: NodeId,
        arguments: &[NodeId],
    ) -> pickle::Result<NodeId> {
        for &argument in arguments {
            if let Node::Tuple(items) | Node::List(items) = &nodes[argument] {
                let copies = items.len();
                nodes.charge(copies)?;
            }
        }
        let node = match (&nodes[function], arguments) {
            (Node::Object(Self::OrderedDict), []) => Node::Dict(vec![]),
            (Node::Object(Self::OrderedDict), [items]) => Node::Dict(dict_items(nodes, *items)?),
            (Node::Object(Self::Size), [items]) => match &nodes[*items] {
                Node::Tuple(items) | Node::List(items) => Node::Tuple(items.clone()),
                other => return Err(format!("a size is {}", other.describe()).into()),
            },
            // storage, offset, size, stride[, requires_grad, backward_hooks[, metadata]]
            (Node::Object(Self::RebuildTensor), [storage, offset, shape, strides, ..]) => {
                let storage = match &nodes[*storage] {
                    Node::Object(Self::Storage(storage)) => *storage,
                    // A tensor of elements that nobody knows.
                    Node::Object(Self::Opaque(_)) => return Ok(*storage),
                    _ => return Err("a tensor has no storage".into()),
                };
                Node::Object(Self::Tensor(Box::new(TensorRef {
                    storage,
                    offset: index(nodes, *offset)?,
                    shape: indices(nodes, *shape)?,
                    strides: indices(nodes, *strides)?,
                })))
            }
            // data, requires_grad, backward_hooks
            (Node::Object(Self::RebuildParameter), [tensor, ..])
                if matches!(
                    nodes[*tensor],
                    Node::Object(Self::Tensor(_) | Self::Opaque(_))
                ) =>
            {
                return Ok(*tensor);
            }
            (Node::Object(called), arguments) => {
                return Err(format!(
                    "{called:?} is called with {} arguments of the wrong kind",
                    arguments.len()
                )
                .into());
            }
            (other, _) => return Err(format!("{} is called", other.describe()).into()),
        };
        Ok(nodes.push(node))
    }

    /// The attributes of a state dict (`_metadata`) say nothing about the weights.
    fn set_state(
        nodes: &mut Nodes<'a, Self>,
        object: NodeId,
        _state: NodeId,
    ) -> pickle::Result<()> {
        match &nodes[object] {
            // Those of a parameter too: what somebody has hung on it.
            Node::Dict(_) | Node::Object(Self::Tensor(_)) => Ok(()),
            other => Err(format!("{} is given attributes", other.describe()).into()),
        }
    }

    /// `("storage", class, key, location, length[, view])`
    fn persistent(nodes: &Nodes<'a, Self>, id: NodeId) -> pickle::Result<Self> {
        let Node::Tuple(fields) = &nodes[id] else {
            let found = nodes[id].describe();
            return Err(format!("a persistent id is {found}, expected a storage tuple").into());
        };
        if let [kind, class, key, _location, len, ref view @ ..] = fields[..]
            && let Node::Text("storage") = nodes[kind]
            && let Node::Object(Self::Opaque(class)) = nodes[class]
            && matches!(nodes[key], Node::Text(_))
            && matches!(nodes[len], Node::Int(_))
            && view.len() < 2
        {
            return Ok(Self::Opaque(class));
        }
        if let [kind, class, key, _location, len, ref view @ ..] = fields[..]
            && let Node::Text("storage") = nodes[kind]
            && let Node::Object(Self::StorageClass(element)) = nodes[class]
            && let Node::Text(key) = nodes[key]
            && let Node::Int(len) = nodes[len]
            && (view.is_empty() || matches!(view, [view] if matches!(nodes[*view], Node::None)))
        {
            let len = usize::try_from(len).map_err(|_| format!("a storage has length {len}"))?;
            return Ok(Self::Storage(StorageRef { key, element, len }));
        }
        Err("a persistent id is not (\"storage\", class, key, location, length)".into())
    }
}

/// The pairs of `OrderedDict([(key, value), ...])`.
fn dict_items<'a>(
    nodes: &Nodes<'a, Object<'a>>,
    items: NodeId,
) -> pickle::Result<Vec<(NodeId, NodeId)>> {
    let Node::List(items) = &nodes[items] else {
        return Err("a dictionary is made of something other than a list".into());
    };
    items
        .iter()
        .map(|&item| match &nodes[item] {
            Node::Tuple(pair) | Node::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err("a dictionary item is not a pair".into()),
        })
        .collect()
}

fn indices<'a>(nodes: &Nodes<'a, Object<'a>>, id: NodeId) -> pickle::Result<Vec<usize>> {
    match &nodes[id] {
        Node::Tuple(items) | Node::List(items) => {
            items.iter().map(|&item| index(nodes, item)).collect()
        }
        other => Err(format!("a shape is {}", other.describe()).into()),
    }
}

fn index<'a>(nodes: &Nodes<'a, Object<'a>>, id: NodeId) -> pickle::Result<usize> {
    match &nodes[id] {
        Node::Int(value) => usize::try_from(*value)
            .map_err(|_| format!("{value} is no size, stride or offset").into()),
        other => Err(format!("a size is {}", other.describe()).into()),
    }
}

#[cfg(test)]
mod tests {
    use ddpm_files::pickle::{Cursor, read_pickle};

    use super::*;

    fn read(bytes: &[u8]) -> Result<Pickle<'_>, ReadError> {
        Ok(read_pickle(&mut Cursor::new(bytes))?)
    }

    /// `{'w': _rebuild_tensor_v2(('storage', FloatStorage, '0', 'cpu', 6), 1, (2, 2), (3, 1), False, OrderedDict())}` in
    /// protocol 4: framed, short strings, memoised, globals from the stack.
    fn protocol_4() -> Vec<u8> {
        let mut bytes = vec![0x80, 4, 0x95];
        bytes.extend(0u64.to_le_bytes());
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend([0x8c, text.len() as u8]);
            bytes.extend(text.as_bytes());
            bytes.push(0x94);
        };
        bytes.extend(b"}\x94");
        text(&mut bytes, "w");
        text(&mut bytes, "torch._utils");
        text(&mut bytes, "_rebuild_tensor_v2");
        bytes.extend(b"\x93\x94((");
        text(&mut bytes, "storage");
        text(&mut bytes, "torch");
        text(&mut bytes, "FloatStorage");
        bytes.extend(b"\x93\x94");
        text(&mut bytes, "0");
        text(&mut bytes, "cpu");
        bytes.extend(b"K\x06t\x94QK\x01K\x02K\x02\x86K\x03K\x01\x86\x89");
        text(&mut bytes, "collections");
        text(&mut bytes, "OrderedDict");
        bytes.extend(b"\x93)Rt\x94R\x94s.");
        bytes
    }

    #[test]
    fn protocol_4_is_read() {
        let bytes = protocol_4();
        let pickle = read(&bytes).unwrap();
        let Node::Dict(items) = pickle.root() else {
            panic!("{:?}", pickle.root());
        };
        let [(key, value)] = items[..] else {
            panic!("{items:?}");
        };
        assert!(matches!(pickle.node(key), Node::Text("w")));
        let Node::Object(Object::Tensor(tensor)) = pickle.node(value) else {
            panic!("{:?}", pickle.node(value));
        };
        assert_eq!(tensor.storage.len, 6);
        assert_eq!(tensor.offset, 1);
        assert_eq!(tensor.shape, [2, 2]);
        assert_eq!(tensor.strides, [3, 1]);
    }

    #[test]
    fn every_prefix_is_truncated() {
        let bytes = protocol_4();
        for len in 0..bytes.len() {
            assert!(
                matches!(read(&bytes[..len]), Err(ReadError::Truncated(_))),
                "{len}"
            );
        }
    }

    #[test]
    fn what_is_not_listed_is_passed_over_and_never_called() {
        for (pickle, name) in [
            // REDUCE, with a state and items put into what it would make; NEWOBJ, NEWOBJ_EX; as bare names.
            (&b"cos\nsystem\n(X\x02\0\0\0lstR}b(NNu."[..], "os system"),
            (b"cos\nsystem\n)\x81(Ne.", "os system"),
            (b"cos\nsystem\n)}\x92}b.", "os system"),
            (b"\x80\x02cbuiltins\neval\n.", "builtins eval"),
            (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os system"),
            (b"\x80\x02ctorch\nload\n.", "torch load"),
        ] {
            let read = read(pickle).unwrap();
            let Node::Object(Object::Opaque(found)) = read.root() else {
                panic!("{:?}", read.root());
            };
            assert_eq!(found.to_string(), name);
        }
    }

    #[test]
    fn nonsense_is_damaged() {
        for (pickle, words) in [
            (&b"ccollections\nOrderedDict\nNR."[..], "no argument tuple"),
            (
                b"ccollections\nOrderedDict\n(NNtR.",
                "in the pickle, OrderedDict is called with 2",
            ),
            (b"NQ.", "persistent id is None"),
            (b"NNb.", "None is given attributes"),
        ] {
            let Err(ReadError::Damaged(detail)) = read(pickle) else {
                panic!("{words}");
            };
            assert!(detail.contains(words), "{detail}");
        }
    }

    /// A list that is named again and again must not be copied again and again.
    #[test]
    fn copies_of_shared_objects_are_limited() {
        let mut bytes = b"ccollections\nOrderedDict\nq\x00](".to_vec();
        for _ in 0..1000 {
            bytes.extend(b"NN\x86");
        }
        bytes.extend(b"e\x85q\x01");
        for _ in 0..1000 {
            bytes.extend(b"h\x00h\x01R");
        }
        bytes.push(b'.');
        let Err(ReadError::Damaged(detail)) = read(&bytes) else {
            panic!("a million copies");
        };
        assert!(detail.contains("too often"), "{detail}");
    }

    #[test]
    fn nodes_are_small() {
        assert!(size_of::<Node<'_>>() <= 48, "{}", size_of::<Node<'_>>());
    }
}
