//! What our binary files have in common: safetensors, with one JSON document in the metadata and a checksum of all.
//!
//! The metadata has the single key `ddpm`: one key keeps the bytes deterministic. The document's `checksum` is the SHA-256 of its
//! text with an empty checksum and of every tensor (name, type, shape, bytes) in the order of the names, each part preceded by its
//! length.

use std::collections::{BTreeMap, HashMap};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{FormatError, FormatResult};
use crate::head::{DocumentHead, Named};
use crate::sha256::PartsChecksum;

pub use crate::tensors::{Reader, Tensor, Views, field, index};

const METADATA_KEY: &str = "ddpm";

/// The document of one kind of file. It has the keys `format` and `version`.
pub trait Header: Serialize + DeserializeOwned {
    /// Name of the format.
    const FORMAT: &'static str;
    /// What the file is called in messages.
    const WHAT: &'static str;
    /// The newest version that is read; the oldest is 1.
    const NEWEST: u64;

    /// The same with its article.
    const KIND: &'static str;

    /// The field that holds the checksum of everything else.
    fn checksum(&mut self) -> &mut String;
}

/// The bytes of a file.
pub fn write<H: Header>(mut header: H, tensors: &BTreeMap<&'static str, Tensor>) -> Vec<u8> {
    let parts = || {
        tensors
            .iter()
            .map(|(name, t)| (*name, t.dtype, &t.shape[..], &t.data[..]))
    };
    header.checksum().clear();
    *header.checksum() = checksum(&header, parts());
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), json(&header))]);
    let views = parts().map(|(name, dtype, shape, data)| {
        let view = TensorView::new(dtype, shape.to_vec(), data);
        (
            name,
            view.expect("a tensor's bytes are made from its shape"),
        )
    });
    safetensors::serialize(views, Some(metadata)).expect("the header of a file is small")
}

/// The document of a file, with its checksum taken out and verified, and its tensors.
///
/// # Errors
/// [`FormatError::Not`], [`FormatError::NewerVersion`] and [`FormatError::Checksum`].
pub fn read<H: Header>(bytes: &[u8]) -> FormatResult<(H, Views<'_>)> {
    let broken = |e: safetensors::SafeTensorError| {
        not::<H>(format!(
            "the safetensors container is damaged or cut short ({e})"
        ))
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let text = match metadata.metadata() {
        Some(map) if map.len() == 1 => map.get(METADATA_KEY),
        _ => None,
    };
    let Some(text) = text else {
        return Err(not::<H>(format!(
            "expected the single metadata key \"{METADATA_KEY}\""
        )));
    };
    let mut header: H = read_header(text)?;
    let expected = std::mem::take(header.checksum());
    // `SafeTensors` would hold these too, but gives no access to the metadata that it has read.
    let data = &bytes[bytes.len() - metadata.data_len()..];
    let mut views = Views::new();
    for (name, info) in metadata.tensors() {
        let (from, to) = info.data_offsets;
        let view = TensorView::new(info.dtype, info.shape.clone(), &data[from..to]);
        views.insert(name, view.map_err(broken)?);
    }
    let parts = views
        .iter()
        .map(|(name, t)| (&name[..], t.dtype(), t.shape(), t.data()));
    let found = checksum(&header, parts);
    if found != expected {
        return Err(FormatError::Checksum {
            what: H::WHAT,
            expected,
            found,
        });
    }
    Ok((header, views))
}

/// The format that a file of ours names; `None` for any other file. Only the header is looked at, and has to be whole; this says
/// nothing about the soundness of what follows.
pub fn format_named(bytes: &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: NamedHeader = serde_json::from_slice(rest.get(..length)?).ok()?;
    match DocumentHead::read(header.metadata.ddpm.as_bytes())
        .ok()?
        .format
    {
        Named::Word(format) => Some(format),
        _ => None,
    }
}

/// As much of the header of a safetensors file as names the format.
#[derive(Deserialize)]
struct NamedHeader {
    #[serde(rename = "__metadata__")]
    metadata: NamedMetadata,
}

/// The entry of [`METADATA_KEY`].
#[derive(Deserialize)]
struct NamedMetadata {
    ddpm: String,
}

fn not<H: Header>(detail: String) -> FormatError {
    FormatError::Not {
        kind: H::KIND,
        detail,
    }
}

fn json(header: &impl Serialize) -> String {
    serde_json::to_string(header)
        .expect("strings, finite numbers and maps of strings have a JSON form")
}

fn checksum<'a>(
    header: &impl Serialize,
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>,
) -> String {
    let mut sum = PartsChecksum::default();
    sum.part(json(header).as_bytes());
    for (name, dtype, shape, data) in tensors {
        sum.part(name.as_bytes());
        sum.part(format!("{dtype:?} {shape:?}").as_bytes());
        sum.part(data);
    }
    sum.finish()
}

fn read_header<H: Header>(text: &str) -> FormatResult<H> {
    let head = DocumentHead::read(text.as_bytes())
        .map_err(|e| not::<H>(format!("its metadata is not JSON ({e})")))?;
    if !head.is(H::FORMAT) {
        return Err(not::<H>(format!(
            "expected format \"{}\", found {}",
            H::FORMAT,
            head.format
        )));
    }
    match head.version() {
        Some(found) if found > H::NEWEST => Err(FormatError::NewerVersion {
            what: H::WHAT,
            supported: H::NEWEST,
            found,
        }),
        Some(version) if version > 0 => serde_json::from_str(text)
            .map_err(|e| not::<H>(format!("its metadata does not fit version {version} ({e})"))),
        _ => Err(not::<H>(format!(
            "expected a format version, found {}",
            head.version
        ))),
    }
}
