//! How many images the network gets at a time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ddpm_core::Denoiser;

/// Sizes that are tried.
const CANDIDATES: [usize; 4] = [4, 8, 16, 32];
/// How often each is tried; the fastest try counts.
const TRIES: usize = 2;
/// Pixels of a batch beyond which no larger one is tried: its activations would take gigabytes.
const MOST_PIXELS: usize = 32 * 64 * 64;
/// A larger batch must be faster by this to be worth its memory.
const GAIN: f64 = 0.98;

/// The batch size: what was asked for, or the fastest, found by timing different sizes on the first of the real work.
///
/// Nothing is computed twice for it, and no result depends on it.
pub(crate) struct BatchSize {
    state: Mutex<State>,
}

enum State {
    Fixed(usize),
    Trying(Trials),
}

struct Trials {
    /// Size and seconds per image of each finished try.
    done: Vec<(usize, f64)>,
    /// The first batch pays for packing weights and is not timed.
    warm: bool,
    first: usize,
}

impl BatchSize {
    /// `asked`, or to be found if that is 0.
    pub(crate) fn new(asked: usize, denoiser: &dyn Denoiser) -> Self {
        // Without the channels; a vector is one pixel.
        let pixels: usize = denoiser.shape().iter().skip(1).product();
        let first = denoiser.preferred_batch().max(1);
        let largest = MOST_PIXELS / pixels.max(1);
        let state = match asked {
            // Large images fill the threads and the memory by themselves.
            0 if largest < CANDIDATES[CANDIDATES.len() - 1] => {
                State::Fixed(first.min(largest.max(1)))
            }
            0 => State::Trying(Trials {
                done: Vec::new(),
                warm: false,
                first,
            }),
            size => State::Fixed(size),
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Calls `work` with the number of images to take of the `left`, and learns from how long it takes.
    pub(crate) fn run<R>(&self, left: usize, work: impl FnOnce(usize) -> R) -> R {
        let asked = self.lock().size();
        let size = asked.min(left);
        let start = Instant::now();
        let result = work(size);
        if size == asked {
            self.lock().record(size, start.elapsed());
        }
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn size(&self) -> usize {
        match self {
            Self::Fixed(size) => *size,
            Self::Trying(trials) if !trials.warm => trials.first,
            Self::Trying(trials) => CANDIDATES[trials.done.len() % CANDIDATES.len()],
        }
    }

    fn record(&mut self, size: usize, time: Duration) {
        let Self::Trying(trials) = self else { return };
        if !trials.warm {
            trials.warm = true;
            return;
        }
        trials.done.push((size, time.as_secs_f64() / size as f64));
        if trials.done.len() == TRIES * CANDIDATES.len() {
            *self = Self::Fixed(trials.fastest());
        }
    }
}

impl Trials {
    fn fastest(&self) -> usize {
        let least = |size: usize| {
            let times = self.done.iter().filter(|(tried, _)| *tried == size);
            times.map(|&(_, time)| time).fold(f64::INFINITY, f64::min)
        };
        let mut best = CANDIDATES[0];
        for size in CANDIDATES {
            if least(size) < GAIN * least(best) {
                best = size;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trying() -> State {
        State::Trying(Trials {
            done: Vec::new(),
            warm: false,
            first: 8,
        })
    }

    fn settle(milliseconds_per_image: impl Fn(usize) -> f64) -> usize {
        let mut state = trying();
        for _ in 0..=TRIES * CANDIDATES.len() {
            let size = state.size();
            let seconds = milliseconds_per_image(size) * size as f64 / 1e3;
            state.record(size, Duration::from_secs_f64(seconds));
        }
        assert!(matches!(state, State::Fixed(_)));
        state.size()
    }

    #[test]
    fn the_fastest_size_wins_and_small_gains_do_not_count() {
        assert_eq!(settle(|size| 1.0 + 8.0 / size as f64), 32);
        assert_eq!(settle(|size| 1.0 + size as f64), 4);
        assert_eq!(settle(|size| if size == 16 { 1.0 } else { 2.0 }), 16);
        assert_eq!(settle(|size| 1.0 - 1e-4 * size as f64), 4);
    }

    #[test]
    fn the_last_images_are_not_timed() {
        let batch = BatchSize {
            state: Mutex::new(trying()),
        };
        assert_eq!(batch.run(100, |size| size), 8);
        assert_eq!(batch.run(100, |size| size), 4);
        assert_eq!(batch.run(3, |size| size), 3);
        assert_eq!(batch.run(100, |size| size), 8);
    }
}
