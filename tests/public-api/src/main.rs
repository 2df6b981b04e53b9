//! `cargo xtask public-api`: every public path of the library crates, as the sources declare them.
//!
//! Follows `mod` and `use` from each lib.rs. What macros write is not seen; what another crate defines is one path.

#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use syn::{Fields, ImplItem, Item, TraitItem, Type, UseTree, Visibility};

const LIST: &str = "docs/public-api.txt";

/// The public paths of the library crates, compared with docs/public-api.txt
///
/// Types, traits, functions, methods, variants, fields and constants, one a line.
#[derive(Parser)]
#[command(bin_name = "cargo xtask public-api")]
struct Cli {
    /// Write the list anew
    #[arg(long)]
    write: bool,
    /// Print the list of another checkout of this repository instead
    #[arg(long, value_name = "PATH", conflicts_with = "write")]
    root: Option<PathBuf>,
}

fn main() -> ExitCode {
    xtask::exit_code(run(Cli::parse()))
}

fn run(cli: Cli) -> anyhow::Result<()> {
    if let Some(root) = cli.root {
        print!("{}", list(&root)?);
        return Ok(());
    }
    let (now, file) = (list(&xtask::root())?, xtask::root().join(LIST));
    if cli.write {
        return fs::write(&file, now).with_context(|| format!("failed to write {LIST}"));
    }
    let kept = fs::read_to_string(&file).with_context(|| format!("failed to read {LIST}"))?;
    for (sign, a, b) in [('-', &kept, &now), ('+', &now, &kept)] {
        let other: BTreeSet<&str> = b.lines().collect();
        for line in a.lines().filter(|line| !other.contains(line)) {
            println!("{sign} {line}");
        }
    }
    if now != kept {
        bail!("{LIST} differs from the sources; if they are right: cargo xtask public-api --write");
    }
    Ok(())
}

/// The paths of every library of a workspace in order, and their number.
fn list(root: &Path) -> anyhow::Result<String> {
    let mut paths = BTreeSet::new();
    let mut add = |name: &str, folder: &Path| {
        let source = folder.join("src");
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let is_tool = name != "ddpm" && manifest.contains("\npublish = false\n");
        if is_tool || !source.join("lib.rs").is_file() {
            return Ok(());
        }
        let mut library = Library::default();
        library.read(name, parse(&source.join("lib.rs"))?, &source)?;
        library.publish(name, name, &mut paths);
        anyhow::Ok(())
    };
    add("ddpm", root)?;
    let crates = root.join("crates");
    for entry in fs::read_dir(&crates).with_context(|| format!("no {}", crates.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().replace('-', "_");
        add(&name, &entry.path())?;
    }
    let lines: String = paths.iter().map(|path| format!("{path}\n")).collect();
    Ok(format!("{lines}{} public paths\n", paths.len()))
}

fn parse(file: &Path) -> anyhow::Result<Vec<Item>> {
    let text = fs::read_to_string(file).with_context(|| format!("no {}", file.display()))?;
    let parsed = syn::parse_file(&text);
    Ok(parsed.with_context(|| file.display().to_string())?.items)
}

/// `#[cfg(test)]`.
fn is_for_tests(attribute: &syn::Attribute) -> bool {
    let list = attribute.meta.require_list();
    list.is_ok_and(|list| list.path.is_ident("cfg") && list.tokens.to_string() == "test")
}

/// A crate.
#[derive(Default)]
struct Library {
    /// By their paths.
    modules: BTreeMap<String, Module>,
    /// Of each `impl` block its module, its type as the module calls it, and its public members.
    impls: Vec<(String, Vec<String>, Vec<String>)>,
}

#[derive(Default)]
struct Module {
    /// What is defined here by its name: whether it is public, and its public members.
    items: BTreeMap<String, (bool, BTreeSet<String>)>,
    /// What is imported: whether publicly, under which name (none for a glob), and from where.
    uses: Vec<(bool, Option<String>, Vec<String>)>,
}

impl Library {
    fn read(&mut self, at: &str, items: Vec<Item>, folder: &Path) -> anyhow::Result<()> {
        let mut module = Module::default();
        for item in items {
            let (name, visibility, members) = match item {
                Item::Mod(m) if m.attrs.iter().any(is_for_tests) => continue,
                Item::Mod(m) => {
                    let inside = folder.join(m.ident.to_string());
                    let files = [inside.with_extension("rs"), inside.join("mod.rs")];
                    let items = match m.content {
                        Some((_, items)) => items,
                        None => parse(&files[usize::from(!files[0].is_file())])?,
                    };
                    self.read(&format!("{at}::{}", m.ident), items, &inside)?;
                    (m.ident, m.vis, vec![])
                }
                Item::Fn(f) => (f.sig.ident, f.vis, vec![]),
                Item::Const(c) => (c.ident, c.vis, vec![]),
                Item::Static(s) => (s.ident, s.vis, vec![]),
                Item::Type(t) => (t.ident, t.vis, vec![]),
                Item::Struct(s) => (s.ident, s.vis, fields(&s.fields, is_public)),
                Item::Enum(e) => {
                    let members = e.variants.iter().flat_map(|v| {
                        let inside = fields(&v.fields, |_| true).into_iter();
                        let inside = inside.map(|f| format!("{}::{f}", v.ident));
                        inside.chain([v.ident.to_string()])
                    });
                    (e.ident, e.vis, members.collect())
                }
                Item::Trait(t) => {
                    let members = t.items.iter().filter_map(|item| match item {
                        TraitItem::Fn(f) => Some(&f.sig.ident),
                        TraitItem::Const(c) => Some(&c.ident),
                        TraitItem::Type(t) => Some(&t.ident),
                        _ => None,
                    });
                    let members = members.map(ToString::to_string);
                    (t.ident, t.vis, members.collect())
                }
                Item::Use(u) => {
                    let public = is_public(&u.vis);
                    let found = imports(u.tree, vec![]).into_iter();
                    let found = found.map(|(name, from)| (public, name, from));
                    module.uses.extend(found);
                    continue;
                }
                Item::Impl(block) => {
                    if let (None, Type::Path(of)) = (block.trait_, *block.self_ty) {
                        let members = block.items.iter().filter_map(|item| match item {
                            ImplItem::Fn(f) => is_public(&f.vis).then_some(&f.sig.ident),
                            ImplItem::Const(c) => is_public(&c.vis).then_some(&c.ident),
                            _ => None,
                        });
                        let members = members.map(ToString::to_string).collect();
                        let of = of.path.segments.iter().map(|s| s.ident.to_string());
                        self.impls.push((at.to_owned(), of.collect(), members));
                    }
                    continue;
                }
                _ => continue,
            };
            let item = module.items.entry(name.to_string()).or_default();
            item.0 |= is_public(&visibility);
            item.1.extend(members);
        }
        self.modules.insert(at.to_owned(), module);
        Ok(())
    }

    /// Where that is defined which a module calls so; `None` if not in this crate.
    fn resolve(&self, at: &str, path: &[String], patience: usize) -> Option<String> {
        let Some((first, rest)) = path.split_first() else {
            return Some(at.to_owned());
        };
        let Some(module) = self.modules.get(at) else {
            return Some(format!("{at}::{}", path.join("::")));
        };
        let next = match first.as_str() {
            "crate" => at.split("::").next()?.to_owned(),
            "self" => at.to_owned(),
            "super" => at.rsplit_once("::")?.0.to_owned(),
            name if module.items.contains_key(name) => format!("{at}::{name}"),
            name => module.uses.iter().find_map(|(_, shown, from)| {
                let of_glob = shown.is_none().then(|| name.to_owned());
                let fits = shown.as_deref().is_none_or(|shown| shown == name);
                let from = Vec::from_iter(from.iter().cloned().chain(of_glob));
                self.resolve(at, &from, patience.checked_sub(1).filter(|_| fits)?)
            })?,
        };
        self.resolve(&next, rest, patience)
    }

    /// Adds `path` and the public paths in it, for what is defined as `at`.
    fn publish(&self, at: &str, path: &str, paths: &mut BTreeSet<String>) {
        paths.insert(path.to_owned());
        if let Some(module) = self.modules.get(at) {
            for (name, _) in module.items.iter().filter(|(_, (public, _))| *public) {
                self.publish(&format!("{at}::{name}"), &format!("{path}::{name}"), paths);
            }
            for (_, name, from) in module.uses.iter().filter(|(public, ..)| *public) {
                // The contents of a glob stand here, next to what is named.
                let shown = name.iter().map(|name| format!("::{name}"));
                let at = self.resolve(at, from, 9).unwrap_or(from.join("::"));
                self.publish(&at, &format!("{path}{}", String::from_iter(shown)), paths);
            }
        } else if let Some((module, name)) = at.rsplit_once("::") {
            let item = self.modules.get(module).and_then(|m| m.items.get(name));
            let own = item.into_iter().flat_map(|(_, members)| members);
            paths.extend(own.map(|member| format!("{path}::{member}")));
            for (module, of, members) in &self.impls {
                if self.resolve(module, of, 9).as_deref() == Some(at) {
                    paths.extend(members.iter().map(|member| format!("{path}::{member}")));
                }
            }
        }
    }
}

/// What a `use` imports: under which name (none for a glob), and from where.
fn imports(tree: UseTree, mut from: Vec<String>) -> Vec<(Option<String>, Vec<String>)> {
    let (name, shown) = match tree {
        UseTree::Path(path) => {
            from.push(path.ident.to_string());
            return imports(*path.tree, from);
        }
        UseTree::Group(group) => {
            let trees = group.items.into_iter();
            return trees.flat_map(|t| imports(t, from.clone())).collect();
        }
        UseTree::Name(name) if name.ident == "self" => return vec![(from.last().cloned(), from)],
        UseTree::Name(name) => (name.ident.clone(), name.ident),
        UseTree::Rename(name) => (name.ident, name.rename),
        _ => return vec![(None, from)],
    };
    from.push(name.to_string());
    vec![(Some(shown.to_string()), from)]
}

fn fields(fields: &Fields, shown: impl Fn(&Visibility) -> bool) -> Vec<String> {
    let numbered = fields.iter().enumerate().filter(|(_, f)| shown(&f.vis));
    let named = numbered.map(|(i, f)| f.ident.as_ref().map_or(i.to_string(), ToString::to_string));
    named.collect()
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

#[test]
fn paths_are_found_through_uses_and_impl_blocks() {
    let source = "
        mod a { pub struct S { pub x: u8, y: u8 } impl S { pub fn f() {} fn g() {} } }
        mod b { use super::a::*; impl S { pub const C: u8 = 1; } pub enum E { V { w: u8 } } }
        pub use a::{self as c, S}; pub use b::E as F; pub use other::Thing; fn private() {}";
    let mut library = Library::default();
    let items = syn::parse_file(source).unwrap().items;
    library.read("k", items, Path::new("")).unwrap();
    let mut paths = BTreeSet::new();
    library.publish("k", "k", &mut paths);
    let found = Vec::from_iter(paths).join(" ");
    let of = |name: &str| format!("{name} {name}::C {name}::f {name}::x");
    let expected = format!(
        "k k::F k::F::V k::F::V::w {} k::Thing k::c {}",
        of("k::S"),
        of("k::c::S")
    );
    assert_eq!(found, expected);
}
