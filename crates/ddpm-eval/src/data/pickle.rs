//! A pickle reader for exactly one thing: a dictionary of integers, strings, lists and `uint8` NumPy arrays.
//!
//! Pickle is a program for a small stack machine, and a general machine would run whatever a file asks for. This
//! one knows the opcodes that Python 2 and 3 emit for such a dictionary (protocols 2 to 4) and five names that it
//! builds itself; anything else is an error. Nothing in a file is ever called, reads stay inside the file, and
//! what is built is bounded by the file's length.
//!
//! Opcodes: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A file has about ten containers that can hold others; the bound keeps nesting, and so the depth of recursive
/// drops, small.
const MAX_CONTAINERS: usize = 256;

/// What the machine builds.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Bytes(Rc<[u8]>),
    Text(Rc<str>),
    Tuple(Rc<[Value]>),
    List(Rc<RefCell<Vec<Value>>>),
    Dict(Rc<RefCell<Vec<(Value, Value)>>>),
    Global(Global),
    /// An element type; only `uint8` passes.
    ByteType,
    Array(Rc<RefCell<ByteArray>>),
}

/// The names a file may mention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Global {
    Reconstruct,
    NdArray,
    DType,
    Encode,
}

/// A `uint8` array in row-major order.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByteArray {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

/// Where the program went wrong and why, as a fragment.
#[derive(Debug)]
pub(crate) struct PickleError {
    pub(crate) offset: usize,
    pub(crate) problem: String,
}

type Step<T> = std::result::Result<T, String>;

impl Value {
    /// The content of a byte string or a text: Python 2 files have one where Python 3 files have the other.
    pub(crate) fn as_string(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(b) => Some(b),
            Self::Text(t) => Some(t.as_bytes()),
            _ => None,
        }
    }

    fn is_container(&self) -> bool {
        matches!(
            self,
            Self::Tuple(_) | Self::List(_) | Self::Dict(_) | Self::Array(_)
        )
    }

    /// The last value stored under `key`, if this is a dictionary.
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        let Self::Dict(entries) = self else {
            return None;
        };
        let entries = entries.borrow();
        let entry = entries
            .iter()
            .rev()
            .find(|(k, _)| k.as_string() == Some(key.as_bytes()));
        entry.map(|(_, v)| v.clone())
    }
}

/// Runs the program in `bytes` and returns what it leaves.
pub(crate) fn load(bytes: &[u8]) -> std::result::Result<Value, PickleError> {
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        containers: 0,
    };
    loop {
        let offset = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(value)) => return Ok(value),
            Err(problem) => return Err(PickleError { offset, problem }),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    containers: usize,
}

impl<'a> Machine<'a> {
    /// One instruction; the result once `STOP` is reached.
    fn step(&mut self) -> Step<Option<Value>> {
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
                let value = self.reduce(&function, &arguments)?;
                self.stack.push(value);
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.stack.last().ok_or("an empty stack")?;
                build(object, &state)?;
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

    /// What calling a known name would return.
    fn reduce(&mut self, function: &Value, arguments: &Value) -> Step<Value> {
        let (Value::Global(function), Value::Tuple(arguments)) = (function, arguments) else {
            return Err("a call of something that is not a known name".to_owned());
        };
        match (function, &**arguments) {
            (Global::Reconstruct, [Value::Global(Global::NdArray), ..]) => {
                self.count_container()?;
                Ok(Value::Array(Rc::default()))
            }
            (Global::DType, [kind, ..]) => match kind.as_string() {
                Some(b"u1" | b"|u1" | b"uint8") => Ok(Value::ByteType),
                _ => Err("an array whose elements are not uint8".to_owned()),
            },
            // How Python 3 writes byte strings in protocol 2: as text, a character per byte.
            (Global::Encode, [Value::Text(text), encoding]) if is_latin1(encoding) => {
                let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
                let bytes = bytes.ok_or("a character beyond Latin-1 in a byte string")?;
                Ok(Value::Bytes(bytes.into()))
            }
            // How it writes the empty one: `encode('', 'latin1')` or a bare call of `bytes`, which is refused.
            _ => Err("a call that the CIFAR-10 layout does not use".to_owned()),
        }
    }
}

/// A little-endian two's complement integer of at most eight bytes.
fn long(digits: &[u8]) -> Option<i64> {
    let negative = digits.last().is_some_and(|&b| b >= 0x80);
    let mut bytes = [if negative { 0xff } else { 0 }; 8];
    bytes.get_mut(..digits.len())?.copy_from_slice(digits);
    Some(i64::from_le_bytes(bytes))
}

fn is_latin1(encoding: &Value) -> bool {
    matches!(encoding.as_string(), Some(b"latin1" | b"latin-1"))
}

/// Gives an object its state: the shape and bytes of an array. Element types come with a state that says nothing
/// about single bytes.
fn build(object: &Value, state: &Value) -> Step<()> {
    let array = match object {
        Value::ByteType => return Ok(()),
        Value::Array(array) => array,
        _ => return Err("a state for something that is not an array".to_owned()),
    };
    let Value::Tuple(state) = state else {
        return Err("an array whose state is not a tuple".to_owned());
    };
    let [
        _,
        Value::Tuple(shape),
        Value::ByteType,
        Value::Bool(fortran),
        Value::Bytes(data),
    ] = &**state
    else {
        return Err("an array that is not (version, shape, uint8, order, bytes)".to_owned());
    };
    let shape: Option<Vec<usize>> = shape
        .iter()
        .map(|n| match n {
            Value::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        })
        .collect();
    let shape = shape.ok_or("an array shape that is not made of lengths")?;
    let total = shape
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n));
    if total != Some(data.len()) {
        return Err(format!(
            "an array of shape {shape:?} with {} bytes",
            data.len()
        ));
    }
    let data = match (fortran, &shape[..]) {
        (false, _) | (true, [] | [_]) => data.to_vec(),
        (true, &[rows, columns]) => (0..rows)
            .flat_map(|r| (0..columns).map(move |c| data[c * rows + r]))
            .collect(),
        (true, _) => return Err("a column-major array of more than two dimensions".to_owned()),
    };
    *array.borrow_mut() = ByteArray { shape, data };
    Ok(())
}
