//! Finds CIFAR-10, or downloads it, or says that there is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use md5::{Digest, Md5};

use crate::digest::{add_file, hexadecimal};
use xtask::{check, root};

const URL: &str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
const MD5_OF_ARCHIVE: &str = "c32a1d4ab5d03f1284b67883e8d87530";
const FOLDER_IN_ARCHIVE: &str = "cifar-10-batches-bin";

/// What the run is done on.
pub(crate) enum Data {
    /// Real CIFAR-10, in this folder.
    Cifar10(PathBuf),
    /// The stand-in set of the repository, and why.
    StandIn(String),
}

impl Data {
    /// The folder with the images: of CIFAR-10 or of the stand-in.
    pub(crate) fn folder(&self) -> PathBuf {
        match self {
            Self::Cifar10(folder) => folder.clone(),
            Self::StandIn(_) => root().join("datasets/cifar10-stand-in"),
        }
    }

    /// Whether they stand in for CIFAR-10.
    pub(crate) fn is_stand_in(&self) -> bool {
        matches!(self, Self::StandIn(_))
    }
}

/// Looks in `--data`, `$DDPM_DATA`, the cache, and then downloads into the cache.
///
/// # Errors
/// A folder that was named but holds no CIFAR-10 is an error: a silent stand-in would be worse.
pub(crate) fn find(named: Option<&Path>, may_download: bool) -> anyhow::Result<Data> {
    let from_environment = || Some(("DDPM_DATA=", std::env::var_os("DDPM_DATA")?.into()));
    let named = named.map(|folder| ("--data ", folder.to_owned()));
    if let Some((how, folder)) = named.or_else(from_environment) {
        if !is_cifar10(&folder) {
            bail!(
                "{how}{}: expected a folder with CIFAR-10 (data_batch_1.bin .. test_batch.bin, or the python pickles)",
                folder.display()
            );
        }
        return Ok(Data::Cifar10(folder));
    }
    let Some(cache) = cache() else {
        return Ok(Data::StandIn(
            "neither XDG_CACHE_HOME nor HOME is set".into(),
        ));
    };
    let folder = cache.join(FOLDER_IN_ARCHIVE);
    if is_cifar10(&folder) {
        return Ok(Data::Cifar10(folder));
    }
    if !may_download {
        return Ok(Data::StandIn(
            "no copy was found and --offline was given".into(),
        ));
    }
    match download(&cache) {
        Ok(()) => Ok(Data::Cifar10(folder)),
        Err(error) => {
            println!("   {error:#}");
            Ok(Data::StandIn(
                "no copy was found and it could not be downloaded".into(),
            ))
        }
    }
}

fn is_cifar10(folder: &Path) -> bool {
    let batches = (1..=5).map(|i| format!("data_batch_{i}"));
    batches
        .chain(["test_batch".to_owned()])
        .all(|name| folder.join(&name).is_file() || folder.join(format!("{name}.bin")).is_file())
}

fn cache() -> Option<PathBuf> {
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .map(|cache| cache.join("ddpm"))
}

/// Downloads with the system's `curl` and unpacks with its `tar`: two programs that every
/// platform we know has, instead of a TLS stack here.
fn download(cache: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(cache).with_context(|| format!("failed to create {}", cache.display()))?;
    let url = std::env::var("DDPM_CIFAR10_URL").unwrap_or_else(|_| URL.into());
    let part = cache.join("cifar-10-binary.tar.gz.part");
    println!("   downloading {url}");
    check(
        Command::new("curl")
            .args(["--fail", "--location", "--silent", "--show-error"])
            .args(["--connect-timeout", "15", "--output"])
            .arg(&part)
            .arg(&url),
    )?;
    let mut md5 = Md5::new();
    add_file(&mut md5, &part)?;
    let found = hexadecimal(md5);
    if found != MD5_OF_ARCHIVE {
        fs::remove_file(&part).ok();
        bail!("{url}: expected MD5 {MD5_OF_ARCHIVE}, found {found}");
    }
    let unpacked = cache.join("unpacking");
    fs::remove_dir_all(&unpacked).ok();
    fs::create_dir_all(&unpacked)?;
    check(
        Command::new("tar")
            .arg("-xzf")
            .arg(&part)
            .arg("-C")
            .arg(&unpacked),
    )?;
    let folder = cache.join(FOLDER_IN_ARCHIVE);
    // What is left of an incomplete copy would be in the way.
    fs::remove_dir_all(&folder).ok();
    fs::rename(unpacked.join(FOLDER_IN_ARCHIVE), &folder).with_context(|| {
        format!(
            "failed to move the unpacked archive to {}",
            folder.display()
        )
    })?;
    fs::remove_dir_all(&unpacked).ok();
    fs::remove_file(&part).ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_folder_without_cifar10_is_an_error() {
        let error = find(Some(Path::new("/nonexistent/cifar")), false)
            .err()
            .unwrap();
        assert!(error.to_string().contains("/nonexistent/cifar"));
    }
}
