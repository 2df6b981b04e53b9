//! `.npz` archives of both kinds.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use ddpm_files::npz::NpzWriter;

/// A writer whose arrays are stored or deflated.
pub(crate) fn writer(compressed: bool) -> NpzWriter<Cursor<Vec<u8>>> {
    let out = Cursor::new(Vec::new());
    match compressed {
        true => NpzWriter::new_compressed(out),
        false => NpzWriter::new(out),
    }
}

/// Puts what was written into a file.
pub(crate) fn finish(path: &Path, writer: NpzWriter<Cursor<Vec<u8>>>) {
    fs::write(path, writer.finish().unwrap().into_inner()).unwrap();
}
