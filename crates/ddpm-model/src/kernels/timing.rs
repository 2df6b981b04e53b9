//! Where the time goes, operation by operation.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time is taken only where this environment variable is set to something other than `0`.
pub const TIMING_VARIABLE: &str = "DDPM_TIMING";

static ENABLED: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os(TIMING_VARIABLE).is_some_and(|value| value != "0"));

static TOTALS: Mutex<BTreeMap<String, (u64, Duration)>> = Mutex::new(BTreeMap::new());

/// Time spent in one kind of operation since the program began.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OperationTime {
    /// What it is, with its sizes.
    pub operation: String,
    /// How often it ran.
    pub calls: u64,
    /// Wall time of all calls together.
    pub total: Duration,
}

/// The operations timed so far, the longest first; empty unless [`TIMING_VARIABLE`] is set.
pub fn operation_times() -> Vec<OperationTime> {
    let totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut times: Vec<OperationTime> = totals
        .iter()
        .map(|(operation, &(calls, total))| OperationTime {
            operation: operation.clone(),
            calls,
            total,
        })
        .collect();
    times.sort_by_key(|time| std::cmp::Reverse(time.total));
    times
}

/// Adds the time until it is dropped to its operation's.
pub(super) struct Timer(Option<(String, Instant)>);

/// Starts the clock for the operation `name`, if time is taken at all.
pub(super) fn start(name: impl FnOnce() -> String) -> Timer {
    Timer(ENABLED.then(|| (name(), Instant::now())))
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some((name, start)) = self.0.take() {
            let elapsed = start.elapsed();
            let mut totals = TOTALS.lock().unwrap_or_else(PoisonError::into_inner);
            let (calls, total) = totals.entry(name).or_default();
            *calls += 1;
            *total += elapsed;
        }
    }
}
