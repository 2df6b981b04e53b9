//! The objects a file builds: byte strings and `uint8` arrays, made here instead of calling what the file names.

use std::rc::Rc;

use super::{ByteArray, Global, Step, Value};

/// Bytes that calls may still build. A program can name one memoised string in any number of calls, each of which
/// makes a copy, so the length of the file alone bounds nothing.
pub(super) struct Budget {
    left: usize,
}

impl Budget {
    /// A file of the layout copies each of its bytes twice: out of a text, and into an array.
    pub(super) fn for_file(length: usize) -> Self {
        Self {
            left: length.saturating_mul(4).saturating_add(1 << 20),
        }
    }

    fn charge(&mut self, bytes: usize) -> Step<()> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or("calls that build more than four times the file's length")?;
        Ok(())
    }
}

/// What calling a known name would return.
pub(super) fn reduce(function: &Value, arguments: &Value, budget: &mut Budget) -> Step<Value> {
    let (Value::Global(function), Value::Tuple(arguments)) = (function, arguments) else {
        return Err("a call of something that is not a known name".to_owned());
    };
    match (function, &**arguments) {
        (Global::Reconstruct, [Value::Global(Global::NdArray), ..]) => {
            Ok(Value::Array(Rc::default()))
        }
        (Global::DType, [kind, ..]) => match kind.as_string() {
            Some(b"u1" | b"|u1" | b"uint8") => Ok(Value::ByteType),
            _ => Err("an array whose elements are not uint8".to_owned()),
        },
        // How Python 3 writes byte strings in protocol 2: as text, a character per byte.
        (Global::Encode, [Value::Text(text), encoding]) if is_latin1(encoding) => {
            budget.charge(text.len())?;
            let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
            let bytes = bytes.ok_or("a character beyond Latin-1 in a byte string")?;
            Ok(Value::Bytes(bytes.into()))
        }
        // How it writes the empty one: `encode('', 'latin1')` or a bare call of `bytes`, which is refused.
        _ => Err("a call that the CIFAR-10 layout does not use".to_owned()),
    }
}

fn is_latin1(encoding: &Value) -> bool {
    matches!(encoding.as_string(), Some(b"latin1" | b"latin-1"))
}

/// Gives an object its state: the shape and bytes of an array. Element types come with a state that says nothing
/// about single bytes.
pub(super) fn build(object: &Value, state: &Value, budget: &mut Budget) -> Step<()> {
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
    budget.charge(data.len())?;
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
