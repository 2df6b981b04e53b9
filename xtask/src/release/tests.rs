//! What a release needs: packages that are whole, one version everywhere, workflows that say what they build.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;
use xtask::{cargo, root};

use super::{name, needs, packages, published};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The folder of a package.
fn folder(package: &Value) -> PathBuf {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().to_owned()
}

#[test]
fn crates_come_after_what_they_need() {
    let packages = packages().unwrap();
    let order = published(&packages).unwrap();
    let ours: Vec<&str> = packages.iter().map(name).collect();
    for (place, package) in order.iter().enumerate() {
        for need in needs(package).filter(|need| ours.contains(need)) {
            let before = order[..place].iter().any(|earlier| name(earlier) == need);
            assert!(before, "{} needs {need}", name(package));
        }
    }
    // What people install comes last, and nothing of the workshop comes at all.
    assert_eq!(order.last().map(|package| name(package)), Some("ddpm"));
    for inner in ["xtask", "ddpm-fuzz", "ddpm-benches", "ddpm-python"] {
        assert!(order.iter().all(|package| name(package) != inner));
    }
}

#[test]
fn published_crates_say_what_a_registry_asks_for() {
    for package in published(&packages().unwrap()).unwrap() {
        let of = name(package);
        for field in ["description", "license", "repository", "readme"] {
            let there = package[field].as_str().is_some_and(|text| !text.is_empty());
            assert!(there, "{of} has no {field}");
        }
        let keywords = package["keywords"].as_array().unwrap();
        assert!((1..=5).contains(&keywords.len()), "{of}: keywords");
        let short = |word: &Value| word.as_str().is_some_and(|word| word.len() <= 20);
        assert!(keywords.iter().all(short), "{of}: a keyword is too long");
        assert!(!package["categories"].as_array().unwrap().is_empty());
        for needed in package["dependencies"].as_array().unwrap() {
            let told = needed["req"] != "*" || needed["kind"] == "dev";
            assert!(told, "{of}: {} has no version", name(needed));
        }
        let readme = fs::read_to_string(folder(package).join("README.md")).unwrap();
        assert_eq!(readme.lines().next(), Some(&*format!("# {of}")));
    }
}

/// What Cargo would pack of a crate.
fn packed(package: &str) -> Vec<PathBuf> {
    let output = cargo()
        .args([
            "package",
            "--list",
            "--allow-dirty",
            "--offline",
            "--package",
        ])
        .arg(package)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{package}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(PathBuf::from).collect()
}

/// The files that a source takes into the program: `include_str!("..")` and its like, with literal names.
fn included(source: &str) -> Vec<&str> {
    let kinds = ["include_str!(", "include_bytes!(", "include!("];
    let rest = kinds.iter().flat_map(|kind| source.split(kind).skip(1));
    rest.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .collect()
}

/// A path without `..`, none if it leaves its folder.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inner = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => inner.pop().then_some(())?,
            other => inner.push(other),
        }
    }
    Some(inner)
}

/// A file outside of its crate's folder is there in the repository and missing in what people install.
#[test]
fn packages_hold_what_their_code_includes() {
    for package in published(&packages().unwrap()).unwrap() {
        let files = packed(name(package));
        let has = |file: &Path| files.iter().any(|packed| packed == file);
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.lock"] {
            assert!(has(Path::new(file)), "{} lacks {file}", name(package));
        }
        let sources = files.iter().filter(|file| file.starts_with("src"));
        for source in sources.filter(|file| file.extension().is_some_and(|e| e == "rs")) {
            let text = fs::read_to_string(folder(package).join(source)).unwrap();
            for file in included(&text) {
                let path = inside(&source.parent().unwrap().join(file));
                let there = path.is_some_and(|path| has(&path));
                assert!(there, "{}: {} is not packed", source.display(), file);
            }
        }
    }
}

#[test]
fn included_files_are_found() {
    let source = "a(include_str!(\"x.txt\"), include_bytes!( \"../y\"))";
    assert_eq!(included(source), ["x.txt", "../y"]);
    assert_eq!(inside(Path::new("src/a/../b")), Some("src/b".into()));
    assert_eq!(inside(Path::new("src/../../b")), None);
}

#[test]
fn one_version_everywhere() {
    let packages = packages().unwrap();
    let python = packages.iter().find(|p| name(p) == "ddpm-python").unwrap();
    let version = python["version"].as_str().unwrap();
    for package in published(&packages).unwrap() {
        assert_eq!(package["version"], version, "{}", name(package));
        for needed in package["dependencies"].as_array().unwrap() {
            let ours = needed["path"].is_string() && needed["req"] != "*";
            let same = needed["req"] == format!("^{version}");
            assert!(!ours || same, "{}: {}", name(package), name(needed));
        }
    }
    // The Python package takes its version from the crate that it compiles.
    assert!(read("python/pyproject.toml").contains("\ndynamic = [\"version\"]\n"));
    let cited = read("CITATION.cff");
    assert!(cited.contains(&format!("\nversion: {version}\n")));
    // What is not released stands above; the newest release below it is this version or, before the first one, none.
    let changes = read("CHANGELOG.md");
    let mut headings = changes.lines().filter_map(|line| line.strip_prefix("## "));
    assert_eq!(headings.next(), Some("Unreleased"));
    let released = headings.next().map(|heading| {
        let end = heading.find(' ').unwrap_or(heading.len());
        heading[..end].trim_matches(['[', ']'])
    });
    assert!(
        released.is_none_or(|newest| newest == version),
        "{released:?}"
    );
}

const WORKFLOWS: [&str; 2] = [
    ".github/workflows/release.yml",
    ".github/workflows/wheels.yml",
];

/// The targets of a workflow's matrix.
fn targets(workflow: &str) -> Vec<String> {
    let text = read(workflow);
    let found = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("target: ")?;
        let end = rest.find([',', ' ', '}']).unwrap_or(rest.len());
        (!rest.starts_with('$')).then(|| rest[..end].to_owned())
    });
    found.collect()
}

#[test]
fn binaries_and_wheels_are_for_the_platforms_that_the_docs_name() {
    let binaries = targets(WORKFLOWS[0]);
    assert_eq!(
        binaries,
        [
            "x86_64-unknown-linux-musl",
            "aarch64-unknown-linux-musl",
            "x86_64-apple-darwin",
            "aarch64-apple-darwin",
            "x86_64-pc-windows-msvc",
        ]
    );
    let docs = read("docs/install.md");
    for target in &binaries {
        assert!(docs.contains(target), "docs/install.md: {target}");
    }
    let platform = |target: &String| target.replace("-musl", "-gnu");
    let wheels = targets(WORKFLOWS[1]);
    assert_eq!(
        wheels,
        binaries.iter().map(platform).collect::<Vec<_>>(),
        "wheels are for other platforms than binaries"
    );
}

/// A tag of an action can be moved by others, a commit cannot.
#[test]
fn actions_are_pinned() {
    for workflow in WORKFLOWS {
        let text = read(workflow);
        let used: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_once("uses: ").map(|(_, action)| action))
            .collect();
        assert!(!used.is_empty(), "{workflow}");
        for action in used.into_iter().filter(|action| !action.starts_with("./")) {
            let (_, pin) = action.split_once('@').unwrap();
            let (commit, tag) = pin.split_once(" # v").unwrap_or((pin, ""));
            let is_commit = commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit());
            assert!(is_commit && !tag.is_empty(), "{workflow}: {action}");
        }
    }
}

#[test]
fn the_release_is_built_with_the_rust_that_we_ask_for() {
    let packages = packages().unwrap();
    let rust = packages[0]["rust_version"].as_str().unwrap();
    let toolchain = format!("RUSTUP_TOOLCHAIN: \"{rust}");
    assert!(read(WORKFLOWS[0]).contains(&toolchain), "{toolchain}");
    let image = format!("/rust:{rust}-");
    assert!(read("deploy/Containerfile").contains(&image), "{image}");
}
