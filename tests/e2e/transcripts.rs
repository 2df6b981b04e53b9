//! The commands of README.md and docs/, read out of these files and run by a shell in the order in which they stand there.
//!
//! Networks and images are small, and the numbers that cost time are made smaller (`SMALLER`); all else is as printed.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use ddpm::data::{Images, write_png_folder};
use ndarray::Array4;
use serde_json::Value;

use crate::support::{Ddpm, commands, golden, numbers, repository, scratch, write_npy};

/// What a test has no time for.
const SMALLER: &[(&str, &str)] = &[
    ("--evaluations 8192", "--evaluations 640"),
    ("--count 64", "--count 2"),
    ("--count 16", "--count 2"),
    ("--count 256", "--count 3"),
    (
        "ddpm trajectory model.pt",
        "ddpm trajectory model.pt --count 1 --nodes 24 --steps none",
    ),
];

/// A block of commands, and the headings above it.
struct Block {
    heading: String,
    commands: String,
}

impl Block {
    /// Commands of `ddpm`, one per line.
    fn of_ddpm(&self) -> Vec<&str> {
        self.commands
            .lines()
            .filter(|line| line.starts_with("ddpm "))
            .collect()
    }
}

/// The blocks that are marked `sh` and nothing else, without the commands of cargo, and with lines that go on joined. Those that are
/// marked slow are left to `cargo xtask newcomer`.
fn blocks(document: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(repository(document)).unwrap();
    let mut blocks = Vec::new();
    let mut heading = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            heading = line.trim_start_matches('#').trim().to_owned();
        }
        if line != "```sh" {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let block = block.join("\n").replace("\\\n", " ");
        let commands: Vec<&str> = block
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("cargo "))
            .collect();
        if !commands.is_empty() {
            blocks.push(Block {
                heading: heading.clone(),
                commands: commands.join("\n"),
            });
        }
    }
    blocks
}

/// Runs a block as a user would paste it.
fn run(block: &Block, folder: &Path) {
    let mut script = block.commands.clone();
    for (long, short) in SMALLER {
        script = script.replace(long, short);
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_ddpm")).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(binary.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let output = Command::new("sh")
        .args(["-e", "-c", &script])
        .current_dir(folder)
        .env("PATH", path)
        .env("HOME", folder)
        .env_remove("DDPM_DATA")
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "{}:\n{script}\n{}",
        block.heading,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Copies a file, or a folder with what is in it.
fn copy_all(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        copy_all(&path, &to.join(path.file_name().unwrap()));
    }
}

/// What a reader has: models, images, errors, costs.
fn prepare(folder: &Path) {
    let at = |name: &str| folder.join(name);
    copy_all(&golden("diffusers/ddpm-pipeline"), &at("ddpm-cifar10-32"));
    copy_all(&golden("unet-hybrid-16px.pt"), &at("model.pt"));
    std::fs::write(
        at("model.model.json"),
        r#"{"num_heads": 4, "image_size": 16, "train_steps": 4000, "noise_schedule": "cosine", "rescale_timesteps": true}"#,
    )
    .unwrap();
    let pixels = Array4::from_shape_fn((128, 3, 16, 16), |(n, c, y, x)| {
        (n * 31 + c * 40 + y * 7 + x * 3) as u8
    });
    write_png_folder(&at("images"), &Images::from_bytes(pixels).unwrap(), 0).unwrap();
    std::fs::create_dir(at("datasets")).unwrap();
    for name in [
        "cifar10-small.train.profile.safetensors",
        "cifar10-small.test.profile.safetensors",
        "cifar10-small.safetensors",
        "cifar10-small.model.json",
        "cifar10-medium.train.profile.safetensors",
        "cifar10-medium.test.profile.safetensors",
    ] {
        copy_all(
            &repository("datasets").join(name),
            &at("datasets").join(name),
        );
    }
    copy_all(&golden("squared-errors.npz"), &at("errors.npz"));
    for name in ["train.npz", "test.npz"] {
        copy_all(&golden("hook-bands/colour.npz"), &at(name));
    }
    let rows: Vec<String> = (1..=40)
        .map(|t| format!("{t},{}\n", 0.01 * f64::from(t)))
        .collect();
    std::fs::write(at("m.csv"), format!("t,mse\n{}", rows.concat())).unwrap();
    // Even steps are the best under squared lengths.
    let costs: Vec<f64> = (0..41 * 41)
        .map(|i| f64::from(i / 41 - i % 41).powi(2))
        .collect();
    write_npy(&at("cost.npy"), &[41, 41], &costs);
}

/// The timesteps that an export in Python has for a number of steps, noisiest first.
fn exported(text: &str, steps: usize) -> Vec<usize> {
    let (_, list) = text
        .split_once(&format!("\n    {steps}: "))
        .or_else(|| text.split_once("\ntimesteps = "))
        .unwrap_or_else(|| panic!("no {steps} steps in:\n{text}"));
    let end = list.find([']', '}']).expect("the end of a list");
    let mut found: Vec<usize> = list[1..end]
        .split(',')
        .filter(|word| !word.trim().is_empty())
        .map(|word| {
            word.trim()
                .parse()
                .unwrap_or_else(|_| panic!("{word:?} in:\n{text}"))
        })
        .collect();
    found.sort_unstable();
    found.reverse();
    found
}

/// The README from top to bottom, and in it: from a folder of diffusers to an exported schedule in two commands, from an
/// OpenAI file in two, from squared errors or a matrix in one.
#[test]
fn the_readme_runs_as_it_is_printed() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
    prepare(folder.path());
    let mut transcripts = Vec::new();
    let printed = blocks("README.md");
    count("README.md", printed.len());
    for block in printed {
        run(&block, folder.path());
        let commands = block.of_ddpm();
        let last = commands.last().copied().unwrap_or_default();
        match (block.heading.as_str(), last.rsplit_once(" > ")) {
            (heading @ ("From diffusers" | "From OpenAI"), Some((_, name))) => {
                assert!(commands.len() == 2 && commands[0].starts_with("ddpm profile "));
                let file = name.replace(".py", ".json");
                let schedules: Value = serde_json::from_str(&read(&file)).unwrap();
                let text = read(name);
                for (budget, steps) in schedules["budgets"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .zip([8, 16, 32])
                {
                    assert_eq!(budget["steps"], steps);
                    let path = numbers(&budget["path"]);
                    let expected: Vec<usize> =
                        path[1..].iter().rev().map(|&t| t as usize - 1).collect();
                    assert_eq!(exported(&text, steps), expected, "{heading}");
                }
                transcripts.push(heading.to_owned());
            }
            ("Any other network", Some((command, name))) => {
                assert_eq!(commands.len(), 1);
                let found = exported(&read(name), 10);
                assert_eq!(found.len(), 10);
                if command.starts_with("ddpm solve ") {
                    assert_eq!(found, (0..10).rev().map(|i| 4 * i + 3).collect::<Vec<_>>());
                }
                transcripts.push(command.split(' ').take(2).collect::<Vec<_>>().join(" "));
            }
            _ => {}
        }
    }
    assert_eq!(
        transcripts,
        [
            "From diffusers",
            "From OpenAI",
            "ddpm schedule",
            "ddpm solve"
        ]
    );
    assert!(at("ten.png").is_file());
}

/// Says how many blocks were run, past the test runner, which keeps what passing tests print to itself.
fn count(document: &str, run: usize) {
    let text = std::fs::read_to_string(repository(document)).unwrap();
    let slow = text.lines().filter(|line| line.starts_with("```sh slow"));
    let line = format!(
        "{document}: {run} blocks of sh run, {} left to cargo xtask newcomer\n",
        slow.count()
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// What a page leaves behind.
fn check_what_is_left(document: &str, folder: &Path) {
    let made: &[&str] = match document {
        "docs/tutorial-pixels.md" => &["samples.png", "quality.json", "ddim.png", "schedules.csv"],
        "docs/commands.md" => &[".local/share/man/man1/ddpm.1"],
        "docs/numbers.md" => &["bits.svg"],
        _ => &[],
    };
    for name in made {
        assert!(folder.join(name).is_file(), "{document}: {name}");
    }
    // The figure that is shown is the one that its command draws.
    if document == "docs/numbers.md" {
        let shown = std::fs::read_to_string(repository("docs/bits-per-dim.svg")).unwrap();
        let drawn = std::fs::read_to_string(folder.join("bits.svg")).unwrap();
        assert!(
            drawn == shown,
            "docs/bits-per-dim.svg is not what the command draws"
        );
    }
}

#[test]
fn the_other_documents_run_as_they_are_printed() {
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(repository("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let document = format!("docs/{name}");
        if name.ends_with(".md") && !blocks(&document).is_empty() {
            documents.push(document);
        }
    }
    assert!(documents.len() >= 3, "{documents:?}");
    for document in documents {
        let folder = scratch();
        prepare(folder.path());
        let printed = blocks(&document);
        let makes_its_own = |block: &Block| block.commands.contains("--out schedules.json");
        if !printed.iter().any(makes_its_own) {
            Ddpm::new("schedule")
                .words("datasets/cifar10-small.train.profile.safetensors --steps 8,16,32 --folds 0 --out schedules.json")
                .within(folder.path())
                .run()
                .succeeds();
        }
        count(&document, printed.len());
        for block in printed {
            run(&block, folder.path());
        }
        check_what_is_left(&document, folder.path());
    }
}

#[test]
fn the_page_of_commands_lists_every_command() {
    let page = std::fs::read_to_string(repository("docs/commands.md")).unwrap();
    let (_, table) = page.split_once("| command | what it does |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    for command in commands() {
        let named = [format!("`ddpm {command}`"), format!("`{command}`")];
        assert!(named.iter().any(|name| table.contains(name)), "{command}");
    }
}

/// The README names the nearest rival beside the tool's own number, both as they were measured.
#[test]
fn the_readme_names_the_nearest_rival() {
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = std::fs::read_to_string(repository("docs/quality.json")).unwrap();
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let rows = found["rows"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["sampler"] == "dpm-solver++" && row["steps"] == 10);
    let ends = |schedule: &str| {
        let row = rows.clone().find(|row| row["schedule"] == schedule);
        row.unwrap()["rms"].as_f64().unwrap()
    };
    let of_others = rows.clone().filter(|row| {
        let schedule = row["schedule"].as_str().unwrap();
        schedule != "quality" && !schedule.starts_with("trajectory")
    });
    let nearest = of_others.map(|row| row["rms"].as_f64().unwrap());
    assert_eq!(
        nearest.fold(f64::INFINITY, f64::min),
        ends("GITS on our grid")
    );
    let said = format!(
        "ten steps of DPM-Solver++(2M) {:.3} for the shipped checkpoint, where the nearest rival (GITS on our own trajectories) \
         ends {:.3}, the paper's reweighted objective {:.3} and even steps {:.3} away",
        ends("quality"),
        ends("GITS on our grid"),
        ends("DP (reweighted MSE)"),
        ends("even"),
    );
    assert!(readme.contains(&said), "{said}");
}

/// Every number that is made smaller stands somewhere, so that the list cannot outlive its reasons.
#[test]
fn nothing_is_made_smaller_that_is_not_there() {
    let mut all = String::new();
    for document in ["README.md", "docs/sampling.md", "docs/tutorial-pixels.md"] {
        for block in blocks(document) {
            all += &block.commands;
        }
    }
    for (long, _) in SMALLER {
        assert!(all.contains(long), "{long}");
    }
}

/// The page about evaluations claims no more than its one-sided bounds carry.
#[test]
fn the_loss_of_few_evaluations_is_stated_by_its_upper_bound() {
    let read = |name: &str| std::fs::read_to_string(repository("docs").join(name)).unwrap();
    let measured: Value = serde_json::from_str(&read("evaluations.json")).unwrap();
    let budgets = measured["budgets"].as_array().unwrap().len();
    let rows = measured["rows"].as_array().unwrap().iter();
    let of_the_text =
        |row: &&Value| row["evaluations"] == 8192 && row["seed"].as_u64().unwrap() <= 20;
    let rows: Vec<&Value> = rows.filter(of_the_text).collect();
    assert_eq!(rows.len(), 20);
    let number = |value: &Value| value.as_f64().unwrap();
    let (mut largest, mut decided) = (String::new(), String::new());
    for i in 0..budgets {
        let bounds = rows
            .iter()
            .map(|row| number(&row["loss"][i]) + 2.0 * number(&row["standard_error"][i]));
        let bounds: Vec<f64> = bounds.collect();
        let most = bounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        largest += &format!(" {:+.1} |", 1e3 * most);
        decided += &format!(
            " {} |",
            bounds.iter().filter(|&&bound| bound <= 0.005).count()
        );
    }
    let page = read("evaluations.md");
    for line in [
        format!("| largest upper bound, loss + 2 standard errors |{largest}"),
        format!("| seeds of 20 whose upper bound is at most 5 |{decided}"),
    ] {
        assert!(page.contains(&line), "{line} is not in docs/evaluations.md");
    }
}
