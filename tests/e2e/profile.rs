//! `ddpm profile` and `ddpm merge`: the same bytes whatever happens on the way.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ddpm::profile::ElboProfile;
use safetensors::tensor::Dtype;
use serde_json::json;

use crate::support::{
    Ddpm, safetensors_with, scratch, small, small_checkpoint, small_images, small_profile,
    stopped_with,
};

/// How many evaluations a profile holds.
fn evaluations_in(profile: &Path) -> u64 {
    let profile = ElboProfile::from_bytes(&std::fs::read(profile).unwrap()).unwrap();
    profile.blocks().iter().flat_map(|b| b.counts()).sum()
}

#[test]
fn threads_batches_and_shards_give_the_same_bytes() {
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    small_images(&data, 8, 0.0);
    let run = |name: &str, flags: &str| {
        let out = folder.path().join(name);
        let found = small("profile")
            .file("--data", &data)
            .file("--out", &out)
            .words("--limit 8 --evaluations 160 --seed 3 --images-per-block 1")
            .words(flags)
            .json();
        assert!(!folder.path().join(format!("{name}.partial")).exists());
        (out, found)
    };
    let (whole, found) = run("whole", "");
    assert_eq!(found["images"], 8);
    assert_eq!(found["timesteps"], 20);
    assert_eq!(found["evaluations"], 160);
    assert_eq!(found["blocks"], 8);
    assert_eq!(found["missing_blocks"], json!([]));
    let bytes = std::fs::read(&whole).unwrap();
    for threads in [1, 2] {
        for batch in ["", "--batch 1", "--batch 3"] {
            let flags = format!("--threads {threads} {batch}");
            let (other, _) = run("other", &flags);
            assert!(std::fs::read(other).unwrap() == bytes, "{flags}");
        }
    }

    let shards = |n: usize| -> Vec<_> {
        (0..n)
            .map(|i| run(&format!("shard{i}of{n}"), &format!("--shard {i}/{n}")).0)
            .collect()
    };
    let (one, three, eight) = (shards(1), shards(3), shards(8));
    let orders: [(&[PathBuf], &[usize]); 10] = [
        (&one, &[0]),
        (&three, &[0, 1, 2]),
        (&three, &[0, 2, 1]),
        (&three, &[1, 0, 2]),
        (&three, &[1, 2, 0]),
        (&three, &[2, 0, 1]),
        (&three, &[2, 1, 0]),
        (&eight, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (&eight, &[7, 6, 5, 4, 3, 2, 1, 0]),
        (&eight, &[3, 0, 6, 1, 7, 4, 2, 5]),
    ];
    let merged = folder.path().join("merged");
    for (shards, order) in orders {
        let mut command = Ddpm::new("merge");
        for &i in order {
            command = command.arg(&shards[i]);
        }
        let found = command.file("--out", &merged).json();
        assert_eq!(found["images"], 8);
        assert!(
            std::fs::read(&merged).unwrap() == bytes,
            "{} shards in the order {order:?}",
            shards.len()
        );
    }

    // Two of three shards are a profile too, and say what is missing.
    let part = folder.path().join("part");
    let found = Ddpm::new("merge")
        .arg(&three[2])
        .arg(&three[0])
        .file("--out", &part)
        .json();
    assert_eq!(found["missing_blocks"], json!([2, 3, 4]));
    let warned = Ddpm::new("schedule")
        .arg(&part)
        .words("--steps 4")
        .run()
        .succeeds();
    assert!(
        warned.stderr().contains("3 of 8 blocks"),
        "{}",
        warned.stderr()
    );
}

#[test]
fn every_timestep_is_evaluated_unless_a_number_of_evaluations_is_given() {
    let folder = scratch();
    let out = small_profile(folder.path(), "all", 1, 0.0);
    let found = Ddpm::new("merge")
        .arg(&out)
        .file("--out", &folder.path().join("again"))
        .json();
    assert_eq!(found["blocks"], 1);
    let text = small("profile")
        .file("--data", &folder.path().join("all.images.safetensors"))
        .file("--out", &folder.path().join("few"))
        .words("--limit 1 --evaluations 30")
        .run()
        .succeeds()
        .stdout();
    assert!(
        text.contains("30 of 40 timesteps") && text.contains("30 evaluations"),
        "{text}"
    );
}

#[test]
fn an_interrupted_run_resumes_to_the_same_bytes() {
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    small_images(&data, 32, 0.0);
    let out = folder.path().join("p");
    let partial = folder.path().join("p.partial");
    // No save falls due before Ctrl-C: it is what saves the blocks.
    let command = || {
        small("profile")
            .file("--data", &data)
            .file("--out", &out)
            .words("--images-per-block 1 --batch 1 --threads 1 --save-every 3600")
    };
    let stderr = stopped_with(&partial, command);
    assert!(
        stderr.contains("--resume") && stderr.contains("p.partial"),
        "{stderr}"
    );
    assert!(!out.exists(), "no half profile");

    // Going on without being asked to would throw the finished blocks away.
    command().fails(3, &["p.partial", "--resume"]);
    // A report in the meantime shows what is finished, and says what is not.
    let finished = small_profile(folder.path(), "finished", 2, 0.0);
    let page = folder.path().join("report.html");
    let report = Ddpm::new("report")
        .arg(folder.path())
        .file("--out", &page)
        .run();
    assert!(report.stderr().contains("p.partial"), "{}", report.stderr());
    report.succeeds();
    std::fs::remove_file(finished).unwrap();
    // The other settings are another run.
    command()
        .words("--resume --seed 1")
        .fails(3, &["p.partial", "seed"]);

    command().words("--resume").run().succeeds();
    assert!(!partial.exists());
    let resumed = std::fs::read(&out).unwrap();
    // A finished run has nothing left to do.
    let begun = Instant::now();
    command().words("--resume").run().succeeds();
    println!("nothing to do took {:?}", begun.elapsed());
    assert!(std::fs::read(&out).unwrap() == resumed);

    std::fs::remove_file(&out).unwrap();
    command().run().succeeds();
    assert!(std::fs::read(&out).unwrap() == resumed, "a run at one go");
}

/// `kill -9` at any moment costs time, never a block that was saved and never a bit of the result.
#[cfg(unix)]
#[test]
fn a_run_killed_twenty_times_gives_the_same_bytes() {
    const KILLS: usize = 20;
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    small_images(&data, 48, 0.0);
    let out = folder.path().join("p");
    let partial = folder.path().join("p.partial");
    let command = |out: &Path| {
        small("profile")
            .file("--data", &data)
            .file("--out", out)
            .words("--limit 48 --evaluations 960 --images-per-block 1 --batch 1 --threads 1 --save-every 0 --resume")
    };
    let whole = folder.path().join("whole");
    let begun = Instant::now();
    command(&whole).run().succeeds();
    let longest = begun.elapsed() / 8;
    let bytes = std::fs::read(whole).unwrap();

    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut saved, mut most, mut finished) = (0, 0, 0);
    for kill in 0..KILLS {
        let mut child = command(&out).spawn();
        // The upper bits of Knuth's generator.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(longest.mul_f64((random >> 40) as f64 / (1 << 24) as f64));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        // Killed, not refused: the lock of the killed one before and what it left are in nobody's way.
        let ended = output.status.code();
        assert!(matches!(ended, None | Some(0)), "kill {kill}: {stderr}");
        if out.exists() {
            assert!(std::fs::read(&out).unwrap() == bytes, "kill {kill}");
            // Killed between the result and the end of the partial file, or finished: begin anew.
            std::fs::remove_file(&out).unwrap();
            let _ = std::fs::remove_file(&partial);
            (saved, finished) = (0, finished + 1);
        } else if partial.exists() {
            let found = evaluations_in(&partial);
            assert!(found >= saved, "kill {kill} lost what was saved");
            saved = found;
            most = most.max(found);
        } else {
            assert_eq!(saved, 0, "kill {kill} lost the partial file");
        }
    }
    println!("finished {finished} times, then {saved} evaluations saved, at most {most}");
    assert!(most > 0 || finished > 0, "no kill met a run at work");
    command(&out).run().succeeds();
    assert!(std::fs::read(&out).unwrap() == bytes, "the last run");
    assert!(!partial.exists() && !folder.path().join("p.lock").exists());
}

#[test]
fn a_second_run_with_the_same_output_is_refused() {
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    small_images(&data, 128, 0.0);
    let out = folder.path().join("p");
    let partial = folder.path().join("p.partial");
    let command = || {
        small("profile")
            .file("--data", &data)
            .file("--out", &out)
            .words("--images-per-block 1 --batch 1 --threads 1 --save-every 0")
    };
    let mut first = command().spawn();
    let begun = Instant::now();
    while !partial.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "no block was finished"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    for flags in ["", "--resume", "--resume --seed 1"] {
        let refused = command().words(flags).run();
        let refused = refused.fails(3, &["another run", "p.lock", "expected", "--out"]);
        assert!(
            !refused.stderr().contains("evaluations"),
            "it announced its work:\n{}",
            refused.stderr()
        );
    }
    assert!(
        first.try_wait().unwrap().is_none(),
        "the first run goes on undisturbed"
    );
    // Another output is another matter.
    small("profile")
        .file("--data", &data)
        .file("--out", &folder.path().join("q"))
        .words("--limit 1 --evaluations 20")
        .run()
        .succeeds();
    first.kill().unwrap();
    first.wait().unwrap();
    // The system has released the lock: what is refused now is the partial file of another run.
    assert!(folder.path().join("p.lock").exists());
    command().fails(3, &["p.partial", "--resume"]);
    command()
        .words("--resume --seed 1")
        .fails(3, &["p.partial", "seed"]);
    assert!(!folder.path().join("q.lock").exists() || cfg!(not(unix)));
}

#[cfg(unix)]
#[test]
fn a_full_disk_in_the_middle_leaves_the_blocks_saved_before() {
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    small_images(&data, 16, 0.0);
    let out = folder.path().join("p");
    let partial = folder.path().join("p.partial");
    let with = |command: Ddpm, out: &Path| {
        command
            .arg(small_checkpoint())
            .words(
                "--num-heads 2 --train-steps 40 --noise-schedule cosine --rescale-timesteps true",
            )
            .file("--data", &data)
            .file("--out", out)
            .words("--limit 16 --evaluations 320 --images-per-block 1 --save-every 0")
    };
    let whole = folder.path().join("whole");
    with(Ddpm::new("profile"), &whole).run().succeeds();
    let bytes = std::fs::read(&whole).unwrap();
    // Room for 3/8 or 3/4 of the blocks, whichever unit the shell counts in.
    let limit = u32::try_from(bytes.len() * 3 / 4 / 1024).unwrap();
    with(Ddpm::with_file_limit(limit, "profile"), &out).fails(5, &["cannot write", "p.partial"]);
    let kept = std::fs::read(&partial).unwrap();
    let blocks = evaluations_in(&partial) / 20;
    assert!((4..=13).contains(&blocks), "{blocks} blocks");
    // What is in the middle of a block is not merged, and the refusal says what to do.
    if !evaluations_in(&partial).is_multiple_of(20) {
        Ddpm::new("merge")
            .arg(&partial)
            .file("--out", &folder.path().join("read"))
            .fails(3, &["is not finished", "resume"]);
    }

    // Still full: the next save fails at once, and what is there stays as it is.
    with(Ddpm::with_file_limit(limit, "profile"), &out)
        .words("--resume")
        .fails(5, &["cannot write", "p.partial"]);
    assert!(std::fs::read(&partial).unwrap() == kept);
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["images.safetensors", "p.partial", "whole"],
        "no half file and no lock"
    );

    with(Ddpm::new("profile"), &out)
        .words("--resume")
        .run()
        .succeeds();
    assert!(std::fs::read(&out).unwrap() == bytes);
}

#[test]
fn the_data_set_may_come_from_the_environment() {
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    small_images(&data, 1, 0.0);
    let command = || {
        small("profile")
            .file("--out", &folder.path().join("p"))
            .words("--limit 1 --evaluations 20")
    };
    command()
        .env("DDPM_DATA", data.to_str().unwrap())
        .run()
        .succeeds();
    command().fails(2, &["--data", "DDPM_DATA"]);
}

#[test]
fn a_stand_in_is_called_one_everywhere() {
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    let metadata = [("stand_in".to_owned(), "true".to_owned())].into();
    let pixels: Vec<u8> = (0..2 * 768).map(|i| (i % 251) as u8).collect();
    safetensors_with(
        &data,
        &[("images", Dtype::U8, &[2, 3, 16, 16], pixels)],
        Some(metadata),
    );
    let out = folder.path().join("p");
    let profile = small("profile")
        .file("--data", &data)
        .file("--out", &out)
        .words("--limit 2 --evaluations 40");
    let text = profile.run().succeeds().stdout();
    assert!(text.contains("STAND-IN"), "{text}");
    let commands = [
        Ddpm::new("schedule").arg(&out).words("--steps 4"),
        Ddpm::new("table").arg(&out).arg(&out).words("--steps 4"),
        small("bpd").file("--data", &data).words("--path 1,40"),
    ];
    for command in commands {
        let text = command.run().succeeds().stdout();
        assert!(text.contains("STAND-IN"), "{text}");
    }
    let found = Ddpm::new("table")
        .arg(&out)
        .arg(&out)
        .words("--steps 4")
        .json();
    assert_eq!(found["scored_on"]["stand_in"], true);
}
