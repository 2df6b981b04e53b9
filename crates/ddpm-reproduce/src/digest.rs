//! Digests of files that need not fit in memory.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use sha2::Digest;

/// Feeds the whole of a file to `hasher`.
pub(crate) fn add_file(hasher: &mut impl Digest, path: &Path) -> anyhow::Result<()> {
    let context = || format!("failed to read {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).with_context(context)?;
        if read == 0 {
            return Ok(());
        }
        hasher.update(&buffer[..read]);
    }
}

/// The digest in lowercase hexadecimal.
pub(crate) fn hexadecimal(hasher: impl Digest) -> String {
    hasher
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_a_known_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some-file");
        std::fs::write(&path, "abc").unwrap();
        let mut md5 = md5::Md5::new();
        add_file(&mut md5, &path).unwrap();
        assert_eq!(hexadecimal(md5), "900150983cd24fb0d6963f7d28e17f72");
        let mut sha256 = sha2::Sha256::new();
        add_file(&mut sha256, &path).unwrap();
        assert_eq!(
            hexadecimal(sha256),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        std::fs::remove_file(&path).unwrap();
        let error = add_file(&mut sha2::Sha256::new(), &path).unwrap_err();
        assert!(error.to_string().contains("some-file"), "{error}");
    }
}
