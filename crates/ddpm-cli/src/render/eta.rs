//! When a run will be done.

use std::time::Duration;

/// After this time a measured speed counts for 1/e of what it did.
const MEMORY: f64 = 30.0;

/// Estimates the time that is left from the speed of the last half minute.
///
/// The first advance of a run is the slowest (weights are packed, batch sizes are tried): it counts only until as much time
/// again has been measured without it.
///
/// Moments are told as the time since a fixed one.
#[derive(Debug, Default)]
pub(crate) struct Eta {
    total: u64,
    done: u64,
    /// The last advance, or the start.
    last: Duration,
    /// Seconds and amount of the first advance.
    first: Option<(f64, f64)>,
    /// Seconds since the first advance.
    since_first: f64,
    /// Amount done and seconds taken since the first advance, old ones weighted down.
    recent: (f64, f64),
}

impl Eta {
    /// A run that begins now, with `total` to do; what was done before says nothing about its speed.
    pub(crate) fn start(now: Duration, total: u64) -> Self {
        Self {
            total,
            last: now,
            ..Self::default()
        }
    }

    /// `n` more are done.
    pub(crate) fn advance(&mut self, now: Duration, n: u64) {
        let seconds = now.saturating_sub(self.last).as_secs_f64();
        self.last = now;
        self.done += n;
        if self.first.is_none() {
            self.first = Some((seconds, n as f64));
            return;
        }
        self.since_first += seconds;
        // A speed of n / seconds for so long, seen from its end with a memory that fades.
        let kept = (-seconds / MEMORY).exp();
        let weight = if seconds > 0.0 {
            MEMORY * (1.0 - kept) / seconds
        } else {
            1.0
        };
        let (amount, time) = self.recent;
        self.recent = (
            amount * kept + n as f64 * weight,
            time * kept + seconds * weight,
        );
    }

    /// Per second; unknown before the first advance.
    pub(crate) fn rate(&self) -> Option<f64> {
        let (first_seconds, first_amount) = self.first?;
        let (mut amount, mut seconds) = self.recent;
        if self.since_first < first_seconds {
            amount += first_amount;
            seconds += first_seconds;
        }
        (amount > 0.0 && seconds > 0.0).then(|| amount / seconds)
    }

    /// The time that is left; unknown before the first advance.
    pub(crate) fn left(&self) -> Option<Duration> {
        let open = self.total.saturating_sub(self.done);
        if open == 0 {
            return Some(Duration::ZERO);
        }
        Duration::try_from_secs_f64(open as f64 / self.rate()?).ok()
    }
}

/// The time that is left as a person says it: two units at most, seconds only where they matter.
pub(crate) fn in_words(left: Option<Duration>) -> String {
    let Some(left) = left else {
        return "time left unknown".to_owned();
    };
    let seconds = left.as_secs_f64().ceil() as u64;
    match seconds {
        0..60 => format!("{seconds} s left"),
        60..3600 => format!("{} min {:02} s left", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min left", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h left", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run under a clock that goes when it is told to.
    struct Run {
        now: Duration,
        eta: Eta,
    }

    impl Run {
        fn wait(&mut self, seconds: f64) {
            self.now += Duration::from_secs_f64(seconds);
        }

        fn start(&mut self, total: u64) {
            self.eta = Eta::start(self.now, total);
        }

        fn advance(&mut self, n: u64) {
            self.eta.advance(self.now, n);
        }

        fn rate(&self) -> Option<f64> {
            self.eta.rate()
        }

        fn left(&self) -> Option<Duration> {
            self.eta.left()
        }
    }

    fn run(total: u64) -> Run {
        // Long after the clock began, which must not matter.
        let now = Duration::from_secs(1000);
        let eta = Eta::default();
        let mut run = Run { now, eta };
        run.wait(50.0);
        run.start(total);
        run
    }

    fn left(run: &Run) -> f64 {
        run.left().expect("known").as_secs_f64()
    }

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() <= 1e-6 * expected.max(1.0),
            "found {found}, expected {expected}"
        );
    }

    #[test]
    fn a_steady_speed_is_exact_from_the_first_advance_on() {
        let mut eta = run(100);
        for made in 1..=100u32 {
            eta.wait(0.5);
            eta.advance(1);
            close(left(&eta), 0.5 * f64::from(100 - made));
            close(eta.rate().unwrap(), 2.0);
        }
    }

    #[test]
    fn batches_of_unequal_size_at_one_speed_are_steady() {
        let mut eta = run(1000);
        for n in [8, 16, 4, 32, 8] {
            eta.wait(n as f64 * 0.25);
            eta.advance(n);
            close(eta.rate().unwrap(), 4.0);
        }
    }

    #[test]
    fn nothing_is_known_before_the_first_advance() {
        let mut eta = run(100);
        eta.wait(10.0);
        assert_eq!((eta.left(), eta.rate()), (None, None));
        let empty = run(0);
        assert_eq!(empty.left(), Some(Duration::ZERO));
    }

    #[test]
    fn a_speed_that_changes_is_followed() {
        let mut eta = run(10_000);
        for _ in 0..100 {
            eta.wait(1.0);
            eta.advance(10);
        }
        close(eta.rate().unwrap(), 10.0);
        // Half as fast. Between the two for a while, then at the new speed, never beyond it.
        let mut before = 10.0;
        for second in 1..=150 {
            eta.wait(1.0);
            eta.advance(5);
            let rate = eta.rate().unwrap();
            assert!(rate < before && rate > 5.0, "{second}: {rate}");
            before = rate;
        }
        assert!(before < 5.05, "{before}");
    }

    #[test]
    fn a_slow_first_advance_is_forgotten_once_it_is_outweighed() {
        let mut eta = run(100);
        eta.wait(10.0);
        eta.advance(1);
        close(left(&eta), 990.0);
        eta.wait(1.0);
        eta.advance(1);
        assert!(left(&eta) < 990.0 && left(&eta) > 98.0);
        for _ in 0..9 {
            eta.wait(1.0);
            eta.advance(1);
        }
        // As much time again: the others alone.
        close(left(&eta), 89.0);
    }

    #[test]
    fn what_was_done_before_says_nothing_about_the_speed() {
        let mut eta = run(900);
        for _ in 0..900 {
            eta.wait(0.01);
            eta.advance(1);
        }
        // The other hundred of a thousand, after a pause and at another speed, as a resumed run or the next stage.
        eta.wait(500.0);
        eta.start(100);
        assert_eq!((eta.left(), eta.rate()), (None, None));
        eta.wait(2.0);
        eta.advance(1);
        close(eta.rate().unwrap(), 0.5);
        close(left(&eta), 198.0);
    }

    #[test]
    fn a_finished_run_has_no_time_left() {
        let mut eta = run(4);
        eta.wait(1.0);
        eta.advance(4);
        assert_eq!(eta.left(), Some(Duration::ZERO));
        // More than was announced, or no time at all between two advances: no panic, no negative time.
        eta.advance(3);
        assert_eq!(eta.left(), Some(Duration::ZERO));
        let mut instant = run(4);
        instant.advance(1);
        assert_eq!(instant.left(), None);
        instant.advance(1);
        assert_eq!(instant.left(), None);
    }

    /// Threads that finish together do not look like an enormous speed.
    #[test]
    fn bursts_are_averaged() {
        let mut eta = run(1000);
        for _ in 0..20 {
            eta.wait(4.0);
            for _ in 0..4 {
                eta.advance(1);
            }
        }
        assert!((eta.rate().unwrap() - 1.0).abs() < 0.1);
    }

    #[test]
    fn times_are_said_as_a_person_says_them() {
        let said = |seconds: f64| in_words(Some(Duration::from_secs_f64(seconds)));
        assert_eq!(in_words(None), "time left unknown");
        assert_eq!(said(0.0), "0 s left");
        assert_eq!(said(0.2), "1 s left");
        assert_eq!(said(59.0), "59 s left");
        assert_eq!(said(59.5), "1 min 00 s left");
        assert_eq!(said(3599.0), "59 min 59 s left");
        assert_eq!(said(3600.0), "1 h 00 min left");
        assert_eq!(said(90_000.0), "1 d 01 h left");
    }
}
