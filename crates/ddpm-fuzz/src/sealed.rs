//! Files with checksums that are right, whatever is in them: so that a fuzzer gets behind them.

use crc32fast::hash;
use ddpm_files::PartsChecksum;
use safetensors::SafeTensors;
use serde_json::Value;

/// A file of this project with the checksum of its own document and tensors; as it is where there is none to be found.
pub(crate) fn sealed(file: &[u8]) -> Vec<u8> {
    sealed_container(file).unwrap_or_else(|| file.to_vec())
}

fn sealed_container(file: &[u8]) -> Option<Vec<u8>> {
    const KEY: &str = "ddpm";
    let (_, metadata) = SafeTensors::read_metadata(file).ok()?;
    let tensors = SafeTensors::deserialize(file).ok()?;
    let text = metadata.metadata().as_ref()?.get(KEY)?;
    let mut document: Value = serde_json::from_str(text).ok()?;
    *document.get_mut("checksum")? = Value::from("");
    let mut sum = PartsChecksum::default();
    sum.part(document.to_string().as_bytes());
    let mut views: Vec<_> = tensors.tensors();
    views.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, tensor) in &views {
        sum.part(name.as_bytes());
        sum.part(format!("{:?} {:?}", tensor.dtype(), tensor.shape()).as_bytes());
        sum.part(tensor.data());
    }
    document["checksum"] = Value::from(sum.finish());
    let metadata = [(KEY.to_owned(), document.to_string())].into();
    safetensors::serialize(views, Some(metadata)).ok()
}

/// A zip archive with the checksums of its uncompressed members, as far as they are where its directory says.
pub(crate) fn sealed_zip(archive: &[u8]) -> Vec<u8> {
    const END: &[u8] = b"PK\x05\x06";
    const ENTRY: &[u8] = b"PK\x01\x02";
    let mut sealed = archive.to_vec();
    let word = |bytes: &[u8], at: usize| -> Option<usize> {
        let word = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(word) as usize)
    };
    let half = |bytes: &[u8], at: usize| -> Option<usize> {
        let half = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(usize::from(u16::from_le_bytes(half)))
    };
    let end = archive.windows(4).rposition(|window| window == END);
    let mut at = end
        .and_then(|end| word(archive, end + 16))
        .unwrap_or(archive.len());
    while archive.get(at..at + 4) == Some(ENTRY) {
        let entry = || {
            let (size, local) = (word(archive, at + 20)?, word(archive, at + 42)?);
            let content = local + 30 + half(archive, local + 26)? + half(archive, local + 28)?;
            let content = archive.get(content..content.checked_add(size)?)?;
            let names = half(archive, at + 28)? + half(archive, at + 30)? + half(archive, at + 32)?;
            let is_stored = half(archive, at + 10)? == 0;
            Some((local, is_stored.then(|| hash(content)), at + 46 + names))
        };
        let Some((local, sum, next)) = entry() else {
            break;
        };
        for place in [at + 16, local + 14] {
            if let (Some(sum), Some(old)) = (sum, sealed.get_mut(place..place + 4)) {
                old.copy_from_slice(&sum.to_le_bytes());
            }
        }
        at = next;
    }
    sealed
}

/// A PNG file with the checksums of its chunks.
pub(crate) fn sealed_png(file: &[u8]) -> Vec<u8> {
    let mut sealed = file.to_vec();
    let mut at = 8;
    while let Some(length) = file.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap_or_default()) as usize;
        let Some(chunk) = file.get(at + 4..at + 8 + length) else {
            break;
        };
        let Some(old) = sealed.get_mut(at + 8 + length..at + 12 + length) else {
            break;
        };
        old.copy_from_slice(&hash(chunk).to_be_bytes());
        at += 12 + length;
    }
    sealed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{seeds, target};

    /// What is right stays as it is; what was changed inside is read to its end.
    #[test]
    fn checksums_are_made_right_again() {
        type Seal = fn(&[u8]) -> Vec<u8>;
        let kinds: [(&str, Seal); 4] = [
            ("profile", sealed),
            ("trajectories", sealed),
            ("npz", sealed_zip),
            ("images-png", sealed_png),
        ];
        for (name, seal) in kinds {
            for seed in seeds(target(name).unwrap()).unwrap() {
                assert!(seal(&seed) == seed, "{name}");
            }
        }
        // Deep in the numbers of the first member.
        let npz = target("npz").unwrap();
        let changed = seeds(npz).unwrap().into_iter().find_map(|mut seed| {
            let one = seed.windows(2).position(|w| w == b"\xf0\x3f")?;
            seed[one] ^= 1;
            Some(seed)
        });
        let changed = sealed_zip(&changed.unwrap());
        assert_eq!((npz.read)(&changed), Ok(()));
        // The last number of a profile, whose checksum is then another.
        let profile = target("profile").unwrap();
        let mut changed = seeds(profile).unwrap().remove(0);
        let end = changed.len();
        changed[end - 8] ^= 1;
        let refused = (profile.read)(&changed).unwrap_err();
        assert!(refused.contains("checksum"), "{refused}");
        assert!(
            (profile.read)(&sealed(&changed)).map_or_else(|e| !e.contains("checksum"), |()| true)
        );
    }
}
