//! What a run of `ddpm tune` keeps of itself: OUT.partial, a folder.

use std::path::{Path, PathBuf};

use ddpm_core::ModelId;
use ddpm_files::{read_small, sha256};
use ddpm_schedule::Schedule;
use ndarray::Array2;

use crate::args::Tune;
use crate::error::{Error, Located, Result};
use crate::input::{Features, Network, Partial, read_bytes, write_file};
use crate::output::Voice;

/// Bytes of the longest file of facts that is read.
const LONGEST: u64 = 1 << 24;
/// What the run is of; beside the features of its samples.
const RUN: &str = "run.json";
const CANDIDATES: &str = "candidates.json";

/// The folder.
pub(super) struct Store {
    folder: PathBuf,
    /// Whether this run made it.
    is_new: bool,
}

impl Store {
    /// Begins a run, or goes on with one of the same command.
    pub(super) fn open(
        args: &Tune,
        network: &Network,
        features: &Features,
        reference: &str,
    ) -> Result<Self> {
        let folder = Partial::place(&args.out);
        ddpm_files::remove_orphans_in(&folder);
        // A run that was killed before it noted what it is of has left an empty one.
        let is_new = ddpm_files::is_vacant(&folder);
        let store = Self { folder, is_new };
        if !is_new && !args.resume {
            return Err(
                Error::file(&store.folder, "holds what an interrupted run has drawn")
                    .advised("continue it by --resume, or remove the folder"),
            );
        }
        if !is_new && !store.file(RUN).is_file() {
            return Err(Error::file(
                &store.folder,
                format!("expected what a run of ddpm tune has kept, with {RUN}"),
            )
            .advised("name another --out, or remove the folder"));
        }
        let clip = args.clip.clip_denoised.unwrap_or_else(|| network.clips());
        let model = ModelId::of(network.denoiser(), clip);
        let profile = args.profile.as_ref().map(|file| read_bytes(file));
        let profile = profile.transpose()?.map(|bytes| sha256(&bytes));
        let hash = |file: &PathBuf| Ok(sha256(&read_bytes(file)?));
        let trajectories: Vec<String> =
            args.trajectories.iter().map(hash).collect::<Result<_>>()?;
        let facts = serde_json::json!({
            "network": model.network.to_string(),
            "clip_denoised": clip,
            "noise_schedule": model.noise_schedule_text(),
            "train_steps": model.train_steps,
            "parameterization": model.parameterization_text(),
            "rescale_timesteps": model.rescale_timesteps,
            "precision": model.precision,
            "settings": model.settings,
            "samples": args.samples,
            "shape": network.denoiser().shape(),
            "steps": args.steps,
            "seed": args.seed,
            "class": args.class,
            "features": features.sha256(),
            "reference": reference,
            "objective": args.objective.name(),
            "samplers": args.sampler,
            "coefficients": args.coefficients.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
            "trajectories": trajectories,
            "profile": profile,
        });
        store.agree(RUN, &facts)?;
        Ok(store)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What is kept of a candidate is known by its number: the list has to be the same.
    pub(super) fn check_candidates<'a>(
        &self,
        schedules: impl Iterator<Item = &'a Schedule>,
        names: &[String],
    ) -> Result<()> {
        let facts: Vec<_> = schedules
            .zip(names)
            .map(|(schedule, name)| {
                serde_json::json!({
                    "name": name,
                    "path": schedule.path.nodes(),
                    "numbers": schedule.calibration_sha256(false),
                })
            })
            .collect();
        self.agree(CANDIDATES, &serde_json::json!(facts))
    }

    /// Writes facts, or makes sure that those of an earlier run are these.
    fn agree(&self, name: &str, facts: &serde_json::Value) -> Result<()> {
        let file = self.file(name);
        let text = serde_json::to_string_pretty(facts).or_internal()?;
        if !file.exists() {
            std::fs::create_dir_all(&self.folder)
                .map_err(|source| Error::write(&self.folder, source))?;
            return write_file(&file, text.as_bytes());
        }
        let kept: serde_json::Value = serde_json::from_slice(&read_small(&file, LONGEST)?)
            .map_err(|error| Error::file(&file, error))?;
        if kept == *facts {
            return Ok(());
        }
        let differs = facts.as_object().and_then(|facts| {
            let differs = facts
                .iter()
                .find(|(key, value)| kept.get(key.as_str()) != Some(value));
            differs.map(|(key, value)| {
                let found = kept.get(key.as_str()).cloned().unwrap_or_default();
                format!("cannot resume: {key}: expected {value} (this run's), found {found}")
            })
        });
        let why = differs.unwrap_or_else(|| "cannot resume: its candidates are others".to_owned());
        Err(Error::file(&file, why).advised(
            "repeat the command of the interrupted run, or remove the folder and begin anew",
        ))
    }

    /// The features of a candidate that are there, in the order of its images.
    pub(super) fn features(&self, candidate: usize, seed: u64, dims: usize) -> Result<Array2<f32>> {
        let file = self.features_file(candidate, seed);
        if !file.exists() {
            return Ok(Array2::zeros((0, dims)));
        }
        let bytes = read_bytes(&file)?;
        let values: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect();
        let rows = values.len() / dims;
        let whole = rows * dims * 4 == bytes.len() && values.iter().all(|x| x.is_finite());
        if !whole {
            let why = format!("expected rows of {dims} finite numbers (f32)");
            return Err(
                Error::file(&file, why).advised("remove the file; its samples are drawn again")
            );
        }
        Array2::from_shape_vec((rows, dims), values).or_internal()
    }

    pub(super) fn keep(&self, candidate: usize, seed: u64, features: &Array2<f32>) -> Result<()> {
        let bytes: Vec<u8> = features.iter().flat_map(|x| x.to_le_bytes()).collect();
        write_file(&self.features_file(candidate, seed), &bytes)
    }

    fn features_file(&self, candidate: usize, seed: u64) -> PathBuf {
        self.file(&format!("features-{candidate}-seed-{seed}.f32"))
    }

    /// A run that failed before anything was made leaves nothing.
    pub(super) fn forget_unless_kept(&self) {
        let facts = [RUN, CANDIDATES];
        let entries = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten();
        let mut names = entries.map(|entry| entry.file_name());
        let empty = names.all(|name| facts.iter().any(|fact| name == *fact));
        if self.is_new && empty {
            // What cannot be removed only takes space.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    /// The result is in its place: what was kept goes.
    pub(super) fn remove(&self, voice: Voice) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            voice.warn(format_args!(
                "cannot remove {}: {error}",
                self.folder.display()
            ));
        }
    }
}
