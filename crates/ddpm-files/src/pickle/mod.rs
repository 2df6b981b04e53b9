//! A restricted pickle reader (protocols 0 to 5 as far as `torch.save`, NumPy and plain Python objects use them).
//!
//! Python's unpickler is a stack machine that may call any function. This one keeps the machine and drops Python: it
//! builds constants and containers itself, and its user's [`Object`] says which names a file may mention and what a call
//! of one makes; whatever that does not know is an error. Nothing in a file is ever executed.
//!
//! Nodes live in an arena and refer to each other by index, so that deep nesting cannot exhaust the stack and shared
//! objects cost nothing. Strings stay where they lie in the file. Memory is at most four times the file's length
//! ([`Cursor::of_file`]) and 64 MiB.
//!
//! Opcodes: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.

mod cursor;
mod machine;

#[cfg(test)]
mod tests;

use std::ops::Index;

pub use cursor::Cursor;
pub use machine::read_pickle;

/// Copies of shared objects that a pickle may cause, per byte of its length. A state dict stays far below one; without
/// a limit, a small file could ask for one long list a million times.
const COPIES_PER_BYTE: usize = 16;

/// Result of the machine.
pub type Result<T> = std::result::Result<T, PickleError>;

/// Why a pickle is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PickleError {
    /// The bytes end too early.
    Truncated(String),
    /// The program contradicts itself or does what its reader does not expect.
    Damaged(String),
    /// A program that Python understands and this reader does not, or one that is too large.
    Unsupported(String),
    /// It mentions a name that its reader does not know.
    UnknownName {
        /// The Python module.
        module: String,
        /// The name in it.
        name: String,
    },
}

impl From<String> for PickleError {
    fn from(detail: String) -> Self {
        Self::Damaged(detail)
    }
}

impl From<&str> for PickleError {
    fn from(detail: &str) -> Self {
        Self::Damaged(detail.to_owned())
    }
}

/// What the reader of one kind of pickle understands beyond constants and containers: names, and the objects that
/// calls of them make.
pub trait Object<'a>: Sized {
    /// Newest protocol that such files are written in.
    const NEWEST_PROTOCOL: u8;
    /// Whether a string of Python 2 is text; else it is bytes.
    const PYTHON_2_STRINGS_ARE_TEXT: bool;

    /// The class or function `name` of `module`, if it is known.
    fn named(module: &'a str, name: &'a str) -> Option<Self>;

    /// Whether the object is a stranger's that is only passed over: calls, states and items of it are swallowed.
    fn is_opaque(&self) -> bool {
        false
    }

    /// What the object is, with its article, for messages.
    fn describe(&self) -> &'static str;

    /// What calling `function`, an object of this kind, with these arguments makes.
    ///
    /// # Errors
    /// Something that is not to be called so.
    fn call(nodes: &mut Nodes<'a, Self>, function: NodeId, arguments: &[NodeId]) -> Result<NodeId>;

    /// Gives an object its state (`__setstate__`).
    ///
    /// # Errors
    /// An object that takes no state, or not this one.
    fn set_state(nodes: &mut Nodes<'a, Self>, object: NodeId, state: NodeId) -> Result<()>;

    /// What a persistent id stands for.
    ///
    /// # Errors
    /// An id of another kind; all of them by default.
    fn persistent(_nodes: &Nodes<'a, Self>, _id: NodeId) -> Result<Self> {
        Err("an object is stored outside of the pickle".into())
    }
}

/// Index of a node.
pub type NodeId = usize;

/// One object; compound objects refer to others by index.
#[derive(Debug)]
pub enum Node<'a, O> {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer of at most 16 bytes.
    Int(i128),
    /// A number that no reader needs, a longer integer too.
    Float,
    /// Text.
    Text(&'a str),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A tuple.
    Tuple(Vec<NodeId>),
    /// A list.
    List(Vec<NodeId>),
    /// A set, in the order in which it was written.
    Set(Vec<NodeId>),
    /// Keys and values in the order in which they were set; a key may be set more than once.
    Dict(Vec<(NodeId, NodeId)>),
    /// What the reader knows.
    Object(O),
}

impl<'a, O: Object<'a>> Node<'a, O> {
    /// What the object is, with its article, for messages.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float => "a number",
            Self::Text(_) => "a string",
            Self::Bytes(_) => "a byte string",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Set(_) => "a set",
            Self::Dict(_) => "a dictionary",
            Self::Object(object) => object.describe(),
        }
    }
}

/// The objects that a pickle has made so far.
#[derive(Debug)]
pub struct Nodes<'a, O> {
    made: Vec<Node<'a, O>>,
    /// Elements that may still be copied out of shared objects, and those that were.
    budget: usize,
    copied: usize,
    /// Bytes that may be held.
    room: usize,
}

/// Memory that a pickle may take beside four times its length.
const ROOM: usize = 64 << 20;

impl<'a, O> Nodes<'a, O> {
    fn new(bytes: usize, file: usize) -> Self {
        Self {
            made: Vec::new(),
            budget: bytes.saturating_mul(COPIES_PER_BYTE),
            copied: 0,
            room: file.saturating_mul(4).saturating_add(ROOM),
        }
    }

    /// Accounts for what is held: the nodes, `references` to them and `remembered` ones, each as growing tables hold them.
    fn check_room(&self, references: usize, remembered: usize) -> Result<()> {
        let nodes = self.made.len().saturating_mul(3 * size_of::<Node<'a, O>>());
        let references = references.saturating_add(self.copied.saturating_mul(2));
        let held = nodes
            .saturating_add(references.saturating_mul(3 * size_of::<NodeId>()))
            .saturating_add(remembered.saturating_mul(6 * size_of::<NodeId>()));
        if held > self.room {
            return Err(PickleError::Unsupported(
                "more objects than a pickle of its length has reason for".to_owned(),
            ));
        }
        Ok(())
    }

    /// Adds a node.
    pub fn push(&mut self, node: Node<'a, O>) -> NodeId {
        self.made.push(node);
        self.made.len() - 1
    }

    /// The same node, to change it.
    pub fn get_mut(&mut self, id: NodeId) -> &mut Node<'a, O> {
        &mut self.made[id]
    }

    /// Accounts for a copy of `count` elements.
    ///
    /// # Errors
    /// More copies than a pickle of this length has reason for.
    pub fn charge(&mut self, count: usize) -> Result<()> {
        self.budget = self
            .budget
            .checked_sub(count)
            .ok_or("shared objects are copied too often")?;
        self.copied += count;
        Ok(())
    }
}

impl<'a, O> Index<NodeId> for Nodes<'a, O> {
    type Output = Node<'a, O>;

    fn index(&self, id: NodeId) -> &Self::Output {
        &self.made[id]
    }
}

/// A finished pickle: its nodes and the one left on the stack.
#[derive(Debug)]
pub struct Pickle<'a, O> {
    nodes: Nodes<'a, O>,
    root: NodeId,
}

impl<'a, O> Pickle<'a, O> {
    /// The object that was pickled.
    pub fn root(&self) -> &Node<'a, O> {
        self.node(self.root)
    }

    /// The node at an index that came from this pickle.
    pub fn node(&self, id: NodeId) -> &Node<'a, O> {
        &self.nodes[id]
    }

    /// All nodes, in the order in which they were made.
    pub fn nodes(&self) -> impl Iterator<Item = &Node<'a, O>> {
        self.nodes.made.iter()
    }
}
