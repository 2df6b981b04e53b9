//! The links of the documents, checked as ordinary tests, without mdBook and without the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use xtask::root;

use crate::book::pages;
use crate::markdown::Document;

/// The documents whose links are checked, from the root of the repository.
fn documents() -> Vec<PathBuf> {
    let others = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "benches/README.md",
        "datasets/README.md",
        "deploy/README.md",
        "python/README.md",
        "docs/SUMMARY.md",
    ];
    let pages = pages().into_iter().map(|name| Path::new("docs").join(name));
    others.into_iter().map(PathBuf::from).chain(pages).collect()
}

fn parse(path: &Path) -> Document {
    let text = fs::read_to_string(path);
    Document::parse(&text.unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// The anchors of the headings, as GitHub and mdBook make them.
fn anchors(document: &Document) -> Vec<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut anchors = Vec::new();
    for line in &document.prose {
        let Some((marks, heading)) = line.split_once(' ') else {
            continue;
        };
        if marks.is_empty() || marks.len() > 6 || marks.contains(|c| c != '#') {
            continue;
        }
        let slug = slug(heading);
        let again = seen.entry(slug.clone()).or_default();
        anchors.push(match *again {
            0 => slug,
            n => format!("{slug}-{n}"),
        });
        *again += 1;
    }
    anchors
}

/// Targets of links and images, with the line in which they stand.
fn links(document: &Document) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in document.prose.iter().enumerate() {
        // What stands between backticks is code.
        let words: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for rest in words.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            found.push((number + 1, target.to_owned()));
        }
    }
    found
}

/// A heading as the end of an address.
fn slug(heading: &str) -> String {
    // Of a link in a heading the words remain.
    let mut words = String::new();
    let mut rest = heading.trim();
    while let Some((before, after)) = rest.split_once("](") {
        words += before;
        rest = after.split_once(')').map_or("", |(_, behind)| behind);
    }
    words += rest;
    let kept = words.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.collect::<String>().to_lowercase()
}

/// Why a link leads nowhere.
fn broken(from: &Path, target: &str) -> Option<String> {
    if ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
    {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let at = match file {
        "" => root().join(from),
        file => root().join(from).parent()?.join(file),
    };
    if !at.exists() {
        return Some("there is no such file".to_owned());
    }
    let found = anchor.is_empty() || anchors(&parse(&at)).iter().any(|known| known == anchor);
    (!found).then(|| format!("the file has no heading #{anchor}"))
}

#[test]
fn every_link_leads_somewhere() {
    let (mut wrong, mut followed) = (Vec::new(), 0);
    for path in documents() {
        for (line, target) in links(&parse(&root().join(&path))) {
            followed += 1;
            if let Some(why) = broken(&path, &target) {
                wrong.push(format!("{}:{line}: {target}: {why}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(followed > 100, "only {followed} links were found");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let from = Path::new("docs/quality.md");
    for (target, fails) in [
        ("judged.md", false),
        ("../README.md", false),
        ("#no-such-heading", true),
        ("no-such-page.md", true),
        ("judged.md#no-such-heading", true),
        ("https://example.org/nowhere", false),
    ] {
        assert_eq!(broken(from, target).is_some(), fails, "{target}");
    }
}

#[test]
fn the_summary_names_every_page_once() {
    let links = links(&parse(&root().join("docs/SUMMARY.md")));
    let named: Vec<String> = links.into_iter().map(|(_, to)| to).collect();
    let once: BTreeSet<String> = named.iter().cloned().collect();
    assert_eq!(once.len(), named.len(), "a page stands twice in SUMMARY.md");
    assert_eq!(once, pages().into_iter().collect());
}

/// What `xtask newcomer` and the tests do with blocks is told by their marks: a mark that none of them knows would be passed over.
#[test]
fn marks_of_blocks_are_known() {
    for path in documents() {
        for block in parse(&root().join(&path)).blocks {
            let marks = &block.words[1.min(block.words.len())..];
            for mark in marks {
                let known = crate::newcomer::MARKS.contains(&mark.as_str());
                assert!(known, "{}:{}: {mark}", path.display(), block.line);
            }
        }
    }
}

#[test]
fn anchors_and_links_as_github_reads_them() {
    let text = "# A [link](x.md) in `code`\n\n[one](a.md#b) `[no](c)` ![two](d.svg \"title\")\n\n\
                ```sh\n# no heading\n[no](e)\n```\n\n## Again\n## Again\n";
    let document = Document::parse(text);
    assert_eq!(anchors(&document), ["a-link-in-code", "again", "again-1"]);
    let found = links(&document);
    let targets: Vec<&str> = found.iter().map(|(_, to)| to.as_str()).collect();
    assert_eq!(targets, ["x.md", "a.md#b", "d.svg"]);
    assert_eq!(slug("K = 1, `--start free`: why?"), "k--1---start-free-why");
}
