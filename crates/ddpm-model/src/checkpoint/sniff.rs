//! What a file is, by its first bytes.

use ddpm_files::LONGEST_SAFETENSORS_HEADER;

/// The formats that hold weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    TorchZip,
    TorchLegacy,
    Safetensors,
}

/// The format, or what else the bytes look like.
pub(super) fn sniff(bytes: &[u8]) -> Result<Format, String> {
    match bytes {
        [b'P', b'K', 3, 4, ..] => return Ok(Format::TorchZip),
        // PROTO 2 or newer, then an opcode; Python 2 wrote the magic number with protocol 2 as well.
        [0x80, 2..=5, ..] => return Ok(Format::TorchLegacy),
        _ => {}
    }
    if let Some((header, rest)) = bytes.split_first_chunk::<8>()
        && u64::from_le_bytes(*header) <= LONGEST_SAFETENSORS_HEADER
        && rest.first() == Some(&b'{')
    {
        return Ok(Format::Safetensors);
    }
    Err(describe(bytes))
}

/// Words for a file that is no checkpoint.
fn describe(bytes: &[u8]) -> String {
    let known: [(&[u8], &str); 12] = [
        (
            b"version https://git-lfs",
            "a Git LFS pointer instead of the file it stands for",
        ),
        (b"\x89PNG", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x89HDF", "an HDF5 file"),
        (b"GGUF", "a GGUF file"),
        (b"\x1f\x8b", "a gzip file (unpack it first)"),
        (b"\xfd7zXZ", "an xz file (unpack it first)"),
        (b"BZh", "a bzip2 file (unpack it first)"),
        (b"<!DOCTYPE", "a web page"),
        (b"<html", "a web page"),
        (b"PK", "a zip file without entries"),
    ];
    if bytes.is_empty() {
        return "an empty file".into();
    }
    if let Some((_, name)) = known.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*name).into();
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return "a tar archive (unpack it first)".into();
    }
    let start = &bytes[..bytes.len().min(16)];
    if start
        .iter()
        .all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace())
    {
        let text = String::from_utf8_lossy(start);
        return format!("text that starts with {:?}", text.trim_end());
    }
    let hex: Vec<String> = start.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("unknown data that starts with the bytes {}", hex.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        assert_eq!(sniff(b"PK\x03\x04..."), Ok(Format::TorchZip));
        assert_eq!(sniff(b"\x80\x02\x8a"), Ok(Format::TorchLegacy));
        assert_eq!(sniff(b"\x02\0\0\0\0\0\0\0{}"), Ok(Format::Safetensors));
    }

    #[test]
    fn other_files_are_named() {
        for (bytes, words) in [
            (&b""[..], "an empty file"),
            (b"\x89PNG\r\n", "a PNG image"),
            (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
            (b"{\"num_heads\": 4}", "text that starts with"),
            (b"\0\x01\x02", "00 01 02"),
        ] {
            let found = sniff(bytes).unwrap_err();
            assert!(found.contains(words), "{found}");
        }
    }
}
