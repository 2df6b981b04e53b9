//! The entries of a JSON file of diffusers, each with the kind of value that it must have.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::checkpoint::JsonFile;
use crate::{Error, Result};

/// A file whose entries are read by name; null is the same as an absent entry, except for a switch.
pub(super) struct Fields<'a> {
    file: &'a JsonFile,
    read: RefCell<BTreeSet<&'static str>>,
    /// Whether a value was met that is well-formed and not supported.
    met_unsupported: Cell<bool>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(file: &'a JsonFile) -> Self {
        Self {
            file,
            read: RefCell::default(),
            met_unsupported: Cell::default(),
        }
    }

    /// An error about this file.
    pub(super) fn error(&self, detail: String) -> Error {
        Error::ModelFile {
            path: self.file.path.clone(),
            detail,
        }
    }

    /// A value that is well-formed and not supported.
    pub(super) fn unsupported(
        &self,
        key: &str,
        found: &dyn std::fmt::Display,
        supported: &str,
    ) -> Error {
        self.met_unsupported.set(true);
        self.error(format!(
            "field \"{key}\" is {found}, which is not supported; supported: {supported}"
        ))
    }

    /// Whether [`Self::unsupported`] was said of a value.
    pub(super) fn has_met_unsupported(&self) -> bool {
        self.met_unsupported.get()
    }

    pub(super) fn get(&self, key: &'static str) -> Option<&'a Value> {
        self.read.borrow_mut().insert(key);
        self.file.entries.get(key).filter(|value| !value.is_null())
    }

    /// Whether the entry is there, null or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.file.entries.contains_key(key)
    }

    /// The entry, if there is one, as `convert` understands it.
    fn read<T>(
        &self,
        key: &'static str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let read = |value| {
            convert(value).ok_or_else(|| {
                self.error(format!("field \"{key}\" is {value}, expected {expected}"))
            })
        };
        self.get(key).map(read).transpose()
    }

    /// A positive whole number.
    pub(super) fn count(&self, key: &'static str) -> Result<Option<usize>> {
        self.read(key, "a positive whole number", positive)
    }

    /// A finite number.
    pub(super) fn number(&self, key: &'static str) -> Result<Option<f64>> {
        let finite = |value: &Value| value.as_f64().filter(|number| number.is_finite());
        self.read(key, "a number", finite)
    }

    /// True or false. Null is false, whatever an absent entry stands for: diffusers hands it on to Python's `if`.
    pub(super) fn switch(&self, key: &'static str) -> Result<Option<bool>> {
        let value = self.read(key, "true or false", Value::as_bool)?;
        Ok(value.or(self.has(key).then_some(false)))
    }

    pub(super) fn word(&self, key: &'static str) -> Result<Option<&'a str>> {
        self.read(key, "a string", Value::as_str)
    }

    /// What a word stands for.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>> {
        let Some(word) = self.word(key)? else {
            return Ok(None);
        };
        let choice = choices.iter().find(|(name, _)| *name == word);
        choice.map(|&(_, value)| Some(value)).ok_or_else(|| {
            let supported: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
            self.unsupported(key, &word, &supported.join(", "))
        })
    }

    /// A list, each entry read by `item`.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        expected: &str,
        item: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        self.read(key, expected, |value| {
            value.as_array()?.iter().map(item).collect()
        })
    }

    /// The entries that were asked for and are there.
    pub(super) fn present(&self) -> Map<String, Value> {
        let read = self.read.borrow();
        let entries = read.iter().filter_map(|&key| {
            let value = self.file.entries.get(key)?;
            Some((key.to_owned(), value.clone()))
        });
        entries.collect()
    }

    /// Checks that nothing is left but comments (names with a leading underscore) and nulls.
    pub(super) fn finish(&self) -> Result<()> {
        let read = self.read.borrow();
        let unknown = self.file.entries.iter().find(|(key, value)| {
            !key.starts_with('_') && !value.is_null() && !read.contains(key.as_str())
        });
        let Some((key, value)) = unknown else {
            return Ok(());
        };
        let known = read.iter().copied().filter(|key| !key.starts_with('_'));
        Err(self.error(format!(
            "field \"{key}\" ({value}) is not supported; supported fields: {}",
            known.collect::<Vec<_>>().join(", ")
        )))
    }
}

/// A [`whole`] number above 0.
pub(super) fn positive(value: &Value) -> Option<usize> {
    whole(value).filter(|&count| count > 0)
}

/// A whole number, written as such or with a zero fraction.
pub(super) fn whole(value: &Value) -> Option<usize> {
    let number = value.as_u64().or_else(|| {
        value
            .as_f64()
            .filter(|x| x.fract() == 0.0 && (0.0..1e9).contains(x))
            .map(|x| x as u64)
    })?;
    usize::try_from(number)
        .ok()
        .filter(|&count| count < 1 << 30)
}
