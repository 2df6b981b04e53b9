//! `cargo xtask ci`: what must be green before anything is merged. `.ci/run` prepares data and calls it.

use std::process::Command;

use xtask::{cargo, check, root};

use crate::newcomer;

/// What is done, each step by a command of Cargo.
pub(crate) const STEPS: [(&str, &str); 9] = [
    ("format", "fmt --all --check"),
    (
        "clippy",
        "clippy --release --workspace --all-targets -- -D warnings",
    ),
    ("tests", "test --release"),
    (
        "clippy with candle",
        "clippy --release -p ddpm-model --all-targets --features candle -- -D warnings",
    ),
    (
        "networks on candle",
        "test --release -p ddpm-model --features candle",
    ),
    ("docs", "doc --release --workspace --no-deps"),
    (
        "lister of public paths",
        "test --release --package ddpm-public-api",
    ),
    ("public paths", "xtask public-api"),
    ("smoke run", "xtask reproduce-cifar --smoke"),
];

/// Runs every step.
///
/// # Errors
/// The first step that fails.
pub(crate) fn run() -> anyhow::Result<()> {
    for (name, words) in STEPS {
        println!("\n== {name}");
        let mut command = cargo();
        if name == "docs" {
            command.env("RUSTDOCFLAGS", "-D warnings");
        }
        check(command.args(words.split(' ')))?;
    }
    println!("\n== tests whose needs are met here");
    check(&mut Command::new(root().join(".ci/ignored-tests")))?;
    println!("\n== Python package");
    check(&mut Command::new(root().join(".ci/python")))?;
    println!("\n== blocks of the documents");
    newcomer::print_counts()?;
    println!("\n== workflows");
    check(&mut Command::new(root().join(".ci/workflows")))?;
    println!("\n== deny");
    let found = cargo().args(["deny", "--version"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        // The advisory database needs the network; licences, bans and sources do not.
        check(cargo().args(["deny", "check", "licenses", "bans", "sources"]))?;
        println!("\nci: all green");
    } else {
        println!("skipped: cargo-deny is not installed (cargo install --locked cargo-deny)");
        println!("\nci: all green, but licences, bans and sources were not checked");
    }
    Ok(())
}
