//! A daemon as a child of this program.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use xtask::show;

use crate::client::wait_until;
use crate::processes::kill;

/// How long it may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// A daemon in the foreground; it ends when this is dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts it with its output at the end of `log`.
    ///
    /// # Errors
    /// A log that cannot be written, or a program that cannot be started.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let context = || format!("failed to open {}", log.display());
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(context)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().with_context(context)?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("failed to start {}", show(command)))?;
        println!("   {} (process {})", show(command), child.id());
        Ok(Self(child))
    }

    /// Its number.
    pub(crate) fn process(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end, and ends it if it does not.
    pub(crate) fn stop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        let ended = kill("TERM", &[self.0.id()]).and_then(|()| {
            wait_until(PATIENCE, "the daemon has ended", || {
                Ok(self.0.try_wait()?.is_some())
            })
        });
        if ended.is_err() {
            // It may have ended just now; there is nothing more to do about it.
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}
