//! PyTorch's zip format (release 1.6 and newer).
//!
//! `NAME/data.pkl` holds the object, `NAME/data/KEY` the raw bytes of each storage, `NAME/byteorder` (newer releases)
//! the byte order. PyTorch stores entries as they are; deflated ones are read too.

use std::collections::HashMap;
use std::io::{Cursor as IoCursor, Read};

use ddpm_files::pickle::{Cursor, read_pickle};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::place::{Asked, StateDictPlace};
use super::read_error::{ReadError, ReadResult};
use super::state_dict::{self, Located, StateDict};
use super::torch_pickle::StorageRef;

/// How much larger than the file its entries may be together. Weights hardly deflate; zeros do, a thousandfold.
const DEFLATED: usize = 4;

type Archive<'a> = ZipArchive<IoCursor<&'a [u8]>>;

/// Reads a whole zip file.
pub(super) fn read(bytes: &[u8], asked: &mut Asked<'_>) -> ReadResult<(StateDict, StateDictPlace)> {
    let mut archive = ZipArchive::new(IoCursor::new(bytes)).map_err(|error| {
        ReadError::Truncated(format!(
            "it starts as a zip file and the directory at its end cannot be read ({error})"
        ))
    })?;
    let prefix = prefix(&archive)?;
    let mut reader = EntryReader {
        budget: bytes.len().saturating_mul(DEFLATED),
        archive: &mut archive,
    };
    if let Some(order) = reader.optional(&format!("{prefix}byteorder"))?
        && order != b"little"
    {
        return Err(ReadError::Damaged(
            "it was written on a big-endian machine, which is not supported".into(),
        ));
    }
    let data = reader.required(&format!("{prefix}data.pkl"))?;
    let object = read_pickle(&mut Cursor::new(&data).of_file(bytes.len()))?;
    let Located { entries, place } = state_dict::locate(&object, asked)?;

    let mut storages: HashMap<&str, Vec<u8>> = HashMap::new();
    for (_, tensor) in &entries {
        let StorageRef { key, element, len } = tensor.storage;
        if storages.contains_key(key) {
            continue;
        }
        let name = format!("{prefix}data/{key}");
        let contents = reader.required(&name)?;
        let (found, size) = (contents.len(), element.size());
        if len.checked_mul(size) != Some(found) {
            return Err(ReadError::Damaged(format!(
                "its entry {name} has {found} bytes, expected {len} elements of {size} bytes"
            )));
        }
        storages.insert(key, contents);
    }
    let tensors = state_dict::materialise(&entries, bytes.len(), |storage| {
        let StorageRef { key, element, len } = storage;
        match storages.get(*key) {
            Some(stored) if stored.len() == len.saturating_mul(element.size()) => Ok(stored),
            _ => Err(ReadError::Damaged(format!(
                "storage {key} is used with two lengths"
            ))),
        }
    })?;
    Ok((tensors, place))
}

/// The folder of the archive, with its slash: whatever stands before `data.pkl`.
fn prefix(archive: &Archive<'_>) -> ReadResult<String> {
    let mut prefixes = archive.file_names().filter_map(|name| {
        name.strip_suffix("data.pkl")
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
    });
    match (prefixes.next(), prefixes.next()) {
        (Some(prefix), None) => Ok(prefix.to_owned()),
        (Some(_), Some(_)) => Err(ReadError::Damaged("it has two entries data.pkl".into())),
        (None, _) => {
            let mut names: Vec<&str> = archive.file_names().collect();
            names.sort_unstable();
            Err(ReadError::NotACheckpoint(match names.first() {
                Some(first) => format!("a zip file without data.pkl (it holds {first}, ...)"),
                None => "an empty zip file".into(),
            }))
        }
    }
}

/// Reads entries and keeps count, so that overlapping entries cannot multiply a small file.
struct EntryReader<'a, 'b> {
    archive: &'b mut Archive<'a>,
    /// Bytes that may still be read.
    budget: usize,
}

impl EntryReader<'_, '_> {
    fn required(&mut self, name: &str) -> ReadResult<Vec<u8>> {
        self.optional(name)?
            .ok_or_else(|| ReadError::Damaged(format!("its entry {name} is missing")))
    }

    fn optional(&mut self, name: &str) -> ReadResult<Option<Vec<u8>>> {
        let bad = |what: &dyn std::fmt::Display| {
            ReadError::Damaged(format!("its entry {name} cannot be read ({what})"))
        };
        let entry = match self.archive.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(bad(&error)),
        };
        // PyTorch stores its entries; other tools that repack a file deflate them.
        let method = entry.compression();
        if ![CompressionMethod::Stored, CompressionMethod::Deflated].contains(&method) {
            return Err(ReadError::Unsupported(format!(
                "its entry {name} is compressed by {method}; expected one that is stored or deflated"
            )));
        }
        let size = usize::try_from(entry.size())
            .ok()
            .filter(|&size| size <= self.budget)
            .ok_or_else(|| bad(&"it is larger than the file has reason for"))?;
        self.budget -= size;
        let mut contents = Vec::new();
        // One byte more than announced, so that a wrong size is seen.
        entry
            .take(size as u64 + 1)
            .read_to_end(&mut contents)
            .map_err(|error| bad(&error))?;
        if contents.len() != size {
            return Err(bad(&format!("it has {} bytes, not {size}", contents.len())));
        }
        Ok(Some(contents))
    }
}
