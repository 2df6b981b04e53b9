//! The stack machine.

use std::collections::HashMap;

use super::cursor::{Cursor, text};
use super::{Node, NodeId, Nodes, Object, Pickle, PickleError, Result};

/// Reads one pickle from its first opcode to its `STOP` and leaves the cursor behind it.
///
/// # Errors
/// [`PickleError`]; the cursor then stands at the opcode that is to blame.
pub fn read_pickle<'a, O: Object<'a>>(cursor: &mut Cursor<'a>) -> Result<Pickle<'a, O>> {
    let mut machine = Machine {
        nodes: Nodes::new(cursor.remaining()),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let offset = cursor.position();
        match machine.step(cursor, offset) {
            Ok(None) => {}
            Ok(Some(root)) => {
                return Ok(Pickle {
                    nodes: machine.nodes,
                    root,
                });
            }
            Err(error) => {
                cursor.back_to(offset);
                return Err(error);
            }
        }
    }
}

struct Machine<'a, O> {
    nodes: Nodes<'a, O>,
    stack: Vec<NodeId>,
    /// Stack heights at the open `MARK`s.
    marks: Vec<usize>,
    memo: HashMap<u64, NodeId>,
}

impl<'a, O: Object<'a>> Machine<'a, O> {
    /// Executes one opcode; the result is there after `STOP`.
    fn step(&mut self, cursor: &mut Cursor<'a>, offset: usize) -> Result<Option<NodeId>> {
        match cursor.byte()? {
            // PROTO, FRAME: how the stream is written, not what is in it.
            0x80 => {
                let (protocol, newest) = (cursor.byte()?, O::NEWEST_PROTOCOL);
                if protocol > newest {
                    return Err(format!("protocol {protocol} is newer than {newest}").into());
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
            b'K' => self.push(Node::Int(cursor.byte()?.into())),
            b'M' => self.push(Node::Int(u16::from_le_bytes(cursor.array()?).into())),
            b'J' => self.push(Node::Int(i32::from_le_bytes(cursor.array()?).into())),
            0x8a => self.long(cursor, 1)?,
            0x8b => self.long(cursor, 4)?,
            b'G' => {
                cursor.array::<8>()?;
                self.push(Node::Float);
            }

            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8; Python 2's SHORT_BINSTRING, BINSTRING.
            0x8c => self.string(cursor, 1, true)?,
            b'X' => self.string(cursor, 4, true)?,
            0x8d => self.string(cursor, 8, true)?,
            b'U' => self.string(cursor, 1, O::PYTHON_2_STRINGS_ARE_TEXT)?,
            b'T' => self.string(cursor, 4, O::PYTHON_2_STRINGS_ARE_TEXT)?,
            // SHORT_BINBYTES, BINBYTES, BINBYTES8.
            b'C' => self.string(cursor, 1, false)?,
            b'B' => self.string(cursor, 4, false)?,
            0x8e => self.string(cursor, 8, false)?,

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
                self.push(Node::Dict(pairs(&items)?));
            }
            count @ 0x85..=0x87 => {
                let items = self.pop_many(usize::from(count - 0x84))?;
                self.push(Node::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(&items)?;
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
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'q' => self.put(cursor.byte()?.into())?,
            b'r' => self.put(u32::from_le_bytes(cursor.array()?).into())?,
            0x94 => self.put(self.memo.len() as u64)?,
            b'h' => self.get(cursor.byte()?.into())?,
            b'j' => self.get(u32::from_le_bytes(cursor.array()?).into())?,

            // Objects that the reader knows.
            b'c' => {
                let (module, name) = (cursor.line()?, cursor.line()?);
                self.name(module, name)?;
            }
            0x93 => {
                let names = self.pop_many(2)?;
                let (Node::Text(module), Node::Text(name)) =
                    (&self.nodes[names[0]], &self.nodes[names[1]])
                else {
                    return Err("a global is not named by two strings".into());
                };
                let (module, name) = (*module, *name);
                self.name(module, name)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let object = O::persistent(&self.nodes, id)?;
                self.push(Node::Object(object));
            }
            // REDUCE, NEWOBJ: a call.
            b'R' | 0x81 => {
                let call = self.pop_many(2)?;
                if !matches!(self.nodes[call[0]], Node::Object(_)) {
                    return Err("something is called that is not a function".into());
                }
                let Node::Tuple(arguments) = &self.nodes[call[1]] else {
                    return Err("a call has no argument tuple".into());
                };
                let arguments = arguments.clone();
                self.nodes.charge(arguments.len())?;
                let result = O::call(&mut self.nodes, call[0], &arguments)?;
                self.stack.push(result);
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                O::set_state(&mut self.nodes, object, state)?;
            }
            opcode => {
                return Err(format!(
                    "opcode 0x{opcode:02x} at offset {offset} is unknown or not allowed"
                )
                .into());
            }
        }
        Ok(None)
    }

    fn push(&mut self, node: Node<'a, O>) {
        let id = self.nodes.push(node);
        self.stack.push(id);
    }

    /// Lowest stack index that may be popped: nothing under an open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<NodeId> {
        match self.stack.last() {
            Some(&top) if self.stack.len() > self.floor() => Ok(top),
            _ => Err("an operand is missing".into()),
        }
    }

    fn pop(&mut self) -> Result<NodeId> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<NodeId>> {
        if self.stack.len() < self.floor() + count {
            return Err("an operand is missing".into());
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    fn pop_mark(&mut self) -> Result<Vec<NodeId>> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    fn put(&mut self, slot: u64) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn get(&mut self, slot: u64) -> Result<()> {
        let id = *self
            .memo
            .get(&slot)
            .ok_or_else(|| format!("memo slot {slot} is read before it is written"))?;
        self.stack.push(id);
        Ok(())
    }

    /// A string whose length takes `bytes` bytes.
    fn string(&mut self, cursor: &mut Cursor<'a>, bytes: u8, is_text: bool) -> Result<()> {
        let length = cursor.length(bytes)?;
        let content = cursor.take(length)?;
        self.push(if is_text {
            Node::Text(text(content)?)
        } else {
            Node::Bytes(content)
        });
        Ok(())
    }

    /// A little-endian two's-complement integer whose length takes `bytes` bytes.
    fn long(&mut self, cursor: &mut Cursor<'a>, bytes: u8) -> Result<()> {
        let length = cursor.length(bytes)?;
        let digits = cursor.take(length)?;
        let negative = digits.last().is_some_and(|&b| b >= 0x80);
        let mut extended = [if negative { 0xff } else { 0 }; 16];
        extended
            .get_mut(..length)
            .ok_or_else(|| format!("an integer of {length} bytes is too large"))?
            .copy_from_slice(digits);
        self.push(Node::Int(i128::from_le_bytes(extended)));
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<()> {
        let object = O::named(module, name).ok_or_else(|| PickleError::UnknownName {
            module: module.to_owned(),
            name: name.to_owned(),
        })?;
        self.push(Node::Object(object));
        Ok(())
    }

    fn append(&mut self, items: &[NodeId]) -> Result<()> {
        let target = self.top()?;
        match self.nodes.get_mut(target) {
            Node::List(list) => {
                list.extend(items);
                Ok(())
            }
            other => Err(format!("items are appended to {}", other.describe()).into()),
        }
    }

    fn set_items(&mut self, items: &[NodeId]) -> Result<()> {
        let target = self.top()?;
        let pairs = pairs(items)?;
        match self.nodes.get_mut(target) {
            Node::Dict(dict) => {
                dict.extend(pairs);
                Ok(())
            }
            other => Err(format!("keys are set in {}", other.describe()).into()),
        }
    }
}

fn pairs(items: &[NodeId]) -> Result<Vec<(NodeId, NodeId)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    } else {
        Err("a dictionary has a key without a value".into())
    }
}
