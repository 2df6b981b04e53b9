//! What to do next: the hint below a message.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use ddpm_files::container::format_named;
use ddpm_profile::ElboProfile;
use ddpm_trajectory::Trajectories;

use crate::render::quote;

/// How alike two names have to be, from 0 to 1, to be taken for one with a slip.
const ALIKE: f64 = 0.7;
/// Names in a folder that are looked at.
const LOOKED_AT: usize = 10_000;
/// What [`kind_of`] calls a profile.
pub(crate) const PROFILE: &str = "an elbo profile";
/// What [`kind_of`] calls a file of trajectories.
pub(crate) const TRAJECTORIES: &str = "trajectories";
/// What [`kind_of`] calls any other file of tensors.
pub(crate) const TENSORS: &str = "a .safetensors file, as weights are";

/// Where something else was given.
pub(crate) const A_CHECKPOINT: &str =
    "CKPT is the file or folder of a network's weights; images are named by --data";

/// Where the activations of a batch have no room.
const A_SMALLER_BATCH: &str = "name a smaller --batch: results do not depend on it";

/// For a failure of an evaluation, whose cause may lie within the network.
pub(crate) fn on_evaluation(error: &ddpm_eval::Error) -> Option<&'static str> {
    if matches!(error, ddpm_eval::Error::Request { field, .. } if *field == "labels") {
        return Some("give one class for all images by --class N");
    }
    let first: &dyn std::error::Error = error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    causes.find_map(|cause| cause.downcast_ref().and_then(on_checkpoint))
}

/// For an input that is not there.
pub(crate) fn on_missing_input(path: &Path) -> String {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return format!(
            "there is no folder {} either; relative paths begin at the folder that the command runs in",
            folder.display()
        );
    }
    match similar_name(folder, path) {
        Some(name) => format!("did you mean {}?", path.with_file_name(name).display()),
        None => "check the spelling; relative paths begin at the folder that the command runs in"
            .to_owned(),
    }
}

/// The name in a folder that is most like the last of `path`.
fn similar_name(folder: &Path, path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let mut best: Option<(f64, String)> = None;
    for entry in std::fs::read_dir(folder).ok()?.take(LOOKED_AT).flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Another of a numbered series is no slip.
        let letters = |name: &str| name.replace(|c: char| c.is_ascii_digit(), "");
        if letters(&name) == letters(wanted) {
            continue;
        }
        // `model` for `model.pt` is no slip of a letter, but as likely.
        let alike = match name.strip_prefix(wanted) {
            Some(rest) if rest.starts_with('.') => 1.0 - 0.01 * rest.len() as f64,
            _ => strsim::normalized_damerau_levenshtein(wanted, &name),
        };
        // Of equals the first by name: folders have no order.
        let better = |(a, n): &(f64, String)| alike > *a || (alike == *a && name < *n);
        if alike >= ALIKE && best.as_ref().is_none_or(better) {
            best = Some((alike, name));
        }
    }
    best.map(|(_, name)| name)
}

/// For an output that cannot be written.
pub(crate) fn on_unwritable_output(path: &Path, kind: io::ErrorKind) -> Option<String> {
    use io::ErrorKind as K;
    let advice = match kind {
        K::NotFound => {
            let folder = path.parent().filter(|folder| !folder.is_dir())?;
            if folder.as_os_str().is_empty() {
                return None;
            }
            let folder = quote(&folder.to_string_lossy());
            return Some(format!("create the folder first: mkdir -p {folder}"));
        }
        K::NotADirectory => "a part of the path is a file; name another place",
        K::IsADirectory => "name a file in that folder",
        K::PermissionDenied | K::ReadOnlyFilesystem => "name a place where you may write",
        K::StorageFull | K::QuotaExceeded => "make room there, or name a place on another disk",
        _ => return None,
    };
    Some(advice.to_owned())
}

/// For a checkpoint that cannot be used.
pub(crate) fn on_checkpoint(error: &ddpm_model::Error) -> Option<&'static str> {
    use ddpm_model::Error as E;
    const ANOTHER_NETWORK: &str = "docs/checkpoints.md lists what is read; any other network takes part through its squared errors: see \
                                   --import in `ddpm profile --help`";
    Some(match error {
        E::NotACheckpoint { found, .. } if found.contains("folder") => {
            "copy the file from where the weights came from, or name the file of weights itself"
        }
        E::NotACheckpoint { .. } => A_CHECKPOINT,
        E::Truncated { .. } | E::Damaged { .. } => {
            "compare its size or SHA-256 with those of the original"
        }
        E::ForbiddenGlobal { .. } => {
            "open it in PyTorch and save the weights alone: torch.save(model.state_dict(), \"weights.pt\")"
        }
        E::Memory { .. } => A_SMALLER_BATCH,
        E::ModelFile { detail, .. } if detail.contains("beta_schedule") => {
            "write the betas themselves there, as a list \"trained_betas\": any are read"
        }
        E::MissingKey { .. }
        | E::ExtraKeys { .. }
        | E::WrongShape { .. }
        | E::Architecture { .. }
        | E::ModelFile { .. } => ANOTHER_NETWORK,
        _ => return None,
    })
}

/// For images that cannot be used.
pub(crate) fn on_images(error: &ddpm_data::Error) -> Option<String> {
    use ddpm_data::Error as E;
    let advice = match error {
        E::ImageSize {
            expected, found, ..
        } => {
            let &[channels, height, width] = &expected[..] else {
                return None;
            };
            if found.first() == Some(&channels) {
                return Some(format!(
                    "resize the images to {width}x{height} pixels, or give --image-size if the network takes another size"
                ));
            }
            let wanted = match channels {
                1 => "one channel (grey)".to_owned(),
                3 => "three channels (RGB)".to_owned(),
                n => format!("{n} channels"),
            };
            return Some(format!(
                "give images of {wanted}, as the network was trained on"
            ));
        }
        E::UnknownFormat { .. } | E::EmptyFolder { .. } => {
            "name the folder or file that holds the images themselves"
        }
        E::MissingSplit { .. } => "take the other part by --split",
        E::Image { source, .. } => return on_images(source),
        _ => return None,
    };
    Some(advice.to_owned())
}

/// Which of this program's own files of tensors it is, which weights are never in.
pub(crate) fn own_kind(path: &Path) -> Option<&'static str> {
    /// Headers of profiles and trajectories are far shorter.
    const HEAD: u64 = 1 << 24;
    let mut head = Vec::new();
    File::open(path)
        .ok()?
        .take(HEAD)
        .read_to_end(&mut head)
        .ok()?;
    kind_of(&head).filter(|kind| [PROFILE, TRAJECTORIES].contains(kind))
}

/// What a file is that begins so, for a message that says what was found in place of something else.
pub(crate) fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 4] = [
        (b"PK\x03\x04", "a zip archive, as .pt and .npz files are"),
        (b"\x89PNG", "a PNG image"),
        (b"\x93NUMPY", "a .npy array"),
        (b"\xff\xd8\xff", "a JPEG image"),
    ];
    if bytes.is_empty() {
        return Some("an empty file");
    }
    // The length of the header comes first, and then the header, which is JSON.
    if let Some((length, rest)) = bytes.split_first_chunk()
        && u64::from_le_bytes(*length) <= rest.len() as u64
        && rest.starts_with(b"{")
    {
        return Some(match format_named(bytes).as_deref() {
            Some(ElboProfile::FORMAT) => PROFILE,
            Some(Trajectories::FORMAT) => TRAJECTORIES,
            _ => TENSORS,
        });
    }
    // Such a length may begin with this byte, too.
    if bytes.starts_with(b"{") && std::str::from_utf8(bytes).is_ok() {
        return Some("JSON");
    }
    KINDS
        .iter()
        .find(|(start, _)| bytes.starts_with(start))
        .map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_in_a_name_is_found() {
        // Of this crate's own files.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let advice = |name: &str| on_missing_input(&folder.join(name));
        assert!(advice("eror.rs").ends_with("error.rs?"));
        assert!(advice("error2.rs").starts_with("check the spelling"));
        assert!(advice("lib").ends_with("lib.rs?"));
        assert!(advice("quite-different").starts_with("check the spelling"));
        assert!(advice("none/lib.rs").contains("no folder"));
        assert!(on_missing_input(Path::new("Cargo.tmol")).ends_with("mean Cargo.toml?"));
    }

    #[test]
    fn outputs_that_need_a_folder_or_room() {
        let advice = |path: &str, kind| on_unwritable_output(Path::new(path), kind);
        assert_eq!(
            advice("my runs/a/x.png", io::ErrorKind::NotFound).as_deref(),
            Some("create the folder first: mkdir -p 'my runs/a'")
        );
        assert_eq!(advice("src/x.png", io::ErrorKind::NotFound), None);
        assert!(
            advice("x.png", io::ErrorKind::StorageFull)
                .unwrap()
                .contains("room")
        );
        assert_eq!(advice("x.png", io::ErrorKind::Other), None);
    }

    #[test]
    fn files_are_known_by_their_first_bytes() {
        assert_eq!(kind_of(b"\x89PNG\r\n"), Some("a PNG image"));
        let mut tensors = 2u64.to_le_bytes().to_vec();
        tensors.extend(b"{}");
        assert_eq!(kind_of(&tensors), Some(TENSORS));
        assert_eq!(kind_of(b"{\"a\": 1}"), Some("JSON"));
        assert_eq!(kind_of(b""), Some("an empty file"));
        assert_eq!(kind_of(b"t,mse"), None);
    }
}
