//! `ddpm profile` and `ddpm merge`: the same bytes whatever happens on the way.

use std::time::{Duration, Instant};

use safetensors::tensor::Dtype;
use serde_json::json;

use crate::support::{Ddpm, safetensors_with, scratch, small, small_images, small_profile};

#[test]
fn threads_batches_and_shards_give_the_same_bytes() {
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    small_images(&data, 6, 0.0);
    let run = |name: &str, flags: &str| {
        let out = folder.path().join(name);
        let found = small("profile")
            .file("--data", &data)
            .file("--out", &out)
            .words("--evaluations 120 --seed 3 --images-per-block 2")
            .words(flags)
            .json();
        assert!(!folder.path().join(format!("{name}.partial")).exists());
        (out, found)
    };
    let (whole, found) = run("whole", "");
    assert_eq!(found["images"], 6);
    assert_eq!(found["timesteps"], 20);
    assert_eq!(found["evaluations"], 120);
    assert_eq!(found["blocks"], 3);
    assert_eq!(found["missing_blocks"], json!([]));
    let bytes = std::fs::read(&whole).unwrap();
    let (other, _) = run("other", "--threads 1 --batch 1");
    assert!(std::fs::read(other).unwrap() == bytes, "threads and batch");

    let shards: Vec<_> = (0..3)
        .map(|i| run(&format!("shard{i}"), &format!("--shard {i}/3")).0)
        .collect();
    let merge = |order: [usize; 3], out: &str| {
        let out = folder.path().join(out);
        let mut command = Ddpm::new("merge");
        for i in order {
            command = command.arg(&shards[i]);
        }
        let found = command.file("--out", &out).json();
        assert_eq!(found["images"], 6);
        std::fs::read(out).unwrap()
    };
    assert!(merge([0, 1, 2], "merged") == bytes, "merged shards");
    assert!(
        merge([2, 0, 1], "merged") == bytes,
        "merged shards in another order"
    );

    // Two of three shards are a profile too, and say what is missing.
    let part = folder.path().join("part");
    let found = Ddpm::new("merge")
        .arg(&shards[2])
        .arg(&shards[0])
        .file("--out", &part)
        .json();
    assert_eq!(found["missing_blocks"], json!([1]));
    let warned = Ddpm::new("schedule")
        .arg(&part)
        .words("--steps 4")
        .run()
        .succeeds();
    assert!(
        warned.stderr().contains("1 of 3 blocks"),
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
        .words("--evaluations 30")
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
    small_images(&data, 16, 0.0);
    let out = folder.path().join("p");
    let partial = folder.path().join("p.partial");
    let command = || {
        small("profile")
            .file("--data", &data)
            .file("--out", &out)
            .words("--images-per-block 1 --batch 1")
    };
    let mut child = command()
        .into_inner()
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !partial.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "no block was finished"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
    assert_eq!(status.code(), Some(4), "{stderr}");
    assert!(
        stderr.contains("--resume") && stderr.contains("p.partial"),
        "{stderr}"
    );
    assert!(!out.exists(), "no half profile");

    // Going on without being asked to would throw the finished blocks away.
    command().fails(3, &["p.partial", "--resume"]);
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

#[test]
fn the_data_set_may_come_from_the_environment() {
    let folder = scratch();
    let data = folder.path().join("images.safetensors");
    small_images(&data, 1, 0.0);
    let command = || {
        small("profile")
            .file("--out", &folder.path().join("p"))
            .words("--evaluations 20")
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
        .words("--evaluations 40");
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
