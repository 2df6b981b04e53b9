//! Outputs that the system refuses: exit code 5, the file named, nothing left behind.

use std::fs::File;
use std::path::Path;

use crate::support::{Ddpm, golden, scratch, small, small_images, small_profile};

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A command, what completes it but for its output, and the flag of the output.
type Writer = (&'static str, Box<dyn Fn(Ddpm) -> Ddpm>, &'static str);

/// Every command that writes a file.
fn writers(folder: &Path) -> Vec<Writer> {
    let profile = small_profile(folder, "p", 1, 0.0);
    let data = folder.join("p.images.safetensors");
    let schedules = folder.join("s.json");
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 4")
        .writes(&schedules);
    let network = "--num-heads 2 --train-steps 40 --noise-schedule cosine --rescale-timesteps true";
    let checkpoint = golden("unet-hybrid-16px.pt");
    let (other, another) = (checkpoint.clone(), checkpoint.clone());
    let profile_too = profile.clone();
    vec![
        (
            "predict",
            Box::new(move |c| {
                c.arg(&checkpoint)
                    .words("--num-heads 2")
                    .file("--input", &golden("unet-hybrid-16px.io.safetensors"))
            }),
            "--output",
        ),
        (
            "profile",
            Box::new(move |c| {
                c.arg(&other)
                    .words(network)
                    .file("--data", &data)
                    .words("--limit 1 --evaluations 20")
            }),
            "--out",
        ),
        ("merge", Box::new(move |c| c.arg(&profile)), "--out"),
        (
            "schedule",
            Box::new(move |c| c.arg(&profile_too).words("--steps all")),
            "--out",
        ),
        (
            "sample",
            Box::new(move |c| {
                c.arg(&another)
                    .words(network)
                    .file("--schedule", &schedules)
                    .words("--steps 4 --count 4")
            }),
            "--out",
        ),
    ]
}

#[test]
fn a_full_disk() {
    let folder = scratch();
    let full = folder.path().join("full");
    std::fs::create_dir(&full).unwrap();
    for (command, arguments, flag) in writers(folder.path()) {
        let out = full.join("out.png");
        // At most 1 KiB per file: less than any of these write.
        let run = arguments(Ddpm::with_file_limit(1, command))
            .file(flag, &out)
            .run();
        run.fails(5, &["cannot write", "out.png"]);
        assert_eq!(
            names(&full),
            [] as [&str; 0],
            "{command} left something behind"
        );
    }
}

#[test]
fn an_output_under_a_file() {
    let folder = scratch();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let writers = writers(folder.path());
    let before = names(folder.path());
    for (command, arguments, flag) in writers {
        let out = file.join("out.png");
        arguments(Ddpm::new(command))
            .file(flag, &out)
            .run()
            .fails(5, &["cannot write", "out.png"]);
        assert_eq!(names(folder.path()), before, "{command}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "in the way");
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "p", 1, 0.0);
    let out = folder.path().join("s.json");
    std::fs::write(&out, "old").unwrap();
    Ddpm::with_file_limit(1, "schedule")
        .arg(&profile)
        .words("--steps all --force")
        .file("--out", &out)
        .fails(5, &["s.json"]);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "old");
}

/// A profile under way, or another merge, may be about to write it.
#[test]
fn an_output_that_another_run_holds() {
    let folder = scratch();
    let part = small_profile(folder.path(), "part", 1, 0.0);
    let out = folder.path().join("p");
    let merge = || Ddpm::new("merge").arg(&part);
    let import = || Ddpm::new("profile").file("--import", &golden("squared-errors.npz"));
    let held = File::create(folder.path().join("p.lock")).unwrap();
    held.lock().unwrap();
    for writer in [merge(), import()] {
        writer
            .file("--out", &out)
            .fails(3, &["another run", "p.lock", "expected", "--out"]);
        assert!(!out.exists());
    }
    drop(held);
    // What is left of the lock is in nobody's way.
    for writer in [merge(), import()] {
        writer.writes(&out);
        std::fs::remove_file(&out).unwrap();
    }
    assert!(!folder.path().join("p.lock").exists() || cfg!(not(unix)));
}

#[test]
fn an_unusable_name_for_samples() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "p", 1, 0.0);
    let schedules = folder.path().join("s.json");
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 4")
        .writes(&schedules);
    small("sample")
        .file("--schedule", &schedules)
        .words("--steps 4 --count 1")
        .file("--out", &folder.path().join("x.jpeg"))
        .fails(3, &["--out", "x.jpeg", "npz"]);
}

/// Samples of an earlier run that stay behind would pass for samples of this one.
#[test]
fn a_folder_that_holds_images_already() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "p", 1, 0.0);
    let schedules = folder.path().join("s.json");
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 2")
        .writes(&schedules);
    let sample = |count: usize, out: &std::path::Path| {
        small("sample")
            .file("--schedule", &schedules)
            .words("--steps 2")
            .arg("--count")
            .arg(count.to_string())
            .file("--out", out)
    };
    let out = folder.path().join("new").join("samples");
    sample(3, &out).run().succeeds();
    let earlier = std::fs::read(out.join("000002.png")).unwrap();
    sample(2, &out).fails(3, &["samples", "3 PNG files", "--out"]);
    assert_eq!(names(&out), ["000000.png", "000001.png", "000002.png"]);
    assert_eq!(std::fs::read(out.join("000002.png")).unwrap(), earlier);
    // Other files are not in the way.
    let notes = folder.path().join("notes");
    std::fs::create_dir(&notes).unwrap();
    std::fs::write(notes.join("readme.txt"), "").unwrap();
    sample(1, &notes).run().succeeds();
    sample(1, &folder.path().join("s.json").join("folder")).fails(5, &["cannot write", "s.json"]);
}

#[test]
fn a_finished_run_that_cannot_be_written_is_kept() {
    // The profile is larger than the limit, its partial file too: the blocks are lost only with a message.
    let folder = scratch();
    let data = folder.path().join("x.safetensors");
    small_images(&data, 1, 0.0);
    let out = folder.path().join("p");
    let command = Ddpm::with_file_limit(4, "profile")
        .arg(golden("unet-hybrid-16px.pt"))
        .words("--num-heads 2 --train-steps 40 --noise-schedule cosine --rescale-timesteps true --limit 1 --evaluations 20")
        .file("--data", &data)
        .file("--out", &out);
    command.fails(5, &["p.partial"]);
    assert_eq!(names(folder.path()), ["x.safetensors"]);
}
