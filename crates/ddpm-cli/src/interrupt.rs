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
    /// Watches for Ctrl-C (and a polite `kill`). The first asks the run to stop at the next
    /// batch and to save its blocks; the second ends the process at once, which loses those that
    /// were not saved yet.
    pub(crate) fn watch() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The order matters: the shutdown looks at the flag before this signal sets it.
            signal_hook::flag::register_conditional_shutdown(signal, 4, Arc::clone(&asked))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked)))
                .map_err(Error::system("watch for Ctrl-C"))?;
        }
        Ok(Self(asked))
    }

    /// True once a signal has come.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
