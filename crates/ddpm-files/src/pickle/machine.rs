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
        nodes: Nodes::new(cursor.remaining(), cursor.file()),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        constants: HashMap::new(),
        references: 0,
    };
    loop {
        let offset = cursor.position();
        match machine.step(cursor, offset) {
            Ok(None) => {
                if let Err(error) = machine.check_room() {
                    cursor.back_to(offset);
                    return Err(error);
                }
            }
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
    /// The nodes of constants, each made once.
    constants: HashMap<Constant, NodeId>,
    /// How often a node was put on the stack: all that containers hold has been there.
    references: usize,
}

/// A node of which one is enough.
#[derive(PartialEq, Eq, Hash)]
enum Constant {
    None,
    Bool(bool),
    Byte(u8),
    Float,
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
            b'N' => self.constant(Constant::None),
            0x88 => self.constant(Constant::Bool(true)),
            0x89 => self.constant(Constant::Bool(false)),
            b'K' => self.constant(Constant::Byte(cursor.byte()?)),
            b'M' => self.push(Node::Int(u16::from_le_bytes(cursor.array()?).into())),
            b'J' => self.push(Node::Int(i32::from_le_bytes(cursor.array()?).into())),
            0x8a => self.long(cursor, 1)?,
            0x8b => self.long(cursor, 4)?,
            b'G' => {
                cursor.array::<8>()?;
                self.constant(Constant::Float);
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
            // BYTEARRAY8.
            0x96 => self.string(cursor, 8, false)?,

            // Containers.
            b')' => self.push(Node::Tuple(vec![])),
            b']' => self.push(Node::List(vec![])),
            b'}' => self.push(Node::Dict(vec![])),
            // EMPTY_SET, FROZENSET, ADDITEMS.
            0x8f => self.push(Node::Set(vec![])),
            0x91 => {
                let items = self.pop_mark()?;
                self.push(Node::Set(items));
            }
            0x90 => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
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
                self.refer_to(top);
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
            // REDUCE, NEWOBJ: a call; NEWOBJ_EX: one with names, which only strangers' objects take.
            opcode @ (b'R' | 0x81 | 0x92) => {
                let call = self.pop_many(if opcode == 0x92 { 3 } else { 2 })?;
                match &self.nodes[call[0]] {
                    Node::Object(function) if function.is_opaque() => {
                        // Whatever it makes is as strange as it is.
                        self.refer_to(call[0]);
                        return Ok(None);
                    }
                    Node::Object(_) if opcode != 0x92 => {}
                    Node::Object(_) => return Err(unsupported(opcode, offset)),
                    _ => return Err("something is called that is not a function".into()),
                }
                let Node::Tuple(arguments) = &self.nodes[call[1]] else {
                    return Err("a call has no argument tuple".into());
                };
                let arguments = arguments.clone();
                self.nodes.charge(arguments.len())?;
                let result = O::call(&mut self.nodes, call[0], &arguments)?;
                self.refer_to(result);
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                if !self.is_opaque(object) {
                    O::set_state(&mut self.nodes, object, state)?;
                }
            }
            // Protocol 0's text, OBJ and INST, extension codes, buffers outside of the stream.
            opcode @ (b'I'
            | b'L'
            | b'F'
            | b'S'
            | b'V'
            | b'P'
            | b'p'
            | b'g'
            | b'i'
            | b'o'
            | 0x82..=0x84
            | 0x97
            | 0x98) => return Err(unsupported(opcode, offset)),
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
        self.refer_to(id);
    }

    fn refer_to(&mut self, id: NodeId) {
        self.references += 1;
        self.stack.push(id);
    }

    fn constant(&mut self, constant: Constant) {
        let node = match constant {
            Constant::None => Node::None,
            Constant::Bool(value) => Node::Bool(value),
            Constant::Byte(value) => Node::Int(value.into()),
            Constant::Float => Node::Float,
        };
        let nodes = &mut self.nodes;
        let id = *self
            .constants
            .entry(constant)
            .or_insert_with(|| nodes.push(node));
        self.refer_to(id);
    }

    fn check_room(&self) -> Result<()> {
        let references = self.references + self.marks.len();
        self.nodes.check_room(references, self.memo.len())
    }

    fn is_opaque(&self, id: NodeId) -> bool {
        matches!(&self.nodes[id], Node::Object(object) if object.is_opaque())
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
        self.refer_to(id);
        Ok(())
    }

    /// A string whose length takes `bytes` bytes.
    fn string(&mut self, cursor: &mut Cursor<'a>, bytes: u8, is_text: bool) -> Result<()> {
        let length = cursor.length(bytes)?;
        let content = cursor.take(length)?;
        // Python has strings that are no text (`os.fsdecode`); as a name none of them means anything.
        self.push(match text(content) {
            Ok(text) if is_text => Node::Text(text),
            _ => Node::Bytes(content),
        });
        Ok(())
    }

    /// A little-endian two's-complement integer whose length takes `bytes` bytes.
    fn long(&mut self, cursor: &mut Cursor<'a>, bytes: u8) -> Result<()> {
        let length = cursor.length(bytes)?;
        let digits = cursor.take(length)?;
        let negative = digits.last().is_some_and(|&b| b >= 0x80);
        let mut extended = [if negative { 0xff } else { 0 }; 16];
        match extended.get_mut(..length) {
            Some(low) => {
                low.copy_from_slice(digits);
                self.push(Node::Int(i128::from_le_bytes(extended)));
            }
            // The state of a random generator.
            None => self.constant(Constant::Float),
        }
        Ok(())
    }

    fn name(&mut self, module: &'a str, name: &'a str) -> Result<()> {
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
            Node::List(list) | Node::Set(list) => {
                list.extend(items);
                Ok(())
            }
            Node::Object(object) if object.is_opaque() => Ok(()),
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
            Node::Object(object) if object.is_opaque() => Ok(()),
            other => Err(format!("keys are set in {}", other.describe()).into()),
        }
    }
}

fn unsupported(opcode: u8, offset: usize) -> PickleError {
    PickleError::Unsupported(format!(
        "opcode 0x{opcode:02x} at offset {offset}; Python's default protocol does without it"
    ))
}

fn pairs(items: &[NodeId]) -> Result<Vec<(NodeId, NodeId)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    } else {
        Err("a dictionary has a key without a value".into())
    }
}
