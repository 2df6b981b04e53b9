//! Progress that counts, and progress that stops a run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ddpm_eval::Progress;

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
