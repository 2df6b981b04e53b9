//! `cargo xtask ci`: what must be green before anything is merged.

use std::process::{Command, Stdio};

use crate::args::Args;
use crate::workspace::{cargo, check};

const HELP: &str = "\
cargo xtask ci

fmt --check, clippy with warnings as errors, every test in release mode, those of ddpm-model also
with candle, docs with warnings as errors, and cargo-deny (skipped with a line where it is not installed).";

/// The one crate that uses candle, with it.
const CANDLE: [&str; 4] = ["--package", "ddpm-model", "--features", "candle"];

pub(crate) fn run(words: Vec<String>) -> anyhow::Result<()> {
    let args = Args::new(words, HELP);
    if args.help_wanted() {
        return Ok(());
    }
    args.finish()?;

    step("format");
    check(cargo().args(["fmt", "--all", "--check"]))?;
    step("clippy");
    let clippy = |args: &[&str]| {
        let clippy = ["clippy", "--release", "--all-targets"];
        check(
            cargo()
                .args(clippy)
                .args(args)
                .args(["--", "-D", "warnings"]),
        )
    };
    clippy(&["--workspace"])?;
    clippy(&CANDLE)?;
    step("tests");
    check(cargo().args(["test", "--release"]))?;
    step("networks on candle");
    check(cargo().args(["test", "--release"]).args(CANDLE))?;
    step("docs");
    check(
        cargo()
            .args(["doc", "--release", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    step("deny");
    if installed("deny") {
        // The advisory database needs the network; licences, bans and sources do not.
        check(cargo().args(["deny", "check", "licenses", "bans", "sources"]))?;
        println!("\nci: all green");
    } else {
        println!("skipped: cargo-deny is not installed (cargo install --locked cargo-deny)");
        println!("\nci: all green, but licences, bans and sources were not checked");
    }
    Ok(())
}

fn step(name: &str) {
    println!("\n== {name}");
}

fn installed(subcommand: &str) -> bool {
    Command::new("cargo")
        .args([subcommand, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
