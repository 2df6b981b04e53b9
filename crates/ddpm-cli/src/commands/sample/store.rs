//! Where samples go: one by one into a folder, from which a grid or an archive is put together.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ddpm_data::{Images, picture_shape, read_picture, write_npz, write_png_folder, write_png_grid};
use ddpm_schedule::SampleRecord;
use ndarray::{ArrayD, ArrayViewD, Axis};

use super::{floats, record};
use crate::error::{Error, Result};
use crate::input::{Partial, check_writable, in_the_way, read_bytes, refuse_to_replace};
use crate::render::plural;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Grid,
    Npz,
    Folder,
    /// The samples as they are, in no 8 bits, of any shape.
    Floats,
}

/// An output and the images of it that are there.
#[derive(Debug)]
pub(super) struct Store {
    target: Target,
    out: PathBuf,
    /// The PNG files, one per image: the output itself, or OUT.partial while the run lasts.
    folder: PathBuf,
    /// Whether this run made the folder.
    is_new: bool,
}

impl Store {
    /// By the ending of the path; one without an ending is a folder.
    pub(super) fn of(out: &Path) -> Result<Self> {
        // Without a slash at the end, so that endings can be appended.
        let out: PathBuf = out.components().collect();
        if std::fs::metadata(&out).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            return Err(Error::file(
                &out,
                "is a device or a pipe; expected a file or a folder, because a run keeps its samples beside it",
            ));
        }
        let target = match out.extension().and_then(|e| e.to_str()) {
            ending if out.is_dir() || ending.is_none() => Target::Folder,
            Some("png") => Target::Grid,
            Some("npz") => Target::Npz,
            Some("safetensors") => Target::Floats,
            _ => {
                return Err(Error::flag(
                    "--out",
                    format!(
                        "{}: expected FILE.png, FILE.npz, FILE.safetensors or a folder",
                        out.display()
                    ),
                ));
            }
        };
        let folder = match target {
            Target::Folder => out.clone(),
            Target::Grid | Target::Npz | Target::Floats => Partial::place(&out),
        };
        Ok(Self {
            target,
            out,
            folder,
            is_new: false,
        })
    }

    pub(super) fn out(&self) -> &Path {
        &self.out
    }

    /// Whether samples are kept as they are.
    pub(super) fn keeps_floats(&self) -> bool {
        self.target == Target::Floats
    }

    /// Refuses data that the output cannot hold.
    pub(super) fn check_shape(&self, shape: &[usize]) -> Result<()> {
        if self.target == Target::Floats {
            return Ok(());
        }
        let found = match shape {
            [1 | 3, _, _] => return Ok(()),
            [channels, _, _] => format!("images of {channels} channels"),
            shape => format!("data of shape {shape:?}"),
        };
        Err(Error::Input(format!(
            "the network makes {found}; expected 1 or 3 channels, which PNG and .npz samples can hold"
        ))
        .advised("write them as they are: --out FILE.safetensors"))
    }

    /// Where the images of an interrupted run are, if there are any.
    pub(super) fn kept(&self) -> Option<PathBuf> {
        let kept = self.present().is_ok_and(|present| !present.is_empty());
        kept.then(|| self.folder.clone())
    }

    /// Refuses to replace what the very run of `record` has not made. Of a folder [`earlier`](Self::earlier) knows what is in the way.
    pub(super) fn check_replaces(
        &self,
        record: &SampleRecord,
        resume: bool,
        force: bool,
    ) -> Result<()> {
        let beside = record::beside(&self.out);
        let made_by = record::read(&beside).ok();
        if made_by.is_none() {
            refuse_to_replace(&beside, force)?;
        }
        if force || self.target == Target::Folder || !ddpm_files::replaces(&self.out) {
            return Ok(());
        }
        if resume && self.lacks_only_its_record(record) {
            return Ok(());
        }
        let Some(made_by) = made_by else {
            return refuse_to_replace(&self.out, force);
        };
        holds(record, &made_by).map_err(|what| in_the_way(&self.out, what))?;
        if made_by.output_sha256 == Some(sha256_of(&self.out)?) {
            return Ok(());
        }
        let what = format!("is not the file that {} is the record of", beside.display());
        Err(in_the_way(&self.out, what))
    }

    /// Whether this very run was killed when all was done but the writing of its record: all its pieces are there.
    fn lacks_only_its_record(&self, record: &SampleRecord) -> bool {
        let own = record::read(&record::within(&self.folder))
            .is_ok_and(|made_by| holds(record, &made_by).is_ok());
        let pieces = self.present().unwrap_or_default();
        let there: usize = pieces.values().flatten().map(ExactSizeIterator::len).sum();
        own && there >= record.count
    }

    /// Makes sure that the output can be written, before any time is spent.
    pub(super) fn check_place(&mut self) -> Result<()> {
        match self.target {
            Target::Folder => {
                self.is_new = !self.out.exists();
                if let Some(parent) = self.out.parent() {
                    std::fs::create_dir_all(parent)
                        .map_err(|source| Error::write(&self.out, source))?;
                }
            }
            Target::Grid | Target::Npz | Target::Floats => check_writable(&self.out)?,
        }
        check_writable(&record::beside(&self.out))
    }

    /// Creates the folder of an output that is one, under its lock: another run may be at work there.
    pub(super) fn make_folder(&self) -> Result<()> {
        if self.target != Target::Folder {
            return Ok(());
        }
        std::fs::create_dir_all(&self.out).map_err(|source| Error::write(&self.out, source))?;
        check_writable(&self.out.join("000000.png"))
    }

    /// The images of `record` that an earlier run has left, by index; none unless this run goes on with it. Images in the
    /// way are an error: those that are not of this run would pass for samples of it.
    pub(super) fn earlier(&self, record: &SampleRecord, resume: bool) -> Result<Vec<usize>> {
        let present = self.present()?;
        if self.target == Target::Folder {
            self.refuse_other_images()?;
        }
        if present.is_empty() {
            return Ok(Vec::new());
        }
        let found = match self.target {
            Target::Floats => format!("{} files of samples", present.len()),
            _ => plural(present.len() as u64, "PNG file"),
        };
        if !resume {
            let (what, advice) = match self.target {
                Target::Folder => (
                    format!("expected a new folder or one without images, found {found}"),
                    "remove them (--force does not), name another --out, or go on with that run by --resume",
                ),
                Target::Grid | Target::Npz | Target::Floats => (
                    format!("holds {found} of an interrupted run"),
                    "continue it by --resume, or remove the folder",
                ),
            };
            return Err(Error::file(&self.folder, what).advised(advice));
        }
        record::check_same_run(record, &self.record_of_images())?;
        let wanted = record.start_index..record.start_index + record.count;
        let mut indices = Vec::with_capacity(present.len());
        for (name, held) in &present {
            if held.is_some() {
                self.check_piece(name, record)?;
            }
            match held {
                // Left over beside a file, they are in nobody's way.
                Some(held) if self.target != Target::Folder => {
                    indices.extend(held.clone().filter(|index| wanted.contains(index)));
                }
                Some(held) if wanted.contains(&held.start) => indices.push(held.start),
                _ => {
                    return Err(Error::file(
                        &self.folder,
                        format!(
                            "cannot resume: expected images {} to {} alone, found {name}",
                            wanted.start,
                            wanted.end - 1
                        ),
                    ));
                }
            }
        }
        indices.sort_unstable();
        Ok(indices)
    }

    /// What has the name of a sample must at least look like one.
    fn check_piece(&self, name: &str, record: &SampleRecord) -> Result<()> {
        if self.target == Target::Floats {
            return Ok(());
        }
        let piece = self.folder.join(name);
        let advice = "remove it: the sample is drawn again";
        let shape = picture_shape(&piece).map_err(|error| Error::from(error).advised(advice))?;
        if shape[..] == record.model.shape[..] {
            return Ok(());
        }
        let (expected, found) = (&record.model.shape, shape);
        let what = format!("image size: expected {expected:?} (this run's), found {found:?}");
        Err(Error::file(&piece, what).advised(advice))
    }

    /// Samples are not put among the images of others, which would no longer be what they were.
    fn refuse_other_images(&self) -> Result<()> {
        let read = |source| Error::read(&self.out, source);
        for entry in std::fs::read_dir(&self.out).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            let ends_in = |ending: &str| {
                Path::new(&name)
                    .extension()
                    .is_some_and(|e| e.eq_ignore_ascii_case(ending))
            };
            if !hidden && (entry.path().is_dir() || ends_in("jpg") || ends_in("jpeg")) {
                let what = format!(
                    "holds {}: expected a new folder, or one without images and folders",
                    name.display()
                );
                return Err(Error::file(&self.out, what).advised("name another --out"));
            }
        }
        Ok(())
    }

    /// Whether the very output of `record` is there, complete.
    pub(super) fn is_done(&self, record: &SampleRecord) -> bool {
        self.target != Target::Folder
            && self.out.is_file()
            && !self.folder.exists()
            && record::read(&record::beside(&self.out)).is_ok_and(|earlier| {
                earlier.count == record.count && record.differences(&earlier).is_empty()
            })
    }

    /// The record of the images that are there: beside a file stands that of its finished run until another has ended.
    fn record_of_images(&self) -> PathBuf {
        let own = record::within(&self.folder);
        // Earlier versions had it beside the output from the start.
        if self.target == Target::Folder || !own.exists() {
            record::beside(&self.out)
        } else {
            own
        }
    }

    /// Says what the images that follow are of.
    pub(super) fn begin(&self, record: &SampleRecord) -> Result<()> {
        if self.target == Target::Folder {
            return record::write(record, &record::beside(&self.out));
        }
        std::fs::create_dir_all(&self.folder)
            .map_err(|source| Error::write(&self.folder, source))?;
        ddpm_files::remove_orphans_in(&self.folder);
        record::write(record, &record::within(&self.folder))
    }

    /// Leaves nothing behind of a run that has made no image.
    pub(super) fn forget_unless_kept(&self) {
        if self.kept().is_some() {
            return;
        }
        let written = match self.target {
            Target::Folder if self.is_new => record::beside(&self.out),
            // A folder of the user's, and what stands beside it.
            Target::Folder => return,
            Target::Grid | Target::Npz | Target::Floats => record::within(&self.folder),
        };
        // The error that ended the run is the one to tell.
        let _ = std::fs::remove_file(written);
        let _ = std::fs::remove_dir(&self.folder);
    }

    /// Keeps the samples of `indices`.
    pub(super) fn keep(
        &self,
        indices: &[usize],
        samples: ArrayViewD<'_, f32>,
    ) -> ddpm_eval::Result<()> {
        if self.target == Target::Floats {
            return Ok(floats::keep(&self.folder, indices, samples)?);
        }
        for (i, &index) in indices.iter().enumerate() {
            let one = samples.slice_axis(Axis(0), (i..i + 1).into());
            write_png_folder(&self.folder, &Images::from_samples(one)?, index)?;
        }
        Ok(())
    }

    /// Puts a file together from its images; nothing is to be done for a folder.
    pub(super) fn finish(&self, record: &SampleRecord, labels: Option<&[usize]>) -> Result<()> {
        if self.target == Target::Folder {
            return Ok(());
        }
        if self.target == Target::Floats {
            let present = self.present()?.into_iter();
            let held = present.filter_map(|(name, held)| Some((self.folder.join(name), held?)));
            floats::finish(&self.out, held, record, labels)?;
            return self.seal(record);
        }
        // By their names: whatever else lies beside them is none of the samples.
        let present = self.present()?.into_iter();
        let places: BTreeMap<usize, String> = present
            .filter_map(|(name, held)| Some((held?.start, name)))
            .collect();
        let mut pixels = ArrayD::zeros([&[record.count], &record.model.shape[..]].concat());
        for (i, mut image) in pixels.outer_iter_mut().enumerate() {
            let index = record.start_index + i;
            let gone = || Error::file(&self.folder, format!("image {index} is gone"));
            let piece = self.folder.join(places.get(&index).ok_or_else(gone)?);
            let found = read_picture(&piece)?;
            if found.shape() != image.shape() {
                let (expected, found) = (image.shape(), found.shape());
                let what = format!("image size: expected {expected:?}, found {found:?}");
                return Err(Error::file(&piece, what));
            }
            image.assign(&found);
        }
        let images = Images::from_bytes(pixels)?;
        match self.target {
            Target::Npz => write_npz(&self.out, &images, labels)?,
            _ => write_png_grid(&self.out, &images)?,
        }
        self.seal(record)
    }

    /// The output is in its place: says of which run, and of which file.
    fn seal(&self, record: &SampleRecord) -> Result<()> {
        let complete = SampleRecord {
            output_sha256: Some(sha256_of(&self.out)?),
            ..record.clone()
        };
        record::write(&complete, &record::beside(&self.out))?;
        self.remove_pieces()
    }

    /// Removes what the output was put together from, and the folder unless other people's files are in it.
    fn remove_pieces(&self) -> Result<()> {
        ddpm_files::remove_orphans_in(&self.folder);
        let mine = self
            .present()?
            .into_keys()
            .map(|name| self.folder.join(name));
        for piece in mine.chain([record::within(&self.folder)]) {
            match std::fs::remove_file(&piece) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::write(&piece, error));
                }
                _ => {}
            }
        }
        match std::fs::remove_dir(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => {
                Err(Error::write(&self.folder, error))
            }
            _ => Ok(()),
        }
    }

    /// The files of samples in the folder in the order of their names, with the indices that a name and, of floats, the file tell.
    fn present(&self) -> Result<BTreeMap<String, Option<Range<usize>>>> {
        let ending = match self.target {
            Target::Floats => "safetensors",
            _ => "png",
        };
        let mut found = BTreeMap::new();
        if !self.folder.is_dir() {
            return Ok(found);
        }
        let refused = |source| Error::read(&self.folder, source);
        for entry in std::fs::read_dir(&self.folder).map_err(refused)? {
            let path = entry.map_err(refused)?.path();
            let is_one = path
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case(ending));
            // A pipe would wait for ever.
            if let Some(name) = path.file_name().filter(|_| is_one && path.is_file()) {
                let name = name.to_string_lossy().into_owned();
                // Hidden ones are of other programs (macOS).
                if name.starts_with('.') {
                    continue;
                }
                let stem = name.strip_suffix(&format!(".{ending}"));
                let digits = |stem: &&str| stem.bytes().all(|b| b.is_ascii_digit());
                let first: Option<usize> = stem.filter(digits).and_then(|stem| stem.parse().ok());
                let count = match self.target {
                    Target::Floats => floats::count(&path)?,
                    _ => 1,
                };
                let held = first.and_then(|first| Some(first..first.checked_add(count)?));
                found.insert(name, held);
            }
        }
        Ok(found)
    }
}

/// Whether a run makes all samples of another, in words where not.
fn holds(record: &SampleRecord, other: &SampleRecord) -> std::result::Result<(), String> {
    let differs = |field: &str, expected: &str, found: &str| {
        Err(format!(
            "holds the samples of another run: {field}: expected {expected} (this run's), found {found}"
        ))
    };
    match record.differences(other).into_iter().next() {
        Some(found) => differs(&found.field, &found.first, &found.second),
        None if other.count > record.count => {
            differs("count", &record.count.to_string(), &other.count.to_string())
        }
        None => Ok(()),
    }
}

fn sha256_of(file: &Path) -> Result<String> {
    Ok(ddpm_files::sha256(&read_bytes(file)?))
}
