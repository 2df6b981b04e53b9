//! `cargo xtask test-slurm`: the job files of `deploy/slurm` on a real Slurm, with tasks that die on the way.

// A program for the person who started it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod client;
mod cluster;
mod configuration;
mod daemon;
mod jobs;
mod measurement;
mod mishaps;
mod packages;
mod processes;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use xtask::{build_ddpm, check, root};

use cluster::Cluster;
use jobs::Jobs;
use measurement::{SHARDS, by_one_process};

fn main() -> ExitCode {
    xtask::exit_code(run())
}

fn run() -> anyhow::Result<()> {
    packages::install()?;
    let ddpm = build_ddpm()?;
    let folder = root().join("target/slurm");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("failed to remove {}", folder.display()))?;
    }
    let merged = on_cluster(&folder, &ddpm)?;
    let single = folder.join("single.safetensors");
    println!("\n== one process");
    check(&mut by_one_process(&ddpm, &single))?;
    compare(&merged, &single)
}

/// Runs the array and the merge, and returns the bytes of the merged profile. The daemons end with this function.
fn on_cluster(folder: &Path, ddpm: &Path) -> anyhow::Result<Vec<u8>> {
    println!("== cluster in {}", folder.display());
    let mut cluster = Cluster::start(folder)?;
    let out = folder.join("out");
    let begun = Instant::now();
    println!("\n== array");
    let jobs = Jobs::submit(cluster.client(), ddpm, &out)?;

    println!("\n== task 0 is killed");
    let mut stopped = vec![mishaps::kill_and_requeue(&jobs, 0)?];
    println!("\n== task 1 runs out of time");
    stopped.push(mishaps::run_out_of_time(&cluster, &jobs, 1)?);
    println!("\n== the node crashes");
    stopped.extend(mishaps::crash(&mut cluster, &jobs, 2)?);

    println!("\n== to the end");
    jobs.wait_for_merge(Duration::from_secs(900))?;
    for task in &stopped {
        task.was_continued(&jobs)?;
    }
    println!("   array and merge: {:.0} s", begun.elapsed().as_secs_f64());
    let merged = out.join("profile.safetensors");
    fs::read(&merged).with_context(|| format!("failed to read {}", merged.display()))
}

fn compare(merged: &[u8], single: &Path) -> anyhow::Result<()> {
    let expected =
        fs::read(single).with_context(|| format!("failed to read {}", single.display()))?;
    if let Some(at) = first_difference(merged, &expected) {
        bail!(
            "the merged profile ({} bytes) differs from {} ({} bytes) at byte {at}; expected the same bytes",
            merged.len(),
            single.display(),
            expected.len()
        );
    }
    println!(
        "\ntest-slurm: the merged profile of {SHARDS} tasks and the single one are the same {} bytes",
        expected.len()
    );
    Ok(())
}

/// Where two files differ first; the end of the shorter one if it is the beginning of the other.
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    let common = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    (common < a.len().max(b.len())).then_some(common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_where_it_is() {
        assert_eq!(first_difference(b"abc", b"abc"), None);
        assert_eq!(first_difference(b"abc", b"abd"), Some(2));
        assert_eq!(first_difference(b"abc", b"abcd"), Some(3));
        assert_eq!(first_difference(b"", b"a"), Some(0));
    }
}
