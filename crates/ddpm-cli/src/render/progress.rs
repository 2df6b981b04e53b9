//! One progress line on stderr: done, total, rate, time left. Nothing at all unless a person
//! watches.

use std::fmt;

use ddpm_eval::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::interrupt::StopRequest;
use crate::output::Voice;

/// A progress line, hidden when stderr is not a terminal or `--quiet` was given.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    bar: ProgressBar,
    stop: Option<StopRequest>,
}

impl ProgressLine {
    /// A line that counts network evaluations.
    pub(crate) fn new(voice: Voice) -> Self {
        let target = if voice.is_watched() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        // No colour: nothing to switch off under NO_COLOR.
        let template = "{wide_bar} {pos}/{len} evaluations, {rate}, {eta} left";
        let rate = |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A line that cannot be drawn is no reason to fail.
            let _ = write!(out, "{:.1}/s", state.per_sec());
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("rate", rate));
        }
        Self { bar, stop: None }
    }

    /// Also tells the run to stop when the user asks.
    pub(crate) fn stopping_on(mut self, stop: StopRequest) -> Self {
        self.stop = Some(stop);
        self
    }
}

impl Progress for ProgressLine {
    fn start(&self, total: u64) {
        self.bar.set_length(total);
        self.bar.reset();
    }

    fn advance(&self, n: u64) {
        self.bar.inc(n);
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn interrupted(&self) -> bool {
        self.stop.as_ref().is_some_and(StopRequest::is_asked)
    }
}
