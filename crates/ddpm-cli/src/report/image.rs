//! A picture inside a page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A PNG file.
pub(super) struct Image {
    bytes: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Image {
    /// `None` unless the file begins with the header of a picture that has pixels.
    pub(super) fn new(bytes: Vec<u8>) -> Option<Self> {
        if bytes.get(12..16)? != b"IHDR" {
            return None;
        }
        let side = |at: usize| {
            let word = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(word)).filter(|&side| side > 0)
        };
        let (width, height) = (side(16)?, side(20)?);
        Some(Self {
            bytes,
            width,
            height,
        })
    }

    /// Its address, which holds all of it.
    pub(super) fn address(&self) -> String {
        format!("data:image/png;base64,{}", STANDARD.encode(&self.bytes))
    }
}
