//! The invariants of ARCHITECTURE.md, checked as ordinary tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::{cargo, root};

/// What each crate of the workspace may depend on among its siblings.
const LAYERS: &[(&str, &[&str])] = &[
    ("ddpm-core", &[]),
    ("ddpm-dp", &[]),
    ("ddpm-profile", &["ddpm-core", "ddpm-dp"]),
    ("ddpm-model", &["ddpm-core"]),
    ("ddpm-eval", &["ddpm-core", "ddpm-profile", "ddpm-model"]),
    (
        "ddpm-cli",
        &[
            "ddpm-core",
            "ddpm-dp",
            "ddpm-profile",
            "ddpm-model",
            "ddpm-eval",
        ],
    ),
    (
        "ddpm",
        &[
            "ddpm-core",
            "ddpm-dp",
            "ddpm-profile",
            "ddpm-model",
            "ddpm-eval",
            "ddpm-cli",
        ],
    ),
    ("xtask", &[]),
];

/// The normal dependencies of every package, by name, from `cargo metadata`.
///
/// For this platform only: a build has fetched no packages of others, and these tests run offline.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", &host()])
        .output()
        .expect("cargo metadata runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name_of: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["id"].as_str().unwrap(), p["name"].as_str().unwrap()))
        .collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let entry = graph
            .entry(name_of[node["id"].as_str().unwrap()].to_owned())
            .or_default();
        for dep in node["deps"].as_array().unwrap() {
            let normal = dep["dep_kinds"]
                .as_array()
                .unwrap()
                .iter()
                .any(|kind| kind["kind"].is_null());
            if normal {
                entry.insert(name_of[dep["pkg"].as_str().unwrap()].to_owned());
            }
        }
    }
    graph
}

/// This platform's name for Cargo.
fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "host-tuple"])
        .output()
        .expect("rustc runs");
    assert!(output.status.success(), "rustc --print host-tuple failed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn reaches(graph: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        for next in graph.get(name).into_iter().flatten() {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    false
}

fn rust_files(under: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![under.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The part of a source file above its unit tests (a test module that lies in a file of its own is skipped by name).
fn without_tests(source: &str) -> &str {
    source
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(source)
}

#[test]
fn dependencies_point_one_way() {
    let graph = dependencies();
    let ours: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in LAYERS {
        for dep in &graph[*name] {
            assert!(
                !ours.contains(dep.as_str()) || allowed.contains(&dep.as_str()),
                "{name} must not depend on {dep}"
            );
        }
    }
}

#[test]
fn no_tensor_framework_without_its_feature() {
    let graph = dependencies();
    for (name, _) in LAYERS {
        assert!(
            !reaches(&graph, name, "candle-core"),
            "{name} must not reach candle"
        );
    }
}

/// Source files of a crate that contain one of the needles outside their tests.
fn offenders(krate: &str, needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let files = rust_files(&root().join("crates").join(krate).join("src"));
    assert!(!files.is_empty(), "{krate} has no sources: was it renamed?");
    for path in files {
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        for line in without_tests(&source).lines() {
            let code = line.split("//").next().unwrap_or("");
            if let Some(needle) = needles.iter().find(|n| code.contains(*n)) {
                found.push(format!("{}: {needle}", path.display()));
            }
        }
    }
    found
}

#[test]
fn no_files_in_core_dp_and_profile() {
    for krate in ["ddpm-core", "ddpm-dp", "ddpm-profile"] {
        let found = offenders(
            krate,
            &[
                "std::fs",
                " fs::",
                "{fs",
                "File::",
                "std::net",
                "std::env::",
            ],
        );
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn libraries_do_not_print() {
    for krate in [
        "ddpm-core",
        "ddpm-dp",
        "ddpm-profile",
        "ddpm-model",
        "ddpm-eval",
    ] {
        let found = offenders(krate, &["println!", "eprintln!", "print!("]);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn no_hidden_randomness() {
    for krate in [
        "ddpm-core",
        "ddpm-dp",
        "ddpm-profile",
        "ddpm-model",
        "ddpm-eval",
        "ddpm-cli",
    ] {
        let found = offenders(
            krate,
            &["rand::", "thread_rng", "Tensor::randn", "Tensor::rand"],
        );
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn unsafe_only_in_kernels() {
    for path in rust_files(&root().join("crates"))
        .into_iter()
        .chain(rust_files(&root().join("src")))
        .chain(rust_files(&root().join("tests")))
    {
        let in_kernels = path.components().any(|c| c.as_os_str() == "kernels");
        let source = fs::read_to_string(&path).unwrap();
        let found = source.lines().any(|line| {
            let code = line.split("//").next().unwrap_or("");
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        assert!(in_kernels || !found, "{} holds unsafe code", path.display());
    }
}

#[test]
fn atomic_writes_in_one_place() {
    let found: Vec<String> = ["ddpm-eval", "ddpm-cli", "ddpm-model"]
        .iter()
        .flat_map(|krate| offenders(krate, &["fs::write", "File::create", "fs::rename"]))
        .filter(|line| !line.contains("ddpm-eval/src/io.rs"))
        .collect();
    assert!(
        found.is_empty(),
        "files are written by ddpm_eval::io alone: {found:#?}"
    );
}

#[test]
fn every_invariant_is_written_down() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (name, _) in LAYERS {
        assert!(
            text.contains(&format!("`{name}`")),
            "ARCHITECTURE.md does not name {name}"
        );
    }
    assert!(text.matches("**Invariant:**").count() >= LAYERS.len());
}

#[test]
fn no_trailing_whitespace_and_no_tabs() {
    for path in rust_files(&root().join("crates")) {
        let source = fs::read_to_string(&path).unwrap();
        for (number, line) in source.lines().enumerate() {
            assert!(
                line == line.trim_end() && !line.contains('\t'),
                "{}:{}",
                path.display(),
                number + 1
            );
        }
    }
}
