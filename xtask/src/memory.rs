//! `cargo xtask memory`: reads and writes where nothing is, by programs that notice.

use std::process::Command;

use anyhow::{Context, bail};

use xtask::{check, root};

/// Miri over the mathematics, the address sanitizer over the kernels
///
/// The unit tests of ddpm-core and ddpm-dp in Miri, and those of ddpm-model, where all of this project's `unsafe` is, under the address
/// sanitizer, which knows the vector instructions that Miri does not. Needs a nightly toolchain with the components miri and rust-src:
/// `rustup toolchain install nightly --component miri,rust-src`. Takes about half an hour on two cores, nearly all of it in Miri.
#[derive(clap::Args)]
pub(crate) struct Memory {
    /// Only one of the two
    #[arg(long, value_enum)]
    only: Option<Checker>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Checker {
    Miri,
    Address,
}

impl Memory {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runs = |checker| self.only.is_none_or(|only| only == checker);
        let triple = host()?;
        if runs(Checker::Address) {
            println!("\n== address sanitizer: ddpm-model");
            let tests = [
                "test",
                "--release",
                "-p",
                "ddpm-model",
                "--lib",
                "--target",
                &triple,
            ];
            // A test asks for what no machine has, and is to be refused. In a target folder of its own: nothing that is built so serves anybody else.
            check(
                nightly("target/address")
                    .args(tests)
                    .env("RUSTFLAGS", "-Zsanitizer=address")
                    .env("ASAN_OPTIONS", "detect_leaks=0:allocator_may_return_null=1"),
            )?;
        }
        if runs(Checker::Miri) {
            for package in ["ddpm-dp", "ddpm-core"] {
                println!("\n== Miri: {package}");
                check(
                    nightly("target/miri")
                        .args(["miri", "test", "-p", package, "--lib"])
                        // What rayon's queues do is right under tree borrows, not under stacked ones; its threads never end.
                        .env(
                            "MIRIFLAGS",
                            "-Zmiri-tree-borrows -Zmiri-permissive-provenance -Zmiri-ignore-leaks -Zmiri-disable-isolation",
                        )
                        .env("PROPTEST_CASES", "1")
                        .env("RAYON_NUM_THREADS", "2"),
                )?;
            }
        }
        Ok(())
    }
}

fn nightly(target: &str) -> Command {
    // The program that rustup puts in front of all toolchains, not the toolchain that runs this.
    let mut command = Command::new("cargo");
    command
        .arg("+nightly")
        .current_dir(root())
        .env("CARGO_TARGET_DIR", root().join(target))
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// The machine's own target, which a sanitizer has to be told.
fn host() -> anyhow::Result<String> {
    let found = Command::new("rustc")
        .args(["+nightly", "-vV"])
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .context("failed to start rustc")?;
    let text = String::from_utf8_lossy(&found.stdout);
    match text.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => bail!(
            "found no nightly toolchain; expected that of `rustup toolchain install nightly --component miri,rust-src`"
        ),
    }
}
