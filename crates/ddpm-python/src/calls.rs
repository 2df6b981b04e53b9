//! How the libraries, which compute on threads of their own, call a Python function on the thread that called us.
//!
//! ```text
//!   calling Python thread                       threads of this call
//!     run ── starts ──────────────────────────▶ a library's function
//!      │ waits without the GIL                      │ Denoiser::predict
//!      │ ◀───────────── Asked { x, times } ─────────┘ waits
//!      │ calls the user's function
//!      └─────────────── Prediction ───────────▶ goes on
//! ```
//!
//! torch's no_grad, autocast and devices belong to a thread, and only the main one sees signals. The threads end with the call: none is there when a
//! process forks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ddpm_core::DenoiserError;
use ddpm_eval::Progress;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyRange};

use crate::errors::{fault, of_eval, system};
use crate::model::{Asked, Denoiser};

/// How often signals are looked for while nothing is asked.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a library says of its progress, until the calling thread tells it on.
#[derive(Default)]
struct Watch {
    stop: AtomicBool,
    events: Mutex<Vec<Event>>,
}

enum Event {
    Start(u64),
    Advance(u64),
}

impl Watch {
    fn taken(&self) -> Vec<Event> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *events)
    }

    fn say(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event);
    }
}

impl Progress for Watch {
    fn start(&self, total: u64) {
        self.say(Event::Start(total));
    }

    fn advance(&self, n: u64) {
        self.say(Event::Advance(n));
    }

    fn finish(&self) {}

    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What the user watches: `wrap(range(total))` of each stage, an iterator that is taken one step further with every evaluation. (`tqdm` is such a
/// `wrap`.)
struct Bar<'py> {
    wrap: Option<Bound<'py, PyAny>>,
    now: Option<Bound<'py, PyIterator>>,
}

impl Bar<'_> {
    fn tell(&mut self, watch: &Watch) -> PyResult<()> {
        let events = watch.taken();
        let Some(wrap) = self.wrap.clone() else {
            return Ok(());
        };
        for event in events {
            match event {
                Event::Start(total) => {
                    self.end()?;
                    let range = PyRange::new(wrap.py(), 0, total as isize)?;
                    let bar = wrap.call1((range,))?.try_iter()?;
                    self.now = Some(bar);
                }
                Event::Advance(n) => {
                    for _ in 0..n {
                        if let Some(bar) = &mut self.now {
                            bar.next().transpose()?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the step behind the last, which closes a tqdm bar.
    fn end(&mut self) -> PyResult<()> {
        let beyond = self.now.take().and_then(|mut bar| bar.next());
        beyond.transpose().map(|_| ())
    }
}

/// Runs `work` with the user's network, whose function is called on this thread.
///
/// An exception of the function, or of a signal (Ctrl-C), stops the work at its next batch, lets it save what it has, and is raised then.
pub(crate) fn run<R: Send>(
    py: Python<'_>,
    model: &Denoiser,
    progress: Option<Bound<'_, PyAny>>,
    work: impl FnOnce(&dyn ddpm_core::Denoiser, &dyn Progress) -> ddpm_eval::Result<R> + Send,
) -> PyResult<R> {
    let watch = &Watch::default();
    let mut bar = Bar {
        wrap: progress,
        now: None,
    };
    let (questions, asked) = channel();
    let network = model.network(questions);
    let (outcome, stop) = std::thread::scope(|scope| {
        // The network moves there: where it is dropped, nothing more can be asked.
        let worker = scope.spawn(move || threads(|| work(&network, watch)));
        let stop = serve(py, model, asked, watch, &mut bar);
        (py.detach(|| worker.join()), stop)
    });
    let outcome = outcome.map_err(|_| fault("a thread panicked"));
    if let Some(error) = stop {
        let failed = outcome.ok().and_then(Result::ok).and_then(Result::err);
        if let Some(ddpm_eval::Error::Data(lost @ ddpm_data::Error::Write { .. })) = failed {
            // Python 3.10 has no notes.
            let _ = error
                .value(py)
                .call_method1("add_note", (lost.to_string(),));
        }
        return Err(error);
    }
    let made = outcome??.map_err(of_eval)?;
    if let Err(error) = bar.tell(watch).and_then(|()| bar.end()) {
        // What was computed counts more than its bar.
        error.write_unraisable(py, None);
    }
    Ok(made)
}

/// Answers until nobody can ask; the exception that ended it, if one did.
fn serve(
    py: Python<'_>,
    model: &Denoiser,
    asked: Receiver<Asked>,
    watch: &Watch,
    bar: &mut Bar<'_>,
) -> Option<PyErr> {
    // Owned: where this unwinds nobody waits for an answer.
    let asked = Mutex::new(asked);
    let mut stop: Option<PyErr> = None;
    loop {
        let next = py.detach(|| {
            let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.recv_timeout(PATIENCE)
        });
        let mut end = |error: PyErr| {
            watch.stop.store(true, Ordering::Relaxed);
            stop.get_or_insert(error);
        };
        match next {
            Ok(Asked {
                x,
                times,
                labels,
                answer,
            }) => {
                let found = if watch.interrupted() {
                    Err(DenoiserError::new("the run is being stopped"))
                } else {
                    model.call(py, x, times, labels).map_err(|error| {
                        let message = error.to_string();
                        end(error);
                        DenoiserError::new(message)
                    })
                };
                // Who asked may have failed meanwhile.
                let _ = answer.send(found);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return stop,
        }
        if let Err(error) = py.check_signals().and_then(|()| bar.tell(watch)) {
            end(error);
        }
    }
}

/// Runs `work` without the GIL, on threads that end with it.
pub(crate) fn detached<R: Send>(py: Python<'_>, work: impl FnOnce() -> R + Send) -> PyResult<R> {
    py.detach(|| threads(work))
}

/// On a pool of their own, whose threads are joined.
fn threads<R: Send>(work: impl FnOnce() -> R + Send) -> PyResult<R> {
    rayon::ThreadPoolBuilder::new()
        .build_scoped(|thread| thread.run(), |pool| pool.install(work))
        .map_err(|error| {
            let error = std::io::Error::other(error.to_string());
            system("cannot start threads", &error)
        })
}
