//! A Slurm of one node, in one folder, without systemd.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;

use xtask::check;

use crate::client::{Client, captured, wait_until};
use crate::configuration::configuration;
use crate::daemon::Daemon;
use crate::processes::{kill, processes_in, slurmstepd_of};

/// How long daemons may take to answer, and jobs to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The daemons. They end, with all jobs, when this is dropped.
pub(crate) struct Cluster {
    client: Client,
    // The order in which they end.
    slurmd: Daemon,
    _slurmctld: Daemon,
    _munged: Daemon,
}

impl Cluster {
    /// Writes the configuration into `folder` and starts munged, slurmctld and slurmd.
    ///
    /// # Errors
    /// When a daemon does not start, or the node is not ready in time; the messages name the logs.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        for name in ["state", "spool"] {
            let path = folder.join(name);
            fs::create_dir_all(&path)
                .with_context(|| format!("failed to create {}", path.display()))?;
        }
        let host = captured(&mut Command::new("hostname"))?;
        let conf = folder.join("slurm.conf");
        fs::write(&conf, configuration(folder, host.trim())?)
            .with_context(|| format!("failed to write {}", conf.display()))?;
        let munged = start_munged(folder)?;
        let slurmctld = Daemon::start(
            Command::new("slurmctld")
                .args(["-D", "-c", "-f"])
                .arg(&conf),
            &folder.join("slurmctld.log"),
        )?;
        let cluster = Self {
            client: Client::new(folder),
            slurmd: start_slurmd(folder)?,
            _slurmctld: slurmctld,
            _munged: munged,
        };
        cluster.wait_for_node()?;
        Ok(cluster)
    }

    /// For commands to this cluster.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Kills the node's daemon and everything that it runs, without a word to the controller. Returns how many
    /// processes that were.
    ///
    /// # Errors
    /// A process that cannot be killed.
    pub(crate) fn crash_node(&mut self) -> anyhow::Result<usize> {
        let tasks = processes_in(&self.client.ask("scontrol", &["listpids"])?, None);
        // From above to below: nobody lives to report the death of another.
        let mut victims = vec![self.slurmd.process()];
        victims.extend(tasks.iter().filter_map(|&pid| slurmstepd_of(pid)));
        victims.extend(tasks);
        kill("KILL", &victims)?;
        self.slurmd.stop();
        Ok(victims.len())
    }

    /// Starts the node's daemon again and waits until the node takes jobs.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub(crate) fn restart_node(&mut self) -> anyhow::Result<()> {
        self.slurmd = start_slurmd(self.client.folder())?;
        self.wait_for_node()
    }

    fn wait_for_node(&self) -> anyhow::Result<()> {
        wait_until(PATIENCE, "the node is ready", || {
            // No answer yet is as good as no.
            let output = self
                .client
                .command("sinfo")
                .args(["--noheader", "--format=%t"])
                .stderr(Stdio::null())
                .output()
                .context("failed to start sinfo")?;
            let state = String::from_utf8_lossy(&output.stdout);
            Ok(["idle", "mix", "alloc"].contains(&state.trim()))
        })
        .with_context(|| format!("see the logs in {}", self.client.folder().display()))
    }

    /// Cancels all jobs and waits until none is left: their processes are not children of the daemons.
    fn cancel_jobs(&self) -> anyhow::Result<()> {
        check(self.client.command("scancel").arg("--user=root"))?;
        wait_until(PATIENCE, "all jobs are gone", || {
            Ok(self.client.ask("squeue", &["--noheader"])?.is_empty())
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.cancel_jobs() {
            eprintln!("warning: jobs may be left: {error:#}");
        }
    }
}

fn start_munged(folder: &Path) -> anyhow::Result<Daemon> {
    let at = |name: &str| folder.join(format!("munge.{name}"));
    check(
        Command::new("mungekey")
            .arg("--create")
            .arg(format!("--keyfile={}", at("key").display())),
    )?;
    let mut command = Command::new("munged");
    command.arg("--foreground");
    for (option, name) in [
        ("key-file", "key"),
        ("socket", "socket"),
        ("pid-file", "pid"),
        ("seed-file", "seed"),
    ] {
        command.arg(format!("--{option}={}", at(name).display()));
    }
    let daemon = Daemon::start(&mut command, &at("log"))?;
    wait_until(PATIENCE, "munged has made its socket", || {
        Ok(at("socket").exists())
    })
    .with_context(|| format!("see {}", at("log").display()))?;
    Ok(daemon)
}

fn start_slurmd(folder: &Path) -> anyhow::Result<Daemon> {
    Daemon::start(
        Command::new("slurmd")
            .args(["-D", "-N", "one", "-f"])
            .arg(folder.join("slurm.conf")),
        &folder.join("slurmd.log"),
    )
}
