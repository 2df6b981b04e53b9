//! One progress line on stderr: done, total, rate, time left. Where nobody can watch a line that is rewritten (a file, a pipe) it is a new
//! one every minute; nothing at all under `--quiet`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ddpm_eval::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::eta::{Eta, in_words};
use crate::error::Result;
use crate::interrupt::StopRequest;
use crate::output::{Voice, say};

type Shared = Arc<Mutex<Eta>>;

/// The time between two lines of a log.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// A progress line, hidden when stderr is not a terminal that can rewrite a line or `--quiet` was given.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    /// What is counted.
    what: &'static str,
    bar: ProgressBar,
    eta: Shared,
    began: Instant,
    voice: Voice,
    stop: Option<StopRequest>,
    /// Evaluations that an earlier run made.
    earlier: u64,
    log: Log,
}

impl ProgressLine {
    /// A line that counts network evaluations.
    pub(crate) fn new(voice: Voice) -> Self {
        Self::counting("evaluations", voice)
    }

    /// A line that counts something else.
    pub(crate) fn counting(what: &'static str, voice: Voice) -> Self {
        // indicatif hides the line under TERM=dumb.
        let target = if voice.is_watched() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let eta: Shared = Arc::default();
        // No colour: nothing to switch off under NO_COLOR.
        let template = format!("{{wide_bar}} {{pos}}/{{len}} {what}, {{rate}}{{left}}");
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
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.with_key("rate", rate).with_key("left", left));
        }
        Self {
            what,
            bar,
            eta,
            began: Instant::now(),
            voice,
            stop: None,
            earlier: 0,
            log: Log::default(),
        }
    }

    /// A line of a run that the user can stop.
    pub(crate) fn stoppable(voice: Voice) -> Result<Self> {
        Ok(Self {
            stop: Some(StopRequest::watch()?),
            ..Self::new(voice)
        })
    }

    /// The same of a run of which `done` evaluations were made before, wherever it begins.
    pub(crate) fn after(mut self, done: u64) -> Self {
        self.earlier = done;
        self
    }

    /// Writes a line of the log, if it is time for one.
    fn log(&self) {
        if !self.voice.is_logged() || !self.log.is_due(self.began.elapsed()) {
            return;
        }
        let eta = locked(&self.eta);
        let rate = eta
            .rate()
            .map_or_else(String::new, |rate| format!("{rate:.1}/s, "));
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or_default());
        say(format_args!(
            "{done}/{total} {}, {rate}{}",
            self.what,
            in_words(eta.left())
        ));
    }
}

/// When lines of a log are written.
#[derive(Debug, Default)]
struct Log {
    last: Mutex<Duration>,
}

impl Log {
    /// Whether a line is due at this time since the beginning; then the next is due a minute later.
    fn is_due(&self, now: Duration) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = now.saturating_sub(*last) >= LOG_EVERY;
        if is_due {
            *last = now;
        }
        is_due
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
        self.start_again(self.earlier, total);
    }

    fn start_again(&self, done: u64, left: u64) {
        *locked(&self.eta) = Eta::start(self.began.elapsed(), left);
        self.bar.set_length(done + left);
        self.bar.reset();
        self.bar.set_position(done);
    }

    fn advance(&self, n: u64) {
        locked(&self.eta).advance(self.began.elapsed(), n);
        self.bar.inc(n);
        self.log();
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn interrupted(&self) -> bool {
        self.stop.as_ref().is_some_and(StopRequest::is_asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_one_line_a_minute() {
        let log = Log::default();
        let due = |seconds: u64| log.is_due(Duration::from_secs(seconds));
        let written: Vec<u64> = (0..=300)
            .step_by(7)
            .filter(|&seconds| due(seconds))
            .collect();
        assert_eq!(written, [63, 126, 189, 252]);
    }

    #[test]
    fn the_line_of_a_run_that_goes_on_begins_where_that_stopped() {
        let line = ProgressLine::new(Voice::new(true));
        line.start_again(30, 10);
        assert_eq!((line.bar.position(), line.bar.length()), (30, Some(40)));
        line.advance(4);
        assert_eq!(line.bar.position(), 34);
        let line = ProgressLine::new(Voice::new(true)).after(5);
        line.start(7);
        assert_eq!((line.bar.position(), line.bar.length()), (5, Some(12)));
    }
}
