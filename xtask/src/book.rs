//! `cargo xtask book`: the pages of docs/ as a book, by mdBook.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use xtask::{check, root};

use crate::markdown::Document;

/// Where files of the repository that are no pages of the book can be read.
const ELSEWHERE: &str = "https://github.com/ddpm-rs/ddpm/blob/main/";

/// The pages of docs/ as a book
///
/// Copies docs/ to target/book/pages, makes links that lead out of docs/ lead to the repository, and has mdBook write
/// target/book/html. mdBook is not installed by this: `cargo install --locked mdbook`. The links themselves are checked
/// by `cargo test --release -p xtask`, without mdBook.
#[derive(clap::Args)]
pub(crate) struct Book {
    /// The program [default: mdbook]
    #[arg(long, value_name = "PATH", default_value = "mdbook")]
    mdbook: std::path::PathBuf,
}

impl Book {
    /// Fails where mdBook is not installed, or fails.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let found = Command::new(&self.mdbook).arg("--version").output();
        if !found.is_ok_and(|output| output.status.success()) {
            bail!(
                "failed to start {}: install it (cargo install --locked mdbook) or name it (--mdbook PATH)",
                self.mdbook.display()
            );
        }
        let book = root().join("target/book");
        if book.exists() {
            fs::remove_dir_all(&book)
                .with_context(|| format!("failed to empty {}", book.display()))?;
        }
        let to = book.join("pages");
        copy(&root().join("docs"), &to)?;
        let html = book.join("html");
        let mut mdbook = Command::new(&self.mdbook);
        check(mdbook.arg("build").arg(&to).arg("--dest-dir").arg(&html))?;
        println!("{}", html.join("index.html").display());
        Ok(())
    }
}

/// The names of the pages: every Markdown file of docs/ but the list itself, in order.
pub(crate) fn pages() -> Vec<String> {
    let entries = fs::read_dir(root().join("docs")).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_page = |name: &String| {
        Path::new(name).extension().is_some_and(|ext| ext == "md") && name != "SUMMARY.md"
    };
    let mut names: Vec<String> = names.filter(is_page).collect();
    names.sort();
    names
}

/// Copies the files of a folder, pages with their links made to lead out of it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("failed to create {}", to.display()))?;
    let entries = fs::read_dir(from);
    for entry in entries.with_context(|| format!("failed to read {}", from.display()))? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let copied = if path.extension().is_some_and(|ext| ext == "md") {
            fs::read_to_string(&path).and_then(|text| fs::write(to.join(name), outward(&text)))
        } else if path.is_file() {
            fs::copy(&path, to.join(name)).map(drop)
        } else {
            Ok(())
        };
        copied.with_context(|| format!("failed to copy {}", path.display()))?;
    }
    Ok(())
}

/// A page whose links to files above docs/ lead to the repository.
fn outward(text: &str) -> String {
    let prose = Document::parse(text).prose;
    let line = |(line, prose): (&str, String)| match prose.is_empty() {
        true => format!("{line}\n"),
        false => format!("{}\n", line.replace("](../", &format!("]({ELSEWHERE}"))),
    };
    text.lines().zip(prose).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_book_lead_to_the_repository() {
        let page = "[a](../README.md) [b](quality.md)\n```sh\n[c](../x)\n```\n";
        let expected =
            format!("[a]({ELSEWHERE}README.md) [b](quality.md)\n```sh\n[c](../x)\n```\n");
        assert_eq!(outward(page), expected);
    }
}
