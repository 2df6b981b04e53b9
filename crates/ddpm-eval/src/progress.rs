//! How a long run tells what it has done, and is told to stop.

/// Watches a long run. Everything is counted in network evaluations of one image, from which a rate and a time to
/// completion follow.
///
/// Called from worker threads; the counts are exact, their order is not.
pub trait Progress: Sync {
    /// The next stage of a run of several begins; `what` names it. [`start`](Self::start) follows.
    fn stage(&self, what: &str) {
        let _ = what;
    }

    /// The run, or its next stage, begins and will make `total` network evaluations (those of a resumed part are not counted).
    fn start(&self, total: u64);

    /// As [`start`](Self::start), of a run that goes on: `done` evaluations of it were made earlier, `left` are to come.
    fn start_again(&self, done: u64, left: u64) {
        let _ = done;
        self.start(left);
    }

    /// `n` more network evaluations are done.
    fn advance(&self, n: u64);

    /// The run is complete.
    fn finish(&self);

    /// Whether the run should stop at the next batch, with [`Error::Interrupted`](crate::Error::Interrupted).
    fn interrupted(&self) -> bool {
        false
    }
}

/// A part of a run whose beginning and end somebody else tells.
pub(crate) struct Part<'a>(pub(crate) &'a dyn Progress);

impl Progress for Part<'_> {
    fn start(&self, _total: u64) {}

    fn advance(&self, n: u64) {
        self.0.advance(n);
    }

    fn finish(&self) {}

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}

/// No reports, no interruption.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn start(&self, _total: u64) {}
    fn advance(&self, _n: u64) {}
    fn finish(&self) {}
}
