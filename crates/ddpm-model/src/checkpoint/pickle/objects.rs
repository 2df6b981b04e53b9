//! The calls that the stack machine may make: dictionaries, storages and tensors.

use super::global::Global;
use super::machine::{Machine, damaged};
use super::node::{GlobalNode, Node, NodeId, StorageRef, TensorRef};
use crate::checkpoint::read_error::ReadResult;

impl Machine {
    /// Accounts for a copy of `count` elements.
    pub(super) fn charge(&mut self, count: usize) -> ReadResult<()> {
        self.budget = self
            .budget
            .checked_sub(count)
            .ok_or_else(|| damaged("shared objects are copied too often"))?;
        Ok(())
    }

    /// Elements that a call copies out of its argument.
    pub(super) fn copies(&self, id: NodeId) -> usize {
        match &self.nodes[id] {
            Node::Tuple(items) | Node::List(items) => items.len(),
            Node::Storage(storage) => storage.key.len(),
            Node::Text(text) => text.len(),
            _ => 0,
        }
    }

    fn global(&self, id: NodeId) -> Option<Global> {
        match &self.nodes[id] {
            Node::Global(GlobalNode(global)) => Some(*global),
            _ => None,
        }
    }

    pub(super) fn reduce(&mut self, function: NodeId, arguments: NodeId) -> ReadResult<NodeId> {
        let function = self
            .global(function)
            .ok_or_else(|| damaged("something is called that is not a function"))?;
        let Node::Tuple(arguments) = &self.nodes[arguments] else {
            return Err(damaged("a call has no argument tuple"));
        };
        let arguments = arguments.clone();
        self.charge(arguments.len())?;
        for &argument in &arguments {
            self.charge(self.copies(argument))?;
        }
        let node = match (function, arguments.as_slice()) {
            (Global::OrderedDict, []) => Node::Dict(vec![]),
            (Global::OrderedDict, [items]) => Node::Dict(self.dict_items(*items)?),
            (Global::Size, [items]) => match &self.nodes[*items] {
                Node::Tuple(items) | Node::List(items) => Node::Tuple(items.clone()),
                other => return Err(damaged(format!("a size is {}", other.describe()))),
            },
            // storage, offset, size, stride[, requires_grad, backward_hooks[, metadata]]
            (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                Node::Tensor(self.tensor(*storage, *offset, *shape, *strides)?)
            }
            // data, requires_grad, backward_hooks
            (Global::RebuildParameter, [tensor, ..])
                if matches!(self.nodes[*tensor], Node::Tensor(_)) =>
            {
                return Ok(*tensor);
            }
            (global, arguments) => {
                return Err(damaged(format!(
                    "{global:?} is called with {} arguments of the wrong kind",
                    arguments.len()
                )));
            }
        };
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// The pairs of `OrderedDict([(key, value), ...])`.
    fn dict_items(&self, items: NodeId) -> ReadResult<Vec<(NodeId, NodeId)>> {
        let Node::List(items) = &self.nodes[items] else {
            return Err(damaged(
                "a dictionary is made of something other than a list",
            ));
        };
        items
            .iter()
            .map(|&item| match &self.nodes[item] {
                Node::Tuple(pair) | Node::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
                _ => Err(damaged("a dictionary item is not a pair")),
            })
            .collect()
    }

    /// `("storage", class, key, location, length[, view])`
    pub(super) fn storage(&self, id: NodeId) -> ReadResult<StorageRef> {
        let fields: Vec<&Node> = match &self.nodes[id] {
            Node::Tuple(fields) => fields.iter().map(|&field| &self.nodes[field]).collect(),
            other => {
                return Err(damaged(format!(
                    "a persistent id is {}, expected a storage tuple",
                    other.describe()
                )));
            }
        };
        match fields.as_slice() {
            [
                Node::Text(kind),
                Node::Global(GlobalNode(Global::Storage(element))),
                Node::Text(key),
                _location,
                Node::Int(len),
                view @ ..,
            ] if kind == "storage" && matches!(view, [] | [Node::None]) => Ok(StorageRef {
                key: key.clone(),
                element: *element,
                len: usize::try_from(*len)
                    .map_err(|_| damaged(format!("a storage has length {len}")))?,
            }),
            _ => Err(damaged(
                "a persistent id is not (\"storage\", class, key, location, length)",
            )),
        }
    }

    fn tensor(
        &self,
        storage: NodeId,
        offset: NodeId,
        shape: NodeId,
        strides: NodeId,
    ) -> ReadResult<TensorRef> {
        let Node::Storage(storage) = &self.nodes[storage] else {
            return Err(damaged("a tensor has no storage"));
        };
        Ok(TensorRef {
            storage: storage.clone(),
            offset: self.index(offset)?,
            shape: self.indices(shape)?,
            strides: self.indices(strides)?,
        })
    }

    fn indices(&self, id: NodeId) -> ReadResult<Vec<usize>> {
        match &self.nodes[id] {
            Node::Tuple(items) | Node::List(items) => {
                items.iter().map(|&item| self.index(item)).collect()
            }
            other => Err(damaged(format!("a shape is {}", other.describe()))),
        }
    }

    fn index(&self, id: NodeId) -> ReadResult<usize> {
        match &self.nodes[id] {
            Node::Int(value) => usize::try_from(*value)
                .map_err(|_| damaged(format!("{value} is no size, stride or offset"))),
            other => Err(damaged(format!("a size is {}", other.describe()))),
        }
    }
}
