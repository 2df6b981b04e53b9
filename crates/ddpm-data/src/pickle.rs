//! A pickle reader for exactly one thing: a dictionary of integers, strings, lists and `uint8` NumPy arrays.
//!
//! Pickle is a program for a small stack machine, and a general machine would run whatever a file asks for. This
//! one knows the opcodes that Python 2 and 3 emit for such a dictionary (protocols 2 to 4) and a handful of
//! names that it builds itself; anything else is an error. Nothing in a file is ever called, reads stay inside the file, and
//! what is built is bounded by a small multiple of the file's length.
//!
//! Opcodes: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.

mod machine;
mod objects;

use std::cell::RefCell;
use std::rc::Rc;

use machine::Machine;

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
    let mut machine = Machine::new(bytes);
    loop {
        let offset = machine.position();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(value)) => return Ok(value),
            Err(problem) => return Err(PickleError { offset, problem }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_copied_over_and_over_exceeds_the_budget() {
        // One text of 64 KiB in the memo, and a thousand calls that each make a byte string of it.
        let mut program = b"\x80\x02X".to_vec();
        program.extend((1u32 << 16).to_le_bytes());
        program.extend(vec![b'a'; 1 << 16]);
        program.extend(b"q\x00(");
        for _ in 0..1000 {
            program.extend(b"c_codecs\nencode\nh\x00U\x06latin1\x86R");
        }
        program.extend(b"t.");
        let error = load(&program).unwrap_err();
        assert!(error.problem.contains("four times"), "{error:?}");
    }
}
