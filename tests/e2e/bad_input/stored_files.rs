//! Profiles and schedules files that are damaged, newer, or of another run.

use std::path::{Path, PathBuf};

use ddpm::model::{Checkpoint, Precision, save_safetensors};

use crate::support::{Ddpm, scratch, small, small_checkpoint, small_images, small_profile};

/// A copy of `file` with one text in it replaced by another of the same length.
fn altered(file: &Path, from: &str, to: &str) -> PathBuf {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(file).unwrap();
    let at = bytes
        .windows(from.len())
        .position(|w| w == from.as_bytes())
        .unwrap_or_else(|| panic!("{from:?} is not in {}", file.display()));
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    let copy = file.with_extension("altered");
    std::fs::write(&copy, bytes).unwrap();
    copy
}

#[test]
fn profiles_that_are_damaged_or_newer() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "p", 1, 0.0);
    let schedule = |file: &Path, named: &[&str]| {
        Ddpm::new("schedule")
            .arg(file)
            .words("--steps 4")
            .fails(3, named);
        Ddpm::new("table")
            .arg(file)
            .arg(&profile)
            .words("--steps 4")
            .fails(3, named);
        Ddpm::new("merge")
            .arg(file)
            .file("--out", &folder.path().join("m"))
            .fails(3, named);
    };
    let newer = altered(&profile, r#"\"version\":4,"#, r#"\"version\":9,"#);
    schedule(
        &newer,
        &["p.altered", "version 4", "found version 9", "newer ddpm"],
    );
    let edited = altered(&profile, r#"\"seed\":0"#, r#"\"seed\":1"#);
    schedule(&edited, &["p.altered", "checksum"]);

    let mut bytes = std::fs::read(&profile).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let flipped = folder.path().join("flipped");
    std::fs::write(&flipped, &bytes).unwrap();
    schedule(&flipped, &["flipped", "checksum"]);
    bytes.truncate(last);
    std::fs::write(&flipped, &bytes).unwrap();
    schedule(&flipped, &["flipped", "not an elbo profile"]);
    schedule(
        &small_checkpoint(),
        &["unet-hybrid-16px.pt", "not an elbo profile"],
    );
    schedule(&folder.path().join("absent"), &["absent", "no such file"]);
}

#[test]
fn schedules_files_that_are_damaged_newer_or_of_another_chain() {
    let folder = scratch();
    let profile = small_profile(folder.path(), "p", 1, 0.0);
    let data = folder.path().join("p.images.safetensors");
    let good = folder.path().join("s.json");
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 4")
        .writes(&good);
    let uses = |file: &Path, flags: &str, named: &[&str]| {
        let out = folder.path().join("x.png");
        small("sample")
            .words("--count 1")
            .words(flags)
            .file("--schedule", file)
            .file("--out", &out)
            .fails(3, named);
        small("bpd")
            .file("--data", &data)
            .words(flags)
            .file("--schedule", file)
            .fails(3, named);
        assert!(!out.exists());
    };
    uses(
        &good,
        "--steps 5",
        &["s.json", "no schedule of 5 steps", "4"],
    );
    uses(
        &altered(&good, r#""version": 2"#, r#""version": 8"#),
        "--steps 4",
        &["s.altered", "found version 8"],
    );
    uses(
        &altered(&good, r#""steps": 4"#, r#""steps": 5"#),
        "--steps 4",
        &["s.altered", "checksum"],
    );
    uses(
        &altered(&good, "ddpm-schedules", "ddpm-timetable"),
        "--steps 4",
        &["s.altered", "not a schedules file"],
    );
    std::fs::write(folder.path().join("bad.json"), "[1,2").unwrap();
    uses(
        &folder.path().join("bad.json"),
        "--steps 4",
        &["bad.json", "not a schedules file"],
    );
    uses(
        &folder.path().join("absent.json"),
        "--steps 4",
        &["absent.json", "no such file"],
    );

    // Made for T = 40; the network is said to have T = 41.
    Ddpm::new("bpd")
        .arg(small_checkpoint())
        .words("--num-heads 2 --train-steps 41 --noise-schedule cosine --rescale-timesteps true --steps 4")
        .file("--data", &data)
        .file("--schedule", &good)
        .fails(3, &["s.json", "noise schedule", "T=41", "T=40"]);
}

#[test]
fn profiles_that_cannot_be_merged() {
    let folder = scratch();
    let data = folder.path().join("x.safetensors");
    small_images(&data, 2, 0.0);
    // The same weights in another file are another checkpoint.
    let checkpoint = Checkpoint::open(&small_checkpoint()).unwrap();
    let copy = folder.path().join("copy.safetensors");
    std::fs::write(
        &copy,
        save_safetensors(&checkpoint, Precision::F32).unwrap(),
    )
    .unwrap();
    let shard =
        |checkpoint: &Path, i: usize, seed: usize| {
            let out = folder.path().join(format!(
                "{}-{i}-{seed}",
                checkpoint.file_stem().unwrap().display()
            ));
            Ddpm::new("profile")
            .arg(checkpoint)
            .words(
                "--num-heads 2 --train-steps 40 --noise-schedule cosine --rescale-timesteps true",
            )
            .words(&format!("--limit 2 --evaluations 40 --shard {i}/2 --seed {seed}"))
            .file("--data", &data)
            .writes(&out);
            out
        };
    let first = shard(&small_checkpoint(), 0, 0);
    let second = shard(&small_checkpoint(), 1, 0);
    let other_network = shard(&copy, 1, 0);
    let other_seed = shard(&small_checkpoint(), 1, 7);
    let out = folder.path().join("merged");
    let merge = |a: &Path, b: &Path| Ddpm::new("merge").arg(a).arg(b).file("--out", &out);
    merge(&first, &other_network).fails(
        3,
        &["unet-hybrid-16px-0-0", "copy-1-0", "checkpoint_sha256"],
    );
    merge(&first, &other_seed).fails(3, &["seed"]);
    merge(&first, &first).fails(3, &["block 0 is present twice"]);
    assert!(!out.exists());
    merge(&first, &second).run().succeeds();
    Ddpm::new("merge")
        .arg(&out)
        .arg(&second)
        .file("--out", &folder.path().join("again"))
        .fails(3, &["block 1 is present twice"]);

    let whole = |checkpoint: &Path, name: &str| {
        let out = folder.path().join(name);
        Ddpm::new("profile")
            .arg(checkpoint)
            .words("--num-heads 2 --train-steps 40 --noise-schedule cosine --rescale-timesteps true --limit 2 --evaluations 40")
            .file("--data", &data)
            .writes(&out);
        out
    };
    let other = whole(&copy, "other");
    Ddpm::new("table")
        .arg(&out)
        .arg(&other)
        .words("--steps 4")
        .fails(3, &["merged", "other", "checkpoint_sha256"]);
}

#[test]
fn shards_that_cannot_be() {
    let folder = scratch();
    let data = folder.path().join("x.safetensors");
    small_images(&data, 2, 0.0);
    for (shard, named) in [
        ("2/2", "--shard"),
        ("a", "--shard"),
        ("0/3", "at most 2 shards"),
    ] {
        small("profile")
            .file("--data", &data)
            .file("--out", &folder.path().join("p"))
            .words("--limit 2 --evaluations 40 --shard")
            .arg(shard)
            .fails(3, &[named]);
    }
}
