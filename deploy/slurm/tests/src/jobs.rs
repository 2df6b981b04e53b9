//! The array and the merge, as `deploy/slurm/submit.sh` submits them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use xtask::{check, root};

use crate::client::{Client, captured, wait_until};
use crate::measurement::{SHARDS, by_variables};
use crate::processes::processes_in;

/// What was submitted.
pub(crate) struct Jobs {
    client: Client,
    out: PathBuf,
    array: String,
    merge: String,
}

impl Jobs {
    /// Submits the array and the merge, with output in `out`.
    ///
    /// # Errors
    /// A script that fails, or does not print the numbers of its jobs.
    pub(crate) fn submit(client: &Client, ddpm: &Path, out: &Path) -> anyhow::Result<Self> {
        let mut submit = client.command(root().join("deploy/slurm/submit.sh"));
        by_variables(&mut submit);
        let printed = captured(
            submit
                .arg("--cpus-per-task=1")
                .env("DDPM", ddpm)
                .env("OUT_DIR", out)
                .env("FLAGS", "--save-every 0"),
        )?;
        print!("{printed}");
        let number = |job: &str| {
            number_of(&printed, job).with_context(|| {
                format!("submit.sh: expected a line '{job}: job N, ...', found {printed:?}")
            })
        };
        Ok(Self {
            client: client.clone(),
            out: out.to_owned(),
            array: number("profile")?,
            merge: number("merge")?,
        })
    }

    /// The name of a task for Slurm's commands.
    pub(crate) fn name(&self, task: usize) -> String {
        format!("{}_{task}", self.array)
    }

    /// A task's state, such as RUNNING.
    pub(crate) fn state(&self, task: usize) -> anyhow::Result<String> {
        self.column(&self.name(task), "%T")
    }

    /// Waits until a task is in a state.
    ///
    /// # Errors
    /// Another end of the task, or too long a wait.
    pub(crate) fn wait_for(
        &self,
        task: usize,
        state: &str,
        patience: Duration,
    ) -> anyhow::Result<()> {
        wait_until(patience, &format!("task {task} is {state}"), || {
            let found = self.state(task)?;
            if found == "COMPLETED" {
                bail!("task {task} is done; expected {state}: it was too fast for this test");
            }
            Ok(found == state)
        })
    }

    /// Waits until a running task has saved this many blocks, and returns how many it has.
    ///
    /// # Errors
    /// A task that ends before, or too long a wait.
    pub(crate) fn wait_for_blocks(&self, task: usize, least: u64) -> anyhow::Result<u64> {
        self.wait_for(task, "RUNNING", Duration::from_secs(120))?;
        let mut blocks = 0;
        wait_until(
            Duration::from_secs(300),
            &format!("task {task} has saved {least} blocks"),
            || {
                let state = self.state(task)?;
                if state != "RUNNING" {
                    bail!("task {task} is {state}; expected it to run until it is stopped");
                }
                blocks = self.saved_blocks(task)?;
                Ok(blocks >= least)
            },
        )?;
        Ok(blocks)
    }

    /// How many finished blocks a task has saved.
    pub(crate) fn saved_blocks(&self, task: usize) -> anyhow::Result<u64> {
        let partial = self.partial(task);
        if !partial.exists() {
            return Ok(0);
        }
        let bytes =
            fs::read(&partial).with_context(|| format!("failed to read {}", partial.display()))?;
        finished_blocks(&bytes)
            .with_context(|| format!("{}: expected a profile", partial.display()))
    }

    /// Size of the file in which a task keeps its finished blocks.
    pub(crate) fn saved_bytes(&self, task: usize) -> anyhow::Result<u64> {
        let partial = self.partial(task);
        let meta = fs::metadata(&partial)
            .with_context(|| format!("failed to read {}", partial.display()))?;
        Ok(meta.len())
    }

    /// The processes of a running task.
    pub(crate) fn processes(&self, task: usize) -> anyhow::Result<Vec<u32>> {
        let job = self.column(&self.name(task), "%A")?;
        let table = self.client.ask("scontrol", &["listpids", &job])?;
        let found = processes_in(&table, Some(&job));
        if found.is_empty() {
            bail!("task {task} (job {job}): expected processes, found {table:?}");
        }
        Ok(found)
    }

    /// Puts a failed task back into the queue.
    ///
    /// # Errors
    /// A task that Slurm does not take back.
    pub(crate) fn requeue(&self, task: usize) -> anyhow::Result<()> {
        check(
            self.client
                .command("scontrol")
                .args(["requeue", &self.name(task)]),
        )
    }

    /// How often Slurm has started a task again.
    pub(crate) fn restarts(&self, task: usize) -> anyhow::Result<u32> {
        let shown = self
            .client
            .ask("scontrol", &["show", "job", &self.name(task)])?;
        shown
            .split_whitespace()
            .find_map(|word| word.strip_prefix("Restarts="))
            .and_then(|count| count.parse().ok())
            .with_context(|| format!("scontrol: expected Restarts=N, found {shown:?}"))
    }

    /// With how many bytes of finished blocks each start of a task began, from its log.
    ///
    /// # Errors
    /// A log that cannot be read.
    pub(crate) fn starts(&self, task: usize) -> anyhow::Result<Vec<u64>> {
        Ok(starts_in(
            &self.read(&format!("ddpm-profile-{}.log", self.name(task)))?,
        ))
    }

    /// Waits for the end of the merge and prints what it said.
    ///
    /// # Errors
    /// A merge that fails or that can never run.
    pub(crate) fn wait_for_merge(&self, patience: Duration) -> anyhow::Result<()> {
        wait_until(patience, "the merge is done", || {
            let found = self.column(&self.merge, "%T %r")?;
            let (state, reason) = found.split_once(' ').unwrap_or((&found, ""));
            if !["PENDING", "RUNNING", "COMPLETING", "COMPLETED"].contains(&state)
                || reason == "DependencyNeverSatisfied"
            {
                bail!(
                    "merge: {state} ({reason}); expected it to complete, see the logs in {}",
                    self.client.folder().display()
                );
            }
            Ok(state == "COMPLETED")
        })?;
        print!(
            "   {}",
            self.read(&format!("ddpm-merge-{}.log", self.merge))?
        );
        Ok(())
    }

    fn partial(&self, task: usize) -> PathBuf {
        self.out
            .join(format!("shard-{task}-of-{SHARDS}.safetensors.partial"))
    }

    /// A column of squeue for one job or task.
    fn column(&self, job: &str, format: &str) -> anyhow::Result<String> {
        let job = format!("--jobs={job}");
        let format = format!("--format={format}");
        let printed = self
            .client
            .ask("squeue", &["--noheader", "--states=all", &job, &format])?;
        Ok(printed.trim().to_owned())
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let path = self.client.folder().join(name);
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    }
}

/// The number of finished blocks of a profile's file: those it holds without the one in work, which a file with `counts` has.
fn finished_blocks(bytes: &[u8]) -> Option<u64> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: serde_json::Value = serde_json::from_slice(rest.get(..length)?).ok()?;
    let blocks = header["block_id"]["shape"][0].as_u64()?;
    blocks.checked_sub(u64::from(header.get("counts").is_some()))
}

/// The numbers of bytes in the lines of `profile.sbatch` on its starts.
fn starts_in(log: &str) -> Vec<u64> {
    log.lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(": starts with ")?;
            rest.strip_suffix(" bytes of finished blocks")?.parse().ok()
        })
        .collect()
}

/// The number in the line `JOB: job N, ...`.
fn number_of(printed: &str, job: &str) -> Option<String> {
    let rest = printed
        .lines()
        .find_map(|line| line.strip_prefix(job)?.strip_prefix(": job "))?;
    let number = rest.split(',').next()?;
    number
        .chars()
        .all(|c| c.is_ascii_digit())
        .then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_numbers_are_read() {
        let printed =
            "profile: job 6, tasks 0 to 3\nmerge: job 7, writes out/profile.safetensors\n";
        assert_eq!(number_of(printed, "profile").as_deref(), Some("6"));
        assert_eq!(number_of(printed, "merge").as_deref(), Some("7"));
        assert_eq!(number_of(printed, "other"), None);
    }

    #[test]
    fn finished_blocks_are_those_without_the_one_in_work() {
        let file = |header: &str| {
            let length = header.len() as u64;
            [&length.to_le_bytes(), header.as_bytes()].concat()
        };
        let whole = file(r#"{"block_id":{"shape":[3]}}"#);
        let in_work = file(r#"{"block_id":{"shape":[3]},"counts":{"shape":[3,32]}}"#);
        assert_eq!(finished_blocks(&whole), Some(3));
        assert_eq!(finished_blocks(&in_work), Some(2));
        assert_eq!(finished_blocks(&whole[..20]), None);
    }

    #[test]
    fn starts_are_read_from_a_log() {
        let log = "2026-01-01T00:00:00 task 0 on n, restart 0: starts with 0 bytes of finished blocks\n\
                   2026-01-01T00:00:09 task 0 on n, restart 0: exit code 4\n\
                   2026-01-01T00:00:19 task 0 on n, restart 1: starts with 288024 bytes of finished blocks\n";
        assert_eq!(starts_in(log), [0, 288_024]);
    }
}
