//! What lies in a folder, by the contents of its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ddpm_files::{DocumentHead, Named, container::format_named, sha256};
use ddpm_profile::ElboProfile;
use ddpm_schedule::results::{BitsPerDim, Fid, LeftOut, Stamp};
use ddpm_schedule::{SampleRecord, Schedules};
use serde::Deserialize;
use serde_json::Value;

use super::beside::is_beside;
use super::html::Image;
use crate::error::{Error, Located, Result};
use crate::input::{read_bytes, read_profile_to_use, read_schedules};
use crate::output::Voice;
use crate::render::plural;

/// Larger files of words are none of ours.
const WORDS_BYTES: u64 = 64 << 20;
/// Larger JSON files are of no kind that only their fields tell; an evaluation, with numbers of every image, is looked for before.
const PRINTED_BYTES: usize = 1 << 20;
/// A page is to be sent by mail.
const IMAGE_BYTES: u64 = 8 << 20;
/// Bytes of all pictures of a page.
const IMAGES_BYTES: u64 = 64 << 20;
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

/// A JSON file that does not say what it is, by its fields.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Distance(Box<Fid>),
    Stamp(Stamp),
    Other(Value),
}

/// The contents of a folder.
#[derive(Default)]
pub(super) struct Found {
    pub(super) folder: PathBuf,
    pub(super) profiles: Vec<Item<ElboProfile>>,
    pub(super) schedules: Vec<Item<Schedules>>,
    pub(super) images: Vec<Item<Image>>,
    images_bytes: u64,
    /// How samples were made: `ddpm sample` writes it beside them.
    pub(super) records: BTreeMap<String, SampleRecord>,
    /// What `ddpm bpd --json` prints.
    pub(super) evaluations: Vec<Item<BitsPerDim>>,
    /// What `ddpm fid --json` prints.
    pub(super) distances: Vec<Item<Fid>>,
    /// The paper's Table 5.
    pub(super) table5: Option<Item<Value>>,
    /// Command lines with the hashes of what they read.
    pub(super) stamps: Vec<Item<Stamp>>,
    pub(super) left_out: Vec<LeftOut>,
}

impl Found {
    /// Reads a folder and the folders in it. One without anything to report is refused, and so is a damaged file of ours.
    pub(super) fn in_folder(folder: &Path, voice: Voice) -> Result<Self> {
        let mut found = Self {
            folder: folder.to_owned(),
            ..Self::default()
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
            // What an earlier page has drawn of the results is none of them.
            if is_beside(&inner) {
                continue;
            }
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
            let name = path.strip_prefix(&self.folder).unwrap_or(path);
            if name.to_str().is_none() {
                // As words two such names may be one.
                self.leave(path, "a name that is no text");
                continue;
            }
            let head = first_bytes(path, 16)?;
            if head.starts_with(b"\x89PNG\r\n\x1a\n") {
                images.push(path);
            } else if is_profile(path, &head)? {
                self.take_profile(path, voice)?;
            } else if head.trim_ascii_start().starts_with(b"{") {
                self.take_json(path)?;
            } else {
                self.leave(path, "of another kind");
            }
        }
        let too_many = images.len() > IMAGES;
        for path in images {
            if too_many {
                let why = format!("one of more than {IMAGES} images in a folder, so no grid");
                self.leave(path, &why);
            } else if size(path)? > IMAGE_BYTES {
                self.leave(path, "an image of more than 8 MB");
            } else if self.images_bytes + size(path)? > IMAGES_BYTES {
                self.leave(path, "one of images of more than 64 MB together");
            } else {
                let bytes = read_bytes(path)?;
                let count = bytes.len() as u64;
                match Image::new(bytes) {
                    Ok(image) => {
                        self.images_bytes += count;
                        self.images.push(self.item(path, image)?);
                    }
                    Err(why) => self.leave(path, why),
                }
            }
        }
        Ok(())
    }

    /// Of an interrupted run the blocks that are finished.
    fn take_profile(&mut self, path: &Path, voice: Voice) -> Result<()> {
        let whole = read_profile_to_use(path, voice)?;
        let profile = whole.finished_part();
        let unfinished = whole.blocks().len() - profile.blocks().len();
        if profile.blocks().is_empty() {
            self.leave(
                path,
                "a profile without a finished block of images: resume its run",
            );
            return Ok(());
        }
        if unfinished > 0 {
            voice.warn(format_args!(
                "{}: {} of images in the middle, which the report leaves out; resume its run",
                path.display(),
                plural(unfinished as u64, "block")
            ));
        }
        self.profiles.push(self.item(path, profile)?);
        Ok(())
    }

    fn take_json(&mut self, path: &Path) -> Result<()> {
        if size(path)? > WORDS_BYTES {
            self.leave(path, "JSON of more than 64 MB");
            return Ok(());
        }
        let bytes = read_bytes(path)?;
        let Ok(head) = DocumentHead::read(&bytes) else {
            self.leave(path, "no JSON document");
            return Ok(());
        };
        match head.format {
            Named::Word(format) => self.take_named(path, &format, &bytes),
            _ => self.take_printed(path, &bytes),
        }
    }

    /// A JSON file that says what it is.
    fn take_named(&mut self, path: &Path, format: &str, bytes: &[u8]) -> Result<()> {
        match format {
            "ddpm-schedules" => {
                let schedules = read_schedules(path)?;
                if let Some(same) = self.schedules.iter().find(|s| s.value == schedules) {
                    let why = format!("the same schedules as {}", same.name);
                    self.leave(path, &why);
                } else {
                    self.schedules.push(self.item(path, schedules)?);
                }
            }
            "ddpm-samples" => {
                let name = self.name(path);
                let of = name.strip_suffix(".run.json").unwrap_or(&name).to_owned();
                let record = SampleRecord::from_json(bytes).in_file(path)?;
                self.records.insert(of, record);
            }
            _ => self.leave(path, "JSON of another kind"),
        }
        Ok(())
    }

    /// A JSON file that a command has printed, as its fields tell.
    fn take_printed(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        if let Ok(scored) = serde_json::from_slice::<BitsPerDim>(bytes) {
            // With `--terms` there is no total to show.
            match scored.total_bpd {
                Some(_) => self.evaluations.push(self.item(path, scored)?),
                None => self.leave(path, "JSON of another kind"),
            }
            return Ok(());
        }
        if bytes.len() > PRINTED_BYTES {
            self.leave(path, "JSON of more than 1 MB that does not say what it is");
            return Ok(());
        }
        let Ok(document) = serde_json::from_slice(bytes) else {
            self.leave(path, "no JSON document");
            return Ok(());
        };
        let is_table5 = path.file_name().is_some_and(|name| name == "table5.json");
        match document {
            Document::Distance(found) => {
                self.distances.push(self.item(path, *found)?);
            }
            Document::Stamp(stamp) => {
                self.stamps.push(self.item(path, stamp)?);
            }
            Document::Other(table) if is_table5 => self.table5 = Some(self.item(path, table)?),
            _ => self.leave(path, "JSON of another kind"),
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
        let (file, why) = (self.name(path), why.to_owned());
        self.left_out.push(LeftOut { file, why });
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
    pub(super) fn summary(&self) -> String {
        [
            (self.profiles.len(), "profile"),
            (self.schedules.len(), "schedules file"),
            (self.images.len(), "image"),
            (self.evaluations.len(), "evaluation"),
            (self.distances.len(), "distance"),
        ]
        .map(|(n, noun)| plural(n as u64, noun))
        .join(", ")
    }
}

pub(super) fn names<T>(items: &[Item<T>]) -> Vec<String> {
    items.iter().map(|item| item.name.clone()).collect()
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
    if length > WORDS_BYTES {
        return Ok(false);
    }
    let text = first_bytes(path, 8 + length)?;
    Ok(format_named(&text).is_some_and(|format| format == ElboProfile::FORMAT))
}
