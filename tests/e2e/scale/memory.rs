//! The most memory that a profile takes, of a hundred images and of ten thousand.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use super::{npz, pngs, profile};
use crate::support::{Ddpm, scratch};

/// The images of the two runs that are compared.
const FEW: usize = 100;
const MANY: usize = 10_000;

/// Runs a command to its end, expects success and returns the largest resident set that the system saw, in KiB.
///
/// The system counts it and it never falls, so that looking at it now and then is enough.
fn peak_memory(command: Ddpm) -> u64 {
    let folder = scratch();
    let errors = folder.path().join("stderr");
    let mut command = command.into_inner();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&errors).unwrap());
    let mut child = command.spawn().expect("the binary starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let exit = loop {
        if let Some(found) = fs::read_to_string(&status)
            .ok()
            .as_deref()
            .and_then(high_water)
        {
            peak = found;
        }
        if let Some(exit) = child.try_wait().unwrap() {
            break exit;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = fs::read_to_string(&errors).unwrap();
    assert!(exit.success(), "{command:?}\n{text}");
    assert!(peak > 0, "{status} tells no VmHWM");
    peak
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Ten thousand images take the memory of a hundred, to a tenth of it.
fn takes_no_more(what: &str, few: Ddpm, many: Ddpm) {
    let (few, many) = (peak_memory(few), peak_memory(many));
    println!(
        "{what}: peak memory {:.1} MB with {FEW} images, {:.1} MB with {MANY}",
        few as f64 / 1024.0,
        many as f64 / 1024.0
    );
    assert!(
        many * 10 <= few * 11,
        "{what}: {few} KiB with {FEW} images, {many} KiB with {MANY}"
    );
}

// Two timesteps on images that would show if they were held (7.7 MB), and ten on tiny ones, whose statistics would show:
// both at once would take minutes.

#[test]
fn the_images_of_an_archive_are_not_held() {
    for compressed in [false, true] {
        let folder = scratch();
        // As many blocks of both, since their statistics are the profile and are held; each fills a batch.
        const BLOCKS: usize = 4;
        let run = |count: usize| {
            profile(&npz(folder.path(), count, 16, compressed), 16, 2)
                .words(&format!("--images-per-block {}", count / BLOCKS))
        };
        let what = format!(".npz, compressed: {compressed}");
        takes_no_more(&what, run(FEW), run(MANY));
    }
}

#[test]
fn the_images_of_a_folder_and_their_statistics_are_not_held() {
    let folder = scratch();
    let run = |count| profile(&pngs(folder.path(), count, 4), 4, 10);
    takes_no_more("folder of PNG", run(FEW), run(MANY));
}
