//! Processes of running tasks, and signals to them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The process numbers in a table of `scontrol listpids`, of one job or of all.
pub(crate) fn processes_in(table: &str, job: Option<&str>) -> Vec<u32> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let pid = words.next()?.parse().ok()?;
            (job.is_none() || job == words.next()).then_some(pid)
        })
        .collect()
}

/// The slurmstepd that started a script; `None` for what is not a script.
pub(crate) fn slurmstepd_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(of(pid).join("status")).ok()?;
    let parent = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))?
        .trim()
        .parse()
        .ok()?;
    let name = fs::read_to_string(of(parent).join("comm")).ok()?;
    (name.trim() == "slurmstepd").then_some(parent)
}

/// Sends a signal to processes, one after the other. Those that have ended meanwhile are no error.
///
/// # Errors
/// A process that is there and cannot be sent the signal.
pub(crate) fn kill(signal: &str, pids: &[u32]) -> anyhow::Result<()> {
    for &pid in pids {
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(pid.to_string())
            .stderr(Stdio::null())
            .status()
            .context("failed to start kill")?;
        if !status.success() && of(pid).exists() {
            bail!("kill -{signal} {pid} ended with {status}");
        }
    }
    Ok(())
}

fn of(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_read_from_the_table() {
        let table = "PID      JOBID    STEPID   LOCALID GLOBALID\n\
                     22278    6        batch    0       0\n\
                     22310    6        batch    -       -\n\
                     22293    9        batch    0       0\n";
        assert_eq!(processes_in(table, None), [22278, 22310, 22293]);
        assert_eq!(processes_in(table, Some("6")), [22278, 22310]);
        assert_eq!(processes_in("", None), [0u32; 0]);
    }
}
