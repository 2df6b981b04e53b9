//! Folders as diffusers saves them.
//!
//! ```text
//! FOLDER/config.json, diffusion_pytorch_model.safetensors          a UNet2DModel, scheduler_config.json maybe beside it
//! FOLDER/unet/..., FOLDER/scheduler/scheduler_config.json          a pipeline
//! FOLDER/unet_ema/..., FOLDER/unet/...                             a checkpoint of diffusers' training script (ema_unet of others)
//! ```

use std::path::{Path, PathBuf};

use ddpm_files::{FileError, read_small};
use serde_json::{Map, Value};

use super::read_error::ReadError;
use crate::python_json;
use crate::{Error, Result};

const CONFIG: &str = "config.json";
const SCHEDULER: &str = "scheduler_config.json";
const STEM: &str = "diffusion_pytorch_model";
/// Formats of weights, best first.
const ENDINGS: [&str; 2] = ["safetensors", "bin"];
/// Folders of a network inside another folder, averaged weights first.
const NETWORKS: [&str; 3] = ["unet_ema", "ema_unet", "unet"];

/// A JSON file that holds an object.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub entries: Map<String, Value>,
}

/// The JSON files beside the weights of a diffusers network.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffusersFiles {
    /// `config.json`: the network.
    pub config: JsonFile,
    /// `scheduler_config.json`: the diffusion process, if the file is there.
    pub scheduler: Option<JsonFile>,
}

/// A folder in which everything was found.
pub(super) struct Folder {
    pub(super) weights: PathBuf,
    /// The inner folder that was entered, and the one that was not.
    pub(super) entered: Option<&'static str>,
    pub(super) set_aside: Option<&'static str>,
}

/// Finds the network of a folder; `asked` names one of its inner folders.
pub(super) fn locate(folder: &Path, asked: Option<&str>) -> Result<Folder> {
    let wrong = |found| ReadError::NotACheckpoint(found).at(folder);
    if asked.is_none() && folder.join(CONFIG).is_file() {
        return Ok(Folder {
            weights: weights(folder)?,
            entered: None,
            set_aside: None,
        });
    }
    let has_network = |name: &&str| folder.join(name).join(CONFIG).is_file();
    let mut inner = NETWORKS.into_iter().filter(has_network);
    let entered = match asked {
        None => inner.next().ok_or_else(|| {
            wrong(format!(
                "a folder without {CONFIG} of a diffusers network (looked for {CONFIG}, unet_ema/{CONFIG}, ema_unet/{CONFIG} and unet/{CONFIG})"
            ))
        })?,
        Some(asked) => inner.find(|name| *name == asked).ok_or_else(|| {
            wrong(format!(
                "a folder without {asked}/{CONFIG}, which --state-dict asks for"
            ))
        })?,
    };
    let mut others = NETWORKS.into_iter().filter(|name| *name != entered);
    Ok(Folder {
        weights: weights(&folder.join(entered))?,
        entered: Some(entered),
        set_aside: others.find(has_network),
    })
}

/// The file of weights in the folder of a network.
fn weights(folder: &Path) -> Result<PathBuf> {
    let wrong = |found| ReadError::NotACheckpoint(found).at(folder);
    let plain = ENDINGS.map(|ending| folder.join(format!("{STEM}.{ending}")));
    if let Some(path) = plain.into_iter().find(|path| path.is_file()) {
        return Ok(path);
    }
    let entries = std::fs::read_dir(folder).map_err(|e| FileError::read(folder, e))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(STEM))
        .collect();
    names.sort_unstable();
    if let Some(index) = names.iter().find(|name| name.ends_with(".index.json")) {
        return Err(wrong(format!(
            "a folder whose weights are split over several files ({index}), which is not supported; save them with a larger max_shard_size"
        )));
    }
    // Variants, such as diffusion_pytorch_model.fp16.safetensors.
    for ending in ENDINGS {
        let variants: Vec<&String> = names.iter().filter(|name| name.ends_with(ending)).collect();
        match variants[..] {
            [] => {}
            [only] => return Ok(folder.join(only)),
            [first, second, ..] => {
                return Err(wrong(format!(
                    "a folder with several files of weights ({first}, {second}); give the path of one of them"
                )));
            }
        }
    }
    Err(wrong(format!(
        "a folder with {CONFIG} and without weights (looked for {STEM}.safetensors and {STEM}.bin)"
    )))
}

/// The JSON files of the network whose weights are at `weights`; none where they are no network of diffusers.
pub(super) fn files_of(weights: &Path) -> Result<Option<DiffusersFiles>> {
    let folder = weights.parent().unwrap_or(Path::new(""));
    let config = folder.join(CONFIG);
    if !config.is_file() {
        return Ok(None);
    }
    let schedulers = [
        folder.join(SCHEDULER),
        folder.join("scheduler").join(SCHEDULER),
        folder.join("..").join("scheduler").join(SCHEDULER),
    ];
    let scheduler = schedulers.into_iter().find(|path| path.is_file());
    Ok(Some(DiffusersFiles {
        config: read(config)?,
        scheduler: scheduler.map(read).transpose()?,
    }))
}

fn read(path: PathBuf) -> Result<JsonFile> {
    let wrong = |detail: String| Error::ModelFile {
        path: path.clone(),
        detail,
    };
    let bytes = read_small(&path, python_json::LONGEST)?;
    let value = python_json::parse(&bytes).map_err(wrong)?;
    match value {
        Value::Object(entries) => Ok(JsonFile { path, entries }),
        _ => Err(wrong("expected a JSON object".into())),
    }
}
