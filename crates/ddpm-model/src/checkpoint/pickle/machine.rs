//! The stack machine.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::global::Global;
use super::node::{GlobalNode, Node, NodeId, Pickle};
use crate::checkpoint::read_error::{ReadError, ReadResult};

/// Copies of shared objects that a pickle may cause, per byte of its length. A state dict stays far below one; without
/// a limit, a small file could ask for one long list a million times.
const COPIES_PER_BYTE: usize = 16;

/// Newest protocol of which every opcode is known.
const HIGHEST_PROTOCOL: u8 = 5;

/// Reads one pickle from its first opcode to its `STOP` and leaves the cursor behind it.
pub(in crate::checkpoint) fn read_pickle(cursor: &mut Cursor<'_>) -> ReadResult<Pickle> {
    let mut machine = Machine {
        budget: cursor.remaining().saturating_mul(COPIES_PER_BYTE),
        ..Machine::default()
    };
    loop {
        let offset = cursor.position();
        if let Some(root) = machine.step(cursor, offset)? {
            return Ok(Pickle {
                nodes: machine.nodes,
                root,
            });
        }
    }
}

#[derive(Default)]
pub(super) struct Machine {
    pub(super) nodes: Vec<Node>,
    stack: Vec<NodeId>,
    /// Stack heights at the open `MARK`s.
    marks: Vec<usize>,
    memo: HashMap<u64, NodeId>,
    /// Elements that may still be copied out of shared objects.
    pub(super) budget: usize,
}

/// An error inside the pickle.
pub(super) fn damaged(detail: impl Into<String>) -> ReadError {
    ReadError::Damaged(format!("in the pickle, {}", detail.into()))
}

impl Machine {
    /// Executes one opcode; the result is there after `STOP`.
    fn step(&mut self, cursor: &mut Cursor<'_>, offset: usize) -> ReadResult<Option<NodeId>> {
        match cursor.byte()? {
            // PROTO, FRAME: how the stream is written, not what is in it.
            0x80 => {
                let protocol = cursor.byte()?;
                if protocol > HIGHEST_PROTOCOL {
                    return Err(damaged(format!(
                        "protocol {protocol} is newer than {HIGHEST_PROTOCOL}"
                    )));
                }
            }
            0x95 => {
                cursor.array::<8>()?;
            }
            b'.' => return Ok(Some(self.pop()?)),

            // Constants.
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'K' => {
                let value = cursor.byte()?;
                self.push(Node::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(cursor.array()?);
                self.push(Node::Int(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(cursor.array()?);
                self.push(Node::Int(value.into()));
            }
            0x8a => {
                let len = cursor.byte()?.into();
                self.long(cursor, len)?;
            }
            0x8b => {
                let len = u32::from_le_bytes(cursor.array()?);
                self.long(cursor, len as usize)?;
            }
            b'G' => {
                cursor.array::<8>()?;
                self.push(Node::Float);
            }

            // Strings: BINUNICODE, SHORT_BINUNICODE, BINUNICODE8 and Python 2's SHORT_BINSTRING, BINSTRING.
            0x8c | b'U' => {
                let len = cursor.byte()?.into();
                self.text(cursor, len)?;
            }
            b'X' | b'T' => {
                let len = u32::from_le_bytes(cursor.array()?);
                self.text(cursor, len as usize)?;
            }
            0x8d => {
                let len = long_length(cursor)?;
                self.text(cursor, len)?;
            }
            // Byte strings: SHORT_BINBYTES, BINBYTES, BINBYTES8.
            b'C' => {
                let len = cursor.byte()?;
                self.bytes(cursor, len.into())?;
            }
            b'B' => {
                let len = u32::from_le_bytes(cursor.array()?);
                self.bytes(cursor, len as usize)?;
            }
            0x8e => {
                let len = long_length(cursor)?;
                self.bytes(cursor, len)?;
            }

            // Containers.
            b')' => self.push(Node::Tuple(vec![])),
            b']' => self.push(Node::List(vec![])),
            b'}' => self.push(Node::Dict(vec![])),
            b'(' => self.marks.push(self.stack.len()),
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items));
            }
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Node::List(items));
            }
            b'd' => {
                let items = self.pop_mark()?;
                let pairs = pairs(&items)?;
                self.push(Node::Dict(pairs));
            }
            count @ 0x85..=0x87 => {
                let items = self.pop_many(usize::from(count - 0x84))?;
                self.push(Node::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }

            // Stack and memo.
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'q' => {
                let slot = cursor.byte()?;
                self.put(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(cursor.array()?);
                self.put(slot.into())?;
            }
            0x94 => self.put(self.memo.len() as u64)?,
            b'h' => {
                let slot = cursor.byte()?;
                self.get(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(cursor.array()?);
                self.get(slot.into())?;
            }

            // Objects, all from the allow-list.
            b'c' => {
                let (module, name) = (cursor.line()?, cursor.line()?);
                let global = Global::find(module, name)?;
                self.push(Node::Global(GlobalNode(global)));
            }
            0x93 => {
                let names = self.pop_many(2)?;
                let [Node::Text(module), Node::Text(name)] =
                    [&self.nodes[names[0]], &self.nodes[names[1]]]
                else {
                    return Err(damaged("a global is not named by two strings"));
                };
                let global = Global::find(module, name)?;
                self.push(Node::Global(GlobalNode(global)));
            }
            b'Q' => {
                let id = self.pop()?;
                if let Node::Tuple(fields) = &self.nodes[id] {
                    let copies = fields.iter().map(|&field| self.copies(field)).sum();
                    self.charge(copies)?;
                }
                let storage = self.storage(id)?;
                self.push(Node::Storage(storage));
            }
            // REDUCE, NEWOBJ: a call.
            b'R' | 0x81 => {
                let call = self.pop_many(2)?;
                let result = self.reduce(call[0], call[1])?;
                self.stack.push(result);
            }
            // BUILD: the attributes of a state dict (`_metadata`) say nothing about the weights.
            b'b' => {
                self.pop()?;
                let target = self.top()?;
                if !matches!(self.nodes[target], Node::Dict(_)) {
                    return Err(damaged(format!(
                        "{} is given attributes",
                        self.nodes[target].describe()
                    )));
                }
            }
            opcode => {
                return Err(damaged(format!(
                    "opcode 0x{opcode:02x} at offset {offset} is unknown or not allowed"
                )));
            }
        }
        Ok(None)
    }

    fn push(&mut self, node: Node) {
        self.nodes.push(node);
        self.stack.push(self.nodes.len() - 1);
    }

    /// Lowest stack index that may be popped: nothing under an open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> ReadResult<NodeId> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => Err(damaged("an operand is missing")),
        }
    }

    fn pop(&mut self) -> ReadResult<NodeId> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> ReadResult<Vec<NodeId>> {
        if self.stack.len() < self.floor() + count {
            return Err(damaged("an operand is missing"));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    fn pop_mark(&mut self) -> ReadResult<Vec<NodeId>> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| damaged("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn put(&mut self, slot: u64) -> ReadResult<()> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn get(&mut self, slot: u64) -> ReadResult<()> {
        let id = *self
            .memo
            .get(&slot)
            .ok_or_else(|| damaged(format!("memo {slot} is read before it is written")))?;
        self.stack.push(id);
        Ok(())
    }

    fn text(&mut self, cursor: &mut Cursor<'_>, len: usize) -> ReadResult<()> {
        let text = cursor.text(len)?.to_owned();
        self.push(Node::Text(text));
        Ok(())
    }

    fn bytes(&mut self, cursor: &mut Cursor<'_>, len: usize) -> ReadResult<()> {
        cursor.take(len)?;
        self.push(Node::Bytes);
        Ok(())
    }

    /// A little-endian two's-complement integer of `len` bytes.
    fn long(&mut self, cursor: &mut Cursor<'_>, len: usize) -> ReadResult<()> {
        let bytes = cursor.take(len)?;
        if len > 16 {
            return Err(damaged(format!("an integer of {len} bytes is too large")));
        }
        let negative = bytes.last().is_some_and(|&b| b >= 0x80);
        let mut extended = [if negative { 0xff } else { 0 }; 16];
        extended[..len].copy_from_slice(bytes);
        self.push(Node::Int(i128::from_le_bytes(extended)));
        Ok(())
    }

    fn append(&mut self, items: Vec<NodeId>) -> ReadResult<()> {
        let target = self.top()?;
        match &mut self.nodes[target] {
            Node::List(list) => {
                list.extend(items);
                Ok(())
            }
            other => Err(damaged(format!(
                "items are appended to {}",
                other.describe()
            ))),
        }
    }

    fn set_items(&mut self, items: &[NodeId]) -> ReadResult<()> {
        let target = self.top()?;
        let pairs = pairs(items)?;
        match &mut self.nodes[target] {
            Node::Dict(dict) => {
                dict.extend(pairs);
                Ok(())
            }
            other => Err(damaged(format!("keys are set in {}", other.describe()))),
        }
    }
}

fn long_length(cursor: &mut Cursor<'_>) -> ReadResult<usize> {
    let len = u64::from_le_bytes(cursor.array()?);
    usize::try_from(len).map_err(|_| damaged(format!("a string has {len} bytes")))
}

fn pairs(items: &[NodeId]) -> ReadResult<Vec<(NodeId, NodeId)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(damaged("a dictionary has a key without a value"));
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}
