//! The readers.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use ddpm_core::{PathSpec, Stride};
use ddpm_data::{ImageSet, Split};
use ddpm_eval::distance::{is_statistics, read_statistics};
use ddpm_eval::{RecordedErrors, TestBed};
use ddpm_files::npy::read_npy_header;
use ddpm_files::npz::{Extents, NpzArchive};
use ddpm_files::{TensorFile, csv};
use ddpm_model::{Checkpoint, FeatureNetwork, ModelConfig, ModelOptions};
use ddpm_profile::ElboProfile;
use ddpm_schedule::{SampleRecord, Schedules};
use ddpm_trajectory::Trajectories;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use xtask::root;

use crate::sealed::{sealed, sealed_png, sealed_zip};

/// What a reader made of its input.
pub type Read = Result<(), String>;

/// A reader.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its corpus.
    pub name: &'static str,
    /// Shows it an input.
    pub read: fn(&[u8]) -> Read,
}

/// The reader of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

const fn of(name: &'static str, read: fn(&[u8]) -> Read) -> Target {
    Target { name, read }
}

/// All of them.
pub const TARGETS: [Target; 32] = [
    // Weights.
    of("checkpoint-zip", |data| twice(data, sealed_zip, checkpoint)),
    of("checkpoint-stream", checkpoint),
    of("checkpoint-safetensors", checkpoint),
    of("checkpoint-pickle", pickle),
    of("feature-network", features),
    // What weights cannot tell.
    of("model-json", model_json),
    of("config-json", |data| diffusers("config.json", data)),
    of("scheduler-config", |data| {
        diffusers("scheduler_config.json", data)
    }),
    // Images.
    of("images-png", |data| {
        twice(data, sealed_png, |data| images("folder", "0.png", data))
    }),
    of("images-jpeg", |data| images("folder", "0.jpg", data)),
    of("images-npy", |data| images("file", "x.npy", data)),
    of("images-npz", |data| {
        twice(data, sealed_zip, |data| images("file", "x.npz", data))
    }),
    of("images-safetensors", |data| {
        images("file", "x.safetensors", data)
    }),
    of("images-cifar-binary", |data| {
        images("folder", "test_batch.bin", data)
    }),
    of("images-cifar-python", |data| {
        images("folder", "test_batch", data)
    }),
    of("images-imagenet", |data| {
        twice(data, sealed_zip, |data| {
            images("folder", "val_data.npz", data)
        })
    }),
    of("fixed-images", fixed_images),
    of("fixed-noise", fixed_noise),
    // Arrays and tensors of any meaning.
    of("npy", npy),
    of("npz", |data| twice(data, sealed_zip, npz)),
    of("tensors", tensors),
    of("csv", column),
    // Our own files, and the same with a checksum that is right: what lies behind it.
    of("profile", profile),
    of("profile-sealed", |data| profile(&sealed(data))),
    of("trajectories", trajectories),
    of("trajectories-sealed", |data| trajectories(&sealed(data))),
    of("schedules", schedules),
    of("sample-record", sample_record),
    // What others measured.
    of("statistics", |data| twice(data, sealed_zip, statistics)),
    of("recorded-errors", |data| {
        twice(data, sealed_zip, recorded_errors)
    }),
    of("test-bed", test_bed),
    // Words on the command line.
    of("words", words),
];

fn told<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// As it is and, where it is refused, with checksums that are right: what lies behind them.
fn twice(data: &[u8], seal: fn(&[u8]) -> Vec<u8>, read: fn(&[u8]) -> Read) -> Read {
    read(data).or_else(|_| read(&seal(data)))
}

thread_local! {
    /// A folder for every kind of target, in memory where the system has such.
    static FOLDERS: RefCell<HashMap<&'static str, TempDir>> = RefCell::new(HashMap::new());
}

/// Puts `data` into the file `name` of a folder that holds nothing else but what `prepare` once put there.
fn in_folder(
    folder: &'static str,
    name: &str,
    data: &[u8],
    prepare: impl FnOnce(&Path),
    read: impl FnOnce(&Path) -> Read,
) -> Read {
    FOLDERS.with_borrow_mut(|folders| {
        let folder = folders.entry(folder).or_insert_with(|| {
            let memory = Path::new("/dev/shm");
            let place = if memory.is_dir() {
                memory.to_owned()
            } else {
                std::env::temp_dir()
            };
            let folder = tempfile::tempdir_in(place).expect("a temporary folder");
            prepare(folder.path());
            folder
        });
        let file = folder.path().join(name);
        std::fs::write(&file, data).expect("a temporary file");
        let outcome = read(&file);
        std::fs::remove_file(&file).expect("a temporary file");
        outcome
    })
}

fn as_file(name: &str, data: &[u8], read: impl FnOnce(&Path) -> Read) -> Read {
    in_folder("file", name, data, |_| (), read)
}

/// The weights of a file and the network that they are of.
fn checkpoint(data: &[u8]) -> Read {
    let checkpoint = told(Checkpoint::from_bytes(Path::new("/nowhere/x.pt"), data))?;
    // Whether it is a network that we know is another matter.
    let _ = ModelConfig::resolve(&checkpoint, &ModelOptions::default());
    Ok(())
}

/// A pickle in the archive that torch.save makes, with one storage of 64 bytes.
fn pickle(data: &[u8]) -> Read {
    checkpoint(&told(torch_archive(data))?)
}

/// A zip archive with a pickle and one storage, uncompressed.
fn torch_archive(pickle: &[u8]) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in [("x/data.pkl", pickle), ("x/data/0", &[0; 64][..])] {
        archive.start_file(name, stored)?;
        archive.write_all(content)?;
    }
    Ok(archive.finish()?.into_inner())
}

fn features(data: &[u8]) -> Read {
    let checkpoint = told(Checkpoint::from_bytes(Path::new("/nowhere/x.pth"), data))?;
    told(FeatureNetwork::load(&checkpoint)).map(drop)
}

/// `x.model.json` beside weights that need it.
fn model_json(data: &[u8]) -> Read {
    thread_local! {
        /// Read once: what is read anew is the file beside it.
        static WEIGHTS: OnceCell<Checkpoint> = const { OnceCell::new() };
    }
    let prepare = |folder: &Path| copy(&golden("unet-hybrid-16px.pt"), &folder.join("x.pt"));
    in_folder("model", "x.model.json", data, prepare, |file| {
        WEIGHTS.with(|weights| {
            let open = || Checkpoint::open(&file.with_file_name("x.pt")).expect("a golden file");
            let weights = weights.get_or_init(open);
            told(ModelConfig::resolve(weights, &ModelOptions::default())).map(drop)
        })
    })
}

/// A file of a folder of diffusers, beside the others.
fn diffusers(name: &'static str, data: &[u8]) -> Read {
    let prepare = |folder: &Path| {
        for name in ["diffusion_pytorch_model.safetensors", "config.json"] {
            let from = golden("diffusers/without-attention").join(name);
            copy(&from, &folder.join(name));
        }
    };
    let folder = if name == "config.json" {
        "config"
    } else {
        "scheduler"
    };
    in_folder(folder, name, data, prepare, |file| {
        let checkpoint = told(Checkpoint::open(file.parent().unwrap_or(file)))?;
        told(ModelConfig::resolve(&checkpoint, &ModelOptions::default())).map(drop)
    })
}

/// Every pixel of a set.
fn look_at(set: &ImageSet) -> Read {
    const LOOKED_AT: usize = 64;
    let mut image = vec![0.0; set.dims()];
    for index in 0..set.len().min(LOOKED_AT) {
        told(set.read_image(index, &mut image))?;
        told(set.bytes(index))?;
    }
    told(set.labels())?;
    Ok(())
}

/// Images in a file, or in a folder with one file.
fn images(kind: &str, name: &'static str, data: &[u8]) -> Read {
    let open = |path: &Path| {
        let set = told(ddpm_data::open(path, Split::Test, None))?;
        look_at(&set)
    };
    if kind == "file" {
        return as_file(name, data, open);
    }
    in_folder(
        name,
        name,
        data,
        |_| (),
        |file| open(file.parent().unwrap_or(file)),
    )
}

fn fixed_images(data: &[u8]) -> Read {
    as_file("x.safetensors", data, |file| {
        let zeros = ndarray::Array4::<u8>::zeros((3, 3, 4, 4));
        let cifar = told(ImageSet::from_bytes("zeros", zeros.view()))?;
        look_at(&told(ddpm_data::open_fixed_images(file, Some(&cifar)))?)
    })
}

fn fixed_noise(data: &[u8]) -> Read {
    as_file("x.safetensors", data, |file| {
        told(ddpm_data::read_noise(file, &[2, 1, 4, 4])).map(drop)
    })
}

fn npy(data: &[u8]) -> Read {
    let mut reader = data;
    let header = told(read_npy_header(&mut reader, data.len() as u64))?;
    let mut again = reader;
    let integers = header.integers(&mut again);
    match header.floats(&mut reader) {
        Ok(_) => Ok(()),
        Err(error) => integers.map(drop).map_err(|_| error.to_string()),
    }
}

fn npz(data: &[u8]) -> Read {
    as_file("x.npz", data, |file| {
        let mut archive = told(NpzArchive::open(file))?;
        let names: Vec<String> = archive.names().to_vec();
        let extents = Extents::AtMost(1 << 20);
        let mut outcome = Ok(());
        for name in names {
            let floats = archive.floats(&name, "numbers", extents).map(drop);
            let whole = archive.integers(&name, "numbers", extents).map(drop);
            if let (Err(error), Err(_)) = (floats, whole) {
                outcome = Err(error.to_string());
            }
        }
        outcome
    })
}

fn tensors(data: &[u8]) -> Read {
    as_file("x.safetensors", data, |file| {
        let tensors = told(TensorFile::open(file))?;
        let floats = tensors.floats("x", "numbers").map(drop);
        let whole = tensors.integers("y").map(drop);
        told(floats)?;
        told(whole)
    })
}

fn text(data: &[u8]) -> Result<&str, String> {
    told(std::str::from_utf8(data))
}

fn column(data: &[u8]) -> Read {
    told(csv::column(text(data)?, "mse")).map(drop)
}

fn profile(data: &[u8]) -> Read {
    told(ElboProfile::from_bytes(data)).map(drop)
}

fn trajectories(data: &[u8]) -> Read {
    told(Trajectories::from_bytes(data)).map(drop)
}

fn schedules(data: &[u8]) -> Read {
    let schedules = told(Schedules::from_json(text(data)?))?;
    // What was read can be written, and is the same.
    let written = told(schedules.to_json())?;
    let again = told(Schedules::from_json(&written))?;
    assert_eq!(told(again.to_json())?, written);
    Ok(())
}

fn sample_record(data: &[u8]) -> Read {
    told(SampleRecord::from_json(data)).map(drop)
}

fn statistics(data: &[u8]) -> Read {
    as_file("x.npz", data, |file| {
        told(is_statistics(file))?;
        told(read_statistics(file)).map(drop)
    })
}

fn recorded_errors(data: &[u8]) -> Read {
    as_file("x.npz", data, |file| {
        let recorded = told(RecordedErrors::open(file))?;
        let found = told(recorded.recognise())?;
        let imported = told(RecordedErrors::into_profile(
            vec![recorded],
            &found.schedule,
            None,
        ))?;
        told(ElboProfile::from_bytes(&imported.profile.to_bytes())).map(drop)
    })
}

fn test_bed(data: &[u8]) -> Read {
    let zeros = |_: &Path, _: Split| -> ddpm_eval::Result<ImageSet> {
        let images = ndarray::Array4::<u8>::zeros((3, 1, 4, 4));
        Ok(ImageSet::from_bytes("zeros", images.view())?)
    };
    told(TestBed::from_json(text(data)?, &mut { zeros })).map(drop)
}

/// A path, a stride and a process.
fn words(data: &[u8]) -> Read {
    let text = text(data)?;
    let path = text.parse::<PathSpec>();
    let stride = text.parse::<Stride>();
    if let Ok(path) = &path {
        let schedule = told(ddpm_core::NoiseSchedule::named(
            ddpm_core::NoiseScheduleName::Cosine,
            64,
        ))?;
        let _ = path.resolve(&schedule, false);
        let _ = path.resolve(&schedule, true);
    }
    match (path, stride) {
        (Err(path), Err(_)) => Err(path.to_string()),
        _ => Ok(()),
    }
}

fn golden(name: &str) -> PathBuf {
    root().join("tests/golden").join(name)
}

fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("a golden file");
}
