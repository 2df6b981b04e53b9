//! SHA-256 over named parts, as our own files state it.

use crate::sha256::Sha256;

/// Accumulates parts; the length of each part is hashed before it, so that parts cannot run into each other.
#[derive(Default)]
pub struct PartsChecksum(Sha256);

impl PartsChecksum {
    /// Adds a part.
    pub fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The sum in lowercase hexadecimal.
    pub fn finish(self) -> String {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
