//! A folder of PNG or JPEG files, RGB or grey, all of one size, in the order of their names; or of folders of those, one for every class.
//!
//! The names are kept, the first file tells the size of all, and a file is decoded each time its image is read.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::file_names::FileNames;
use super::image_file::{self, ImageFile};
use crate::error::{Error, Result, shape as show};

/// Every image directly in a folder, sorted by name; or, where there is none, every image in its folders, class after class.
#[derive(Debug)]
pub(crate) struct ImageFolder {
    path: PathBuf,
    names: FileNames,
    /// The folders of the classes with the place of their first image; empty where images lie in the folder itself.
    classes: Vec<Class>,
    /// `[C, H, W]` of the first.
    shape: [usize; 3],
    /// What else is in the folder, in words.
    left_out: Option<String>,
}

#[derive(Debug)]
struct Class {
    folder: OsString,
    label: usize,
    first: usize,
}

impl ImageFolder {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut names = FileNames::default();
        let mut found = Found::in_folder(path, &mut names)?;
        names.sort(0);
        let mut classes = Vec::new();
        if names.len() == 0 {
            let mut others = 0;
            let folders = std::mem::take(&mut found.folders);
            for (label, folder) in labelled(path, folders)? {
                let first = names.len();
                let below = Found::in_folder(&path.join(&folder), &mut names)?;
                names.sort(first);
                others += below.folders.len();
                found.other_images += below.other_images;
                classes.push(Class {
                    folder,
                    label,
                    first,
                });
            }
            found.deeper = others;
        }
        let left_out = found.in_words();
        if names.len() == 0 {
            return Err(Error::EmptyFolder {
                path: path.to_owned(),
                instead: left_out,
            });
        }
        let mut folder = Self {
            path: path.to_owned(),
            names,
            classes,
            shape: [0; 3],
            left_out,
        };
        folder.shape = ImageFile::open(&folder.file(0))?.shape();
        Ok(folder)
    }

    /// What the folder holds beside its images and is not read: images of other formats, folders.
    pub(crate) fn left_out(&self) -> Option<&str> {
        self.left_out.as_deref()
    }

    pub(crate) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The class of every image, where their folders tell: one folder alone does only where it is a number.
    pub(crate) fn labels(&self) -> Option<Vec<usize>> {
        if let [class] = &self.classes[..]
            && number(&class.folder).is_none()
        {
            return None;
        }
        let of = |index: usize| self.class(index).map(|class| class.label);
        (0..self.len()).map(of).collect()
    }

    fn class(&self, index: usize) -> Option<&Class> {
        let after = self.classes.partition_point(|class| class.first <= index);
        // An empty folder begins where the next one does.
        self.classes[..after].last()
    }

    fn file(&self, index: usize) -> PathBuf {
        let name = self.names.get(index);
        match self.class(index) {
            Some(class) => self.path.join(&class.folder).join(name),
            None => self.path.join(name),
        }
    }

    /// Decodes file `index` into `dst`, `[C, H, W]`.
    pub(crate) fn read(&self, index: usize, dst: &mut [u8]) -> Result<()> {
        let path = self.file(index);
        let image = ImageFile::open(&path)?;
        if image.shape() != self.shape {
            let name = self.names.get(0);
            return Err(Error::field(
                &path,
                "image size",
                format!(
                    "{} like {}, the first of the folder",
                    show(&self.shape),
                    name.display()
                ),
                show(&image.shape()),
            ));
        }
        image.planes(&path, dst)
    }
}

/// Folders with their labels: the numbers that are their names, where all are numbers, otherwise their places in the order of the names
/// (as torchvision's ImageFolder).
fn labelled(path: &Path, mut folders: Vec<OsString>) -> Result<Vec<(usize, OsString)>> {
    folders.sort();
    let numbers: Option<Vec<usize>> = folders.iter().map(|name| number(name)).collect();
    let Some(numbers) = numbers else {
        return Ok(folders.into_iter().enumerate().collect());
    };
    let mut named: Vec<_> = numbers.into_iter().zip(folders).collect();
    named.sort();
    match named.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        None => Ok(named),
        Some(pair) => {
            let found = format!("{} and {}", pair[0].1.display(), pair[1].1.display());
            let expected = "another number for every class";
            Err(Error::field(path, "folders of classes", expected, found))
        }
    }
}

fn number(name: &OsStr) -> Option<usize> {
    let text = name.to_str()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// What a folder holds beside the images that are read.
#[derive(Default)]
struct Found {
    folders: Vec<OsString>,
    other_images: usize,
    /// Folders of folders.
    deeper: usize,
}

impl Found {
    /// Adds the names of a folder's images to `names`, in no order. What begins with a dot is hidden and nobody's image (`._0.png` of macOS); folders that begin
    /// with two lines are a program's (`__MACOSX`).
    fn in_folder(folder: &Path, names: &mut FileNames) -> Result<Self> {
        let read = |e| Error::read(folder, e);
        let mut found = Self::default();
        for entry in std::fs::read_dir(folder).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            // What a link leads to is looked up; of everything else the kind comes with the name.
            let (is_file, is_folder) = match entry.file_type() {
                Ok(kind) if !kind.is_symlink() => (kind.is_file(), kind.is_dir()),
                _ => (entry.path().is_file(), entry.path().is_dir()),
            };
            if is_file && image_file::is_read(&name) {
                names.push(folder, &name)?;
            } else if is_file && image_file::is_another_image(&name) {
                found.other_images += 1;
            } else if is_folder && !name.as_encoded_bytes().starts_with(b"__") {
                found.folders.push(name);
            }
        }
        Ok(found)
    }

    fn in_words(&self) -> Option<String> {
        let counted = |count: usize, one: &str, many: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            _ => Some(format!("{count} {many}")),
        };
        let folders = self.folders.len() + self.deeper;
        let left_out: Vec<String> = [
            counted(
                self.other_images,
                "image of another format",
                "images of other formats",
            ),
            counted(folders, "folder", "folders"),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!left_out.is_empty()).then(|| left_out.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_places_or_numbers() {
        let of = |names: &[&str]| -> Vec<(usize, String)> {
            let folders = names.iter().map(OsString::from).collect();
            let named = labelled(Path::new("x"), folders).unwrap().into_iter();
            named
                .map(|(label, name)| (label, name.into_string().unwrap()))
                .collect()
        };
        let pairs = |list: &[(usize, &str)]| -> Vec<(usize, String)> {
            list.iter().map(|&(n, name)| (n, name.to_owned())).collect()
        };
        assert_eq!(of(&["dog", "cat"]), pairs(&[(0, "cat"), (1, "dog")]));
        // By its name torchvision would call 10 the second class.
        assert_eq!(
            of(&["10", "2", "007"]),
            pairs(&[(2, "2"), (7, "007"), (10, "10")])
        );
        assert_eq!(of(&["1", "a"]), pairs(&[(0, "1"), (1, "a")]));
        let twice = ["01", "1"].map(OsString::from).to_vec();
        let text = labelled(Path::new("x"), twice).unwrap_err().to_string();
        assert!(text.contains("01 and 1"), "{text}");
    }
}
