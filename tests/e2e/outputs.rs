//! A file that is where an output goes stays, unless this very command made it or `--force` replaces it: in every command that writes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{Ddpm, commands, golden, scratch, small, small_images, small_profile};

/// Something that is the user's.
const MINE: &str = "not of this program";

/// What the commands read.
struct Bench {
    folder: TempDir,
    images: PathBuf,
    profile: PathBuf,
    other_profile: PathBuf,
    schedules: PathBuf,
    predicted: PathBuf,
    /// Two folders for reports.
    results: [PathBuf; 2],
}

fn bench() -> Bench {
    let folder = scratch();
    let profile = small_profile(folder.path(), "one", 4, 0.0);
    let other_profile = small_profile(folder.path(), "two", 4, 1.0);
    let schedules = folder.path().join("s.json");
    Ddpm::new("schedule")
        .arg(&profile)
        .words("--steps 3")
        .writes(&schedules);
    let results = [&schedules, &profile].map(|file| {
        let name = file.file_name().unwrap();
        let results = folder.path().join("results").join(name);
        std::fs::create_dir_all(&results).unwrap();
        std::fs::copy(file, results.join(name)).unwrap();
        results
    });
    Bench {
        results,
        images: folder.path().join("one.images.safetensors"),
        profile,
        other_profile,
        schedules,
        predicted: golden("unet-hybrid-16px.io.safetensors"),
        folder,
    }
}

/// A command that writes one file.
struct Writer {
    command: &'static str,
    flag: &'static str,
    /// The name of its output.
    name: &'static str,
    /// Whether it knows its own result again: by a record, or because it makes it again in seconds.
    knows_its_own: bool,
    /// The command line; `true` for another one, whose result differs.
    line: fn(&Bench, bool) -> Ddpm,
}

const WRITERS: [Writer; 17] = [
    Writer {
        command: "inspect",
        flag: "--write-model",
        name: "net.model.json",
        knows_its_own: true,
        line: |_, other| {
            let words = if other { "--attention-order new" } else { "" };
            small("inspect").words(words)
        },
    },
    Writer {
        command: "predict",
        flag: "--output",
        name: "out.safetensors",
        knows_its_own: true,
        line: |bench, other| {
            let words = if other { "--precision bf16" } else { "" };
            small("predict")
                .file("--input", &bench.predicted)
                .words(words)
        },
    },
    Writer {
        command: "profile",
        flag: "--out",
        name: "profile.safetensors",
        knows_its_own: true,
        line: |bench, other| {
            let words = if other { "--seed 7" } else { "" };
            small("profile").file("--data", &bench.images).words(words)
        },
    },
    Writer {
        command: "profile",
        flag: "--out",
        name: "imported.safetensors",
        knows_its_own: true,
        line: |_, other| {
            let words = if other { "--split test" } else { "" };
            let file = golden("squared-errors.npz");
            Ddpm::new("profile").file("--import", &file).words(words)
        },
    },
    Writer {
        command: "merge",
        flag: "--out",
        name: "merged.safetensors",
        knows_its_own: true,
        line: |bench, other| {
            let part = if other {
                &bench.other_profile
            } else {
                &bench.profile
            };
            Ddpm::new("merge").arg(part)
        },
    },
    Writer {
        command: "trajectory",
        flag: "--out",
        name: "trajectories.safetensors",
        knows_its_own: true,
        line: |_, other| {
            let words = if other { "--seed 7" } else { "" };
            small("trajectory")
                .words("--count 1 --nodes 8 --steps none")
                .words(words)
        },
    },
    Writer {
        command: "trajectory",
        flag: "--out",
        name: "forward.safetensors",
        knows_its_own: true,
        line: |bench, other| {
            let words = if other { "--seed 7" } else { "" };
            small("trajectory")
                .words("--forward --count 2 --nodes 8")
                .file("--data", &bench.images)
                .words(words)
        },
    },
    Writer {
        command: "schedule",
        flag: "--out",
        name: "schedules.json",
        knows_its_own: true,
        line: |bench, other| {
            let words = if other { "--steps 4" } else { "--steps 3" };
            Ddpm::new("schedule").arg(&bench.profile).words(words)
        },
    },
    Writer {
        command: "tune",
        flag: "--out",
        name: "tuned.json",
        knows_its_own: false,
        line: |bench, _| {
            small("tune")
                .words("--steps 2 --samples 64 --features raw --objective kid --sampler ddim")
                .file("--reference", &bench.images)
        },
    },
    Writer {
        command: "sample",
        flag: "--out",
        name: "grid.png",
        knows_its_own: true,
        line: samples,
    },
    Writer {
        command: "sample",
        flag: "--out",
        name: "samples.npz",
        knows_its_own: true,
        line: samples,
    },
    Writer {
        command: "sample",
        flag: "--out",
        name: "samples.safetensors",
        knows_its_own: true,
        line: samples,
    },
    Writer {
        command: "export",
        flag: "--out",
        name: "steps.csv",
        knows_its_own: true,
        line: |bench, other| {
            let words = if other {
                "--format k-diffusion"
            } else {
                "--format csv"
            };
            Ddpm::new("export").arg(&bench.schedules).words(words)
        },
    },
    Writer {
        command: "plot",
        flag: "--out",
        name: "figure.svg",
        knows_its_own: true,
        line: |bench, other| match other {
            false => Ddpm::new("plot").words("timesteps").arg(&bench.schedules),
            true => Ddpm::new("plot").words("errors").arg(&bench.profile),
        },
    },
    Writer {
        command: "report",
        flag: "--out",
        name: "page.html",
        knows_its_own: true,
        line: |bench, other| {
            let folder = &bench.results[usize::from(other)];
            Ddpm::new("report").arg(folder)
        },
    },
    Writer {
        command: "fid",
        flag: "--save-statistics",
        name: "statistics.npz",
        knows_its_own: false,
        line: |bench, _| {
            Ddpm::new("fid")
                .arg(&bench.images)
                .words("--features raw --allow-few")
        },
    },
    // Below: `man --out DIR` writes one.
    Writer {
        command: "man",
        flag: "--out",
        name: "ddpm.1",
        knows_its_own: true,
        line: |_, _| Ddpm::new("man"),
    },
];

fn samples(_: &Bench, other: bool) -> Ddpm {
    let words = if other { "--seed 7" } else { "" };
    small("sample")
        .words("--path even:1 --count 2")
        .words(words)
}

impl Writer {
    fn run(&self, bench: &Bench, other: bool, out: &Path) -> Ddpm {
        let out = if self.command == "man" {
            out.parent().unwrap()
        } else {
            out
        };
        (self.line)(bench, other).file(self.flag, out)
    }
}

#[test]
fn every_command_that_writes_is_in_this_list_and_has_force() {
    let known: BTreeSet<_> = WRITERS.iter().map(|w| (w.command, w.flag)).collect();
    let mut found = BTreeSet::new();
    let names = commands();
    for name in &names {
        let help = Ddpm::new(name).words("--help").run().succeeds().stdout();
        let flags: Vec<&str> = help
            .lines()
            .map(str::trim_start)
            .filter_map(|line| line.split(' ').find(|word| word.starts_with("--")))
            .collect();
        let written = ["--out", "--output", "--save-statistics", "--write-model"];
        for flag in written.into_iter().filter(|flag| flags.contains(flag)) {
            found.insert((name.as_str(), flag));
            assert!(flags.contains(&"--force"), "{name} has no --force");
        }
        // Another name for an output would be in no list.
        let others = ["--save", "--write", "--to", "--dump"];
        let unknown = flags.iter().find(|flag| {
            others.iter().any(|word| flag.starts_with(word))
                && !["--save-statistics", "--save-every", "--write-model"].contains(flag)
        });
        assert_eq!(unknown, None, "{name}");
    }
    assert_eq!(found, known);
}

#[test]
fn what_is_there_is_replaced_by_its_own_command_and_by_force_alone() {
    let bench = bench();
    for writer in &WRITERS {
        let place = bench.folder.path().join(writer.name.replace('.', "-"));
        std::fs::create_dir(&place).unwrap();
        let out = place.join(writer.name);
        let what = format!("{} {}", writer.command, writer.name);
        let names = || {
            let entries = std::fs::read_dir(&place).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name());
            names.collect::<BTreeSet<_>>()
        };

        std::fs::write(&out, MINE).unwrap();
        let refused = writer.run(&bench, false, &out).run();
        let path = out.to_str().unwrap();
        refused.fails(3, &[path, "expected", "--force"]);
        assert_eq!(std::fs::read_to_string(&out).unwrap(), MINE, "{what}");
        assert_eq!(names().len(), 1, "{what} left something: {:?}", names());

        let run = writer.run(&bench, false, &out).words("--force").run();
        run.succeeds();
        let made = std::fs::read(&out).unwrap();
        assert_ne!(made, MINE.as_bytes(), "{what}");
        let all = names();

        // The same command again.
        let again = writer.run(&bench, false, &out).run();
        if writer.knows_its_own {
            again.succeeds();
        } else {
            again.fails(3, &[path, "--force"]);
        }
        assert!(std::fs::read(&out).unwrap() == made, "{what}");
        assert_eq!(names(), all, "{what}");

        // Another command of the same kind.
        if writer.knows_its_own && writer.command != "man" {
            writer.run(&bench, true, &out).fails(3, &[path, "--force"]);
            assert!(std::fs::read(&out).unwrap() == made, "{what}");
            assert_eq!(names(), all, "{what}");
            let run = writer.run(&bench, true, &out).words("--force").run();
            run.succeeds();
            assert!(std::fs::read(&out).unwrap() != made, "{what}");
        }

        // Nothing is lost of an empty file: `mktemp` makes them.
        let empty = place
            .join("empty")
            .with_extension(out.extension().unwrap_or_default());
        if writer.command != "man" {
            std::fs::write(&empty, "").unwrap();
            writer.run(&bench, false, &empty).run().succeeds();
        }
    }
}

#[test]
fn a_shard_takes_no_other_shards_place_and_a_merge_loses_no_block() {
    let bench = bench();
    let at = |name: &str| bench.folder.path().join(name);
    let shard = |shard: &str, out: &Path| {
        small("profile")
            .file("--data", &bench.images)
            .words("--images-per-block 1 --shard")
            .arg(shard)
            .file("--out", out)
    };
    for (name, which) in [("a", "0/2"), ("b", "1/2")] {
        shard(which, &at(name)).run().succeeds();
    }
    shard("1/2", &at("a")).fails(3, &["shard", "--force"]);
    let merge = |parts: &[&str]| {
        let command = parts.iter().map(|part| at(part));
        command
            .fold(Ddpm::new("merge"), |line, part| line.arg(part))
            .file("--out", &at("all"))
    };
    merge(&["a"]).run().succeeds();
    // All of what is there is in what comes.
    merge(&["a", "b"]).run().succeeds();
    let whole = std::fs::read(at("all")).unwrap();
    merge(&["a"]).fails(3, &["all", "blocks", "--force"]);
    assert!(std::fs::read(at("all")).unwrap() == whole);
}

#[test]
fn the_record_beside_samples_and_the_page_of_a_folder_are_known() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let sample = |out: &Path| {
        small("sample")
            .words("--path even:1 --count 2")
            .file("--out", out)
    };
    // A file of the user's that happens to have the record's name.
    for name in ["grid.png", "pictures"] {
        let beside = at(&format!("{name}.run.json"));
        std::fs::write(&beside, MINE).unwrap();
        sample(&at(name)).fails(3, &["run.json", "--force"]);
        assert_eq!(std::fs::read_to_string(&beside).unwrap(), MINE);
        assert!(!at(name).exists());
        std::fs::remove_file(beside).unwrap();
    }
    // Of samples that are gone it records nothing.
    sample(&at("grid.png")).run().succeeds();
    std::fs::remove_file(at("grid.png")).unwrap();
    sample(&at("grid.png")).words("--seed 3").run().succeeds();

    let run = at("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::write(run.join("report.html"), MINE).unwrap();
    let images = at("images.safetensors");
    small_images(&images, 2, 0.0);
    small("profile")
        .file("--data", &images)
        .writes(&run.join("p.safetensors"));
    let report = || Ddpm::new("report").arg(&run);
    report().fails(3, &["report.html", "--force"]);
    report().words("--force").run().succeeds();
    // It is made anew as the folder grows.
    report().run().succeeds();
    let page = run.join("report.html");
    report().file("--out", &page).run().succeeds();
}

/// What was at OUT when its record was written is known by its hash: another file in its place is the user's.
#[test]
fn samples_are_known_by_their_bytes_and_may_grow() {
    let folder = scratch();
    for name in ["grid.png", "samples.npz", "samples.safetensors"] {
        let out = folder.path().join(name);
        let sample = |words: &str| {
            small("sample")
                .words("--path even:1")
                .words(words)
                .file("--out", &out)
        };
        sample("--count 2").run().succeeds();
        let two = std::fs::read(&out).unwrap();
        // All samples of the earlier run are among those of a longer one.
        sample("--count 3").run().succeeds();
        assert!(std::fs::read(&out).unwrap() != two);
        sample("--count 2").fails(3, &[name, "count: expected 2", "found 3", "--force"]);
        sample("--count 3 --seed 9").fails(3, &[name, "seed: expected 9", "--force"]);
        std::fs::write(&out, MINE).unwrap();
        for words in ["--count 3", "--count 3 --resume"] {
            sample(words).fails(3, &[name, "run.json", "--force"]);
            assert_eq!(std::fs::read_to_string(&out).unwrap(), MINE);
        }
    }
}

/// Pictures that lie among the samples of an interrupted run are none of them, and samples are not put among pictures.
#[test]
fn samples_and_pictures_of_others_stay_apart() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let sample = |out: &Path| {
        small("sample")
            .words("--path even:1 --count 3")
            .file("--out", out)
    };
    sample(&at("whole.npz")).run().succeeds();
    let images = at("images.safetensors");
    small_images(&images, 1, 0.0);
    sample(&at("png")).run().succeeds();
    // The state of a run that was stopped after its second image, and somebody's previews of it.
    let partial = at("out.npz.partial");
    std::fs::create_dir(&partial).unwrap();
    std::fs::copy(at("png.run.json"), partial.join("run.json")).unwrap();
    let picture = golden("pictures/grey.jpg");
    for (i, preview) in ["000000.jpg", "000001.jpeg"].iter().enumerate() {
        let name = format!("{i:06}.png");
        std::fs::copy(at("png").join(&name), partial.join(&name)).unwrap();
        std::fs::copy(&picture, partial.join(preview)).unwrap();
        std::fs::copy(&picture, partial.join(format!(".{name}"))).unwrap();
    }
    sample(&at("out.npz")).words("--resume").run().succeeds();
    let pixels = |name: &str| std::fs::read(at(name)).unwrap();
    assert!(pixels("out.npz") == pixels("whole.npz"));

    // What has the name of a sample and is none.
    for (name, junk) in [
        ("000001.png", golden("pictures/one-bit.png")),
        ("000001.png", images),
    ] {
        let place = at("junk");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::copy(at("png.run.json"), at("junk.run.json")).unwrap();
        std::fs::copy(junk, place.join(name)).unwrap();
        sample(&place)
            .words("--resume")
            .fails(3, &[name, "expected", "drawn again"]);
    }

    // A run that was killed when only its record was left to be written.
    std::fs::copy(at("whole.npz"), at("late.npz")).unwrap();
    let partial = at("late.npz.partial");
    std::fs::create_dir(&partial).unwrap();
    std::fs::copy(at("png.run.json"), partial.join("run.json")).unwrap();
    for entry in std::fs::read_dir(at("png")).unwrap() {
        let piece = entry.unwrap();
        std::fs::copy(piece.path(), partial.join(piece.file_name())).unwrap();
    }
    sample(&at("late.npz")).fails(3, &["late.npz", "--force"]);
    sample(&at("late.npz")).words("--resume").run().succeeds();
    assert!(at("late.npz.run.json").exists() && !partial.exists());

    for (name, inside) in [("photos", "a.jpg"), ("classes", "cat/a.png")] {
        let place = at(name).join(inside);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(&picture, &place).unwrap();
        sample(&at(name)).fails(3, &[name, "without images and folders"]);
        assert_eq!(std::fs::read_dir(at(name)).unwrap().count(), 1);
    }
}

/// A pipe is nobody's file, and is not read to find that out.
#[cfg(unix)]
#[test]
fn pipes_and_standard_output_are_not_in_the_way() {
    let bench = bench();
    let schedule = || {
        Ddpm::new("schedule")
            .arg(&bench.profile)
            .words("--steps 3 --folds 0")
            .file("--out", Path::new("/dev/stdout"))
    };
    let outcome = schedule().run().succeeds();
    assert!(
        outcome.stdout().contains("ddpm-schedules"),
        "{}",
        outcome.stdout()
    );
    // Redirected to a file that holds something: it is written behind that.
    let place = bench.folder.path().join("appended");
    std::fs::write(&place, MINE).unwrap();
    let file = std::fs::OpenOptions::new()
        .append(true)
        .open(&place)
        .unwrap();
    let mut run = Ddpm::new("export")
        .arg(&bench.schedules)
        .words("--format csv --out /dev/stdout")
        .into_inner();
    assert!(run.stdout(file).status().unwrap().success());
    let text = std::fs::read_to_string(&place).unwrap();
    assert!(
        text.starts_with(MINE) && text.contains("timestep"),
        "{text}"
    );
}

/// OUT.lock and OUT.partial are a run's own; what else has such a name is the user's (`uv.lock`), and is neither used nor removed.
#[test]
fn what_a_run_keeps_beside_its_output_is_never_the_users() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let sample = |out: &Path| {
        small("sample")
            .words("--path even:1 --count 1")
            .file("--out", out)
    };
    std::fs::write(at("uv.lock"), MINE).unwrap();
    sample(&at("uv")).fails(3, &["uv.lock", "expected"]);
    assert_eq!(std::fs::read_to_string(at("uv.lock")).unwrap(), MINE);
    assert!(!at("uv").exists());
    let images = at("images.safetensors");
    small_images(&images, 2, 0.0);
    let profile = |out: &Path| small("profile").file("--data", &images).over("--out", out);
    std::fs::create_dir(at("p.partial")).unwrap();
    profile(&at("p")).fails(3, &["p.partial", "expected"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("uv.lock", at("q.lock")).unwrap();
        profile(&at("q")).fails(3, &["q.lock", "expected"]);
        let made = std::process::Command::new("mkfifo")
            .arg(at("r.lock"))
            .status();
        assert!(made.unwrap().success());
        profile(&at("r")).fails(3, &["r.lock", "expected"]);
        assert!(at("q.lock").exists() && at("r.lock").exists());
    }
}

/// Not with `--force` either.
#[test]
fn nothing_that_a_command_reads_is_written_whatever_it_is_called() {
    let bench = bench();
    let at = |name: &str| bench.folder.path().join(name);
    let kept = |what: &str, file: &Path, run: Ddpm| {
        let before = std::fs::read(file).unwrap();
        run.words("--force")
            .fails(3, &["read by this very command"]);
        assert!(std::fs::read(file).unwrap() == before, "{what}");
    };
    // By a variable of the environment.
    let data = bench.images.to_str().unwrap();
    let run = small("profile").env("DDPM_DATA", data);
    kept("data", &bench.images, run.file("--out", &bench.images));
    // Beside the checkpoint.
    let network = at("net.pt");
    std::fs::copy(golden("unet-hybrid-16px.pt"), &network).unwrap();
    let beside = at("net.model.json");
    std::fs::write(
        &beside,
        r#"{"num_heads": 2, "image_size": 16, "train_steps": 40}"#,
    )
    .unwrap();
    let predict = Ddpm::new("predict")
        .arg(&network)
        .file("--input", &bench.predicted);
    kept("model.json", &beside, predict.file("--output", &beside));
    // In the folder of a report.
    let inside = bench.results[0].join("s.json");
    let report = Ddpm::new("report").arg(&bench.results[0]);
    kept("report", &inside, report.file("--out", &inside));
    // What is written beside an output.
    let record = at("grid.png.run.json");
    std::fs::copy(&bench.profile, &record).unwrap();
    let sample = small("sample")
        .words("--path even:2 --count 1 --mean calibrated")
        .file("--profile", &record);
    kept("run.json", &record, sample.file("--out", &at("grid.png")));
    let lock = at("m.lock");
    std::fs::copy(&bench.profile, &lock).unwrap();
    let merge = Ddpm::new("merge").arg(&lock);
    kept("lock", &lock, merge.file("--out", &at("m")));
}
