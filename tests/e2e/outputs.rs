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
    /// A folder for a report.
    results: PathBuf,
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
    let results = folder.path().join("results");
    std::fs::create_dir(&results).unwrap();
    std::fs::copy(&schedules, results.join("s.json")).unwrap();
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
    /// Whether what it writes tells which command made it.
    has_record: bool,
    /// The command line; `true` for another one, whose result differs.
    line: fn(&Bench, bool) -> Ddpm,
}

const WRITERS: [Writer; 16] = [
    Writer {
        command: "predict",
        flag: "--output",
        name: "out.safetensors",
        has_record: false,
        line: |bench, _| small("predict").file("--input", &bench.predicted),
    },
    Writer {
        command: "profile",
        flag: "--out",
        name: "profile.safetensors",
        has_record: true,
        line: |bench, other| {
            let words = if other { "--seed 7" } else { "" };
            small("profile").file("--data", &bench.images).words(words)
        },
    },
    Writer {
        command: "profile",
        flag: "--out",
        name: "imported.safetensors",
        has_record: true,
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
        has_record: true,
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
        has_record: true,
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
        has_record: true,
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
        has_record: true,
        line: |bench, other| {
            let words = if other { "--steps 4" } else { "--steps 3" };
            Ddpm::new("schedule").arg(&bench.profile).words(words)
        },
    },
    Writer {
        command: "tune",
        flag: "--out",
        name: "tuned.json",
        has_record: false,
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
        has_record: true,
        line: samples,
    },
    Writer {
        command: "sample",
        flag: "--out",
        name: "samples.npz",
        has_record: true,
        line: samples,
    },
    Writer {
        command: "sample",
        flag: "--out",
        name: "samples.safetensors",
        has_record: true,
        line: samples,
    },
    Writer {
        command: "export",
        flag: "--out",
        name: "steps.csv",
        has_record: false,
        line: |bench, _| {
            Ddpm::new("export")
                .arg(&bench.schedules)
                .words("--format csv")
        },
    },
    Writer {
        command: "plot",
        flag: "--out",
        name: "figure.svg",
        has_record: false,
        line: |bench, _| Ddpm::new("plot").words("timesteps").arg(&bench.schedules),
    },
    Writer {
        command: "report",
        flag: "--out",
        name: "page.html",
        has_record: false,
        line: |bench, _| Ddpm::new("report").arg(&bench.results),
    },
    Writer {
        command: "fid",
        flag: "--save-statistics",
        name: "statistics.npz",
        has_record: false,
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
        has_record: true,
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
        let written = ["--out", "--output", "--save-statistics"];
        for flag in written.into_iter().filter(|flag| flags.contains(flag)) {
            found.insert((name.as_str(), flag));
            assert!(flags.contains(&"--force"), "{name} has no --force");
        }
        // Another name for an output would be in no list.
        let others = ["--save", "--write", "--to", "--dump"];
        let unknown = flags.iter().find(|flag| {
            others.iter().any(|word| flag.starts_with(word))
                && !["--save-statistics", "--save-every"].contains(flag)
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
        if writer.has_record {
            again.succeeds();
        } else {
            again.fails(3, &[path, "--force"]);
        }
        assert!(std::fs::read(&out).unwrap() == made, "{what}");
        assert_eq!(names(), all, "{what}");

        // Another command of the same kind.
        if writer.has_record && writer.command != "man" {
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
