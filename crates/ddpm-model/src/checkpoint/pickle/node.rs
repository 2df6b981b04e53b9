//! The objects that a pickle may build.

use super::global::Global;
use crate::checkpoint::tensor::ElementType;

/// Index of a node in its [`Pickle`].
pub(in crate::checkpoint) type NodeId = usize;

/// One object; compound objects refer to others by index.
#[derive(Debug)]
pub(in crate::checkpoint) enum Node {
    None,
    Bool(bool),
    Int(i128),
    /// A number that nothing read here needs.
    Float,
    Text(String),
    /// A byte string; nothing that is read here needs its contents.
    Bytes,
    Tuple(Vec<NodeId>),
    List(Vec<NodeId>),
    Dict(Vec<(NodeId, NodeId)>),
    Global(GlobalNode),
    Storage(StorageRef),
    Tensor(TensorRef),
}

/// An allow-listed name on the stack.
#[derive(Debug)]
pub(in crate::checkpoint) struct GlobalNode(pub(super) Global);

/// A persistent id: where the bytes of one or more tensors are.
#[derive(Clone, Debug)]
pub(in crate::checkpoint) struct StorageRef {
    /// Name of the storage in the file.
    pub(in crate::checkpoint) key: String,
    pub(in crate::checkpoint) element: ElementType,
    /// Length in elements.
    pub(in crate::checkpoint) len: usize,
}

/// A strided view of a storage.
#[derive(Clone, Debug)]
pub(in crate::checkpoint) struct TensorRef {
    pub(in crate::checkpoint) storage: StorageRef,
    /// First element.
    pub(in crate::checkpoint) offset: usize,
    pub(in crate::checkpoint) shape: Vec<usize>,
    /// In elements.
    pub(in crate::checkpoint) strides: Vec<usize>,
}

/// A finished pickle: its nodes and the one left on the stack.
#[derive(Debug)]
pub(in crate::checkpoint) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

impl Pickle {
    /// The object that was pickled.
    pub(in crate::checkpoint) fn root(&self) -> &Node {
        self.node(self.root)
    }

    /// The node at an index that came from this pickle.
    pub(in crate::checkpoint) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// All nodes, in the order in which they were made.
    pub(in crate::checkpoint) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }
}

impl Node {
    /// What the object is, with its article, for messages.
    pub(in crate::checkpoint) fn describe(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float => "a number",
            Self::Text(_) => "a string",
            Self::Bytes => "a byte string",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Global(_) => "a class or function",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}
