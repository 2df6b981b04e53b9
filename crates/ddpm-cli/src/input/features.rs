//! The feature network: named, from the environment, or downloaded.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ddpm_data::ImageSet;
use ddpm_eval::{Progress, data_as_features, extract_features};
use ddpm_files::sha256;
use ddpm_model::{Checkpoint, FeatureNetwork, NetworkKind};

use ddpm_schedule::results;
use ndarray::Array2;

use super::files::{read_bytes, variable, write_file};
use crate::error::{Error, Result};
use crate::output::Voice;

/// pytorch-fid's weights.
pub(crate) const FILE: &str = "pt_inception-2015-12-05-6726825d.pth";
const URL: &str = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth";
pub(crate) const SHA256: &str = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2";
/// Another place to download from.
const URL_VARIABLE: &str = "DDPM_INCEPTION_URL";
const PATH_VARIABLE: &str = "DDPM_FEATURES";

/// What `--features` calls the data themselves.
pub(crate) const RAW: &str = "raw";

/// What distances are measured on.
pub(crate) enum Features {
    /// The features of a network, and where its weights came from.
    Network {
        network: FeatureNetwork,
        path: PathBuf,
    },
    /// The numbers of the data themselves.
    Raw,
}

impl Features {
    /// The name of the features, in metrics and files of statistics.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Network { network, .. } => network.kind().name(),
            Self::Raw => RAW.to_owned(),
        }
    }

    /// How many a datum of this shape has.
    pub(crate) fn dims(&self, shape: &[usize]) -> usize {
        match self {
            Self::Network { network, .. } => network.kind().dims(),
            Self::Raw => shape.iter().product(),
        }
    }

    /// What stands for the weights where runs are told apart.
    pub(crate) fn sha256(&self) -> &str {
        match self {
            Self::Network { network, .. } => network.sha256(),
            Self::Raw => RAW,
        }
    }

    /// The network and its weights, as results name them.
    pub(crate) fn described(&self) -> Option<results::FeatureNetwork> {
        match self {
            Self::Network { network, path } => Some(results::FeatureNetwork {
                network: network.kind().name(),
                dims: network.kind().dims(),
                weights: path.display().to_string(),
                weights_sha256: network.sha256().to_owned(),
            }),
            Self::Raw => None,
        }
    }

    /// The features of some data of the set `name`, `[N, F]`.
    pub(crate) fn of(
        &self,
        name: &str,
        set: &ImageSet,
        indices: &[usize],
        batch: Option<usize>,
        progress: &dyn Progress,
    ) -> Result<Array2<f32>> {
        match self {
            Self::Network { network, .. } => {
                let batch = batch.unwrap_or_else(|| usual_batch(network.kind()));
                let found = extract_features(network, set, indices, batch, progress);
                found.map_err(|error| match error {
                    ddpm_eval::Error::Features(error) => Error::Input(format!("{name}: {error}")),
                    error @ ddpm_eval::Error::Request { .. } => Error::Input(format!(
                        "{name}: {error}"
                    ))
                    .advised("data that are no images are compared as they are by --features raw"),
                    other => other.into(),
                })
            }
            Self::Raw => Ok(data_as_features(set, indices)?),
        }
    }

    /// Opens the weights of `--features`, of `DDPM_FEATURES`, or those that `--download` has brought or brings now.
    pub(crate) fn open(named: Option<&Path>, download: bool, voice: Voice) -> Result<Self> {
        if named.is_some_and(|named| named.as_os_str() == RAW) {
            return Ok(Self::Raw);
        }
        let from_environment = || variable(PATH_VARIABLE).filter(|_| !download);
        let path = match named.map(Path::to_owned).or_else(from_environment) {
            Some(path) => path,
            None => downloaded(download, voice)?,
        };
        let checkpoint = Checkpoint::open(&path).map_err(|e| Error::checkpoint(&path, e))?;
        let network = FeatureNetwork::load(&checkpoint).map_err(|e| Error::checkpoint(&path, e))?;
        voice.note(format_args!(
            "features of {} from {}, SHA-256 {}",
            network.kind().name(),
            path.display(),
            network.sha256()
        ));
        if network.kind() == NetworkKind::Inception && network.sha256() != SHA256 {
            voice.warn(format_args!(
                "{}: SHA-256 {} is not that of {FILE} ({SHA256}); only with its weights, converted or not, is the distance a FID",
                path.display(),
                network.sha256()
            ));
        }
        Ok(Self::Network { network, path })
    }
}

/// Images at once.
fn usual_batch(network: NetworkKind) -> usize {
    match network {
        NetworkKind::Inception => 16,
        _ => 64,
    }
}

/// Where downloaded weights lie.
fn cached() -> Option<PathBuf> {
    variable("XDG_CACHE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("ddpm").join(FILE))
}

fn downloaded(download: bool, voice: Voice) -> Result<PathBuf> {
    let path = cached();
    if let Some(path) = path.as_ref().filter(|path| path.is_file()) {
        return Ok(path.clone());
    }
    if !download {
        return Err(Error::usage(format!(
            "no feature network: expected --features WEIGHTS ({FILE}, or a CIFAR ResNet), {PATH_VARIABLE} in the environment, or --download"
        )));
    }
    let path = path.ok_or_else(|| {
        Error::usage("--download: expected XDG_CACHE_HOME or HOME in the environment, to keep the file there")
    })?;
    let url = std::env::var(URL_VARIABLE).unwrap_or_else(|_| URL.to_owned());
    voice.note(format_args!("downloading {url}"));
    let bytes = fetch(&url)?;
    // Before anything is made of the bytes.
    let found = sha256(&bytes);
    if found != SHA256 {
        return Err(Error::Input(format!(
            "{url}: expected SHA-256 {SHA256}, found {found}"
        )));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| Error::write(folder, source))?;
    }
    write_file(&path, &bytes)?;
    // What lies on the disk is what is used from now on.
    read_bytes(&path).map(|_| path)
}

/// With the system's curl, as `cargo xtask reproduce-cifar` does: no TLS stack of our own.
fn fetch(url: &str) -> Result<Vec<u8>> {
    let refused = |source| Error::system(format!("download {url}"))(source);
    let output = Command::new("curl")
        .args(["--fail", "--location", "--silent", "--show-error"])
        .args(["--connect-timeout", "15", "--", url])
        .stdin(Stdio::null())
        .output()
        .map_err(refused)?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(refused(std::io::Error::other(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )))
    }
}
