//! What a run of trajectories has made so far, kept.

use std::ops::Range;
use std::time::{Duration, Instant};

use ddpm_trajectory::Trajectories;

use crate::error::{Error, Result};

/// Saves at most every so often, and before the run ends early.
pub(super) struct Saver<'a> {
    every: Duration,
    saved: Instant,
    save: &'a mut dyn FnMut(&Trajectories) -> Result<()>,
}

impl<'a> Saver<'a> {
    pub(super) fn new(
        every: Duration,
        save: &'a mut dyn FnMut(&Trajectories) -> Result<()>,
    ) -> Self {
        Self {
            every,
            saved: Instant::now(),
            save,
        }
    }

    /// A piece is done: saves if it is time.
    pub(super) fn piece(&mut self, so_far: &Trajectories) -> Result<()> {
        if self.saved.elapsed() >= self.every {
            (self.save)(so_far)?;
            self.saved = Instant::now();
        }
        Ok(())
    }

    /// The error that ends the run, after a save; that of the save if it fails: what cannot be saved is lost, and whoever waits for
    /// it must know.
    pub(super) fn last(&mut self, so_far: Option<&Trajectories>, error: Error) -> Error {
        match so_far.map(|so_far| (self.save)(so_far)) {
            Some(Err(unsaved)) => unsaved,
            _ => error,
        }
    }

    /// Trajectories of `count` images, `size` at a time, after those that `earlier` has.
    pub(super) fn by_images(
        &mut self,
        earlier: Option<Trajectories>,
        count: usize,
        size: usize,
        mut make: impl FnMut(Range<usize>) -> Result<Trajectories>,
    ) -> Result<Trajectories> {
        let mut so_far = earlier;
        if let Some(finished) = &mut so_far {
            finished.set_evaluations(0);
        }
        while so_far.as_ref().map_or(0, Trajectories::images) < count {
            let begin = so_far.as_ref().map_or(0, Trajectories::images);
            let mut part = make(begin..(begin + size).min(count))
                .map_err(|error| self.last(so_far.as_ref(), error))?;
            part.set_evaluations(0);
            let grown = match so_far {
                None => part,
                Some(mut so_far) => {
                    so_far.append(part)?;
                    so_far
                }
            };
            self.piece(&grown)?;
            so_far = Some(grown);
        }
        so_far.ok_or_else(|| Error::request("count", "expected at least one image"))
    }
}
