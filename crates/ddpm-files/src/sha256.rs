//! SHA-256 in lowercase hexadecimal, as files and messages state it.

use std::io;

use sha2::Digest;

/// A hash in the making.
#[derive(Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// The next bytes.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// The hash of all bytes: 64 digits.
    pub fn finish(self) -> String {
        let bytes = self.0.finalize();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl io::Write for Sha256 {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The hash of these bytes.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let mut hash = Sha256::default();
    hash.update(bytes);
    hash.finish()
}

/// The hash of named parts, as our own files state it; the length of each part is hashed before it, so that parts cannot run into each other.
#[derive(Default)]
pub struct PartsChecksum(Sha256);

impl PartsChecksum {
    /// Adds a part.
    pub fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// A part of so many bytes that is written to what is returned.
    pub fn long_part(&mut self, length: u64) -> impl io::Write {
        self.0.update(length.to_le_bytes());
        &mut self.0
    }

    /// The sum in lowercase hexadecimal.
    pub fn finish(self) -> String {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of FIPS 180-2.
    #[test]
    fn the_hash_is_that_of_the_standard() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256("abc"), expected);
        let mut parts = Sha256::default();
        parts.update("a");
        parts.update(b"bc");
        assert_eq!(parts.finish(), expected);
    }

    #[test]
    fn parts_are_kept_apart() {
        let of = |parts: &[&[u8]]| {
            let mut sum = PartsChecksum::default();
            parts.iter().for_each(|part| sum.part(part));
            sum.finish()
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_eq!(of(&[b"ab", b"c"]).len(), 64);
    }
}
