//! What goes where: data on stdout, words on stderr, nothing when piped, exit codes.

use std::io::Read;
use std::process::Stdio;

use crate::support::{Ddpm, commands, scratch, write_npy};

fn small_table(folder: &std::path::Path) -> std::path::PathBuf {
    let file = folder.join("table.npy");
    write_npy(
        &file,
        &[3, 3],
        &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 5.0, 1.0, 0.0],
    );
    file
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in &commands() {
        let help = Ddpm::new(command).words("--help").run().succeeds();
        assert!(
            help.stdout().contains(&format!("ddpm {command}")),
            "{command}"
        );
        assert!(help.stdout().contains("Example"), "{command}");
        assert_eq!(help.stderr(), "");
    }
}

#[test]
fn stderr_is_silent_when_piped() {
    let folder = scratch();
    let run = Ddpm::new("solve")
        .arg(small_table(folder.path()))
        .run()
        .succeeds();
    assert_eq!(run.stderr(), "");
    assert!(
        !run.stdout().contains('\x1b'),
        "no colour without a terminal"
    );
}

#[test]
fn mistakes_on_the_command_line_are_usage_errors() {
    Ddpm::new("frobnicate").fails(2, &["frobnicate"]);
    Ddpm::new("solve").fails(2, &["COST.npy"]);
    Ddpm::new("solve")
        .words("x.npy --method fast")
        .fails(2, &["--method", "fast"]);
    Ddpm::new("transitions")
        .words("--path all")
        .fails(2, &["--noise-schedule"]);
    Ddpm::new("transitions")
        .words("--noise-schedule cosine")
        .fails(2, &["--train-steps"]);
    Ddpm::new("solve")
        .words("x.npy --threads 0")
        .fails(2, &["--threads"]);
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    // More output than a pipe holds, and a reader that leaves after one byte.
    let mut child = Ddpm::new("transitions")
        .words("--noise-schedule cosine --train-steps 4000 --path all --json")
        .into_inner()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_full_stdout_is_the_systems_refusal() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Ddpm::new("transitions")
        .words("--noise-schedule cosine --train-steps 10")
        .into_inner()
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("stdout"));
}

#[test]
fn the_number_of_threads_does_not_change_the_answer() {
    let folder = scratch();
    let file = small_table(folder.path());
    let solve = |threads: &str| {
        Ddpm::new("solve")
            .arg(&file)
            .words("--json --threads")
            .arg(threads)
            .run()
            .succeeds()
            .stdout()
    };
    assert_eq!(solve("1"), solve("3"));
}
