//! What happens to tasks on a cluster, made to happen.

use std::time::Duration;

use anyhow::bail;

use xtask::check;

use crate::cluster::Cluster;
use crate::jobs::Jobs;
use crate::measurement::SHARDS;
use crate::processes::kill;

const PATIENCE: Duration = Duration::from_secs(120);

/// What a task had when it was stopped.
pub(crate) struct Stopped {
    task: usize,
    blocks: u64,
    bytes: u64,
}

impl Stopped {
    fn look(jobs: &Jobs, task: usize) -> anyhow::Result<Self> {
        let found = Self {
            task,
            blocks: jobs.saved_blocks(task)?,
            bytes: jobs.saved_bytes(task)?,
        };
        println!(
            "   task {task} is {}, {} blocks saved ({} bytes)",
            jobs.state(task)?,
            found.blocks,
            found.bytes
        );
        Ok(found)
    }

    /// Checks that the task's second start found what the first one had saved.
    ///
    /// # Errors
    /// A log that says otherwise.
    pub(crate) fn was_continued(&self, jobs: &Jobs) -> anyhow::Result<()> {
        let starts = jobs.starts(self.task)?;
        if starts.first() != Some(&0) || starts.get(1) != Some(&self.bytes) {
            bail!(
                "task {}: expected starts with 0 and with {} bytes of finished blocks, found {starts:?}",
                self.task,
                self.bytes
            );
        }
        println!(
            "   task {}: Slurm restarted it {} times, {} starts, the second after {} blocks",
            self.task,
            jobs.restarts(self.task)?,
            starts.len(),
            self.blocks
        );
        Ok(())
    }
}

/// SIGKILL to all processes of a task, as when memory runs out; the task fails and is requeued by hand.
pub(crate) fn kill_and_requeue(jobs: &Jobs, task: usize) -> anyhow::Result<Stopped> {
    jobs.wait_for_blocks(task, 2)?;
    let victims = jobs.processes(task)?;
    kill("KILL", &victims)?;
    println!("   SIGKILL to processes {victims:?}");
    jobs.wait_for(task, "FAILED", PATIENCE)?;
    let stopped = Stopped::look(jobs, task)?;
    jobs.requeue(task)?;
    println!("   requeued by hand");
    Ok(stopped)
}

/// The signal that Slurm sends ahead of the time limit; the task saves and requeues itself.
pub(crate) fn run_out_of_time(
    cluster: &Cluster,
    jobs: &Jobs,
    task: usize,
) -> anyhow::Result<Stopped> {
    jobs.wait_for_blocks(task, 1)?;
    check(cluster.client().command("scancel").args([
        "--signal=USR1",
        "--batch",
        &jobs.name(task),
    ]))?;
    println!("   USR1 to its script");
    jobs.wait_for(task, "PENDING", PATIENCE)?;
    let stopped = Stopped::look(jobs, task)?;
    println!("   requeued by its script");
    Ok(stopped)
}

/// The node dies under all tasks from `first` on; Slurm misses it and requeues them.
pub(crate) fn crash(
    cluster: &mut Cluster,
    jobs: &Jobs,
    first: usize,
) -> anyhow::Result<Vec<Stopped>> {
    for task in first..SHARDS {
        jobs.wait_for_blocks(task, 1)?;
    }
    let victims = cluster.crash_node()?;
    println!("   SIGKILL to slurmd and all that it ran: {victims} processes");
    let mut stopped = Vec::new();
    for task in first..SHARDS {
        jobs.wait_for(task, "PENDING", PATIENCE)?;
        stopped.push(Stopped::look(jobs, task)?);
    }
    println!("   requeued by Slurm, which missed the node; the node comes back");
    cluster.restart_node()?;
    Ok(stopped)
}
