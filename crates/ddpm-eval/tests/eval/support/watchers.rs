//! Progress that counts, progress that stops a run, and a network that remembers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ddpm_core::{Denoiser, DenoiserError, NoiseSchedule, Parameterization, Prediction};
use ddpm_eval::Progress;
use ndarray::{ArrayD, ArrayViewD};

/// Counts what it is told, and asks to stop once `limit` evaluations are done.
#[derive(Default)]
pub(crate) struct Counter {
    pub(crate) total: AtomicU64,
    pub(crate) done: AtomicU64,
    pub(crate) finished: AtomicBool,
    pub(crate) limit: Option<u64>,
}

impl Counter {
    pub(crate) fn stopping_after(limit: u64) -> Self {
        Self {
            limit: Some(limit),
            ..Self::default()
        }
    }

    /// (total, done, finished).
    pub(crate) fn seen(&self) -> (u64, u64, bool) {
        (
            self.total.load(Ordering::SeqCst),
            self.done.load(Ordering::SeqCst),
            self.finished.load(Ordering::SeqCst),
        )
    }
}

impl Progress for Counter {
    fn start(&self, total: u64) {
        self.total.store(total, Ordering::SeqCst);
    }
    fn advance(&self, n: u64) {
        self.done.fetch_add(n, Ordering::SeqCst);
    }
    fn finish(&self) {
        self.finished.store(true, Ordering::SeqCst);
    }
    fn interrupted(&self) -> bool {
        self.limit
            .is_some_and(|limit| self.done.load(Ordering::SeqCst) >= limit)
    }
}

/// A network that remembers what it was fed, call by call.
pub(crate) struct Seen<'a> {
    model: &'a dyn Denoiser,
    inputs: Mutex<Vec<ArrayD<f32>>>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(model: &'a dyn Denoiser) -> Self {
        Self {
            model,
            inputs: Mutex::default(),
        }
    }

    /// One batch per step, if all images fit into one.
    pub(crate) fn inputs(&self) -> Vec<ArrayD<f32>> {
        self.inputs.lock().unwrap().clone()
    }
}

impl Denoiser for Seen<'_> {
    fn noise_schedule(&self) -> &NoiseSchedule {
        self.model.noise_schedule()
    }
    fn shape(&self) -> Vec<usize> {
        self.model.shape()
    }
    fn parameterization(&self) -> Parameterization {
        self.model.parameterization()
    }
    fn learns_variance(&self) -> bool {
        self.model.learns_variance()
    }
    fn preferred_batch(&self) -> usize {
        1000
    }
    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        self.inputs.lock().unwrap().push(x.to_owned());
        self.model.predict(x, t, labels)
    }
}
