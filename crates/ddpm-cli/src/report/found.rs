//! What lies in a folder, by the contents of its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ddpm_files::sha256;
use ddpm_profile::ElboProfile;
use ddpm_schedule::Schedules;
use serde_json::{Value, json};

use super::html::Image;
use crate::error::{Error, Result};
use crate::input::{read_bytes, read_profile_to_use, read_schedules};
use crate::output::Voice;
use crate::render::plural;

/// Larger JSON files are none of ours.
const JSON_BYTES: u64 = 64 << 20;
/// A page is to be sent by mail.
const IMAGE_BYTES: u64 = 8 << 20;
/// A folder with more images holds samples one by one, not grids.
const IMAGES: usize = 48;

/// A file that was understood.
pub(super) struct Item<T> {
    /// Its place in the folder.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    pub(super) value: T,
}

/// The contents of a folder.
pub(crate) struct Found {
    pub(super) folder: PathBuf,
    pub(super) profiles: Vec<Item<ElboProfile>>,
    pub(super) schedules: Vec<Item<Schedules>>,
    pub(super) images: Vec<Item<Image>>,
    /// How samples were made: `ddpm sample` writes it beside them.
    pub(super) records: BTreeMap<String, Value>,
    /// What `ddpm bpd --json` prints.
    pub(super) evaluations: Vec<Item<Value>>,
    /// What `ddpm fid --json` prints.
    pub(super) distances: Vec<Item<Value>>,
    /// The paper's Table 5.
    pub(super) table5: Option<Item<Value>>,
    /// Command lines with the hashes of what they read.
    pub(super) stamps: Vec<Item<Value>>,
    /// Names and reasons.
    pub(super) left_out: Vec<(String, String)>,
}

impl Found {
    /// Reads a folder and the folders in it.
    ///
    /// # Errors
    /// A folder that cannot be read or has nothing to report, or a file that begins as one of ours and is damaged.
    pub(crate) fn in_folder(folder: &Path, voice: Voice) -> Result<Self> {
        let mut found = Self {
            folder: folder.to_owned(),
            profiles: Vec::new(),
            schedules: Vec::new(),
            images: Vec::new(),
            records: BTreeMap::new(),
            evaluations: Vec::new(),
            distances: Vec::new(),
            table5: None,
            stamps: Vec::new(),
            left_out: Vec::new(),
        };
        if folder.is_file() {
            return Err(Error::file(
                folder,
                "is a file; expected the folder that holds the results",
            ));
        }
        let (files, folders) = entries(folder)?;
        found.take_all(&files, voice)?;
        for inner in folders {
            let (files, _) = entries(&inner)?;
            found.take_all(&files, voice)?;
        }
        let nothing = found.profiles.is_empty()
            && found.schedules.is_empty()
            && found.images.is_empty()
            && found.distances.is_empty()
            && found.table5.is_none();
        if nothing {
            return Err(Error::file(
                folder,
                format!(
                    "nothing to report: expected profiles (ddpm profile --out), schedules files (ddpm schedule --out) or grids of samples (ddpm sample --out F.png), found {} of other kinds",
                    plural(found.left_out.len() as u64, "file")
                ),
            ));
        }
        Ok(found)
    }

    fn take_all(&mut self, files: &[PathBuf], voice: Voice) -> Result<()> {
        let mut images = Vec::new();
        for path in files {
            let head = head(path)?;
            if head.starts_with(b"\x89PNG\r\n\x1a\n") {
                images.push(path);
            } else if is_profile(path, &head)? {
                let profile = read_profile_to_use(path, voice)?;
                let item = self.item(path, profile)?;
                self.profiles.push(item);
            } else if head.trim_ascii_start().starts_with(b"{") {
                self.take_json(path)?;
            } else {
                self.leave(path, "of another kind");
            }
        }
        if images.len() > IMAGES {
            for path in images {
                self.leave(
                    path,
                    &format!("one of more than {IMAGES} images in a folder, so no grid"),
                );
            }
            return Ok(());
        }
        for path in images {
            if size(path)? > IMAGE_BYTES {
                self.leave(path, "an image of more than 8 MB");
                continue;
            }
            match Image::new(read_bytes(path)?) {
                Some(image) => {
                    let item = self.item(path, image)?;
                    self.images.push(item);
                }
                None => {
                    return Err(Error::file(
                        path,
                        "a damaged PNG: expected a header of width and height",
                    ));
                }
            }
        }
        Ok(())
    }

    fn take_json(&mut self, path: &Path) -> Result<()> {
        if size(path)? > JSON_BYTES {
            self.leave(path, "JSON of more than 64 MB");
            return Ok(());
        }
        let Ok(value) = serde_json::from_slice::<Value>(&read_bytes(path)?) else {
            self.leave(path, "no JSON document");
            return Ok(());
        };
        let list = |key: &str| value[key].is_array();
        if value["format"] == "ddpm-schedules" {
            let schedules = read_schedules(path)?;
            if let Some(same) = self.schedules.iter().find(|s| s.value == schedules) {
                let why = format!("the same schedules as {}", same.name);
                self.leave(path, &why);
            } else {
                let item = self.item(path, schedules)?;
                self.schedules.push(item);
            }
        } else if value["format"] == "ddpm-samples" {
            let name = self.name(path);
            let of = name.strip_suffix(".run.json").unwrap_or(&name).to_owned();
            self.records.insert(of, value);
        } else if list("terms") && list("total_bpd") && list("path") {
            let item = self.item(path, value)?;
            self.evaluations.push(item);
        } else if value["frechet"].is_object() && value["metric"].is_string() {
            let item = self.item(path, value)?;
            self.distances.push(item);
        } else if value["stage"].is_string() && value["command"].is_string() {
            let item = self.item(path, value)?;
            self.stamps.push(item);
        } else if path.file_name().is_some_and(|name| name == "table5.json") {
            self.table5 = Some(self.item(path, value)?);
        } else {
            self.leave(path, "JSON of another kind");
        }
        Ok(())
    }

    fn item<T>(&self, path: &Path, value: T) -> Result<Item<T>> {
        Ok(Item {
            name: self.name(path),
            path: path.to_owned(),
            sha256: sha256(read_bytes(path)?),
            value,
        })
    }

    /// A file's place in the folder.
    fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    fn leave(&mut self, path: &Path, why: &str) {
        self.left_out.push((self.name(path), why.to_owned()));
    }

    /// The name of the folder, for a title.
    pub(super) fn title(&self) -> String {
        let folder = fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        folder.file_name().map_or_else(
            || folder.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// The numbers of files, for a line.
    pub(crate) fn summary(&self) -> String {
        let count = |n: usize, noun: &str| plural(n as u64, noun);
        [
            count(self.profiles.len(), "profile"),
            count(self.schedules.len(), "schedules file"),
            count(self.images.len(), "image"),
            count(self.evaluations.len(), "evaluation"),
            count(self.distances.len(), "distance"),
        ]
        .join(", ")
    }

    /// What was found, for another program.
    pub(crate) fn json(&self) -> Value {
        let names = |items: &[Item<Value>]| -> Vec<Value> {
            items.iter().map(|item| json!(item.name)).collect()
        };
        let profiles: Vec<Value> = self
            .profiles
            .iter()
            .map(|item| {
                let p = item.value.provenance();
                json!({
                    "file": item.name,
                    "sha256": item.sha256,
                    "data_name": p.data_name,
                    "split": p.split,
                    "stand_in": p.stand_in,
                    "images": item.value.images(),
                    "timesteps": item.value.layout().timesteps().len(),
                    "complete": item.value.is_complete(),
                })
            })
            .collect();
        let schedules: Vec<Value> = self
            .schedules
            .iter()
            .map(|item| {
                let s = &item.value;
                let steps: Vec<usize> = s.budgets.iter().map(|b| b.steps()).collect();
                json!({
                    "file": item.name,
                    "sha256": item.sha256,
                    "variance": s.scoring.variance,
                    "decoder": s.scoring.decoder,
                    "objective": s.scoring.objective,
                    "start": s.scoring.start,
                    "steps": steps,
                })
            })
            .collect();
        let images: Vec<Value> = self
            .images
            .iter()
            .map(|item| {
                json!({
                    "file": item.name,
                    "width": item.value.width,
                    "height": item.value.height,
                    "record": self.records.contains_key(&item.name),
                })
            })
            .collect();
        let left_out: Vec<Value> = self
            .left_out
            .iter()
            .map(|(file, why)| json!({"file": file, "why": why}))
            .collect();
        json!({
            "folder": self.folder.display().to_string(),
            "profiles": profiles,
            "schedules": schedules,
            "images": images,
            "evaluations": names(&self.evaluations),
            "distances": names(&self.distances),
            "table5": self.table5.as_ref().map(|item| &item.name),
            "commands": self.stamps.len(),
            "left_out": left_out,
        })
    }
}

/// Files and folders in a folder, by name.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let read = |source| Error::read(folder, source);
    let mut paths = fs::read_dir(folder)
        .map_err(read)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(read)?;
    paths.sort();
    let folders = paths.iter().filter(|p| p.is_dir()).cloned().collect();
    paths.retain(|path| path.is_file());
    Ok((paths, folders))
}

fn size(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path).map_err(|source| Error::read(path, source))?;
    Ok(metadata.len())
}

/// The first bytes of a file.
fn head(path: &Path) -> Result<Vec<u8>> {
    first_bytes(path, 16)
}

fn first_bytes(path: &Path, count: u64) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(count).read_to_end(&mut bytes))
        .map_err(|source| Error::read(path, source))?;
    Ok(bytes)
}

/// Whether a file is safetensors whose metadata says that it is a profile.
fn is_profile(path: &Path, head: &[u8]) -> Result<bool> {
    let (Some(length), Some(b'{')) = (head.first_chunk::<8>(), head.get(8)) else {
        return Ok(false);
    };
    let length = u64::from_le_bytes(*length);
    if length > JSON_BYTES {
        return Ok(false);
    }
    let text = first_bytes(path, 8 + length)?;
    let header: Value = serde_json::from_slice(&text[8..]).unwrap_or(Value::Null);
    Ok(header["__metadata__"]["ddpm"]
        .as_str()
        .is_some_and(|text| text.contains("\"ddpm-elbo-profile\"")))
}
