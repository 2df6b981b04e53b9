//! `cargo xtask publish-order`: the crates of a release, each after those that it needs.
//!
//! Cargo is asked, so that the order cannot go stale: the release workflow publishes crate by crate, and begins again where it
//! stopped. (`cargo publish --workspace` knows the order too, but refuses to start once one of the crates is published.) What else a
//! release needs to hold is checked by ordinary tests.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use serde_json::Value;

use xtask::cargo;

/// What Cargo says of the workspace's own packages: nothing else is read or fetched.
///
/// # Errors
/// A Cargo that cannot be started or fails, and an answer that is not of the known form.
pub(crate) fn packages() -> anyhow::Result<Vec<Value>> {
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps"]);
    let output = metadata
        .args(["--offline", "--locked"])
        .output()
        .context("failed to start cargo metadata")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut answer: Value = serde_json::from_slice(&output.stdout)?;
    match answer["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => bail!("expected a list of packages in the answer of cargo metadata"),
    }
}

/// Those that a registry may have, in an order in which each finds what it depends on.
///
/// # Errors
/// A circle.
pub(crate) fn published(packages: &[Value]) -> anyhow::Result<Vec<&Value>> {
    // `publish = false` is an empty list of registries.
    let mut left: Vec<&Value> = packages
        .iter()
        .filter(|package| package["publish"] != Value::Array(Vec::new()))
        .collect();
    left.sort_by_key(|package| name(package));
    let mut order = Vec::new();
    while !left.is_empty() {
        let waiting: BTreeSet<&str> = left.iter().map(|package| name(package)).collect();
        let ready = |package: &&Value| needs(package).all(|need| !waiting.contains(need));
        let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(ready);
        if now.is_empty() {
            bail!("{waiting:?} depend on each other in a circle");
        }
        order.extend(now);
        left = later;
    }
    Ok(order)
}

/// The name of a package or of a dependency.
fn name(of: &Value) -> &str {
    of["name"].as_str().unwrap_or_default()
}

/// What has to be in the registry before a package. Cargo strips a dependency of tests that has no version.
fn needs(package: &Value) -> impl Iterator<Item = &str> {
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    dependencies
        .filter(|needed| needed["kind"] != "dev" || needed["req"] != "*")
        .map(name)
}

/// Prints the names, one a line.
///
/// # Errors
/// As [`packages`] and [`published`].
pub(crate) fn print_order() -> anyhow::Result<()> {
    for package in published(&packages()?)? {
        println!("{}", name(package));
    }
    Ok(())
}
