//! One progress line on stderr: done, total, rate, time left. Nothing at all unless a person
//! watches.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ddpm_eval::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::eta::{Eta, in_words};
use crate::error::Result;
use crate::interrupt::StopRequest;
use crate::output::Voice;

type Shared = Arc<Mutex<Eta>>;

/// A progress line, hidden when stderr is not a terminal that can rewrite a line or `--quiet` was given.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    bar: ProgressBar,
    eta: Shared,
    began: Instant,
    voice: Voice,
    stop: Option<StopRequest>,
}

impl ProgressLine {
    /// A line that counts network evaluations.
    pub(crate) fn new(voice: Voice) -> Self {
        // indicatif hides the line under TERM=dumb.
        let target = if voice.is_watched() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let eta: Shared = Arc::default();
        // No colour: nothing to switch off under NO_COLOR.
        let template = "{wide_bar} {pos}/{len} evaluations, {rate}{left}";
        // A line that cannot be drawn is no reason to fail.
        let (of_rate, of_left) = (Arc::clone(&eta), Arc::clone(&eta));
        let rate = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            if let Some(rate) = locked(&of_rate).rate() {
                let _ = write!(out, "{rate:.1}/s, ");
            }
        };
        let left = move |_: &ProgressState, out: &mut dyn fmt::Write| {
            let _ = out.write_str(&in_words(locked(&of_left).left()));
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("rate", rate).with_key("left", left));
        }
        Self {
            bar,
            eta,
            began: Instant::now(),
            voice,
            stop: None,
        }
    }

    /// A line of a run that the user can stop.
    pub(crate) fn stoppable(voice: Voice) -> Result<Self> {
        Ok(Self {
            stop: Some(StopRequest::watch()?),
            ..Self::new(voice)
        })
    }
}

/// The estimate; a thread that panicked while it held it left nothing half-done that matters.
fn locked(eta: &Shared) -> MutexGuard<'_, Eta> {
    eta.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress for ProgressLine {
    fn stage(&self, what: &str) {
        self.voice.note(what);
    }

    fn start(&self, total: u64) {
        *locked(&self.eta) = Eta::start(self.began.elapsed(), total);
        self.bar.set_length(total);
        self.bar.reset();
    }

    fn advance(&self, n: u64) {
        locked(&self.eta).advance(self.began.elapsed(), n);
        self.bar.inc(n);
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn interrupted(&self) -> bool {
        self.stop.as_ref().is_some_and(StopRequest::is_asked)
    }
}
