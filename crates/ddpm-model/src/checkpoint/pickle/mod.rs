//! A restricted pickle reader (protocols 0 to 5 as far as `torch.save` uses them).
//!
//! Python's unpickler is a stack machine that may call any function. This one keeps the machine and drops Python: the
//! only objects it can make are those of [`Node`], the only names it accepts are those of [`Global`], and a `REDUCE` of
//! anything else is an error. Nodes live in an arena and refer to each other by index, so that deep nesting cannot
//! exhaust the stack and shared objects cost nothing.

mod cursor;
mod global;
mod machine;
mod node;
mod objects;

#[cfg(test)]
mod tests;

pub(super) use cursor::Cursor;
pub(super) use machine::read_pickle;
pub(super) use node::{Node, Pickle, TensorRef};
