//! The stack machine: its memory, its input and its opcodes.

use std::collections::HashMap;
use std::rc::Rc;

use super::objects::{Budget, build, reduce};
use super::{Global, Step, Value};

/// A file has about ten containers that can hold others; the bound keeps nesting, and so the depth of recursive
/// drops, small.
const MAX_CONTAINERS: usize = 256;

pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    containers: usize,
    budget: Budget,
}

impl<'a> Machine<'a> {
    /// Before the first instruction of a program.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            containers: 0,
            budget: Budget::for_file(bytes.len()),
        }
    }

    /// Where in the program it is, in bytes.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// One instruction; the result once `STOP` is reached.
    pub(super) fn step(&mut self) -> Step<Option<Value>> {
        let opcode = self.byte()?;
        match opcode {
            // PROTO and FRAME say nothing that matters here.
            0x80 => match self.byte()? {
                2..=4 => {}
                other => return Err(format!("pickle protocol {other}; expected 2, 3 or 4")),
            },
            0x95 => {
                self.take(8)?;
            }
            b'.' => return self.pop().map(Some),
            // Scalars.
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'K' => {
                let n = self.byte()?;
                self.stack.push(Value::Int(i64::from(n)));
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.stack.push(Value::Int(i64::from(n)));
            }
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.stack.push(Value::Int(i64::from(n)));
            }
            // LONG1: Python 2 wrote lengths as long integers on some machines.
            0x8a => {
                let n = self.byte()?;
                let digits = self.take(usize::from(n))?;
                let n = long(digits).ok_or("an integer of more than 64 bits")?;
                self.stack.push(Value::Int(n));
            }
            // Strings: SHORT_BINSTRING, SHORT_BINBYTES, BINSTRING, BINBYTES, BINUNICODE, SHORT_BINUNICODE.
            b'U' | b'C' => {
                let n = self.byte()?;
                self.push_bytes(usize::from(n))?;
            }
            b'T' | b'B' => {
                let n = u32::from_le_bytes(self.array()?);
                self.push_bytes(n as usize)?;
            }
            b'X' => {
                let n = u32::from_le_bytes(self.array()?);
                self.push_text(n as usize)?;
            }
            0x8c => {
                let n = self.byte()?;
                self.push_text(usize::from(n))?;
            }
            // Containers.
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push_tuple(Vec::new())?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.pop_mark()?;
                self.push_tuple(items)?;
            }
            b']' => {
                self.count_container()?;
                self.stack.push(Value::List(Rc::default()));
            }
            b'}' => {
                self.count_container()?;
                self.stack.push(Value::Dict(Rc::default()));
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
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set(items)?;
            }
            // The memo.
            b'q' => {
                let slot = self.byte()?;
                self.remember(u32::from(slot))?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.remember(slot)?;
            }
            0x94 => {
                let slot = u32::try_from(self.memo.len()).map_err(|_| "too many memo slots")?;
                self.remember(slot)?;
            }
            b'h' => {
                let slot = self.byte()?;
                self.recall(u32::from(slot))?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            // Names and what is built from them.
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.push_global(module, name)?;
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                match (module.as_string(), name.as_string()) {
                    (Some(m), Some(n)) => self.push_global(m, n)?,
                    _ => return Err("a name that is not a string".to_owned()),
                }
            }
            b'R' => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                let value = reduce(&function, &arguments, &mut self.budget)?;
                if value.is_container() {
                    self.count_container()?;
                }
                self.stack.push(value);
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.stack.last().ok_or("an empty stack")?;
                build(object, &state, &mut self.budget)?;
            }
            other => {
                return Err(format!(
                    "opcode {other:#04x}, which the CIFAR-10 layout does not use"
                ));
            }
        }
        Ok(None)
    }

    fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..n));
        let taken = taken.ok_or("the file ends too early")?;
        self.at += n;
        Ok(taken)
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let taken = self.take(N)?;
        taken
            .try_into()
            .map_err(|_| "the file ends too early".to_owned())
    }

    fn line(&mut self) -> Step<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|&b| b == b'\n')
            .ok_or("the file ends too early")?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn pop(&mut self) -> Step<Value> {
        // What lies below an open mark is out of reach, as in Python.
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().ok_or_else(|| "an empty stack".to_owned()),
            false => Err("an empty stack".to_owned()),
        }
    }

    fn pop_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or("a mark that was never set")?;
        Ok(self.stack.split_off(mark))
    }

    fn push_bytes(&mut self, n: usize) -> Step<()> {
        let bytes = self.take(n)?;
        self.stack.push(Value::Bytes(bytes.into()));
        Ok(())
    }

    fn push_text(&mut self, n: usize) -> Step<()> {
        let text = std::str::from_utf8(self.take(n)?).map_err(|_| "a text that is not UTF-8")?;
        self.stack.push(Value::Text(text.into()));
        Ok(())
    }

    fn count_container(&mut self) -> Step<()> {
        self.containers += 1;
        match self.containers <= MAX_CONTAINERS {
            true => Ok(()),
            false => Err(format!("more than {MAX_CONTAINERS} nested containers")),
        }
    }

    fn push_tuple(&mut self, items: Vec<Value>) -> Step<()> {
        // Flat tuples cannot nest, and Python 3 writes one for every byte string of protocol 2.
        if items.iter().any(Value::is_container) {
            self.count_container()?;
        }
        self.stack.push(Value::Tuple(items.into()));
        Ok(())
    }

    fn tuple(&mut self, n: usize) -> Step<()> {
        let mut items = Vec::with_capacity(n);
        for _ in 0..n {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push_tuple(items)
    }

    fn append(&mut self, items: Vec<Value>) -> Step<()> {
        match self.stack.last() {
            Some(Value::List(list)) => {
                list.borrow_mut().extend(items);
                Ok(())
            }
            _ => Err("items without a list to append them to".to_owned()),
        }
    }

    fn set(&mut self, items: Vec<Value>) -> Step<()> {
        let Some(Value::Dict(entries)) = self.stack.last() else {
            return Err("entries without a dictionary to put them in".to_owned());
        };
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a key without a value".to_owned());
        }
        let pairs = pairs.iter().map(|[k, v]| (k.clone(), v.clone()));
        entries.borrow_mut().extend(pairs);
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Step<()> {
        let value = self.stack.last().ok_or("an empty stack")?.clone();
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Step<()> {
        let value = self
            .memo
            .get(&slot)
            .ok_or("a memo slot that was never filled")?
            .clone();
        self.stack.push(value);
        Ok(())
    }

    fn push_global(&mut self, module: &[u8], name: &[u8]) -> Step<()> {
        let global = match (module, name) {
            (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"_reconstruct") => {
                Global::Reconstruct
            }
            (b"numpy", b"ndarray") => Global::NdArray,
            (b"numpy", b"dtype") => Global::DType,
            (b"_codecs", b"encode") => Global::Encode,
            _ => {
                return Err(format!(
                    "the name {}.{}, which the CIFAR-10 layout does not use",
                    String::from_utf8_lossy(module),
                    String::from_utf8_lossy(name)
                ));
            }
        };
        self.stack.push(Value::Global(global));
        Ok(())
    }
}

/// A little-endian two's complement integer of at most eight bytes.
fn long(digits: &[u8]) -> Option<i64> {
    let negative = digits.last().is_some_and(|&b| b >= 0x80);
    let mut bytes = [if negative { 0xff } else { 0 }; 8];
    bytes.get_mut(..digits.len())?.copy_from_slice(digits);
    Some(i64::from_le_bytes(bytes))
}
