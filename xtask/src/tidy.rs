//! The invariants of ARCHITECTURE.md, checked as ordinary tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use xtask::{cargo, root};

use crate::ci;

/// What each crate of the workspace may depend on among the others, without the `ddpm-` of their names; `*` is all above.
/// One that is not there is passed over; one that is there and not here is an error.
const LAYERS: [(&str, &str); 18] = [
    ("ddpm-core", ""),
    ("ddpm-dp", ""),
    ("ddpm-files", ""),
    ("ddpm-schedule", "core files"),
    ("ddpm-profile", "core dp files schedule"),
    ("ddpm-trajectory", "core dp files schedule"),
    ("ddpm-data", "core files"),
    ("ddpm-model", "core files"),
    ("ddpm-eval", "*"),
    (
        "ddpm-python",
        "core dp files schedule profile trajectory data eval",
    ),
    ("ddpm-cli", "*"),
    ("ddpm", "*"),
    ("xtask", ""),
    ("ddpm-fuzz", "*"),
    ("ddpm-reproduce", "schedule xtask"),
    ("ddpm-slurm-tests", "xtask"),
    ("ddpm-public-api", "xtask"),
    ("ddpm-benches", "*"),
];

/// What Cargo says of packages, as (depth, name): for this platform and offline, as a build has fetched no more.
fn tree(options: &[&str]) -> Vec<(usize, String)> {
    let output = cargo()
        .args(["tree", "--edges", "normal", "--prefix", "depth"])
        .args(["--offline", "--locked"])
        .args(options)
        .output()
        .expect("cargo tree runs");
    let [text, errors] = [&output.stdout, &output.stderr].map(|o| String::from_utf8_lossy(o));
    assert!(output.status.success() && !text.is_empty(), "{errors}");
    let line = |line: &str| {
        let (depth, rest) = line.split_at(line.find(|c: char| !c.is_ascii_digit())?);
        let name = rest.split(' ').next()?;
        Some((depth.parse().ok()?, name.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// The crate whose dependencies no plain build and no plain test fetches.
const PYTHON: &str = "ddpm-python";

/// The crates of the workspace that are there.
fn members() -> BTreeSet<String> {
    let found = tree(&["--workspace", "--exclude", PYTHON, "--depth", "0"]);
    let found = found.into_iter().map(|(_, name)| name);
    found.chain([PYTHON.to_owned()]).collect()
}

/// What Cargo says of a member, or its manifest where Cargo cannot tell offline.
fn dependencies(name: &str) -> Vec<(usize, String)> {
    if name != PYTHON {
        return tree(&["--package", name]);
    }
    let manifest = root().join("crates").join(name).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let (_, listed) = manifest.split_once("\n[dependencies]\n").unwrap();
    let lines = listed.lines().take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['.', ' ', '=']).next());
    names.map(|name| (1, name.to_owned())).collect()
}

#[test]
fn dependencies_point_one_way_and_candle_stays_above() {
    let members = members();
    for name in &members {
        let Some(place) = LAYERS.iter().position(|(known, _)| known == name) else {
            panic!("{name} is not in the table of layers");
        };
        let may = |dep: &str| match LAYERS[place].1 {
            "*" => LAYERS[..place].iter().any(|(above, _)| *above == dep),
            some => some
                .split(' ')
                .any(|name| [name, &format!("ddpm-{name}")].contains(&dep)),
        };
        for (depth, dep) in dependencies(name) {
            let ours = depth == 1 && members.contains(&dep);
            assert!(!ours || may(&dep), "{name} must not depend on {dep}");
            let candle = ["ddpm-model", "ddpm-cli", "ddpm"].contains(&name.as_str());
            assert!(
                candle || dep != "candle-core",
                "{name} must not reach candle"
            );
        }
    }
}

/// What somebody who brings a denoiser of their own, or only costs, has to build stays small.
#[test]
fn light_crates_stay_light() {
    let of = |package: &str| -> BTreeSet<String> {
        let found = tree(&["--package", package, "--edges", "normal,build"]);
        found.into_iter().map(|(_, name)| name).collect()
    };
    let eval = of("ddpm-eval");
    assert!(eval.len() <= 95, "{} crates: {eval:?}", eval.len());
    for heavy in ["faer", "ddpm-model", "candle-core"] {
        assert!(!eval.contains(heavy), "ddpm-eval must not reach {heavy}");
    }
    let solver = &of("ddpm-core") | &of("ddpm-dp");
    assert!(solver.len() <= 60, "{} crates: {solver:?}", solver.len());
}

fn rust_files(under: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(under).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file without comments and unit tests; none of a test module that lies in a file of its own.
fn code(path: &Path) -> String {
    if path.file_stem().is_some_and(|name| name == "tests") {
        return String::new();
    }
    let source = fs::read_to_string(path).unwrap();
    let code = source.split("#[cfg(test)]\nmod tests {").next();
    let lines = code.unwrap_or_default().lines();
    let lines = lines.map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Lines of a crate's sources that contain one of the needles.
fn offenders(krate: &str, needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let files = rust_files(&root().join("crates").join(krate).join("src"));
    let there = root().join("crates").join(krate).exists();
    assert_eq!(there, !files.is_empty(), "{krate}: where are its sources?");
    for path in files {
        for line in code(&path).lines() {
            if let Some(needle) = needles.iter().find(|n| line.contains(*n)) {
                found.push(format!("{}: {needle}", path.display()));
            }
        }
    }
    found
}

/// Checks that no library uses one of the needles, but for exceptions.
fn only_in(exceptions: &str, needles: &[&str], rule: &str) {
    let libraries = LAYERS.iter().map(|(name, _)| *name);
    let found: Vec<String> = libraries
        .take_while(|name| *name != "ddpm")
        .filter(|name| exceptions.split(' ').all(|short| name[5..] != *short))
        .flat_map(|name| offenders(name, needles))
        .collect();
    assert!(found.is_empty(), "{rule}: {found:#?}");
}

#[test]
fn libraries_leave_files_printing_and_chance_alone() {
    let files = [
        "std::fs",
        " fs::",
        "{fs",
        "File::",
        "std::net",
        "std::env::",
    ];
    only_in(
        "files data model eval python cli",
        &files,
        "mathematics reads no files",
    );
    let writing = ["fs::write", "File::create", "fs::rename"];
    only_in("files", &writing, "files are written in one place");
    let printing = ["println!", "eprintln!", "print!("];
    only_in("cli", &printing, "libraries do not print");
    let chance = ["rand::", "thread_rng", "Tensor::randn", "Tensor::rand"];
    only_in("", &chance, "no hidden randomness");
}

/// The paths that a `use` names from the crate's root, its braces multiplied out.
fn imported(tree: &str) -> Vec<String> {
    let Some((stem, inner)) = tree.split_once('{') else {
        return vec![tree.to_owned()];
    };
    let (mut depth, mut paths, mut start) = (0, Vec::new(), 0);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    for (i, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                // A comma may stand behind the last one too.
                if start < i {
                    paths.extend(imported(&format!("{stem}{}", &inner[start..i])));
                }
                start = i + 1;
            }
            _ => {}
        }
    }
    paths
}

/// Of every module of a crate those that its `use` lines name, from the crate's root or by `super`, and those that it names with
/// their whole path elsewhere. What a module takes from its own children, or from the crate's root, is not followed.
fn imports(src: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let module = |path: &PathBuf| {
        let inner = path.strip_prefix(src).unwrap().with_extension("");
        let name = inner.to_string_lossy().replace('/', "::");
        name.strip_suffix("::mod")
            .map_or(name.clone(), str::to_owned)
    };
    let files = rust_files(src);
    let modules: BTreeMap<String, &PathBuf> = files.iter().map(|f| (module(f), f)).collect();
    let known = |mut path: &str| loop {
        if modules.contains_key(path) {
            return Some(path.to_owned());
        }
        path = path.rsplit_once("::")?.0;
    };
    let absolute = |name: &str, path: &str| match path.strip_prefix("crate::") {
        Some(rest) => rest.to_owned(),
        None => {
            let (mut parent, mut rest) = (name, path);
            while let Some(above) = rest.strip_prefix("super::") {
                parent = parent.rsplit_once("::").map_or("", |(parent, _)| parent);
                rest = above;
            }
            // Of another crate, or a child of this module.
            if rest == path {
                return String::new();
            }
            format!("{parent}::{rest}")
        }
    };
    let of = |(name, file): (&String, &&PathBuf)| {
        let code = code(file);
        let uses = code.split("use ").skip(1);
        let trees = uses.filter_map(|rest| rest.split(';').next());
        let trees = trees.map(|tree| {
            tree.replace(" as ", "::")
                .split_whitespace()
                .collect::<String>()
        });
        let path = |rest: &str| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            format!("crate::{}", &rest[..end.unwrap_or(rest.len())])
        };
        let inline = code.split("crate::").skip(1).map(path);
        let paths = trees.flat_map(|tree| imported(&tree)).chain(inline);
        let named = paths.filter_map(|path| known(absolute(name, &path).trim_start_matches(':')));
        (name.clone(), named.filter(|other| other != name).collect())
    };
    modules.iter().map(of).collect()
}

#[test]
fn braces_of_imports_multiply_out() {
    let paths = imported("crate::{a::{B,super::c},d,}");
    assert_eq!(paths, ["crate::a::B", "crate::a::super::c", "crate::d"]);
}

#[test]
fn files_of_a_crate_do_not_import_in_circles() {
    for name in members().iter().filter(|name| name.starts_with("ddpm-")) {
        let folder = root().join("crates").join(name);
        let mut left = imports(&folder.join("src"));
        assert_eq!(
            folder.exists(),
            !left.is_empty(),
            "{name}: where are its sources?"
        );
        // What imports nothing that is left, or is imported by nothing, lies on no circle.
        loop {
            let before = left.len();
            let there: BTreeSet<String> = left.keys().cloned().collect();
            left.retain(|_, others| others.iter().any(|other| there.contains(other)));
            let named: BTreeSet<String> = left.values().flatten().cloned().collect();
            left.retain(|module, _| named.contains(module));
            if left.len() == before {
                break;
            }
        }
        assert!(left.is_empty(), "{name}: a circle of imports: {left:#?}");
    }
}

#[test]
fn unsafe_only_in_kernels() {
    let folders = ["crates", "src", "tests", "deploy"].map(|name| rust_files(&root().join(name)));
    for path in folders.concat() {
        let in_kernels = path.components().any(|c| c.as_os_str() == "kernels");
        let source = fs::read_to_string(&path).unwrap();
        let found = source.lines().any(|line| {
            let code = line.split("//").next().unwrap_or_default();
            ["{", "fn", "impl"].map(|what| code.contains(&format!("unsafe {what}"))) != [false; 3]
        });
        assert!(in_kernels || !found, "{} holds unsafe code", path.display());
    }
}

#[test]
fn every_crate_is_written_down() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let members = members();
    for name in &members {
        let named = text.contains(&format!("`{name}`"));
        assert!(named, "ARCHITECTURE.md does not name {name}");
    }
    // All but the tests of the Slurm files have one.
    assert!(text.matches("**Invariant:**").count() >= members.len() - 1);
}

#[test]
fn ci_is_one_list() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let script = read(".ci/run");
    let commands = script.lines().filter(|line| line.starts_with("cargo "));
    assert_eq!(commands.collect::<Vec<_>>(), ["cargo xtask ci"]);
    let is_tests = |(name, _): &&(&str, &str)| *name == "tests";
    let (_, tests) = ci::STEPS.iter().find(is_tests).unwrap();
    assert!(read("README.md").contains(&format!("\ncargo {tests} ")));
}
