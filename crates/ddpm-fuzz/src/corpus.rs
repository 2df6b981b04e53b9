//! The inputs that are kept: `fuzz/corpus/NAME/`.

use std::io;
use std::path::PathBuf;

use ddpm_files::sha256;

use xtask::root;

use crate::targets::Target;

/// The folder of a target's inputs, or of everything where there is no target.
pub fn folder(target: Option<&Target>) -> PathBuf {
    let all = root().join("fuzz/corpus");
    target.map_or(all.clone(), |target| all.join(target.name))
}

/// The inputs of a target with the names of their files, in the order of the names.
///
/// # Errors
/// A folder or a file that cannot be read.
pub fn inputs(target: &Target) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder(Some(target)))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        found.push((name, std::fs::read(entry.path())?));
    }
    found.sort();
    Ok(found)
}

/// What new inputs are made of: those of the corpus.
///
/// # Errors
/// A folder or a file that cannot be read.
pub fn seeds(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    Ok(inputs(target)?
        .into_iter()
        .map(|(_, input)| input)
        .collect())
}

/// The name of an input in a corpus: the beginning of its SHA-256.
pub fn name_of(input: &[u8]) -> String {
    sha256(input)[..16].to_owned()
}
