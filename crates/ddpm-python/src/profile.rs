//! `Profile`: the statistics of a network that likelihood schedules are chosen on.

use std::path::PathBuf;
use std::time::Duration;

use ddpm_core::Denoiser as _;
use ddpm_data::{ImageSet, Split, selection};
use ddpm_eval::{ProfileBands, ProfilePlan, spend};
use ddpm_profile::ElboProfile;
use numpy::PyReadonlyArrayDyn;
use pyo3::prelude::*;
use pyo3::types::PyAny;

use crate::arrays::singles;
use crate::calls::{detached, run};
use crate::errors::{argument, invalid, of_data};
use crate::files::{Output, Pickled, pickled, read_as, save};
use crate::model::Denoiser;
use crate::names::named;
use crate::process::Process;

/// The measured errors of a network, which likelihood schedules are chosen on: the file of `ddpm profile`.
#[pyclass(frozen, module = "ddpm_schedules._core")]
pub(crate) struct Profile {
    pub(crate) inner: ElboProfile,
    pub(crate) process: Process,
}

#[pymethods]
impl Profile {
    /// `process`: that of the network, where the file's is not a chain of whole timesteps.
    #[staticmethod]
    #[pyo3(signature = (path, process = None))]
    fn load(py: Python<'_>, path: PathBuf, process: Option<Process>) -> PyResult<Self> {
        let inner = read_as(py, &path, ElboProfile::from_bytes)?;
        let model = Some(&inner.provenance().model);
        let process = Process::behind(&path, model, inner.schedule(), process)?;
        Ok(Self { inner, process })
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Pickled<'py>> {
        pickled::<Self>(py, self.inner.to_bytes(), &self.process)
    }

    /// What `__reduce__` tells.
    #[staticmethod]
    fn _again(bytes: &[u8], process: Process) -> PyResult<Self> {
        let inner = ElboProfile::from_bytes(bytes).map_err(invalid)?;
        Ok(Self { inner, process })
    }

    #[pyo3(signature = (path, overwrite = false))]
    fn save(&self, path: PathBuf, overwrite: bool) -> PyResult<()> {
        save(&path, &self.inner.to_bytes(), overwrite)
    }

    #[getter]
    fn process(&self) -> Process {
        self.process.clone()
    }

    /// Of one datum.
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.inner.provenance().model.shape.clone()
    }

    /// Whether the data can be 8-bit images: of one channel or three, within [-1, 1] as far as clipping tells.
    #[getter]
    fn holds_pixels(&self) -> bool {
        self.inner.provenance().may_hold_pixels()
    }

    #[getter]
    fn images(&self) -> u64 {
        self.inner.images()
    }

    #[getter]
    fn evaluations(&self) -> u64 {
        self.inner.images() * self.inner.layout().timesteps().len() as u64
    }

    #[getter]
    fn nodes(&self) -> Vec<usize> {
        self.inner.layout().timesteps().to_vec()
    }

    fn __repr__(&self) -> String {
        format!(
            "Profile({} images at {} of {} timesteps)",
            self.inner.images(),
            self.nodes().len(),
            self.process.train_steps()
        )
    }
}

/// Images in memory, `[N, ..]`: uint8, or numbers in [-1, 1].
pub(crate) fn image_set(
    py: Python<'_>,
    images: &Bound<'_, PyAny>,
    labels: Option<Vec<usize>>,
    split: Split,
    model: &Denoiser,
) -> PyResult<ImageSet> {
    let shape = model.shape.as_slice();
    if labels.is_some() && model.classes.is_none() {
        return Err(argument(
            "labels",
            "expected none: the network has no classes",
        ));
    }
    if let Ok(path) = images.extract::<PathBuf>() {
        if labels.is_some() {
            return Err(argument(
                "labels",
                "expected none beside a path: a data set has its own",
            ));
        }
        let found = detached(py, || ddpm_data::open(&path, split, Some(shape)))?;
        return found.map_err(of_data);
    }
    let set = match images.extract::<PyReadonlyArrayDyn<'_, u8>>() {
        Ok(bytes) => ImageSet::from_bytes("array", bytes.as_array()),
        Err(_) => ImageSet::from_array("array", singles("images", images)?.view()),
    }
    .map_err(invalid)?;
    if set.shape() != shape {
        let found = set.shape();
        let last = matches!((shape, found), ([c, h, w], [a, b, d]) if [h, w, c] == [a, b, d]);
        let advice = if last {
            ": channels come first, images.transpose(0, 3, 1, 2)"
        } else {
            ""
        };
        let problem = format_args!(
            "expected data of shape {shape:?}, as the network takes, found {found:?}{advice}"
        );
        return Err(argument("images", problem));
    }
    match labels {
        None => Ok(set),
        Some(labels) => set.with_labels(labels).map_err(invalid),
    }
}

#[pyfunction]
#[pyo3(signature = (model, images, *, labels, evaluations, limit, seed, split, clip, bands, images_per_block, out, resume, save_every, progress))]
pub(crate) fn profile(
    py: Python<'_>,
    model: &Denoiser,
    images: &Bound<'_, PyAny>,
    labels: Option<Vec<usize>>,
    evaluations: Option<u64>,
    limit: Option<usize>,
    seed: u64,
    split: &str,
    clip: bool,
    bands: bool,
    images_per_block: Option<usize>,
    out: Option<PathBuf>,
    resume: bool,
    save_every: f64,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<Profile> {
    let split: Split = named("split", split)?;
    let output = Output::of(out, resume)?;
    let set = image_set(py, images, labels, split, model)?;
    let available = set.len();
    let wanted = limit.unwrap_or(available);
    if !(1..=available).contains(&wanted) {
        let problem =
            format_args!("expected 1 to {available}, the number of images, found {wanted}");
        return Err(argument("limit", problem));
    }
    let mut chosen = selection(seed, available, wanted);
    let network = model.silent();
    let schedule = network.noise_schedule();
    let timesteps = spend(evaluations, &mut chosen, limit.is_some(), schedule).map_err(invalid)?;
    // Here, off the Python thread: a profile records the hash, for which every image is read.
    detached(py, || set.sha256().map(|_| ()))?.map_err(of_data)?;
    let mut plan = ProfilePlan::new(timesteps, chosen, ProfilePlan::BLOCKS, seed);
    if let Some(size) = images_per_block {
        plan.images_per_block = size;
    }
    plan.clip_denoised = clip;
    plan.batch = model.batch;
    plan.save_every =
        Duration::try_from_secs_f64(save_every).map_err(|error| argument("save_every", error))?;
    if !bands {
        plan.bands = ProfileBands::None;
    }
    let earlier = output.earlier(py, ElboProfile::from_bytes)?;
    let made = run(py, model, progress, |network, progress| {
        ddpm_eval::profile(
            network,
            &set,
            &plan,
            split,
            earlier,
            progress,
            &mut |so_far| output.keep(|| so_far.to_bytes()),
        )
    })?;
    output.finish(|| made.to_bytes())?;
    Ok(Profile {
        inner: made,
        process: model.process.clone(),
    })
}
