//! The files beside a page: every figure and every table of it, for papers and programs.
//!
//! A list of them with their hashes lies among them. By it the folder is known to be no result, and a file to be ours: what somebody else
//! has put there, or changed, is in the way as any other file is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ddpm_files::{read_small, sha256};
use serde::{Deserialize, Serialize};

use super::html::{figure, files};
use crate::error::{Error, Located, Result};
use crate::input::{in_the_way, with_ending, write_file};
use crate::plot::{Chart, Form, png};
use crate::render::TextTable;

const LIST: &str = "files.json";
const FORMAT: &str = "ddpm-report-files";

/// Bytes of the longest list that is read.
const LONGEST: u64 = 1 << 20;

/// The list, as it is written.
#[derive(Serialize, Deserialize)]
struct List {
    format: String,
    version: u32,
    /// SHA-256 by name.
    files: BTreeMap<String, String>,
}

/// Whether a folder holds what another page has left.
pub(super) fn is_beside(folder: &Path) -> bool {
    list(folder).is_some()
}

fn list(folder: &Path) -> Option<List> {
    let text = read_small(&folder.join(LIST), LONGEST).ok()?;
    let list: List = serde_json::from_slice(&text).ok()?;
    (list.format == FORMAT).then_some(list)
}

/// Files to write.
pub(super) struct Beside {
    folder: PathBuf,
    /// Its name, as links have it.
    name: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl Beside {
    /// The files of this page: in `report.files` beside `report.html`.
    pub(super) fn page(out: &Path) -> Self {
        let mut folder = out.with_extension("files");
        if folder == out {
            folder = with_ending(out, "files");
        }
        let name = folder.file_name().unwrap_or_default();
        Self {
            name: name.to_string_lossy().into_owned(),
            folder,
            files: BTreeMap::new(),
        }
    }

    /// The folder's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    #[cfg(test)]
    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Adds a file.
    pub(super) fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.files.insert(name.to_owned(), bytes.into());
    }

    /// A figure of the page, as SVG and PNG too.
    pub(super) fn figure(&mut self, name: &str, chart: &Chart) -> Result<String> {
        let name = self.free(name, "svg");
        let svg = chart.svg(Form::Alone);
        let names = [
            ("SVG", format!("{name}.svg")),
            ("PNG", format!("{name}.png")),
        ];
        self.add(&names[1].1, png(&svg, Form::Alone)?);
        self.add(&names[0].1, svg);
        Ok(figure(chart, &files(&self.name, &names)))
    }

    /// A picture of the page; returns the name of its file.
    pub(super) fn picture(&mut self, name: &str, png: Vec<u8>) -> String {
        let name = format!("{}.png", self.free(name, "png"));
        self.add(&name, png);
        name
    }

    /// A table of the page, as CSV and LaTeX too.
    pub(super) fn table(&mut self, name: &str, table: &TextTable) -> String {
        let name = self.free(name, "csv");
        let names = [
            ("CSV", format!("{name}.csv")),
            ("LaTeX", format!("{name}.tex")),
        ];
        self.add(&names[0].1, table.csv());
        self.add(&names[1].1, table.latex());
        format!(
            "{}<p class=\"note\">{}</p>\n",
            table.html(),
            files(&self.name, &names)
        )
    }

    /// A name that no other file has, of letters that every system takes.
    fn free(&self, wanted: &str, ending: &str) -> String {
        let plain = |c: char| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' => c,
            _ => '_',
        };
        let plain: String = wanted.chars().map(plain).collect();
        let is_free = |name: &String| !self.files.contains_key(&format!("{name}.{ending}"));
        let numbered = (2..).map(|i| format!("{plain}-{i}"));
        let mut names = std::iter::once(plain.clone()).chain(numbered);
        names.find(is_free).unwrap_or(plain)
    }

    /// Refuses to write over what is not of an earlier page here; nothing is written before everything may be.
    pub(super) fn check(&self, force: bool) -> Result<()> {
        if self.folder.exists() && !self.folder.is_dir() {
            return Err(in_the_way(
                &self.folder,
                "is there already, and is no folder",
            ));
        }
        let list_is_foreign = self.folder.join(LIST).exists() && !is_beside(&self.folder);
        if force {
            return Ok(());
        }
        if list_is_foreign {
            let path = self.folder.join(LIST);
            return Err(in_the_way(
                &path,
                "is there already, and lists no files of a page",
            ));
        }
        let own = list(&self.folder)
            .map(|list| list.files)
            .unwrap_or_default();
        for (name, bytes) in &self.files {
            let path = self.folder.join(name);
            if !ddpm_files::replaces(&path) {
                continue;
            }
            let there = std::fs::read(&path).map_err(|source| Error::read(&path, source))?;
            let is_own = || own.get(name).is_some_and(|hash| *hash == sha256(&there));
            if there != *bytes && !is_own() {
                return Err(in_the_way(
                    &path,
                    "is there already, and is not as an earlier page left it",
                ));
            }
        }
        Ok(())
    }

    /// Writes the files, and removes what an earlier page left that this one has not.
    pub(super) fn write(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|source| Error::write(&self.folder, source))?;
        let earlier = list(&self.folder)
            .map(|list| list.files)
            .unwrap_or_default();
        let mut hashes = BTreeMap::new();
        for (name, bytes) in &self.files {
            write_file(&self.folder.join(name), bytes)?;
            hashes.insert(name.clone(), sha256(bytes));
        }
        for (name, hash) in earlier {
            // A name of a list is a name in this folder and nowhere else.
            let is_name = Path::new(&name).file_name().is_some_and(|n| *n == *name);
            let path = self.folder.join(&name);
            let is_own = || std::fs::read(&path).is_ok_and(|there| sha256(&there) == hash);
            if is_name && !hashes.contains_key(&name) && is_own() {
                std::fs::remove_file(&path).map_err(|source| Error::write(&path, source))?;
            }
        }
        let list = List {
            format: FORMAT.to_owned(),
            version: 1,
            files: hashes,
        };
        let text = serde_json::to_string_pretty(&list).or_internal()? + "\n";
        write_file(&self.folder.join(LIST), text.as_bytes())
    }
}
