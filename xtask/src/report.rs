//! `cargo xtask check-report`: the page of `ddpm report` in a browser.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::args::Args;
use crate::bench::venv;
use crate::workspace::{build_ddpm, check, root};

const HELP: &str = "\
cargo xtask check-report [--chromium PATH] [--report F.html] [--python PYTHON]

Writes a report of the files in datasets/ and opens it in Chromium on a desktop and on a phone, light and dark: clicks
everything that can be clicked, and fails on a message of the console, a request, a page wider than its window, faint
text, or what would be wrong on paper (tests/peers/check_report.py). Takes about two minutes. Screenshots and printed
pages are left in target/peers/report/shots for a look.

  --chromium PATH    the browser [default: playwright's own, which is downloaded]
  --report F.html    check this page instead
  --python PYTHON    an interpreter that has playwright; nothing is installed";

pub(crate) fn run(words: Vec<String>) -> anyhow::Result<()> {
    let mut args = Args::new(words, HELP);
    if args.help_wanted() {
        return Ok(());
    }
    let chromium = args.value("--chromium")?;
    let report = args.value("--report")?.map(PathBuf::from);
    let python = args.value("--python")?.map(PathBuf::from);
    args.finish()?;

    let scratch = root().join("target/peers");
    let work = scratch.join("report");
    std::fs::create_dir_all(&work)
        .with_context(|| format!("failed to create {}", work.display()))?;
    let python = match python {
        Some(python) => python,
        None => venv(&scratch.join("venv-report"), &["playwright==1.56.0"])?,
    };
    if chromium.is_none() {
        check(Command::new(&python).args(["-m", "playwright", "install", "chromium"]))?;
    }
    let report = match report {
        Some(report) => report,
        None => write_report(&work.join("run"))?,
    };
    let mut browser = Command::new(&python);
    browser
        .current_dir(root())
        .arg("tests/peers/check_report.py")
        .arg("--report")
        .arg(std::path::absolute(report)?)
        .arg("--shots")
        .arg(work.join("shots"));
    if let Some(chromium) = chromium {
        browser.arg("--chromium").arg(chromium);
    }
    check(&mut browser)
}

/// A folder with something for every section, and its page.
fn write_report(folder: &std::path::Path) -> anyhow::Result<PathBuf> {
    // Nothing of an earlier run may be on the page.
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let ddpm = build_ddpm()?;
    let datasets = root().join("datasets");
    // Runs a command there; what it prints goes into a file, where one is named.
    let run = |words: &str, printed: Option<&str>| -> anyhow::Result<()> {
        let mut command = Command::new(&ddpm);
        command
            .current_dir(folder)
            .args(words.split_whitespace())
            .arg("--quiet");
        if let Some(name) = printed {
            command.stdout(std::fs::File::create(folder.join(name))?);
        }
        check(&mut command)
    };
    for split in ["train", "test"] {
        let name = format!("{split}.profile.safetensors");
        std::fs::copy(
            datasets.join(format!("cifar10-small.{name}")),
            folder.join(name),
        )?;
    }
    for (name, file) in [
        ("network.safetensors", "cifar10-small.safetensors"),
        ("network.model.json", "cifar10-small.model.json"),
    ] {
        std::fs::copy(datasets.join(file), folder.join(name))?;
    }
    let steps = "8,16,32,64,128,256";
    for variance in ["learned", "fixed-small", "analytic"] {
        run(
            &format!(
                "schedule train.profile.safetensors --steps {steps} --variance {variance} --out {variance}.json"
            ),
            None,
        )?;
    }
    for (path, name) in [
        ("--schedule learned.json --steps 8", "dp"),
        ("--path even:8", "even"),
    ] {
        run(
            &format!("sample network.safetensors {path} --count 16 --out {name}.png"),
            None,
        )?;
        run(
            &format!(
                "bpd network.safetensors --data ../../../../datasets/cifar10-stand-in --limit 1 {path} --json"
            ),
            Some(&format!("{name}.bpd.json")),
        )?;
    }
    // A distance needs a feature network, which is not in the repository: a table in the form of one.
    std::fs::write(
        folder.join("table5.json"),
        r#"{"rows": [{"stride": "of an example", "K": 8, "FD(none)": {"value": 1.0, "stderr": 0.1}, "images": 16}]}"#,
    )?;
    run("report . --out report.html", None)?;
    Ok(folder.join("report.html"))
}
