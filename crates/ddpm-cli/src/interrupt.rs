//! Signals, through `signal-hook`'s safe interface only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Turns "file too large" (`RLIMIT_FSIZE`) from a deadly signal into an ordinary write error, so
/// that half-written files are removed and the command says what was refused.
pub(crate) fn report_file_size_limit_as_an_error() -> Result<()> {
    #[cfg(unix)]
    {
        use signal_hook::consts::SIGXFSZ;
        // Any handler will do: with one in place the write returns EFBIG.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))
            .map_err(Error::system("install a signal handler"))?;
    }
    Ok(())
}

/// Whether the user has asked a long run to stop.
#[derive(Clone, Debug)]
pub(crate) struct StopRequest(Arc<AtomicBool>);

impl StopRequest {
    /// Watches for Ctrl-C, a polite `kill` and a terminal that is closed. The first asks the run to stop at the next
    /// batch and to save its blocks; a second Ctrl-C or `kill` ends the process at once, as the signal itself would: nothing says then that
    /// there is something to resume.
    pub(crate) fn watch() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The order matters: the default looks at the flag before this signal sets it.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&asked))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked)))
                .map_err(Error::system("watch for Ctrl-C"))?;
        }
        // A shell that is closed may send it twice, and `nohup` has asked that it be ignored.
        #[cfg(target_os = "linux")]
        if !is_ignored(signal_hook::consts::SIGHUP) {
            signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&asked))
                .map_err(Error::system("watch for a closed terminal"))?;
        }
        Ok(Self(asked))
    }

    /// True once a signal has come.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether the process was started to ignore a signal; where the system does not tell, it was.
#[cfg(target_os = "linux")]
fn is_ignored(signal: std::ffi::c_int) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}
